"""What a schema makes of an object: pruning, nulls, defaults."""

from __future__ import annotations

from typing import Any

import pytest

from apimachinery.schema.nodes import DecodeError, Findings
from apimachinery.structural.version import CustomVersion

JSON = dict[str, Any]
TEXT: JSON = {"type": "string"}
OBJECT: JSON = {"type": "object"}


def kind(**spec: JSON) -> CustomVersion:
    root = {"type": "object", "properties": {"spec": {"type": "object", "properties": spec}}}
    return CustomVersion("example.com", "Thing", {"name": "v1"}, lambda: root, "1")


def spec(version: CustomVersion, **given: Any) -> tuple[JSON, list[str]]:
    """Pruned and with defaults, and what was unknown."""
    findings = Findings()
    obj = version.prune({"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {}, "spec": given}, findings)
    version.default(obj)
    found: JSON = obj["spec"]
    return found, findings.unknown


def test_unknown_fields_are_dropped_and_named_in_order() -> None:
    items = {"type": "array", "items": {"type": "object", "properties": {"a": TEXT}}}
    found, unknown = spec(kind(list=items, a=TEXT), z=1, list=[{"a": "x"}, {"a": "y", "b": 1}], b={"c": 1}, a="x")
    assert found == {"list": [{"a": "x"}, {"a": "y"}], "a": "x"}
    assert unknown == ['unknown field "spec.b"', 'unknown field "spec.list[1].b"', 'unknown field "spec.z"']


def test_what_is_preserved_is_kept_but_known_fields_in_it_are_pruned() -> None:
    free = {**OBJECT, "x-kubernetes-preserve-unknown-fields": True, "properties": {"known": OBJECT}}
    given = {"any": {"thing": [1, {"x": None}]}, "known": {"not": 1}}
    assert spec(kind(free=free), free=given)[0] == {"free": {"any": {"thing": [1, {"x": None}]}, "known": {}}}


def test_maps_prune_their_values() -> None:
    entries = {**OBJECT, "additionalProperties": {"type": "object", "properties": {"a": TEXT}}}
    found, unknown = spec(kind(map=entries), map={"x": {"a": "1", "b": 2}})
    assert found == {"map": {"x": {"a": "1"}}}
    assert unknown == ['unknown field "spec.map.x.b"']


def test_the_given_object_is_left_alone() -> None:
    given = {"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {}, "spec": {"deep": {"x": [1]}, "no": 1}}
    version = kind(deep={**OBJECT, "x-kubernetes-preserve-unknown-fields": True})
    copy = version.prune(given, Findings())
    copy["spec"]["deep"]["x"].append(2)
    assert given["spec"] == {"deep": {"x": [1]}, "no": 1}


def test_nulls_vanish_unless_they_mean_something() -> None:
    version = kind(plain=TEXT, nullable={**TEXT, "nullable": True}, filled={**TEXT, "default": "d"})
    assert spec(version, plain=None, nullable=None, filled=None)[0] == {"nullable": None, "filled": "d"}


def test_defaults_are_given_in_depth_but_only_where_the_parent_is() -> None:
    inner = {"type": "object", "properties": {"size": {"type": "integer", "default": 3}}}
    version = kind(absent=inner, present=inner, made={**inner, "default": {}}, list={"type": "array", "items": inner})
    assert spec(version, present={}, list=[{}, {"size": 1}])[0] == {
        "present": {"size": 3},
        "made": {"size": 3},
        "list": [{"size": 3}, {"size": 1}],
    }


def test_defaults_are_not_shared_between_objects() -> None:
    version = kind(made={**OBJECT, "x-kubernetes-preserve-unknown-fields": True, "default": {"list": []}})
    first, _ = spec(version)
    first["made"]["list"].append(1)
    assert spec(version)[0] == {"made": {"list": []}}


def test_defaults_are_pruned_themselves() -> None:
    version = kind(made={"type": "object", "properties": {"a": TEXT}, "default": {"a": "x", "b": "y"}})
    assert spec(version)[0] == {"made": {"a": "x"}}


def test_embedded_resources_keep_what_every_object_has() -> None:
    template = {"type": "object", "x-kubernetes-embedded-resource": True, "properties": {"spec": OBJECT}}
    given = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "what": 1}, "spec": {}, "more": 1}
    found, unknown = spec(kind(template=template), template=given)
    assert found["template"] == {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {}}
    assert unknown == ['unknown field "spec.template.more"', 'unknown field "spec.template.metadata.what"']
    with pytest.raises(DecodeError, match=r"metadata\.labels"):
        spec(kind(template=template), template={**given, "metadata": {"labels": 1}})
    with pytest.raises(DecodeError, match="cannot unmarshal array into Go value of type"):
        spec(kind(template=template), template={**given, "metadata": [1]})


def test_numbers_that_nobody_can_store_are_refused() -> None:
    with pytest.raises(DecodeError, match="cannot unmarshal number"):
        spec(kind(size={"type": "number"}), size=float("inf"))
    free = kind(any={**OBJECT, "x-kubernetes-preserve-unknown-fields": True})
    with pytest.raises(DecodeError, match="cannot unmarshal number"):
        spec(free, any={"deep": [10**400]})
    assert spec(free, any={"deep": [1 << 70]})[0] == {"any": {"deep": [float(1 << 70)]}}


def test_an_old_object_is_read_as_if_written_today() -> None:
    version = kind(a={**TEXT, "default": "x"})
    stored = {"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {}, "spec": {"gone": 1}}
    assert version.read(stored)["spec"] == {"a": "x"}
    unknown = {**stored, "apiVersion": "example.com/v0"}
    assert version.read(unknown) == unknown


def test_a_version_without_schema_knows_only_metadata() -> None:
    version = CustomVersion("example.com", "Thing", {"name": "v1"}, lambda: None, "1")
    assert spec_less(version) == {"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {}}


def spec_less(version: CustomVersion) -> JSON:
    return version.prune({"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {}, "spec": {}}, Findings())

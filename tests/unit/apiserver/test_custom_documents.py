"""Custom kinds in OpenAPI documents and in the catalog."""

from __future__ import annotations

from typing import Any

import orjson

from apiserver.extensions.definition import Definition
from apiserver.openapi import custom, documents
from apiserver.openapi.schemas import V2, V3
from apiserver.registry.catalog import Catalog

JSON = dict[str, Any]


def definition(schema: JSON | None, **version: Any) -> Definition:
    one = {"name": "v1", "served": True, "storage": True, **version}
    if schema is not None:
        one["schema"] = {"openAPIV3Schema": schema}
    names = {"plural": "things", "singular": "thing", "kind": "Thing", "listKind": "ThingList"}
    obj = {
        "metadata": {"name": "things.a.example.com", "uid": "u", "generation": 1},
        "spec": {"group": "a.example.com", "scope": "Namespaced", "names": names, "versions": [one]},
        "status": {"acceptedNames": names},
    }
    return Definition(obj, orjson.dumps(obj))


def described(schema: JSON | None, dialect: int) -> JSON:
    return custom.definitions(definition(schema).resources["v1"], dialect)["com.example.a.v1.Thing"]


def test_models_are_named_after_the_reversed_group_and_say_their_kind() -> None:
    found = custom.definitions(definition({"type": "object"}).resources["v1"], V3)
    assert set(found) == {"com.example.a.v1.Thing", "com.example.a.v1.ThingList"}
    assert found["com.example.a.v1.ThingList"]["properties"]["items"]["items"] == {
        "$ref": "#/components/schemas/com.example.a.v1.Thing"
    }
    assert found["com.example.a.v1.Thing"]["x-kubernetes-group-version-kind"] == [
        {"group": "a.example.com", "version": "v1", "kind": "Thing"}
    ]


def test_version_2_leaves_out_what_its_readers_stumble_over() -> None:
    spec = {
        "type": "object",
        "required": ["maybe", "must"],
        "properties": {
            "maybe": {"type": "array", "nullable": True, "items": {"type": "string"}},
            "must": {"type": "integer", "oneOf": [{"minimum": 1}, {"maximum": 0}]},
            "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True, "properties": {"a": {}}},
        },
    }
    schema = {"type": "object", "properties": {"spec": spec}}
    second = described(schema, V2)["properties"]["spec"]
    assert second["required"] == ["must"]
    assert second["properties"] == {
        "maybe": {},
        "must": {"type": "integer"},
        "free": {"x-kubernetes-preserve-unknown-fields": True},
    }
    third = described(schema, V3)["properties"]["spec"]
    assert third["properties"]["must"] == spec["properties"]["must"]  # type: ignore[index]
    assert third["properties"]["maybe"]["nullable"] is True


def test_kinds_that_take_anything_are_described_as_such() -> None:
    free = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    for schema in (None, free):
        assert set(described(schema, V2)) == {"type", "x-kubernetes-group-version-kind"}
    assert "metadata" in described(free, V3)["properties"]


def test_no_operation_has_an_empty_list_of_parameters() -> None:
    catalog = Catalog()
    catalog.add(definition({"type": "object"}).resources["v1"])
    document = documents.v3(catalog, "a.example.com", "v1", "v1.36.0")
    operations = [one for item in document["paths"].values() for one in item.values() if isinstance(one, dict)]
    assert operations
    assert all(one.get("parameters", True) for one in operations)


def test_the_catalog_forgets_what_is_removed() -> None:
    catalog = Catalog()
    before, generation = catalog.groups(), catalog.generation
    info = definition(None, subresources={"status": {}}).resources["v1"]
    catalog.add(info)
    assert catalog.groups()[-1] == ("a.example.com", ["v1"])
    assert catalog.find_kind("a.example.com", "v1", "Thing") is info
    assert catalog.of("a.example.com", "v1") == [info]
    catalog.remove(info)
    assert (catalog.groups(), catalog.has_group_version("a.example.com", "v1")) == (before, False)
    assert catalog.find_kind("a.example.com", "v1", "Thing") is None
    assert catalog.generation == generation + 2


def test_deprecation_points_to_a_better_version() -> None:
    made = definition(None)
    versions = [
        {"name": "v1alpha1", "served": True, "storage": False, "deprecated": True},
        {"name": "v1beta1", "served": True, "storage": True, "deprecated": True, "deprecationWarning": "go away"},
        {"name": "v1beta2", "served": True, "storage": False},
        {"name": "v1", "served": False, "storage": False},
    ]
    obj = orjson.loads(made.data)
    obj["spec"]["versions"] = versions
    made = Definition(obj, orjson.dumps(obj))
    assert {name: one.deprecation for name, one in made.versions.items()} == {
        "v1alpha1": "a.example.com/v1alpha1 Thing is deprecated; use a.example.com/v1beta2 Thing",
        "v1beta1": "go away",
        "v1beta2": "",
        "v1": "",
    }
    assert set(made.resources) == {"v1alpha1", "v1beta1", "v1beta2"}

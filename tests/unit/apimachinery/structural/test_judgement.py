"""What is refused in custom objects, in upstream's words."""

from __future__ import annotations

from typing import Any

import pytest

from apimachinery.structural.schema import Schema
from apimachinery.structural.validate import ABSENT, validate
from apimachinery.structural.version import CustomVersion

JSON = dict[str, Any]


def complaints(schema: JSON, value: Any, before: Any = ABSENT) -> list[str]:
    """About a field `f` with this schema."""
    root = Schema({"type": "object", "properties": {"f": schema}})
    old = ABSENT if before is ABSENT else {"f": before}
    return [str(error) for error in validate({"f": value}, root, old)]


@pytest.mark.parametrize(
    ("schema", "value", "complaint"),
    [
        ({"type": "integer"}, "x", 'f: Invalid value: "string": f in body must be of type integer: "string"'),
        ({"type": "integer"}, 1.5, 'f: Invalid value: "number": f in body must be of type integer: "number"'),
        ({"type": "string"}, None, 'f: Invalid value: "null": f in body must be of type string: "null"'),
        ({"type": "string"}, True, 'f: Invalid value: "boolean": f in body must be of type string: "boolean"'),
        ({"type": "object"}, [], 'f: Invalid value: "array": f in body must be of type object: "array"'),
        (
            {"x-kubernetes-int-or-string": True},
            1.5,
            'f: Invalid value: "number": f in body must be of type integer,string: "number"',
        ),
        ({"type": "string", "maxLength": 2}, "abc", "f: Too long: may not be more than 2 bytes"),
        (
            {"type": "string", "minLength": 2},
            "é",
            'f: Invalid value: "é": f in body should be at least 2 chars long',
        ),
        ({"type": "string", "pattern": "^a$"}, "ab", "f: Invalid value: \"ab\": f in body should match '^a$'"),
        ({"type": "string", "pattern": "^a$"}, "a\n", "f: Invalid value: \"a\\n\": f in body should match '^a$'"),
        (
            {"type": "string", "enum": ["a", "b"]},
            "c",
            'f: Unsupported value: "c": supported values: "a", "b"',
        ),
        ({"type": "integer", "enum": [1]}, 2, 'f: Unsupported value: 2: supported values: "1"'),
        (
            {"type": "integer", "minimum": 3},
            2,
            "f: Invalid value: 2: f in body should be greater than or equal to 3",
        ),
        (
            {"type": "integer", "maximum": 3, "exclusiveMaximum": True},
            3,
            "f: Invalid value: 3: f in body should be less than 3",
        ),
        (
            {"type": "number", "multipleOf": 0.1},
            0.25,
            "f: Invalid value: 0.25: f in body should be a multiple of 0.1",
        ),
        (
            {"type": "integer", "format": "int32"},
            1 << 31,
            '<nil>: Invalid value: "": Checked value must be of type integer with format int32 in f',
        ),
        ({"type": "array", "maxItems": 1}, [1, 2], "f: Too many: 2: must have at most 1 item"),
        (
            {"type": "array", "minItems": 1},
            [],
            "f: Invalid value: 0: f in body should have at least 1 items",
        ),
        ({"type": "object", "maxProperties": 0}, {"a": 1}, "f: Too many: 1: must have at most 0 items"),
        ({"type": "object", "required": ["a"]}, {}, "f.a: Required value"),
        (
            {"type": "object", "additionalProperties": {"type": "string"}},
            {"k": 1},
            'f.k: Invalid value: "integer": f.k in body must be of type string: "integer"',
        ),
        (
            {"type": "string", "format": "ipv4"},
            "1.2.3",
            'f: Invalid value: "1.2.3": f in body must be of type ipv4: "1.2.3"',
        ),
        (
            {"type": "string", "format": "date-time"},
            "today",
            'f: Invalid value: "today": f in body must be of type date-time: "today"',
        ),
        ({"not": {"enum": [1]}}, 1, '<nil>: Invalid value: "": "f" must not validate the schema (not)'),
    ],
)
def test_one_complaint(schema: JSON, value: Any, complaint: str) -> None:
    assert complaints(schema, value) == [complaint]


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "integer"}, 2.0),
        ({"type": "number"}, 2),
        ({"type": "string", "nullable": True}, None),
        ({"x-kubernetes-int-or-string": True}, "50%"),
        ({"type": "string", "format": "unheard-of"}, "x"),
        ({"type": "string", "pattern": r"^(\d+|\*)$"}, "17"),
        ({"type": "object", "x-kubernetes-preserve-unknown-fields": True}, {"a": 1}),
        ({"type": "number", "multipleOf": 0.1}, 0.3),
    ],
)
def test_nothing_to_complain_about(schema: JSON, value: Any) -> None:
    assert complaints(schema, value) == []


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("ipv6", "fe80::1", "1.2.3.4"),
        ("cidr", "10.0.0.0/8", "10.0.0.0"),
        ("mac", "01:23:45:67:89:ab", "01:23"),
        ("uuid", "9A3E4E2C-0B6C-4C1C-9B0E-0E0E0E0E0E0E", "9a3e"),
        ("uuid4", "9a3e4e2c-0b6c-4c1c-9b0e-0e0e0e0e0e0e", "9a3e4e2c-0b6c-1c1c-9b0e-0e0e0e0e0e0e"),
        ("date", "2024-02-29", "2023-02-29"),
        ("duration", "1h30m", "soon"),
        ("byte", "aGk=", "a"),
        ("hostname", "a.example.com", "a..b"),
        ("email", "a@b.c", "a@"),
        ("uri", "https://a/b", "b"),
        ("hexcolor", "#fff", "#ff"),
        ("isbn13", "978-0321751041", "978-0321751042"),
        ("creditcard", "4111-1111-1111-1111", "4111-1111-1111-1112"),
        ("k8s-short-name", "abc", "a.b"),
    ],
)
def test_formats(name: str, good: str, bad: str) -> None:
    schema = {"type": "string", "format": name}
    assert complaints(schema, good) == []
    assert complaints(schema, bad) != []


def test_of_alternatives_the_closest_one_speaks() -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
        "oneOf": [{"required": ["a"]}, {"required": ["b"]}],
    }
    assert complaints(schema, {"a": "x"}) == []
    assert complaints(schema, {}) == [
        '<nil>: Invalid value: "": "f" must validate one and only one schema (oneOf). Found none valid',
        "f.a: Required value",
    ]
    both = '<nil>: Invalid value: "": "f" must validate one and only one schema (oneOf). Found 2 valid alternatives'
    assert complaints(schema, {"a": "x", "b": "y"}) == [both]
    any_of = {"type": "integer", "anyOf": [{"minimum": 10}, {"maximum": 1}]}
    assert complaints(any_of, 5)[0] == '<nil>: Invalid value: "": "f" must validate at least one schema (anyOf)'
    all_of = {"type": "integer", "allOf": [{"minimum": 10}, {"maximum": 9}]}
    assert complaints(all_of, 5) == [
        "f: Invalid value: 5: f in body should be greater than or equal to 10",
        '<nil>: Invalid value: "": "f" must validate all the schemas (allOf)',
    ]


def test_unchanged_parts_are_not_judged_again() -> None:
    short = {"type": "string", "maxLength": 1}
    schema = {"type": "object", "properties": {"a": short, "b": short}}
    old = {"a": "old", "b": "old"}
    assert complaints(schema, {"a": "old", "b": "new"}, old) == ["f.b: Too long: may not be more than 1 byte"]
    assert len(complaints(schema, old)) == 2


def test_items_of_keyed_lists_are_recognised() -> None:
    item = {"type": "object", "properties": {"k": {"type": "string"}, "v": {"type": "string", "maxLength": 1}}}
    keyed = {
        "type": "array",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["k"],
        "items": item,
    }
    old = [{"k": "a", "v": "old"}, {"k": "b", "v": "old"}]
    moved = [{"k": "b", "v": "old"}, {"k": "a", "v": "new"}]
    assert complaints(keyed, moved, old) == ["f[1].v: Too long: may not be more than 1 byte"]
    assert len(complaints({"type": "array", "items": item}, moved, old)) == 2


def version(schema: JSON, **more: Any) -> CustomVersion:
    root = {"type": "object", "properties": schema}
    return CustomVersion("example.com", "Thing", {"name": "v1", **more}, lambda: root, "1")


def test_sets_and_maps_hold_nothing_twice() -> None:
    tags = {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}}
    kind = version({"tags": tags})
    twice = {"tags": ["a", "b", "a", "a"]}
    assert [str(one) for one in kind.validate_create(twice)] == ['tags[2]: Duplicate value: "a"']
    assert kind.validate_update({"tags": ["a", "a", "c"]}, twice) == []  # it was so before
    assert len(kind.validate_update(twice, {"tags": ["a"]})) == 1


def test_embedded_resources_must_say_what_they_are() -> None:
    template = {"type": "object", "x-kubernetes-embedded-resource": True, "x-kubernetes-preserve-unknown-fields": True}
    kind = version({"t": template})
    found = kind.validate_create({"t": {"kind": "no good", "metadata": {"name": "a/b", "labels": {"-": ""}}}})
    assert [(one.path, one.kind.value) for one in found] == [
        ("t.apiVersion", "FieldValueRequired"),
        ("t.kind", "FieldValueInvalid"),
        ("t.metadata.name", "FieldValueInvalid"),
        ("t.metadata.labels", "FieldValueInvalid"),
    ]


def test_replicas_are_numbers_in_range() -> None:
    scale = {"specReplicasPath": ".spec.n", "statusReplicasPath": ".status.n", "labelSelectorPath": ".status.s"}
    free = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    kind = version({"spec": free, "status": free}, subresources={"scale": scale})
    assert kind.validate_create({"spec": {"n": 3}, "status": {}}) == []
    found = kind.validate_create({"spec": {"n": -1}, "status": {"n": 1 << 31, "s": 1}})
    assert [str(one) for one in found] == [
        ".spec.n: Invalid value: -1: should be a non-negative integer",
        ".status.n: Invalid value: 2147483648: should be less than or equal to 2147483647",
        '.status.s: Invalid value: "": .status.s accessor error: 1 is of the type int64, expected string',
    ]
    obj: JSON = {"spec": {"other": 1}}
    assert kind.scale is not None
    kind.scale.set_replicas(obj, 4)
    assert (obj, kind.scale.replicas(obj)) == ({"spec": {"other": 1, "n": 4}}, 4)


def test_a_status_is_judged_alone() -> None:
    kind = version({"spec": {"type": "string"}, "status": {"type": "object", "required": ["a"]}})
    assert [str(one) for one in kind.validate_status_update({"spec": 1, "status": {}}, {"spec": 1})] == [
        "status.a: Required value"
    ]


def test_finalizers_that_may_collide_are_warned_of() -> None:
    kind = version({})
    old = {"metadata": {"finalizers": ["old"]}}
    new = {"metadata": {"finalizers": ["old", "mine", "example.com", "example.com/x", "orphan"]}}
    tail = "to avoid accidental conflicts with other finalizer writers"
    assert kind.warnings(new, old) == [
        f'metadata.finalizers: "example.com": prefer a domain-qualified finalizer name including a path (/) {tail}',
        f'metadata.finalizers: "mine": prefer a domain-qualified finalizer name {tail}',
    ]

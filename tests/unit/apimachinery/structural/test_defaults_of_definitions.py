"""Defaults that no object could take are refused with the definition."""

from __future__ import annotations

from typing import Any

import pytest

from apimachinery.fields import Path
from apimachinery.validation import crd_schemas

JSON = dict[str, Any]


def complaints(field: JSON) -> list[str]:
    schema = {"type": "object", "properties": {"f": field}}
    return [str(one) for one in crd_schemas.validation({"openAPIV3Schema": schema}, False, Path("schema"))]


WHERE = "schema.openAPIV3Schema.properties[f].default"


@pytest.mark.parametrize(
    ("field", "complaint"),
    [
        (
            {"type": "integer", "default": "x"},
            f'{WHERE}: Invalid value: "string":  in body must be of type integer: "string"',
        ),
        (
            {"type": "integer", "default": 1, "minimum": 2},
            f"{WHERE}: Invalid value: 1:  in body should be greater than or equal to 2",
        ),
        (
            {"type": "object", "properties": {"a": {"type": "string"}}, "default": {"b": 1}},
            f'{WHERE}: Invalid value: {{"b":1}}: must not have unknown fields',
        ),
        (
            {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "default": {}},
            f"{WHERE}.a: Required value",
        ),
    ],
)
def test_a_default_must_fit_its_own_schema(field: JSON, complaint: str) -> None:
    assert complaints(field) == [complaint]


def test_good_defaults_pass_at_any_depth() -> None:
    inner = {"type": "object", "properties": {"a": {"type": "string", "default": "x"}}, "default": {"a": "y"}}
    assert complaints({"type": "array", "items": inner}) == []
    bad = {**inner, "default": {"a": 1}}
    assert complaints({"type": "array", "items": bad}) == [
        'schema.openAPIV3Schema.properties[f].items.default.a: Invalid value: "integer": '
        'a in body must be of type string: "integer"'
    ]

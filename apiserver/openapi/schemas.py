"""Schemas of the built-in types in the dialects that OpenAPI 2 and 3 documents speak.

What `kubernetes-validate` ships has been made laxer for plain JSON Schema validators: nulls are allowed and references
are spelled `$defs`. Here that is undone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from apimachinery.schema import definitions

JSON = dict[str, Any]
_SPECIAL: dict[str, tuple[JSON, JSON]] = {
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": (
        {"type": "string", "format": "int-or-string"},
        {"oneOf": [{"type": "integer"}, {"type": "string"}], "format": "int-or-string"},
    ),
    "io.k8s.apimachinery.pkg.api.resource.Quantity": (
        {"type": "string"},
        {"oneOf": [{"type": "string"}, {"type": "number"}]},
    ),
}
V2, V3 = 0, 1
PREFIX = {V2: "#/definitions/", V3: "#/components/schemas/"}
_DROPPED = frozenset(("$schema", "$id"))


def load(dialect: int) -> dict[str, JSON]:
    """All definitions, by name."""
    found = {}
    for name, schema in definitions.load().items():
        special = _SPECIAL.get(name)
        found[name] = dict(special[dialect]) if special else _definition(schema, dialect)
    return found


def _definition(schema: Mapping[str, Any], dialect: int) -> JSON:
    result: JSON = convert(schema, dialect)
    if "x-kubernetes-group-version-kind" in schema:
        for name in ("apiVersion", "kind"):  # the shipped schemas pin these to one value, upstream's do not
            if name in result.get("properties", {}):
                result["properties"][name].pop("enum", None)
    return result


def convert(schema: Any, dialect: int) -> Any:
    if not isinstance(schema, dict):
        return schema
    result: JSON = {}
    for name, value in schema.items():
        if name in _DROPPED:
            continue
        if name == "properties":
            result[name] = {key: convert(one, dialect) for key, one in value.items()}
        elif name in ("items", "additionalProperties"):
            result[name] = convert(value, dialect)
        elif name == "type" and isinstance(value, list):
            result[name] = next(one for one in value if one != "null")
        elif name == "$ref":
            result[name] = PREFIX[dialect] + value.rpartition("/")[2]
        elif name == "enum":
            result[name] = [one for one in value if one is not None]
        else:
            result[name] = value
    if dialect == V3 and "$ref" in result and len(result) > 1:
        result["allOf"] = [{"$ref": result.pop("$ref")}]
        result["default"] = {}
    return result


def reachable(schemas: Mapping[str, JSON], roots: Iterable[str]) -> dict[str, JSON]:
    """The schemas that `roots` need, themselves included."""
    found: dict[str, JSON] = {}
    waiting = [name for name in roots if name in schemas]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found[name] = schemas[name]
        waiting += [one for one in _references(schemas[name]) if one in schemas]
    return found


def _references(schema: Any) -> Iterable[str]:
    if isinstance(schema, dict):
        for name, value in schema.items():
            if name == "$ref" and isinstance(value, str):  # JSONSchemaProps has a property of that name
                yield value.rpartition("/")[2]
            else:
                yield from _references(value)
    elif isinstance(schema, list):
        for one in schema:
            yield from _references(one)


def by_kind(schemas: Mapping[str, JSON]) -> dict[tuple[str, str, str], str]:
    """(group, version, kind) -> name of its schema."""
    found = {}
    for name, schema in schemas.items():
        for one in schema.get("x-kubernetes-group-version-kind") or ():
            found[one.get("group", ""), one.get("version", ""), one.get("kind", "")] = name
    return found

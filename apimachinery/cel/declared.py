"""The types of CEL that schemas of custom resources declare, how big their values can be, and their values.

Fields are spelled as expressions can (`escape`): `x-y` is `x__dash__y`, a reserved word gets two underscores on both
sides. What a schema says nothing about cannot be reached.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from typing import Any

from apimachinery.cel import types
from apimachinery.cel.moments import parse_duration, parse_timestamp
from apimachinery.cel.parser import RESERVED
from apimachinery.cel.types import FieldType, Kind, Provider, Type
from apimachinery.cel.values import KeyedList
from apimachinery.structural.schema import Schema

MAX_REQUEST = 3 * 1024 * 1024
_SIMPLE = {"boolean": (types.BOOL, 4), "number": (types.DOUBLE, 1), "integer": (types.INT, 1)}
#: format of a string -> type, how long one is at most, and at least within JSON
_FORMATS = {
    "byte": (types.BYTES, MAX_REQUEST - 2, 2),
    "duration": (types.DURATION, 32, 3),
    "date": (types.TIMESTAMP, 12, 12),
    "date-time": (types.TIMESTAMP, 32, 21),
}
_UNESCAPABLE = re.compile(r"[^a-zA-Z0-9_./-]|^[0-9]|^$")
_TO_ESCAPE = re.compile(r"__|[-./]")
_ESCAPES = {"__": "__underscores__", ".": "__dot__", "-": "__dash__", "/": "__slash__"}


def escape(name: str) -> str | None:
    """A field's name as expressions spell it; None for one that they cannot."""
    if name in RESERVED:
        return f"__{name}__"
    if _UNESCAPABLE.search(name):
        return None
    return _TO_ESCAPE.sub(lambda match: _ESCAPES[match[0]], name)


class Declared:
    """One node of a schema as a type. `most` is how many elements or characters a value has at most, 0 for scalars;
    `least` how many bytes of JSON it takes at least."""

    __slots__ = ("element", "fields", "kind", "least", "most", "type")

    def __init__(self, kind: Type, most: int, least: int) -> None:
        self.kind = kind
        self.type = kind
        self.most = most
        self.least = least
        self.element: Declared | None = None
        self.fields: dict[str, tuple[str, Declared]] | None = None

    def at(self, name: str) -> Declared | None:
        """What a step of a path leads to."""
        if name in {"@items", "@values"}:
            return self.element
        if name == "@keys":
            return Declared(types.STRING, 0, 2) if self.kind.kind is Kind.MAP else None
        found = (self.fields or {}).get(name)
        return found[1] if found is not None else None


def declare(schema: Schema, *, root: bool = False) -> Declared | None:
    """None for what expressions may not see. `root` adds the fields every object has."""
    if len(schema.types) == 2:
        most = schema.max_length * 4 if schema.max_length is not None else MAX_REQUEST - 2
        return Declared(types.DYN, max(0, most), 1)
    kind = "object" if root else schema.types[0] if schema.types else ""
    if kind == "array":
        return _array(schema)
    if kind == "object":
        return _object(schema, root=root)
    if kind == "string":
        return _string(schema)
    simple = _SIMPLE.get(kind)
    return Declared(simple[0], 0, simple[1]) if simple is not None else None


def _array(schema: Schema) -> Declared | None:
    element = declare(schema.items, root=schema.items.embedded) if schema.items is not None else None
    if element is None:
        return None
    most = schema.max_items if schema.max_items is not None else (MAX_REQUEST - 2) // (element.least + 1)
    found = Declared(types.list_of(element.kind), max(0, most), 2)
    found.element = element
    return found


def _object(schema: Schema, *, root: bool) -> Declared | None:
    if isinstance(schema.additional, Schema) and not root:
        value = declare(schema.additional, root=schema.additional.embedded)
        if value is None:
            return None
        limit = schema.max_properties
        most = limit if limit is not None else (MAX_REQUEST - 2) // (value.least + 6)
        found = Declared(types.map_of(types.STRING, value.kind), max(0, most), 2)
        found.element = value
        return found
    found = Declared(types.struct("object"), 0, 2)
    found.fields = {}
    for name, one in {**schema.properties, **(_META if root else {})}.items():
        field = declare(one, root=one.embedded)
        if field is None:
            continue
        spelled = escape(name)
        if spelled is not None:
            found.fields[spelled] = (name, field)
        if name in schema.required and not one.has_default:
            found.least += len(name) + field.least + 4
    return found


def _string(schema: Schema) -> Declared:
    special = _FORMATS.get(schema.format)
    limit = schema.max_length
    if special is not None:
        kind, most, least = special
        if schema.format == "byte" and limit is not None:
            most = max(0, limit)
        return Declared(kind, most, least)
    if limit is not None:
        return Declared(types.STRING, max(0, limit) * 4, 2)
    if schema.enum:
        return Declared(types.STRING, max(len(str(one).encode()) for one in schema.enum), 2)
    return Declared(types.STRING, MAX_REQUEST - 2, 2)


_TEXT = {"type": "string"}
_META = {
    "kind": Schema(_TEXT),
    "apiVersion": Schema(_TEXT),
    "metadata": Schema({"type": "object", "properties": {"name": _TEXT, "generateName": _TEXT}}),
}


def name_types(declared: Declared, name: str, provider: Provider) -> Type:
    """Give objects names by where they stand, make them known, and return the type."""
    if declared.fields is not None:
        declared.type = types.struct(name)
        provider.structs[name] = {
            spelled: FieldType(name_types(field, f"{name}.{spelled}", provider), key)
            for spelled, (key, field) in declared.fields.items()
        }
    elif declared.element is not None:
        if declared.kind.kind is Kind.MAP:
            declared.type = types.map_of(types.STRING, name_types(declared.element, f"{name}.@elem", provider))
        else:
            declared.type = types.list_of(name_types(declared.element, f"{name}.@idx", provider))
    return declared.type


Convert = Callable[[Any], Any]


def converter(schema: Schema) -> Convert | None:
    """JSON's value as the value of its declared type; None where JSON's will do, which is most often the case."""
    kind = schema.types[0] if len(schema.types) == 1 else ""
    if kind == "number":
        return lambda value: float(value) if type(value) is int else value
    if kind == "string":
        return _STRINGS.get(schema.format)
    if kind == "array" and schema.items is not None:
        return _list_converter(schema, converter(schema.items))
    fields = {name: found for name, one in schema.properties.items() if (found := converter(one)) is not None}
    rest = converter(schema.additional) if isinstance(schema.additional, Schema) else None
    if not fields and rest is None:
        return None

    def convert(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        found = dict(value)
        for name, one in found.items():
            change = fields.get(name, rest)
            if change is not None and one is not None:
                found[name] = change(one)
        return found

    return convert


def _list_converter(schema: Schema, inner: Convert | None) -> Convert | None:
    keyed = schema.list_type in {"set", "map"}
    if inner is None and not keyed:
        return None

    def convert(value: Any) -> Any:
        if not isinstance(value, list):
            return value
        items = value if inner is None else [None if one is None else inner(one) for one in value]
        return KeyedList(items, schema.list_keys) if keyed else items

    return convert


def _bytes(value: Any) -> Any:
    try:
        return base64.b64decode(value)
    except (binascii.Error, ValueError):
        return value


def _date(value: Any) -> Any:
    found = parse_timestamp(f"{value}T00:00:00Z")
    return value if found is None else found


def _moment(value: Any) -> Any:
    found = parse_timestamp(value) if isinstance(value, str) else None
    return value if found is None else found


def _length(value: Any) -> Any:
    found = parse_duration(value) if isinstance(value, str) else None
    return value if found is None else found


_STRINGS: dict[str, Convert] = {"byte": _bytes, "date": _date, "date-time": _moment, "duration": _length}

"""The types of CEL that OpenAPI documents declare for Kubernetes' own kinds: what type checking of policies goes by.

Types refer to one another in circles, so that each is made when a field of it is first asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apimachinery.cel import types
from apimachinery.cel.declared import escape
from apimachinery.cel.types import FieldType, Provider, Type

Schema = Mapping[str, Any]

_SIMPLE = {"boolean": types.BOOL, "number": types.DOUBLE, "integer": types.INT, "string": types.STRING}
_TEXTS = {
    "byte": types.BYTES,
    "duration": types.DURATION,
    "date": types.TIMESTAMP,
    "date-time": types.TIMESTAMP,
}
_EITHER = "int-or-string"


class SchemaTypes(Provider):
    """Object types by the names of their schemas, for expressions about several kinds at once."""

    def __init__(self) -> None:
        super().__init__()
        self._schemas: dict[str, Schema] = {}
        self._inline: dict[str, Schema] = {}
        self._made: dict[str, dict[str, FieldType]] = {}

    def add(self, schemas: Mapping[str, Schema]) -> None:
        """`components.schemas` of a document."""
        self._schemas.update(schemas)

    def kind(self, group: str, version: str, kind: str) -> Type | None:
        """The type of a kind, None where no schema is of it."""
        wanted = {"group": group, "version": version, "kind": kind}
        for name, schema in self._schemas.items():
            if wanted in (schema.get("x-kubernetes-group-version-kind") or ()):
                return self._type({"$ref": name}, name)
        return None

    def known(self, name: str) -> bool:
        return name in self._schemas or name in self._inline or super().known(name)

    def field(self, name: str, wanted: str) -> FieldType | None:
        if name in self.structs:
            return super().field(name, wanted)
        made = self._made.get(name)
        if made is None:
            made = self._made[name] = self._fields(name)
        return made.get(wanted)

    def _fields(self, name: str) -> dict[str, FieldType]:
        schema = self._inline.get(name) or self._schemas.get(name) or {}
        found: dict[str, FieldType] = {}
        for key, one in (schema.get("properties") or {}).items():
            spelled = escape(key)
            what = self._type(one, f"{name}.{key}") if spelled is not None else None
            if spelled is not None and what is not None:
                found[spelled] = FieldType(what, key)
        return found

    def _type(self, schema: Schema, place: str) -> Type | None:
        """None for what expressions cannot see."""
        reference = schema.get("$ref") or next((one.get("$ref") for one in schema.get("allOf") or ()), None)
        if reference:
            place = str(reference).rpartition("/")[2]
            schema = self._schemas.get(place) or {}
        if schema.get("x-kubernetes-int-or-string") or schema.get("format") == _EITHER:
            return types.DYN
        kind, items, more = schema.get("type"), schema.get("items"), schema.get("additionalProperties")
        if kind == "array":
            item = self._type(items, f"{place}.@idx") if items else None
            return types.list_of(item) if item is not None else None
        if kind == "object":
            if isinstance(more, Mapping):
                value = self._type(more, f"{place}.@elem")
                return types.map_of(types.STRING, value) if value is not None else None
            if not reference:
                self._inline[place] = schema
            return types.struct(place)
        if kind == "string":
            return _TEXTS.get(schema.get("format") or "", types.STRING)
        if kind is None and schema.get("oneOf"):
            return types.STRING
        return _SIMPLE.get(str(kind))

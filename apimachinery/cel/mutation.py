"""What expressions of mutations construct: objects without a schema (`Object.spec{...}`) and JSON patches."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from apimachinery.cel import types
from apimachinery.cel.errors import CelError
from apimachinery.cel.libraries.standard import by_first
from apimachinery.cel.library import Library
from apimachinery.cel.moments import Duration, Timestamp
from apimachinery.cel.types import FieldType, Provider, Type
from apimachinery.cel.values import Optional, Typed, type_name

OBJECT, JSON_PATCH = types.struct("Object"), types.struct("JSONPatch")
_PATCH_FIELDS = {"op": types.STRING, "from": types.STRING, "path": types.STRING, "value": types.DYN}
PATCHES = Library()


@PATCHES.function("jsonpatch.escapeKey(string) -> string", "string_jsonpatch_escapeKey_string", by_first)
def _escape_key(text: str) -> str:
    return text.replace("~", "~0").replace("/", "~1")


class PatchTypes(Provider):
    """`JSONPatch`, and any type whose name is a path below `Object`: its fields can be called anything."""

    def known(self, name: str) -> bool:
        return _is_object(name) or name == JSON_PATCH.name or super().known(name)

    def field(self, name: str, wanted: str) -> FieldType | None:
        if _is_object(name):
            return FieldType(types.DYN, wanted)
        if name == JSON_PATCH.name:
            return FieldType(_PATCH_FIELDS.get(wanted, types.ERROR), wanted) if wanted in _PATCH_FIELDS else None
        return super().field(name, wanted)


def _is_object(name: str) -> bool:
    return name == OBJECT.name or name.startswith(f"{OBJECT.name}.")


def patch_types() -> dict[str, Any]:
    """What an environment of admission has to be told to have them."""
    objects: tuple[Type, Provider] = (types.DYN, PatchTypes())
    return {"objects": objects, "libraries": (PATCHES,)}


def check_names(value: Any, path: str) -> None:
    """Raises CelError where an object stands in another field than its type says."""
    if isinstance(value, Typed):
        if value.name != path:
            what = f'unexpected type name "{value.name}", expected "{path}"'
            raise CelError(f"type mismatch: {what}, which matches field name path from root Object type")
        for name, one in value.items():
            check_names(one, f"{path}.{name}")
    elif isinstance(value, list):
        for one in value:
            check_names(one, path)
    elif isinstance(value, Mapping):
        for one in value.values():
            check_names(one, path)


def to_json(value: Any) -> Any:
    """An expression's value as JSON. Raises CelError for what has no place there."""
    if value is None or isinstance(value, bool | str | float):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, list):
        return [to_json(one) for one in value]
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise CelError("map keys must be strings")
        return {key: to_json(one) for key, one in value.items()}
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, Timestamp | Duration):
        return str(value)
    if isinstance(value, Optional) and value.present:
        return to_json(value.value)
    what = "JSONPath valueExpression evaluated to a type that could not marshal to JSON"
    raise CelError(f"{what}: {type_name(value)}")

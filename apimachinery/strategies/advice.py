"""What writers are warned of although their objects are taken: `Warning` headers of creates and updates."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from apimachinery.fields import quote

if TYPE_CHECKING:
    from apimachinery.resources import ResourceInfo

Obj = dict[str, Any]


def advice(info: ResourceInfo, obj: Obj, old: Obj | None = None) -> list[str]:
    """Sentences about an object that has passed validation; of an update, only about what is new."""
    if info.custom is not None:
        return info.custom.warnings(obj, old)
    if info.group_resource == "customresourcedefinitions.apiextensions.k8s.io":
        before = set(_unknown_formats(old)) if old is not None else set()
        found = dict.fromkeys(name for name in _unknown_formats(obj) if name not in before)
        return [f"unrecognized format {quote(name)}" for name in sorted(found)]
    return []


def _unknown_formats(definition: Obj) -> Iterator[str]:
    for version in (definition.get("spec") or {}).get("versions") or ():
        schema = (version.get("schema") or {}).get("openAPIV3Schema")
        if schema is not None:
            yield from _formats(schema)


def _formats(schema: Obj) -> Iterator[str]:
    from apimachinery.structural.formats import known_format

    name, kind = schema.get("format") or "", schema.get("type") or ""
    if name and not known_format(name, (kind,) if kind else ()):
        yield name
    for one in (schema.get("properties") or {}).values():
        yield from _formats(one)
    for field in ("items", "additionalProperties", "not"):
        if isinstance(schema.get(field), dict):
            yield from _formats(schema[field])
    for field in ("allOf", "anyOf", "oneOf"):
        for one in schema.get(field) or ():
            yield from _formats(one)

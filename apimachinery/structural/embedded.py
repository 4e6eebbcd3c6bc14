"""Rules of resources inside resources."""

from __future__ import annotations

from typing import Any

from apimachinery import names
from apimachinery.fields import FieldError, Path, invalid, required
from apimachinery.gvk import split_api_version
from apimachinery.structural.schema import Schema
from apimachinery.validation.metadata import object_meta

Errors = list[FieldError]


def check(value: Any, schema: Schema | None, path: Path) -> Errors:
    """Complaints about kind, apiVersion and metadata of embedded resources, in the value and everything below."""
    if schema is None or not schema.has_resources:
        return []
    found: Errors = []
    if isinstance(value, dict):
        if schema.embedded:
            found += _resource(value, path)
        for name, item in value.items():
            if name in schema.properties:
                found += check(item, schema.properties[name], path.child(name))
            elif isinstance(schema.additional, Schema):
                found += check(item, schema.additional, path.key(name))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            found += check(item, schema.items, path.index(index))
    return found


def _resource(value: dict[str, Any], path: Path) -> Errors:
    found: Errors = [required(path.child(name)) for name in ("apiVersion", "kind") if name not in value]
    for name in ("apiVersion", "kind"):
        if name not in value:
            continue
        place, text = path.child(name), value[name]
        if not isinstance(text, str):
            found.append(invalid(place, text, "must be a string"))
        elif not text:
            found.append(invalid(place, text, "must not be empty"))
        elif wrong := _wrong(name, text):
            found.append(invalid(place, text, wrong))
    metadata = value.get("metadata")
    if isinstance(metadata, dict):
        named = metadata if metadata.get("name") else {**metadata, "name": "fakename"}
        found += object_meta(named, bool(metadata.get("namespace")), names.path_segment, path.child("metadata"))
    return found


def _wrong(name: str, text: str) -> str:
    if name == "kind":
        wrong = names.dns1035_label(text.lower())
        return f"may have mixed case, but should otherwise match: {','.join(wrong)}" if wrong else ""
    try:
        split_api_version(text)
    except ValueError as error:
        return str(error)
    return ""

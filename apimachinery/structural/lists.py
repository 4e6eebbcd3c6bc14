"""Lists that are sets or maps hold nothing twice."""

from __future__ import annotations

import json
from typing import Any

from apimachinery.fields import FieldError, Path, duplicate, invalid
from apimachinery.structural.schema import Schema

Errors = list[FieldError]


def check(value: Any, schema: Schema | None, path: Path) -> Errors:
    """Complaints about repeated items in the value and everything below."""
    if schema is None or not schema.has_lists:
        return []
    found: Errors = []
    if isinstance(value, dict):
        for name, item in value.items():
            if name in schema.properties:
                found += check(item, schema.properties[name], path.child(name))
            elif isinstance(schema.additional, Schema):
                found += check(item, schema.additional, path.key(name))
    elif isinstance(value, list):
        if schema.list_type == "set":
            found += [duplicate(path.index(index), value[index]) for index in _repeated(value)]
        elif schema.list_type == "map":
            found += _keyed(value, schema, path)
        for index, item in enumerate(value):
            found += check(item, schema.items, path.index(index))
    return found


def _keyed(value: list[Any], schema: Schema, path: Path) -> Errors:
    for index, item in enumerate(value):
        if item is not None and not isinstance(item, dict):
            return [invalid(path.index(index), item, "must be an object for an array of list-type map")]
    keys = [{name: item[name] for name in schema.list_keys if name in item} if item else {} for item in value]
    return [duplicate(path.index(index), keys[index]) for index in _repeated(keys)]


def _repeated(items: list[Any]) -> list[int]:
    """Where values appear for the second time."""
    seen: dict[str, int] = {}
    found = []
    for index, item in enumerate(items):
        text = json.dumps(item, sort_keys=True)
        seen[text] = seen.get(text, 0) + 1
        if seen[text] == 2:
            found.append(index)
    return found

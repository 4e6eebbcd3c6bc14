"""Tables of custom resources, from the `additionalPrinterColumns` of their definition."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from apimachinery import timestamps
from apimachinery.table import ages, jsonpath
from apimachinery.table.columns import AGE, NAME, definition
from apimachinery.table.formats import name

Obj = dict[str, Any]

#: What a version without columns of its own shows besides the name.
DEFAULT_COLUMNS: tuple[Obj, ...] = (
    {
        "name": "Age",
        "type": "date",
        "jsonPath": ".metadata.creationTimestamp",
    },
)


def columns(additional: Sequence[Obj] | None) -> list[Obj]:
    """The `columnDefinitions` of a custom kind."""
    found = [definition(NAME)]
    for column in additional or DEFAULT_COLUMNS:
        path = column.get("jsonPath") or ""
        found.append(
            {
                "name": column.get("name") or "",
                "type": column.get("type") or "",
                "format": column.get("format") or "",
                "description": column.get("description") or _described(path),
                "priority": column.get("priority") or 0,
            }
        )
    return found


def _described(path: str) -> str:
    if path == ".metadata.creationTimestamp":
        return str(definition(AGE)["description"])
    return f"Custom resource definition column (in JSONPath format): {path}"


def row(additional: Sequence[Obj] | None, obj: Obj, now: float) -> list[Any]:
    """The cells of one custom object; what its path does not find or what has the wrong type is null."""
    return [name(obj), *(_cell(column, obj, now) for column in additional or DEFAULT_COLUMNS)]


def _cell(column: Obj, obj: Obj, now: float) -> Any:
    try:
        found = jsonpath.find(column.get("jsonPath") or "", obj)
    except ValueError:
        return None
    if not found or found[0] is None:
        return None
    value = found[0]
    match column.get("type"):
        case "string":
            return _text(value)
        case "integer":
            return int(value) if _is_number(value) else None
        case "number":
            return float(value) if _is_number(value) else None
        case "boolean":
            return value if isinstance(value, bool) else None
        case "date":
            return _age(value, now) if isinstance(value, str) else None
    return None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _age(value: str, now: float) -> str:
    try:
        return ages.human(now - timestamps.parse(value))
    except ValueError:
        return "<invalid>"

"""Tables the server made, as `get` shows them: which columns, what is added, in which order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from apimachinery.quantity import Quantity
from skiff.ctl.catalog import ResourceType
from skiff.ctl.printing.columns import Columns

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"


@dataclass(frozen=True, slots=True)
class TableOptions:
    wide: bool = False
    headers: bool = True
    namespaces: bool = False
    labels: bool = False
    label_columns: tuple[str, ...] = ()
    kinds: bool = False


class TablePrinter:
    """Collects tables of one type. `text` gives what was added since it was last asked."""

    def __init__(self, options: TableOptions, type_: ResourceType, leading: str = "") -> None:
        self._options = options
        self._type = type_
        self._leading = leading
        self._definitions: list[dict[str, Any]] = []
        self._rows: list[tuple[dict[str, Any], str]] = []
        self._columns = Columns()
        self._headed = not options.headers

    def add(self, table: dict[str, Any], leading: str = "") -> None:
        if table.get("kind") != "Table":
            table = _made(table)
        self._definitions = table.get("columnDefinitions") or self._definitions
        self._rows += [(row, leading) for row in table.get("rows") or ()]

    def text(self, sort_by: str = "") -> list[str]:
        rows = self._rows
        self._rows = []
        if not rows:
            return []
        if sort_by:
            key = sorter(sort_by)
            rows = sorted(rows, key=lambda row: key(row[0].get("object") or {}))
        shown = [
            place for place, column in enumerate(self._definitions) if self._options.wide or not column.get("priority")
        ]
        lines = [self._cells(row, shown, leading) for row, leading in rows]
        if not self._headed:
            self._headed = True
            lines.insert(0, self._heads(shown))
        return self._columns.lines(lines)

    def _heads(self, shown: list[int]) -> list[str]:
        options = self._options
        heads = [self._leading] if self._leading else []
        heads += ["NAMESPACE"] if options.namespaces and self._type.namespaced else []
        heads += [str(self._definitions[place]["name"]).upper() for place in shown]
        heads += [name.rpartition("/")[2].upper() for name in options.label_columns]
        return heads + (["LABELS"] if options.labels else [])

    def _cells(self, row: dict[str, Any], shown: list[int], leading: str) -> list[str]:
        options = self._options
        metadata = (row.get("object") or {}).get("metadata") or {}
        labels = metadata.get("labels") or {}
        cells = [leading] if self._leading else []
        cells += [str(metadata.get("namespace") or "")] if options.namespaces and self._type.namespaced else []
        for place in shown:
            cell = cell_text(row["cells"][place]) if place < len(row["cells"]) else ""
            named = place == 0 or self._definitions[place].get("format") == "name"
            cells.append(f"{self._type.prefix}/{cell}" if options.kinds and named else cell)
        cells += [labels.get(name, "") for name in options.label_columns]
        if options.labels:
            cells.append(",".join(f"{key}={labels[key]}" for key in sorted(labels)) or "<none>")
        return cells


def cell_text(value: Any) -> str:
    """A cell; what comes after a line break is left out and said to be."""
    if value is None:
        return "<none>"
    if isinstance(value, bool):
        return str(value).lower()
    text = str(value)
    first, newline, _ = text.partition("\n")
    return first + "..." if newline else text


def sorter(path: str) -> Callable[[Any], tuple[int, Any, str]]:
    """The key of an object for `--sort-by`. Raises ValueError for what is no path."""
    # Imported here, as it brings all tables of the server's with it, and most calls do not sort.
    from apimachinery.table.jsonpath import compiled, find

    path = path.strip("{}")
    path = path if path.startswith((".", "$", "[")) else f".{path}"
    compiled(path)
    return lambda obj: sort_key(find(path, obj))


def sort_key(found: list[Any]) -> tuple[int, Any, str]:
    """Missing values first, numbers and quantities by size, the rest as text."""
    if not found or found[0] is None:
        return (0, 0, "")
    value = found[0]
    if isinstance(value, (int, float)):
        return (1, value, "")
    try:
        return (1, Quantity.parse(str(value)).milli_value() / 1000, "")
    except ValueError:
        return (2, 0, str(value))


def _made(obj: dict[str, Any]) -> dict[str, Any]:
    """A table of names, for servers that make none."""
    objects = obj["items"] if isinstance(obj.get("items"), list) else [obj]
    rows = [
        {
            "cells": [
                (one.get("metadata") or {}).get("name", ""),
                (one.get("metadata") or {}).get("creationTimestamp"),
            ],
            "object": one,
        }
        for one in objects
    ]
    definitions = [{"name": "Name", "format": "name"}, {"name": "Created At"}]
    return {"kind": "Table", "columnDefinitions": definitions, "rows": rows, "metadata": obj.get("metadata") or {}}

"""Cells between tabs, in columns that are as wide as the lines next to each other need (elastic tab stops).

A column is a run of neighbouring lines that have a cell there with a tab after it; the last cell of a line is never
filled up. So a table that is interrupted by a heading starts anew below it, as the reader expects.
"""

from __future__ import annotations

from collections.abc import Sequence


def aligned(lines: Sequence[str], minimum: int = 0, padding: int = 2) -> list[str]:
    """The lines with their tabs replaced by spaces."""
    rows = [line.split("\t") for line in lines]
    widths: list[list[int]] = [[0] * (len(row) - 1) for row in rows]
    for column in range(max((len(row) for row in rows), default=1) - 1):
        start = 0
        while start < len(rows):
            end = start
            while end < len(rows) and len(rows[end]) - 1 > column:
                end += 1
            if end > start:
                longest = max(len(row[column]) for row in rows[start:end])
                width = max(longest + padding, minimum) if longest else 0
                for place in range(start, end):
                    widths[place][column] = width
            start = max(end, start + 1)
    return [
        "".join(cell.ljust(width) for cell, width in zip(row, sizes, strict=False)) + row[-1]
        for row, sizes in zip(rows, widths, strict=True)
    ]


class Columns:
    """A table that grows while it is shown: columns never become narrower again."""

    def __init__(self) -> None:
        self._widths: list[int] = []

    def lines(self, rows: Sequence[Sequence[str]]) -> list[str]:
        for row in rows:
            for place, cell in enumerate(row):
                if place == len(self._widths):
                    self._widths.append(6)
                self._widths[place] = max(self._widths[place], len(cell) + 3)
        return [
            "".join(cell.ljust(width) for cell, width in zip(row[:-1], self._widths, strict=False)) + row[-1]
            for row in rows
            if row
        ]

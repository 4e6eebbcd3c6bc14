"""Lists of a Job's indexes: `1,3-5,7`."""

from __future__ import annotations

from apimachinery.fields import quote


def count_indexes(text: str, completions: int) -> int:
    """How many indexes the list holds. ValueError for what is none, is out of order or beyond `completions`."""
    total = 0
    last = -1
    for part in text.split(",") if text else ():
        first, end = _interval(part, completions)
        if last >= first:
            raise ValueError(f"non-increasing order, previous: {last}, current: {first}")
        total += end - first + 1
        last = end
    return total


def members(text: str) -> set[int]:
    """The indexes of a list known to be sound."""
    found: set[int] = set()
    for part in text.split(",") if text else ():
        first, dash, end = part.partition("-")
        found.update(range(int(first), int(end if dash else first) + 1))
    return found


def _interval(text: str, completions: int) -> tuple[int, int]:
    parts = text.split("-")
    if len(parts) > 2:
        raise ValueError(
            f"the fragment {quote(text)} violates the requirement that an index interval can have "
            "at most two parts separated by '-'"
        )
    first = _index(parts[0], completions)
    if len(parts) == 1:
        return first, first
    end = _index(parts[1], completions)
    if first >= end:
        raise ValueError(f"non-increasing order, previous: {first}, current: {end}")
    return first, end


def _index(text: str, completions: int) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"cannot convert string to integer for index: {quote(text)}")
    if int(text) >= completions:
        raise ValueError(f"too large index: {quote(text)}")
    return int(text)

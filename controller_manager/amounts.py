"""Numbers that the API lets people write as a count or as a percentage."""

from __future__ import annotations


def scaled(value: int | str, total: int, *, round_up: bool) -> int:
    """`"25%"` of `total`, or the count itself. Validation has refused every other text."""
    if isinstance(value, int):
        return value
    product = int(value.removesuffix("%")) * total
    return -(-product // 100) if round_up else product // 100

"""Whether two parts of objects mean the same to the API: absent, null and empty collections do not differ."""

from __future__ import annotations

from typing import Any


def same(left: Any, right: Any) -> bool:
    """Deep equality in which an absent field equals an empty one, at any depth."""
    if left == right:
        return True
    if isinstance(left, dict) and isinstance(right, dict):
        return all(same(left.get(key), right.get(key)) for key in left.keys() | right.keys())
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(same(a, b) for a, b in zip(left, right, strict=True))
    return _empty(left) and _empty(right)


def _empty(value: Any) -> bool:
    """Null, or a collection without members; a struct which holds empty members only counts too."""
    if isinstance(value, dict):
        return all(_empty(member) for member in value.values())
    return value is None or value == []

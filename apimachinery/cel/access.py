"""Looking into values: fields, indexes, presence, membership; and the texts for what is not there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apimachinery.cel.errors import CelError
from apimachinery.cel.numbers import UInt
from apimachinery.cel.values import MISSING, NONE, Optional, equal, find, type_name


def member(holder: Any, key: Any) -> Any:
    """`holder.key` and `holder[key]`."""
    if isinstance(holder, Optional):
        return optional_member(holder, key)
    found = look(holder, key)
    if found is MISSING:
        if isinstance(holder, list):
            raise CelError(f"index out of bounds: {shown(key)}")
        raise CelError(f"no such key: {shown(key)}")
    return found


def optional_member(holder: Any, key: Any) -> Any:
    """`holder.?key` and `holder[?key]`."""
    if isinstance(holder, Optional):
        if not holder.present:
            return NONE
        holder = holder.value
    found = look(holder, key)
    return NONE if found is MISSING else Optional(found)


def present(holder: Any, key: str) -> bool:
    """`has(holder.key)`."""
    if isinstance(holder, Optional):
        if not holder.present:
            return False
        holder = holder.value
    return look(holder, key) is not MISSING


def look(holder: Any, key: Any) -> Any:
    """What is there or MISSING; only a list minds what kind of key it is asked for."""
    if isinstance(holder, list):
        index = _index(key)
        return holder[index] if 0 <= index < len(holder) else MISSING
    if isinstance(holder, Mapping):
        return find(holder, key)
    return MISSING


def _index(key: Any) -> int:
    kind = type(key)
    if kind is int or kind is UInt:
        return int(key)
    if kind is float:
        if key == key and abs(key) < 2**63 and int(key) == key:
            return int(key)
        raise CelError(f"unsupported index value {shown(key)} in list")
    raise CelError(f"unsupported index type '{type_name(key)}' in list")


def contains(what: Any, holder: Any) -> bool:
    """`what in holder`."""
    if isinstance(holder, list):
        return any(equal(what, each) for each in holder)
    if isinstance(holder, Mapping):
        return find(holder, what) is not MISSING
    raise CelError("no such overload")


def shown(value: Any) -> str:
    """A value within an error message, as Go prints it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, UInt):
        return str(int(value))
    return f"{value:g}" if isinstance(value, float) else str(value)

"""Conditions of a status, as JSON: set by type, with a transition time that moves only when the status does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from apimachinery import timestamps
from controller_manager.views import Condition


def to_json(conditions: Sequence[Condition]) -> list[dict[str, Any]]:
    return [{k: v for k, v in msgspec.to_builtins(c).items() if v not in (None, "")} for c in conditions]


def set_condition(conditions: Sequence[Condition], new: Condition, now: float) -> list[Condition]:
    """`new` in place of the one of its type; unchanged when status and reason and message are the same."""
    when = timestamps.format(now)
    result: list[Condition] = []
    found = False
    for old in conditions:
        if old.type != new.type:
            result.append(old)
            continue
        found = True
        if (old.status, old.reason, old.message) == (new.status, new.reason, new.message):
            result.append(old)
            continue
        moved = when if old.status != new.status else old.lastTransitionTime
        result.append(msgspec.structs.replace(new, lastTransitionTime=moved))
    if not found:
        result.append(msgspec.structs.replace(new, lastTransitionTime=when))
    return result


def without(conditions: Sequence[Condition], kind: str) -> list[Condition]:
    return [c for c in conditions if c.type != kind]

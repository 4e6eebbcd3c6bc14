"""Spans of time as people read them: `45s`, `5m3s`, `2d4h`, `3y40d`. Coarser the longer they are."""

from __future__ import annotations

from typing import Any

from apimachinery import timestamps

UNKNOWN = "<unknown>"
_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def human(seconds: float) -> str:
    """A duration in at most two units; up to two seconds of the future count as now, for clocks differ."""
    whole = int(seconds)
    if whole < -1:
        return "<invalid>"
    if seconds < 0 and whole < 0:
        return "0s"
    if whole < 2 * _MINUTE:
        return f"{whole}s"
    minutes, hours = whole // _MINUTE, whole // _HOUR
    days, years = hours // 24, hours // 24 // 365
    if minutes < 10:
        return _two(minutes, "m", whole % 60, "s")
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return _two(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    if hours < 24 * 8:
        return _two(days, "d", hours % 24, "h")
    if years < 2:
        return f"{days}d"
    if years < 8:
        return _two(years, "y", days % 365, "d")
    return f"{years}y"


def _two(large: int, large_unit: str, small: int, small_unit: str) -> str:
    return f"{large}{large_unit}{small}{small_unit}" if small else f"{large}{large_unit}"


def since(text: Any, now: float) -> str:
    """The time from an API timestamp until `now`."""
    if not text:
        return UNKNOWN
    try:
        return human(now - timestamps.parse(text))
    except (ValueError, TypeError):
        return UNKNOWN


def of(obj: dict[str, Any], now: float) -> str:
    """An object's age."""
    return since((obj.get("metadata") or {}).get("creationTimestamp"), now)

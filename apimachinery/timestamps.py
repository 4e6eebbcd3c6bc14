"""Times as the API writes them: RFC 3339 in UTC, whole seconds (`Time`) or six decimals (`MicroTime`).

Seconds since the epoch are floats everywhere else in this project; text exists at the API's edge only.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache

_SHAPE = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:([Zz])|([+-])(\d\d):(\d\d))", re.ASCII
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def format(now: float) -> str:
    """`2026-01-02T03:04:05Z`; fractions of a second are cut off, as a Go `Time` does."""
    return _format(int(now // 1))


@lru_cache(maxsize=64)
def _format(second: int) -> str:
    moment = _EPOCH + timedelta(seconds=second)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ") if moment.year >= 1000 else moment.isoformat()[:19] + "Z"


def format_micro(now: float) -> str:
    """`2026-01-02T03:04:05.678901Z`, the `MicroTime` of leases and events."""
    micros = round(now * 1_000_000)
    seconds, rest = divmod(micros, 1_000_000)
    return f"{format(seconds)[:-1]}.{rest:06d}Z"


def parse(text: str) -> float:
    """Seconds since the epoch of an RFC 3339 time in any zone. Raises ValueError on anything else."""
    match = _SHAPE.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a time of the form 2006-01-02T15:04:05Z")
    year, month, day, hour, minute, second, fraction, _, sign, zone_hours, zone_minutes = match.groups()
    moment = datetime(int(year), int(month), int(day), int(hour), int(minute), int(second), tzinfo=UTC)
    seconds = (moment - _EPOCH).total_seconds()
    if sign is not None:
        offset = int(zone_hours) * 3600 + int(zone_minutes) * 60
        seconds += -offset if sign == "+" else offset
    return seconds + (int(fraction) / 10 ** len(fraction) if fraction else 0.0)


def parse_or(text: object, otherwise: float) -> float:
    """The time a field holds, or `otherwise` where the field is absent or unreadable."""
    if not isinstance(text, str) or not text:
        return otherwise
    try:
        return parse(text)
    except ValueError:
        return otherwise

"""Timestamps and durations, in nanoseconds as Go counts them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import ClassVar

from apimachinery.cel import types
from apimachinery.cel.errors import CelError
from apimachinery.cel.numbers import INT_MAX, INT_MIN
from apimachinery.cel.types import Type
from apimachinery.cel.values import Opaque

SECOND = 1_000_000_000
_FIRST, _LAST = -62_135_596_800 * SECOND, 253_402_300_799 * SECOND + SECOND - 1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UNITS = {"ns": 1, "us": 1_000, "µs": 1_000, "μs": 1_000, "ms": 1_000_000, "s": SECOND, "m": 60 * SECOND}
_UNITS["h"] = 3600 * SECOND
_PIECE = re.compile(r"(\d*)(?:\.(\d*))?(ns|us|µs|μs|ms|s|m|h)")
_RFC3339 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:[.,](\d+))?(?:([Zz])|([+-])(\d\d):(\d\d))", re.ASCII
)


@dataclass(frozen=True, slots=True, order=True)
class Duration(Opaque):
    """A signed length of time."""

    cel_type: ClassVar[Type] = types.DURATION
    nanoseconds: int

    def is_zero(self) -> bool:
        return self.nanoseconds == 0

    def __str__(self) -> str:
        """Seconds, as `string(duration)` gives them."""
        whole, rest = divmod(abs(self.nanoseconds), SECOND)
        fraction = f".{rest:09d}".rstrip("0") if rest else ""
        return f"{'-' if self.nanoseconds < 0 else ''}{whole}{fraction}s"


@dataclass(frozen=True, slots=True, order=True)
class Timestamp(Opaque):
    """A point in time between the years 1 and 9999, since 1970."""

    cel_type: ClassVar[Type] = types.TIMESTAMP
    nanoseconds: int

    def is_zero(self) -> bool:
        return self.nanoseconds == _FIRST

    def __str__(self) -> str:
        seconds, rest = divmod(self.nanoseconds, SECOND)
        moment = _EPOCH + timedelta(seconds=seconds)
        fraction = f".{rest:09d}".rstrip("0") if rest else ""
        return f"{moment.year:04d}{moment:-%m-%dT%H:%M:%S}{fraction}Z"

    def at(self, zone: str = "UTC") -> datetime:
        """The calendar's view; below a microsecond it is cut off."""
        seconds, rest = divmod(self.nanoseconds, SECOND)
        moment = _EPOCH + timedelta(seconds=seconds, microseconds=rest // 1000)
        try:
            return moment.astimezone(_zone(zone))
        except OverflowError:
            raise CelError("timestamp overflow") from None


def duration(nanoseconds: int) -> Duration:
    if not INT_MIN <= nanoseconds <= INT_MAX:
        raise CelError("duration overflow")
    return Duration(nanoseconds)


def timestamp(nanoseconds: int) -> Timestamp:
    if not _FIRST <= nanoseconds <= _LAST:
        raise CelError("timestamp overflow")
    return Timestamp(nanoseconds)


def parse_duration(text: str) -> Duration | None:
    """Go's notation: "1h2m3.5s"; None for anything else."""
    sign = -1 if text.startswith("-") else 1
    rest = text[1:] if text[:1] in {"-", "+"} else text
    if rest == "0":
        return Duration(0)
    total, offset = 0, 0
    while offset < len(rest):
        match = _PIECE.match(rest, offset)
        if match is None or not (match[1] or match[2]) or len(match[1]) > 20:
            return None
        unit = _UNITS[match[3]]
        fraction = (match[2] or "")[:18]
        total += int(match[1] or 0) * unit + (int(fraction) * unit // 10 ** len(fraction) if fraction else 0)
        offset = match.end()
    total *= sign
    return Duration(total) if rest and INT_MIN <= total <= INT_MAX else None


def parse_timestamp(text: str) -> Timestamp | None:
    """RFC 3339; None for anything else."""
    match = _RFC3339.fullmatch(text)
    if match is None:
        return None
    try:
        moment = datetime(*(int(match[part]) for part in range(1, 7)), tzinfo=UTC)  # type: ignore[arg-type,misc]
    except ValueError:
        return None
    since = moment - _EPOCH
    total = (since.days * 86_400 + since.seconds) * SECOND + int((match[7] or "0")[:9].ljust(9, "0"))
    if match[9]:
        hours, minutes = int(match[10]), int(match[11])
        if hours > 24 or minutes > 60:
            return None
        total -= (1 if match[9] == "+" else -1) * (hours * 3600 + minutes * 60) * SECOND
    return Timestamp(total) if _FIRST <= total <= _LAST else None


def _zone(name: str) -> tzinfo:
    match = re.fullmatch(r"([+-]?)(\d\d):(\d\d)", name, re.ASCII)
    if match is not None:
        hours, minutes = int(match[2]), int(match[3])
        if hours < 24 and minutes < 60:
            offset = timedelta(hours=hours, minutes=minutes)
            return timezone(-offset if match[1] == "-" else offset)
        raise CelError(f"unknown time zone {name}")
    if name in {"", "UTC"}:
        return UTC
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise CelError(f"unknown time zone {name}") from None

"""Cron schedules: five fields or a descriptor (`@daily`, `@every 1h30m`), and when they are due next.

Shared by validation and the CronJob controller. Complaints are worded as the parser which upstream uses words them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

_MONTHS = {
    name: number
    for number, name in enumerate(
        ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"), 1
    )
}
_DAYS = {name: n for n, name in enumerate(["sun", "mon", "tue", "wed", "thu", "fri", "sat"])}
#: lowest, highest, names of each field
_FIELDS: tuple[tuple[int, int, dict[str, int]], ...] = (
    (0, 59, {}),
    (0, 23, {}),
    (1, 31, {}),
    (1, 12, _MONTHS),
    (0, 6, _DAYS),
)
_DESCRIPTORS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_ATOI = re.compile(r"[+-]?[0-9]+", re.ASCII)
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)", re.ASCII)
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_YEARS_AHEAD = 5


@dataclass(frozen=True, slots=True)
class _Field:
    """The values a field allows; `star` if it was written as any value."""

    values: frozenset[int]
    star: bool


@dataclass(frozen=True, slots=True)
class Schedule:
    """When something recurs: by calendar fields, or every so many seconds."""

    fields: tuple[_Field, ...] = ()
    every: int = 0

    def next(self, after: float, zone: tzinfo = UTC) -> float | None:
        """The first moment later than `after` (seconds since the epoch), or None if none comes within five years.

        Fields are read in `zone`. Hours which a change of clocks skips or repeats are skipped or repeated.
        """
        if self.every:
            return float(int(after) + self.every)
        minute, hour, day, month, weekday = self.fields
        moment = datetime.fromtimestamp(int(after) // 60 * 60 + 60, UTC).astimezone(zone)
        limit = moment.year + _YEARS_AHEAD
        while moment.year <= limit:
            if moment.month not in month.values:
                first = datetime(moment.year + moment.month // 12, moment.month % 12 + 1, 1, tzinfo=zone)
                moment = _settled(first, zone)
            elif not self._day_matches(moment, day, weekday):
                following = datetime(moment.year, moment.month, moment.day, tzinfo=zone) + timedelta(days=1)
                moment = _settled(following, zone)
            elif moment.hour not in hour.values:
                start = moment.astimezone(UTC) - timedelta(minutes=moment.minute)
                moment = (start + timedelta(hours=1)).astimezone(zone)
            elif moment.minute not in minute.values:
                moment = (moment.astimezone(UTC) + timedelta(minutes=1)).astimezone(zone)
            else:
                return moment.timestamp()
        return None

    @staticmethod
    def _day_matches(moment: datetime, day: _Field, weekday: _Field) -> bool:
        of_month = moment.day in day.values
        of_week = (moment.weekday() + 1) % 7 in weekday.values
        # Two restricted day fields widen each other, as cron always had it.
        return of_month and of_week if day.star or weekday.star else of_month or of_week


def _settled(moment: datetime, zone: tzinfo) -> datetime:
    """The moment as the zone's clock really shows it, for a midnight may not exist."""
    return moment.astimezone(UTC).astimezone(zone)


def parse(text: str) -> Schedule:
    """ValueError, with the parser's sentence, for what is no schedule; a `TZ=` prefix is the caller's matter."""
    if not text:
        raise ValueError("empty spec string")
    if text.startswith(("TZ=", "CRON_TZ=")):
        text = text.partition(" ")[2].strip()
    if text.startswith("@"):
        if text.startswith("@every "):
            seconds = _duration(text)
            return Schedule(every=max(1, int(seconds)))
        if text not in _DESCRIPTORS:
            raise ValueError(f"unrecognized descriptor: {text}")
        text = _DESCRIPTORS[text]
    parts = text.split()
    if len(parts) != len(_FIELDS):
        raise ValueError(f"expected exactly 5 fields, found {len(parts)}: [{' '.join(parts)}]")
    return Schedule(tuple(_field(part, *bounds) for part, bounds in zip(parts, _FIELDS, strict=True)))


def _duration(text: str) -> float:
    rest = text.removeprefix("@every ")
    body = rest.lstrip("+-")
    matches = list(_DURATION.finditer(body))
    if not matches or "".join(match[0] for match in matches) != body or len(rest) - len(body) > 1:
        what = "missing unit in" if re.fullmatch(r"[0-9.]+", body) else "invalid"
        raise ValueError(f'failed to parse duration {text}: time: {what} duration "{rest}"')
    total = sum(float(match[1]) * _UNITS[match[2]] for match in matches)
    return -total if rest.startswith("-") else total


def _field(text: str, low: int, high: int, names: dict[str, int]) -> _Field:
    values: set[int] = set()
    star = False
    for part in text.split(","):
        if part:
            found, any_value = _range(part, low, high, names)
            values |= found
            star = star or any_value
    return _Field(frozenset(values), star)


def _range(text: str, low: int, high: int, names: dict[str, int]) -> tuple[set[int], bool]:
    span, *steps = text.split("/")
    ends = span.split("-")
    star = ends[0] in {"*", "?"}
    if star:
        start, end = low, high
    else:
        start = _number(ends[0], names)
        if len(ends) > 2:
            raise ValueError(f"too many hyphens: {text}")
        end = _number(ends[1], names) if len(ends) == 2 else start
    step = 1
    if len(steps) > 1:
        raise ValueError(f"too many slashes: {text}")
    if steps:
        step = _number(steps[0], {})
        end = high if len(ends) == 1 else end
        star = star and step <= 1
    if start < low:
        raise ValueError(f"beginning of range ({start}) below minimum ({low}): {text}")
    if end > high:
        raise ValueError(f"end of range ({end}) above maximum ({high}): {text}")
    if start > end:
        raise ValueError(f"beginning of range ({start}) beyond end of range ({end}): {text}")
    if step == 0:
        raise ValueError(f"step of range should be a positive number: {text}")
    return set(range(start, end + 1, step)), star


def _number(text: str, names: dict[str, int]) -> int:
    known = names.get(text.lower())
    if known is not None:
        return known
    if not _ATOI.fullmatch(text):
        raise ValueError(f'failed to parse int from {text}: strconv.Atoi: parsing "{text}": invalid syntax')
    number = int(text)
    if number < 0:
        raise ValueError(f"negative number ({number}) not allowed: {text}")
    return number

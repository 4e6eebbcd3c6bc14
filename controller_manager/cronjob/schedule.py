"""Which moment of its schedule a CronJob owes a Job for, and when to look again."""

from __future__ import annotations

import zoneinfo
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo

from apimachinery import cron, timestamps
from controller_manager.cronjob.views import CronJob

#: Clocks of two machines differ: a little late is better than a moment too early.
MARGIN = 0.1
MANY = 100


@dataclass(frozen=True, slots=True)
class Due:
    """`at`: the latest moment without a Job, if any. `too_many`: more were missed than anybody wants to hear of."""

    at: float | None
    again: float | None
    too_many: bool = False


def zone_of(found: CronJob) -> tzinfo:
    """ValueError for a zone this machine does not know."""
    text = found.spec.schedule
    name = found.spec.timeZone
    if name is None and text.startswith(("TZ=", "CRON_TZ=")):
        name = text.partition("=")[2].partition(" ")[0]
    if not name or name == "UTC":
        return UTC
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"unknown time zone {name}") from None


def due(found: CronJob, schedule: cron.Schedule, zone: tzinfo, now: float) -> Due:
    created = timestamps.parse_or(found.metadata.creationTimestamp, now)
    since = timestamps.parse_or(found.status.lastScheduleTime, created)
    earliest = since
    if found.spec.startingDeadlineSeconds is not None:
        earliest = max(earliest, now - found.spec.startingDeadlineSeconds)
    at, missed = latest(schedule, zone, earliest, now)
    following = schedule.next(_base(schedule, zone, since, now), zone)
    again = max(following + MARGIN - now, MARGIN) if following is not None else None
    return Due(at, again, missed > MANY)


def _base(schedule: cron.Schedule, zone: tzinfo, since: float, now: float) -> float:
    """What the next moment is counted from: `@every` goes on from where it began."""
    at, missed = latest(schedule, zone, since, now)
    if at is not None:
        return at
    return since if missed == 0 else now


def latest(schedule: cron.Schedule, zone: tzinfo, since: float, now: float) -> tuple[float | None, int]:
    """The last moment after `since` that is not after `now`, and about how many there were."""
    first = schedule.next(since, zone)
    if first is None or first > now:
        return None, 0
    second = schedule.next(first, zone)
    if second is None or second > now:
        return first, 1
    interval = max(round(second - first), 1)
    missed = int(now - first) // interval + 1
    # Schedules are not even: start an interval early and walk.
    moment = schedule.next(first + (missed - 2) * interval, zone)
    found = None
    while moment is not None and moment <= now:
        found, moment = moment, schedule.next(moment, zone)
    return found, missed


def stamp(moment: float, zone: tzinfo) -> str:
    """RFC 3339 in the schedule's own zone."""
    return datetime.fromtimestamp(moment, zone).isoformat().replace("+00:00", "Z")


def spoken(moment: float) -> str:
    """RFC 1123 with a numeric zone, as events say it."""
    return datetime.fromtimestamp(moment, UTC).strftime("%a, %d %b %Y %H:%M:%S +0000")

"""Schedules of CronJobs: when they come due, and how wrong ones are refused."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from apimachinery import cron


def at(text: str, zone: ZoneInfo | None = None) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=zone or UTC).timestamp()


@pytest.mark.parametrize(
    ("schedule", "after", "expected"),
    [
        ("*/5 * * * *", "2026-01-01T00:01:30", "2026-01-01T00:05:00"),
        ("0 0 * * *", "2026-01-01T00:00:00", "2026-01-02T00:00:00"),
        ("59 23 31 12 ?", "2026-01-01T00:00:00", "2026-12-31T23:59:00"),
        ("0 12 * * MON-FRI", "2026-01-02T12:00:00", "2026-01-05T12:00:00"),
        ("0 0 13 * FRI", "2026-01-01T00:00:00", "2026-01-02T00:00:00"),
        ("0 0 29 2 *", "2026-01-01T00:00:00", "2028-02-29T00:00:00"),
        ("@hourly", "2026-01-01T00:59:59", "2026-01-01T01:00:00"),
        ("@weekly", "2026-01-01T00:00:00", "2026-01-04T00:00:00"),
        ("10-20/5 1,2 * jan *", "2026-01-01T01:11:00", "2026-01-01T01:15:00"),
        ("@every 90s", "2026-01-01T00:00:00", "2026-01-01T00:01:30"),
    ],
)
def test_next(schedule: str, after: str, expected: str) -> None:
    assert cron.parse(schedule).next(at(after)) == at(expected)


def test_a_date_that_never_comes() -> None:
    assert cron.parse("0 0 31 2 *").next(at("2026-01-01T00:00:00")) is None


def test_local_time_across_the_change_to_summer_time() -> None:
    zone = ZoneInfo("Europe/Berlin")
    schedule = cron.parse("0 9 * * *")
    first = schedule.next(at("2026-03-28T00:00:00", zone), zone)
    assert first == at("2026-03-28T09:00:00", zone)
    second = schedule.next(first, zone)
    assert second == at("2026-03-29T09:00:00", zone)
    assert second - first == 23 * 3600


@pytest.mark.parametrize(
    ("schedule", "words"),
    [
        ("", "empty spec string"),
        ("* * *", "expected exactly 5 fields, found 3: [* * *]"),
        ("60 * * * *", "end of range (60) above maximum (59): 60"),
        ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
        ("5-1 * * * *", "beginning of range (5) beyond end of range (1): 5-1"),
        ("*/0 * * * *", "step of range should be a positive number: */0"),
        ("a * * * *", 'failed to parse int from a: strconv.Atoi: parsing "a": invalid syntax'),
        ("@nonsense", "unrecognized descriptor: @nonsense"),
    ],
)
def test_refusals(schedule: str, words: str) -> None:
    with pytest.raises(ValueError) as refused:
        cron.parse(schedule)
    assert str(refused.value) == words

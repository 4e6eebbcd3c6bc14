"""Times are written the way the API writes them and read in any zone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apimachinery import timestamps


def test_writes_seconds_and_microseconds() -> None:
    assert timestamps.format(0) == "1970-01-01T00:00:00Z"
    assert timestamps.format(1767323045.99) == "2026-01-02T03:04:05Z"
    assert timestamps.format_micro(1767323045.5) == "2026-01-02T03:04:05.500000Z"
    assert timestamps.format(-1) == "1969-12-31T23:59:59Z"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2026-01-02T03:04:05Z", 1767323045),
        ("2026-01-02T04:04:05+01:00", 1767323045),
        ("2026-01-02T01:34:05-01:30", 1767323045),
        ("2026-01-02T03:04:05.250Z", 1767323045.25),
    ],
)
def test_reads_any_zone(text: str, seconds: float) -> None:
    assert timestamps.parse(text) == seconds


@pytest.mark.parametrize("text", ["", "now", "2026-01-02", "2026-13-02T03:04:05Z", "2026-01-02 03:04:05Z"])
def test_refuses_other_texts(text: str) -> None:
    with pytest.raises(ValueError):
        timestamps.parse(text)
    assert timestamps.parse_or(text, 7.0) == 7.0


@given(st.integers(min_value=0, max_value=4_000_000_000))
def test_what_is_written_is_read_back(seconds: int) -> None:
    assert timestamps.parse(timestamps.format(seconds)) == seconds

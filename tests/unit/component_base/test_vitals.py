"""What the service says of its own loop."""

from __future__ import annotations

import asyncio
import gc

from component_base import metrics, vitals
from component_base.clock import ManualClock


def sample(name: str) -> float:
    found = [line for line in metrics.exposition().decode().splitlines() if line.startswith(f"{name} ")]
    return float(found[0].split()[1])


async def test_a_late_timer_is_lag() -> None:
    clock = ManualClock()
    watching = asyncio.ensure_future(vitals.watch_loop(clock))
    await asyncio.sleep(0)
    clock.advance(vitals.LOOK_SECONDS + 2.0)  # the sleeper wakes when all of it has passed
    await asyncio.sleep(0)
    watching.cancel()
    assert sample("skiff_event_loop_lag_seconds_count") == 1
    assert sample("skiff_event_loop_lag_seconds_sum") == 2.0


def test_collections_are_pauses_until_nobody_looks() -> None:
    clock = ManualClock()
    end = vitals.watch_collector(clock)
    gc.collect()
    counted = sample("skiff_gc_pause_seconds_count")
    assert counted >= 1
    end()
    gc.collect()
    assert sample("skiff_gc_pause_seconds_count") == counted

"""How free a service's event loop is: pauses of the garbage collector, and how late timers fire.

Both delay every request that comes meanwhile. Names are our own, as upstream's processes have neither.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping
from typing import Any

from component_base import metrics
from component_base.clock import Clock

#: Rare enough to cost nothing when idle.
LOOK_SECONDS = 0.25
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0)


def watch_collector(clock: Clock) -> Callable[[], None]:
    """Measure collections from now on; call what is returned to end that."""
    pauses = metrics.histogram("skiff_gc_pause_seconds", "Pauses of the garbage collector", buckets=BUCKETS)
    longest = metrics.gauge("skiff_gc_pause_longest_seconds", "The longest pause of the garbage collector so far")
    began = most = 0.0

    def note(phase: str, _: Mapping[str, Any]) -> None:
        nonlocal began, most
        if phase == "start":
            began = clock.monotonic()
            return
        took = clock.monotonic() - began
        pauses.observe(took)
        if took > most:
            most = took
            longest.set(took)

    gc.callbacks.append(note)
    return lambda: gc.callbacks.remove(note)


async def watch_loop(clock: Clock) -> None:
    """For ever."""
    lag = metrics.histogram("skiff_event_loop_lag_seconds", "How late a timer of the event loop fires", buckets=BUCKETS)
    while True:
        due = clock.monotonic() + LOOK_SECONDS
        await clock.sleep(LOOK_SECONDS)
        lag.observe(max(0.0, clock.monotonic() - due))

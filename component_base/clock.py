"""Time as a port: everything that waits or reads a clock takes a `Clock`, so that tests run on virtual time.

This module is the only place where `time` is read.
"""

from __future__ import annotations

import asyncio
import heapq
import time
from typing import Protocol


class Clock(Protocol):
    def now(self) -> float:
        """Wall time in seconds since the epoch: for timestamps that others read, never for durations."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go backwards: for durations and deadlines."""
        ...

    async def sleep(self, seconds: float) -> None: ...


class SystemClock:
    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds))


class ManualClock:
    """A clock that moves only by `advance`. Sleepers wake in the order of their deadlines."""

    def __init__(self, start: float = 0.0) -> None:
        self._elapsed = 0.0
        self._start = start
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._sequence = 0

    def now(self) -> float:
        return self._start + self._elapsed

    def monotonic(self) -> float:
        return self._elapsed

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        wake: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sequence += 1
        heapq.heappush(self._sleepers, (self._elapsed + seconds, self._sequence, wake))
        await wake

    def advance(self, seconds: float) -> None:
        """Wakes everybody whose deadline is reached; they run when the caller next yields to the loop."""
        assert seconds >= 0, seconds
        until = self._elapsed + seconds
        while self._sleepers and self._sleepers[0][0] <= until:
            deadline, _, wake = heapq.heappop(self._sleepers)
            self._elapsed = deadline
            if not wake.done():
                wake.set_result(None)
        self._elapsed = until

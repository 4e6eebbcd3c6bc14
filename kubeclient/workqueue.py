"""A queue of keys for controllers, with client-go's promises (client-go util/workqueue).

A key is in the queue once, however often it was added; it is never handed to two workers at once; what is added while
it is worked on comes again after `done`. Retries wait longer each time, per key, until `forget`.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Hashable
from typing import Generic, TypeVar

from component_base.clock import Clock
from component_base.tasks import spawn

K = TypeVar("K", bound=Hashable)

BASE_DELAY = 0.005
MAX_DELAY = 1000.0


class ShutDown(Exception):
    """Raised by `get` once the queue is shut down and empty."""


class WorkQueue(Generic[K]):
    def __init__(self, clock: Clock, base_delay: float = BASE_DELAY, max_delay: float = MAX_DELAY) -> None:
        self._clock = clock
        self._base = base_delay
        self._max = max_delay
        self._order: deque[K] = deque()
        self._dirty: set[K] = set()  # to be worked on: in _order, or added again while in _processing
        self._processing: set[K] = set()
        self._failures: dict[K, int] = {}
        self._later: list[tuple[float, int, K]] = []
        self._due: dict[K, float] = {}  # the earliest time for a key in _later; other entries are stale
        self._sequence = 0
        self._ready = asyncio.Event()
        self._timer: asyncio.Task[None] | None = None
        self._timer_due = float("inf")
        self._closed = False

    def __len__(self) -> int:
        return len(self._order)

    def add(self, key: K) -> None:
        if self._closed or key in self._dirty:
            return
        self._dirty.add(key)
        if key not in self._processing:
            self._order.append(key)
            self._ready.set()

    def add_after(self, key: K, seconds: float) -> None:
        """Of several waits for one key the shortest counts."""
        if self._closed:
            return
        if seconds <= 0:
            self.add(key)
            return
        due = self._clock.monotonic() + seconds
        if self._due.get(key, float("inf")) <= due:
            return
        self._due[key] = due
        self._sequence += 1
        heapq.heappush(self._later, (due, self._sequence, key))
        if due < self._timer_due:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = spawn(self._wake(), "workqueue timer")
            self._timer_due = due

    def add_rate_limited(self, key: K) -> None:
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        self.add_after(key, min(self._base * 2.0 ** min(failures, 60), self._max))

    def forget(self, key: K) -> None:
        """Its next failure counts as the first."""
        self._failures.pop(key, None)

    def failures(self, key: K) -> int:
        return self._failures.get(key, 0)

    async def get(self) -> K:
        """The key that waited longest; call `done` after the work. Raises ShutDown."""
        while not self._order:
            if self._closed:
                raise ShutDown
            self._ready.clear()
            await self._ready.wait()
        key = self._order.popleft()
        self._dirty.discard(key)
        self._processing.add(key)
        return key

    def done(self, key: K) -> None:
        self._processing.discard(key)
        if key in self._dirty:
            self._order.append(key)
            self._ready.set()

    def shut_down(self) -> None:
        """Nothing is added any more; waiting workers wake with ShutDown once the queue is empty."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        self._ready.set()

    async def _wake(self) -> None:
        while self._later:
            due, _, key = self._later[0]
            if self._due.get(key) != due:
                heapq.heappop(self._later)
                continue
            wait = due - self._clock.monotonic()
            if wait > 0:
                self._timer_due = due
                await self._clock.sleep(wait)
                continue
            heapq.heappop(self._later)
            del self._due[key]
            self.add(key)
        self._timer_due = float("inf")
        self._timer = None

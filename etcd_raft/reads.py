"""Linearizable reads waiting at this member: many callers share one confirmation round.

A caller may share only a round that starts after its call, so at most one round is under way and all who come
meanwhile form the next. A round whose answer does not come is asked again under a new name; a later answer covers
all who waited for the earlier one.
"""

from __future__ import annotations

import asyncio
import heapq
import struct
from collections.abc import Callable

from etcd_raft.ports import Refusal

_CONTEXT = struct.Struct("<QQ")
RETRY_SECONDS = 0.5

Waiter = asyncio.Future[None]


class ReadRounds:
    """`ask` starts a round in the core and says whether there is a leader to ask."""

    def __init__(self, member_id: int, first_number: int, ask: Callable[[bytes], bool]) -> None:
        self._member_id = member_id
        self._number = first_number
        self._ask = ask
        self._next: list[tuple[float, Waiter]] = []
        self._current: list[tuple[float, Waiter]] = []
        self._context = b""
        self._asked_at = 0.0
        self._unapplied: list[tuple[int, int, list[tuple[float, Waiter]]]] = []

    def join(self, now: float, deadline: float) -> Waiter:
        waiter: Waiter = asyncio.get_running_loop().create_future()
        self._next.append((deadline, waiter))
        if not self._current:
            self._start(now)
        return waiter

    def _start(self, now: float) -> None:
        self._number += 1
        context = _CONTEXT.pack(self._member_id, self._number)
        self._context = context
        self._asked_at = now
        joined, self._next = self._next, []
        self._current += joined
        if not self._ask(context):
            self._context = b""

    def confirmed(self, index: int, context: bytes, now: float) -> None:
        """A majority confirmed the leader for this round; its reads may go once `index` is applied."""
        if context != self._context or not self._current:
            return
        done, self._current = self._current, []
        heapq.heappush(self._unapplied, (index, self._number, done))
        if self._next:
            self._start(now)

    def applied(self, index: int) -> None:
        while self._unapplied and self._unapplied[0][0] <= index:
            for _, waiter in heapq.heappop(self._unapplied)[2]:
                if not waiter.done():
                    waiter.set_result(None)

    def tick(self, now: float, refusal: Callable[[], Refusal]) -> None:
        """Drop who waited too long, ask again for the others."""
        groups = [self._next, self._current, *(group for _, _, group in self._unapplied)]
        for group in groups:
            for deadline, waiter in group:
                if deadline <= now and not waiter.done():
                    waiter.set_exception(refusal())
        self._next = [item for item in self._next if not item[1].done()]
        self._current = [item for item in self._current if not item[1].done()]
        if (self._current or self._next) and (not self._context or now - self._asked_at >= RETRY_SECONDS):
            self._start(now)

    def fail(self, refusal: Callable[[], Refusal]) -> None:
        self.tick(float("inf"), refusal)

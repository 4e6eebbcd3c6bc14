"""What clients and other members want in the log: requests wait here for the core to take them, and for their answers.

All that came while the node was busy is handed over as one batch, and so shares one append and one sync. Numbers tell
an entry's answer from others'; who gave up waiting is forgotten, although the entry may still be applied.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterable
from typing import Protocol

from component_base.clock import Clock
from etcd_raft import changes
from etcd_raft.ports import Refusal, StatusCode, Waiter
from etcd_raft.raft import Change, ChangeKind, EntryKind
from etcd_raft.raft.membership import MembershipError
from etcd_raft.replica import Answer, Replica
from etcd_raft.roster import MemberWords, encode_words

BATCH_BYTES = 8 << 20
MAX_WAITING = 20_000


class ProposalMetrics(Protocol):
    def proposal_failed(self) -> None: ...


class _Sleeper:
    """A `Waiter` for a task that waits in the ordinary way."""

    __slots__ = ("future",)

    def __init__(self) -> None:
        self.future: asyncio.Future[object] = asyncio.get_running_loop().create_future()

    def cancelled(self) -> bool:
        return self.future.done()

    def applied(self, result: object) -> None:
        if not self.future.done():
            self.future.set_result(result)

    def failed(self, refusal: Refusal) -> None:
        if not self.future.done():
            self.future.set_exception(refusal)


class Proposals:
    """`wake` is set when something new waits; `submit` hands it to the core.

    `first_number` must differ from those of earlier lives of this member: their entries are applied again after a
    restart, and their numbers must not meet a namesake here.
    """

    def __init__(
        self,
        replica: Replica,
        clock: Clock,
        request_seconds: float,
        first_number: int,
        wake: asyncio.Event,
        metrics: ProposalMetrics,
    ) -> None:
        self._replica = replica
        self._clock = clock
        self._request_seconds = request_seconds
        self._request = first_number
        self._wake = wake
        self._metrics = metrics
        #: Since when each request waits, and who for it; the oldest first.
        self._waiting: dict[int, tuple[float, Waiter]] = {}
        self._queue: list[tuple[int, bytes]] = []
        self._forwarded: list[bytes] = []
        self._changes: list[tuple[int, Change, EntryKind]] = []

    def __len__(self) -> int:
        """How many callers wait for an answer."""
        return len(self._waiting)

    @property
    def has_unsubmitted(self) -> bool:
        return bool(self._queue or self._forwarded or self._changes)

    @property
    def has_forwarded(self) -> bool:
        return bool(self._forwarded)

    def begin(self, data: bytes, waiter: Waiter) -> None:
        """Raises Refusal; else the waiter is told."""
        self._queue.append((self._admit(waiter), data))

    async def propose(self, data: bytes) -> object:
        sleeper = _Sleeper()
        self.begin(data, sleeper)
        return await sleeper.future

    def forward(self, entries: Iterable[bytes]) -> None:
        """What other members sent to us as their leader. They ask again if it gets lost; nobody here waits for it."""
        self._forwarded += entries

    async def change(
        self, change: ChangeKind, member: int, peer_urls: tuple[str, ...] = (), kind: EntryKind = EntryKind.MEMBERSHIP
    ) -> None:
        """Propose a change of the membership, or of a member's addresses. Raises Refusal."""
        sleeper = _Sleeper()
        request = self._admit(sleeper)
        words = MemberWords(self._replica.member_id, request, "", peer_urls, ())
        self._changes.append((request, Change(change, member, encode_words(words)), kind))
        result = await sleeper.future
        if isinstance(result, MembershipError):
            raise changes.refusal_of(result)

    def _admit(self, waiter: Waiter) -> int:
        if len(self._waiting) >= MAX_WAITING:
            raise Refusal(StatusCode.RESOURCE_EXHAUSTED, "etcdserver: too many requests")
        self._request += 1
        self._waiting[self._request] = (self._clock.monotonic(), waiter)
        self._wake.set()
        return self._request

    def submit(self) -> None:
        """Hand what waits to the core, as one batch; what nobody takes now stays."""
        if self._queue or self._forwarded:
            batch: list[tuple[int, bytes]] = []
            size = 0
            for request, data in self._queue:
                size += len(data)
                if size > BATCH_BYTES and batch:
                    break
                batch.append((request, data))
            alive = [item for item in batch if self._is_wanted(item[0])]
            forwarded, self._forwarded = self._forwarded, []
            if self._replica.propose(alive, forwarded) or not alive:
                del self._queue[: len(batch)]
                if self._queue:
                    self._wake.set()
        while self._changes:
            request, change, kind = self._changes[0]
            if self._is_wanted(request) and not self._replica.raw.propose_change(change, kind):
                break
            del self._changes[0]

    def _is_wanted(self, request: int) -> bool:
        waiting = self._waiting.get(request)
        if waiting is None:
            return False
        if waiting[1].cancelled():
            del self._waiting[request]
            return False
        return True

    def answer(self, answers: Iterable[Answer]) -> None:
        for answer in answers:
            waiting = self._waiting.pop(answer.request, None)
            if waiting is not None:
                waiting[1].applied(answer.result)

    def expire(self, now: float, refusal: Callable[[float], Refusal]) -> None:
        """Refuse those who waited too long; `refusal` is told since when they did."""
        expired = itertools.takewhile(lambda item: item[1][0] + self._request_seconds <= now, self._waiting.items())
        self._refuse(list(expired), refusal)

    def fail(self, refusal: Callable[[], Refusal]) -> None:
        self._refuse(list(self._waiting.items()), lambda since: refusal())

    def _refuse(self, waiting: Iterable[tuple[int, tuple[float, Waiter]]], refusal: Callable[[float], Refusal]) -> None:
        for request, (since, waiter) in waiting:
            del self._waiting[request]
            if not waiter.cancelled():
                self._metrics.proposal_failed()
                waiter.failed(refusal(since))

"""What clients and other members want in the log: requests wait here for the core to take them, and for their answers.

All that came while the node was busy is handed over as one batch, and so shares one append and one sync. Numbers tell
an entry's answer from others'; who gave up waiting is forgotten, although the entry may still be applied.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Protocol

from component_base.clock import Clock
from etcd_raft import changes
from etcd_raft.ports import Refusal, StatusCode
from etcd_raft.raft import Change, ChangeKind, EntryKind
from etcd_raft.raft.membership import MembershipError
from etcd_raft.replica import Answer, Replica
from etcd_raft.roster import MemberWords, encode_words

BATCH_BYTES = 8 << 20
MAX_WAITING = 20_000


class ProposalMetrics(Protocol):
    def proposal_failed(self) -> None: ...


class _Waiting:
    __slots__ = ("deadline", "future", "since")

    def __init__(self, since: float, deadline: float) -> None:
        self.since = since
        self.deadline = deadline
        self.future: asyncio.Future[object] = asyncio.get_running_loop().create_future()


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
        self._waiting: dict[int, _Waiting] = {}
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

    async def propose(self, data: bytes) -> object:
        return await self._wait_for(lambda request: self._queue.append((request, data)))

    def forward(self, entries: Iterable[bytes]) -> None:
        """What other members sent to us as their leader. They ask again if it gets lost; nobody here waits for it."""
        self._forwarded += entries

    async def change(
        self, change: ChangeKind, member: int, peer_urls: tuple[str, ...] = (), kind: EntryKind = EntryKind.MEMBERSHIP
    ) -> None:
        """Propose a change of the membership, or of a member's addresses. Raises Refusal."""

        def enqueue(request: int) -> None:
            words = MemberWords(self._replica.member_id, request, "", peer_urls, ())
            self._changes.append((request, Change(change, member, encode_words(words)), kind))

        result = await self._wait_for(enqueue)
        if isinstance(result, MembershipError):
            raise changes.refusal_of(result)

    async def _wait_for(self, enqueue: Callable[[int], None]) -> object:
        if len(self._waiting) >= MAX_WAITING:
            raise Refusal(StatusCode.RESOURCE_EXHAUSTED, "etcdserver: too many requests")
        self._request += 1
        request, now = self._request, self._clock.monotonic()
        waiting = self._waiting[request] = _Waiting(now, now + self._request_seconds)
        enqueue(request)
        self._wake.set()
        try:
            return await waiting.future
        except Refusal:
            self._metrics.proposal_failed()
            raise
        finally:
            del self._waiting[request]

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
            alive = [item for item in batch if item[0] in self._waiting]
            forwarded, self._forwarded = self._forwarded, []
            if self._replica.propose(alive, forwarded) or not alive:
                del self._queue[: len(batch)]
                if self._queue:
                    self._wake.set()
        while self._changes:
            request, change, kind = self._changes[0]
            if request in self._waiting and not self._replica.raw.propose_change(change, kind):
                break
            del self._changes[0]

    def answer(self, answers: Iterable[Answer]) -> None:
        for answer in answers:
            waiting = self._waiting.get(answer.request)
            if waiting is not None and not waiting.future.done():
                waiting.future.set_result(answer.result)

    def expire(self, now: float, refusal: Callable[[float], Refusal]) -> None:
        """Refuse those who waited too long; `refusal` is told since when they did."""
        for waiting in self._waiting.values():
            if waiting.deadline > now:
                break
            if not waiting.future.done():
                waiting.future.set_exception(refusal(waiting.since))

    def fail(self, refusal: Callable[[], Refusal]) -> None:
        for waiting in self._waiting.values():
            if not waiting.future.done():
                waiting.future.set_exception(refusal())

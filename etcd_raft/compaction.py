"""Automatic compaction (--auto-compaction-mode and -retention): old revisions go without a client asking for it.

Only the leader does it, so that the members do not ask for the same thing; a failed attempt is made up for by the next.
"""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass
from typing import Protocol

from component_base.clock import Clock
from etcd_raft import requests
from etcd_raft.ports import Node, Refusal
from skiff_pb.etcd import rpc_pb2

log = logging.getLogger(__name__)

REVISION_PERIOD = 300.0
SAMPLES = 10


class KeySpace(Protocol):
    @property
    def revision(self) -> int: ...
    @property
    def compacted(self) -> int: ...


class Store(Protocol):
    @property
    def space(self) -> KeySpace: ...


@dataclass(frozen=True, slots=True)
class Schedule:
    """What to keep: the last `revisions`, or what is younger than `seconds`. Both 0: everything."""

    revisions: int = 0
    seconds: float = 0.0

    @property
    def period(self) -> float:
        """Between looks: as etcd, a tenth of the window, and of an hour at most."""
        return min(self.seconds, 3600.0) / SAMPLES if self.seconds else REVISION_PERIOD


class Retention:
    """Decides up to which revision history may go; `look` is called once a period."""

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule
        window = round(schedule.seconds / schedule.period) if schedule.seconds else 0
        self._seen: deque[int] = deque(maxlen=window + 1)

    def look(self, revision: int) -> int:
        """0: nothing may go yet."""
        if self._schedule.revisions:
            return max(0, revision - self._schedule.revisions)
        self._seen.append(revision)
        return self._seen[0] if len(self._seen) == self._seen.maxlen else 0


async def compact_for_ever(node: Node, store: Store, clock: Clock, schedule: Schedule) -> None:
    if not schedule.revisions and not schedule.seconds:
        return
    retention = Retention(schedule)
    while True:
        await clock.sleep(schedule.period)
        target = retention.look(store.space.revision)
        if target <= store.space.compacted or not node.is_leader:
            continue
        try:
            await node.propose(requests.compact(rpc_pb2.CompactionRequest(revision=target)))
            log.info("compacted the history up to revision %d", target)
        except Refusal as refusal:
            log.warning("cannot compact the history up to revision %d: %s", target, refusal.message)

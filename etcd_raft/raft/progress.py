"""What the leader knows of one follower's log, and how fast it may send (thesis section 10.2.1).

PROBE      one append at a time, until the follower's log is known to match somewhere
REPLICATE  pipelined appends, as many as fit into the in-flight window
SNAPSHOT   nothing, until the snapshot has arrived or failed
"""

from __future__ import annotations

from collections import deque
from enum import Enum


class ProgressState(Enum):
    PROBE = "probe"
    REPLICATE = "replicate"
    SNAPSHOT = "snapshot"


class Progress:
    __slots__ = (
        "inflight",
        "is_learner",
        "match",
        "max_inflight",
        "next",
        "pending_snapshot",
        "probe_sent",
        "recently_active",
        "state",
    )

    def __init__(self, next_index: int, max_inflight: int, is_learner: bool = False, match: int = 0) -> None:
        self.match = match
        self.next = next_index
        self.state = ProgressState.PROBE
        self.pending_snapshot = 0
        self.probe_sent = False
        self.recently_active = False
        self.is_learner = is_learner
        self.max_inflight = max_inflight
        self.inflight: deque[int] = deque()

    def _reset(self, state: ProgressState) -> None:
        self.state = state
        self.pending_snapshot = 0
        self.probe_sent = False
        self.inflight.clear()

    def become_probe(self) -> None:
        # A snapshot that was on its way may have arrived: continue behind it rather than send it again.
        pending = self.pending_snapshot if self.state is ProgressState.SNAPSHOT else 0
        self._reset(ProgressState.PROBE)
        self.next = max(self.match, pending) + 1

    def become_replicate(self) -> None:
        self._reset(ProgressState.REPLICATE)
        self.next = self.match + 1

    def become_snapshot(self, index: int) -> None:
        self._reset(ProgressState.SNAPSHOT)
        self.pending_snapshot = index
        self.next = index + 1

    def is_paused(self) -> bool:
        if self.state is ProgressState.PROBE:
            return self.probe_sent
        if self.state is ProgressState.REPLICATE:
            return len(self.inflight) >= self.max_inflight
        return True

    def sent(self, last_index: int | None) -> None:
        """An append went out whose last entry is `last_index` (None: an empty one)."""
        if self.state is ProgressState.REPLICATE:
            if last_index is not None:
                self.next = last_index + 1
                self.inflight.append(last_index)
        elif self.state is ProgressState.PROBE:
            self.probe_sent = True

    def acknowledged(self, index: int) -> bool:
        """The follower holds everything up to `index`; True if that is news."""
        if index <= self.match:
            return False
        self.match = index
        self.next = max(self.next, index + 1)
        self.probe_sent = False
        return True

    def free_inflight(self, index: int) -> None:
        while self.inflight and self.inflight[0] <= index:
            self.inflight.popleft()

    def rejected(self, index: int, hint: int) -> bool:
        """The append after `index` did not fit; go back to `hint`. False if the rejection is an old one."""
        if self.state is ProgressState.REPLICATE:
            if index <= self.match:
                return False
            self.next = self.match + 1
            return True
        if self.next - 1 != index:
            return False
        self.next = max(min(index, hint + 1), self.match + 1, 1)
        self.probe_sent = False
        return True

"""When leases end, by this member's clock.

Every member keeps deadlines from what it sees applied, only the leader acts on them: it renews on keep-alives, finds
what has expired, and records from time to time what is left of long leases, so that a new leader does not start them
afresh. A new leader extends every lease by the length of an election, during which nobody could renew.
"""

from __future__ import annotations

import heapq
import math
from typing import Final

from component_base.clock import Clock
from etcd_raft.lease.table import Lease, LeaseTable
from etcd_raft.lease.table import Watcher as TableWatcher

CHECKPOINT_SECONDS: Final = 300.0


class LeaseClock(TableWatcher):
    def __init__(self, table: LeaseTable, clock: Clock) -> None:
        self._table = table
        self._clock = clock
        self._deadlines: dict[int, float] = {}
        self._due: list[tuple[float, int]] = []
        table.watcher = self
        self.restored()

    # What the table reports

    def granted(self, lease: Lease) -> None:
        self._set(lease.id, self._clock.monotonic() + lease.ttl)

    def renewed(self, lease: Lease) -> None:
        self._set(lease.id, self._clock.monotonic() + lease.ttl)

    def revoked(self, lease_id: int) -> None:
        self._deadlines.pop(lease_id, None)

    def restored(self) -> None:
        self.restart(0.0)

    # What the leader does

    def restart(self, extension: float) -> None:
        """Count every lease from now on: with what the last leader recorded of it, or whole."""
        now = self._clock.monotonic()
        self._deadlines = {
            lease.id: now + (lease.remaining or lease.ttl) + extension for lease in self._table.leases.values()
        }
        self._rebuild()

    def remaining(self, lease: Lease) -> float:
        return self._deadlines[lease.id] - self._clock.monotonic()

    def left(self, lease_id: int) -> float:
        """As `remaining`, by id; negative if there is no such lease."""
        deadline = self._deadlines.get(lease_id)
        return -1.0 if deadline is None else max(0.0, deadline - self._clock.monotonic())

    def expired(self, limit: int) -> list[int]:
        """Leases whose time is over; each is named again by the next call until it is revoked."""
        now = self._clock.monotonic()
        found: list[tuple[float, int]] = []
        while self._due and self._due[0][0] <= now and len(found) < limit:
            deadline, lease_id = heapq.heappop(self._due)
            if self._deadlines.get(lease_id) == deadline:
                found.append((deadline, lease_id))
        for item in found:
            heapq.heappush(self._due, item)
        return [lease_id for _, lease_id in found]

    def checkpoints(self, limit: int) -> list[tuple[int, int]]:
        """What is left of leases which last longer than the time between two of these calls."""
        now = self._clock.monotonic()
        found: list[tuple[int, int]] = []
        for lease in self._table.leases.values():
            left = math.ceil(self._deadlines[lease.id] - now)
            if lease.ttl > CHECKPOINT_SECONDS and 0 < left < (lease.remaining or lease.ttl):
                found.append((lease.id, left))
                if len(found) == limit:
                    break
        return found

    def _set(self, lease_id: int, deadline: float) -> None:
        self._deadlines[lease_id] = deadline
        heapq.heappush(self._due, (deadline, lease_id))
        # Each renewal leaves its old deadline in the heap.
        if len(self._due) > 64 and len(self._due) > 4 * len(self._deadlines):
            self._rebuild()

    def _rebuild(self) -> None:
        self._due = [(deadline, lease_id) for lease_id, deadline in self._deadlines.items()]
        heapq.heapify(self._due)

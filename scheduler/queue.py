"""Pods waiting for a node: ready ones by priority, failed ones until something changed and their backoff is over.

Pure: `now` is an argument. A pod is in exactly one of

    active         a heap by (highest priority, earliest arrival)
    backing off    until its time comes: 1 s after the first failure, doubled each time, 10 s at most
    unschedulable  until an event that may help moves it, or five minutes have passed
    gated          while spec.schedulingGates is not empty (KEP-3521)
    in flight      popped, being decided; an event meanwhile is remembered, for the watch outruns decisions
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from scheduler.pod_info import PodInfo

BACKOFF_FIRST_SECONDS = 1.0
BACKOFF_LAST_SECONDS = 10.0
UNSCHEDULABLE_SECONDS = 300.0


class Place(Enum):
    ACTIVE = "active"
    BACKOFF = "backoff"
    UNSCHEDULABLE = "unschedulable"
    GATED = "gated"
    IN_FLIGHT = "in flight"


@dataclass(slots=True)
class Waiting:
    pod: PodInfo
    arrived: float
    attempts: int = 0
    place: Place = Place.ACTIVE
    failed_at: float = 0.0
    ready_at: float = 0.0
    blocked_by: frozenset[str] = frozenset()  # plugins whose verdict kept it out
    moved_meanwhile: bool = False
    ticket: int = 0  # number of its newest heap entry; older ones are ignored


@dataclass(slots=True)
class SchedulingQueue:
    waiting: dict[str, Waiting] = field(default_factory=dict)  # by uid
    _active: list[tuple[int, float, int, str]] = field(default_factory=list)
    _backoff: list[tuple[float, int, str]] = field(default_factory=list)
    _tickets: int = 0

    def set_pod(self, pod: PodInfo, now: float) -> None:
        """A pod without a node as the watch shows it, new or changed. A changed one may fit now."""
        known = self.waiting.get(pod.uid)
        if known is None:
            known = self.waiting[pod.uid] = Waiting(pod, now)
            self._enter(known, now, first=True)
            return
        changed = known.pod.pod.spec != pod.pod.spec or known.pod.pod.metadata.labels != pod.pod.metadata.labels
        known.pod = pod
        if known.place is Place.GATED or (changed and known.place is Place.UNSCHEDULABLE):
            self._enter(known, now, first=known.place is Place.GATED)
        elif changed and known.place is Place.IN_FLIGHT:
            known.moved_meanwhile = True

    def remove(self, uid: str) -> None:
        self.waiting.pop(uid, None)

    def pop(self, now: float) -> Waiting | None:
        """The next pod to decide, or None when nothing is ready."""
        self._release_due(now)
        while self._active:
            _, _, ticket, uid = heapq.heappop(self._active)
            found = self.waiting.get(uid)
            if found is not None and found.place is Place.ACTIVE and found.ticket == ticket:
                found.place = Place.IN_FLIGHT
                found.attempts += 1
                found.moved_meanwhile = False
                return found
        return None

    def done(self, uid: str) -> None:
        """The pod was bound; it leaves the queue."""
        self.waiting.pop(uid, None)

    def failed(self, uid: str, blocked_by: frozenset[str], now: float) -> None:
        """No node fits, or binding failed (`blocked_by` empty: try again after the backoff)."""
        found = self.waiting.get(uid)
        if found is None or found.place is not Place.IN_FLIGHT:
            return
        found.failed_at = now
        found.blocked_by = blocked_by
        found.ready_at = now + backoff_seconds(found.attempts)
        if blocked_by and not found.moved_meanwhile:
            found.place = Place.UNSCHEDULABLE
        else:
            self._back_off(found)

    def move(self, now: float, helps: Callable[[Waiting], bool]) -> int:
        """Something changed in the cluster: pods that it may help go on. Returns how many."""
        moved = 0
        for found in self.waiting.values():
            if found.place is Place.IN_FLIGHT:
                found.moved_meanwhile = True
            elif found.place is Place.UNSCHEDULABLE and helps(found):
                self._enter(found, now, first=False)
                moved += 1
        return moved

    def next_due(self) -> float | None:
        """When to look again though no event came; None: nothing waits for time alone."""
        due = [self._backoff[0][0]] if self._backoff else []
        due += [w.failed_at + UNSCHEDULABLE_SECONDS for w in self.waiting.values() if w.place is Place.UNSCHEDULABLE]
        return min(due, default=None)

    def counts(self) -> dict[str, int]:
        result = dict.fromkeys((place.value for place in Place), 0)
        for found in self.waiting.values():
            result[found.place.value] += 1
        return result

    def _enter(self, found: Waiting, now: float, first: bool) -> None:
        if found.pod.pod.spec.schedulingGates:
            found.place = Place.GATED
        elif first or found.ready_at <= now:
            self._activate(found)
        else:
            self._back_off(found)

    def _activate(self, found: Waiting) -> None:
        found.place = Place.ACTIVE
        found.ticket = self._ticket()
        heapq.heappush(self._active, (-found.pod.priority, found.arrived, found.ticket, found.pod.uid))

    def _back_off(self, found: Waiting) -> None:
        found.place = Place.BACKOFF
        found.ticket = self._ticket()
        heapq.heappush(self._backoff, (found.ready_at, found.ticket, found.pod.uid))

    def _ticket(self) -> int:
        self._tickets += 1
        return self._tickets

    def _release_due(self, now: float) -> None:
        while self._backoff and self._backoff[0][0] <= now:
            _, ticket, uid = heapq.heappop(self._backoff)
            found = self.waiting.get(uid)
            if found is not None and found.place is Place.BACKOFF and found.ticket == ticket:
                self._activate(found)
        for found in self.waiting.values():
            if found.place is Place.UNSCHEDULABLE and found.failed_at + UNSCHEDULABLE_SECONDS <= now:
                self._enter(found, now, first=False)


def backoff_seconds(attempts: int) -> float:
    return min(BACKOFF_LAST_SECONDS, BACKOFF_FIRST_SECONDS * 2.0 ** max(0, attempts - 1))

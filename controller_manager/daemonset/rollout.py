"""The moves of a DaemonSet: pods that are missing, that are in the way, and, one by one, those of an old template."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from apimachinery import timestamps
from controller_manager.amounts import scaled
from controller_manager.availability import is_available
from controller_manager.daemonset.placement import HASH_LABEL
from controller_manager.daemonset.views import DaemonSet, RollingUpdateDaemonSet
from controller_manager.views import Pod


@dataclass(slots=True)
class Moves:
    """Nodes that get a pod, pods that go, pods that ended and are in the way of new ones."""

    create_on: list[str] = field(default_factory=list)
    delete: list[Pod] = field(default_factory=list)
    ended: list[Pod] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Place:
    """A node and what of the DaemonSet is on it."""

    node: str
    wanted: bool
    may_stay: bool
    pods: Sequence[Pod]


@dataclass(frozen=True, slots=True)
class View:
    found: DaemonSet
    hash: str
    now: float

    def available(self, pod: Pod) -> bool:
        return is_available(pod, self.found.spec.minReadySeconds, self.now)

    def is_new(self, pod: Pod) -> bool:
        return pod.metadata.labels.get(HASH_LABEL) == self.hash

    def age(self, pod: Pod) -> float:
        return timestamps.parse_or(pod.metadata.creationTimestamp, self.now)

    @property
    def bounds(self) -> RollingUpdateDaemonSet:
        return self.found.spec.updateStrategy.rollingUpdate or RollingUpdateDaemonSet()

    def surge(self, desired: int) -> int:
        return scaled(self.bounds.maxSurge, desired, round_up=True) if self.rolling else 0

    def unavailable(self, desired: int) -> int:
        wanted = scaled(self.bounds.maxUnavailable, desired, round_up=True)
        return 1 if wanted == 0 and self.surge(desired) == 0 else wanted

    @property
    def rolling(self) -> bool:
        return self.found.spec.updateStrategy.type == "RollingUpdate"


def moves(view: View, places: Sequence[Place]) -> Moves:
    """What brings one pod to every place that wants one."""
    surge = view.surge(sum(place.wanted for place in places))
    result = Moves()
    for place in places:
        alive = [pod for pod in place.pods if pod.metadata.deletionTimestamp is None]
        if place.wanted and not place.pods:
            result.create_on.append(place.node)
        elif place.may_stay:
            result.ended += [pod for pod in alive if pod.is_terminal]
            running = sorted((pod for pod in alive if not pod.is_terminal), key=view.age)
            result.delete += _too_many(view, running, surge)
        else:
            result.delete += alive
    return result


def _too_many(view: View, running: Sequence[Pod], surge: int) -> list[Pod]:
    if surge == 0 or len(running) < 2:
        return list(running[1:])
    old = [pod for pod in running if not view.is_new(pod)]
    new = [pod for pod in running if view.is_new(pod)]
    if not new or not old:
        return list(running[1:])
    # The old one serves until the new one is available, or until it is no use itself.
    finished = view.available(new[0]) or not view.available(old[0])
    return [*new[1:], *(old if finished else old[1:])]


def roll(view: View, places: Sequence[Place]) -> Moves:
    """Which old pods may go, or where new ones may come up beside them, within the bounds of the update."""
    desired = sum(place.wanted for place in places)
    relevant = [place for place in places if place.pods or place.wanted]
    if surge := view.surge(desired):
        return _roll_with_surge(view, relevant, surge)
    unavailable = 0
    broken: list[Pod] = []
    serving: list[Pod] = []
    for place in relevant:
        pods = [pod for pod in place.pods if not pod.is_terminal]
        if len(pods) != 1:
            unavailable += 1  # the moves above deal with it
            continue
        pod = pods[0]
        gone = pod.metadata.deletionTimestamp is not None
        if gone or not view.available(pod):
            unavailable += 1
            if not gone and not view.is_new(pod):
                broken.append(pod)
        elif not view.is_new(pod):
            serving.append(pod)
    room = max(view.unavailable(desired) - unavailable, 0)
    return Moves(delete=[*broken, *serving[:room]])


def _roll_with_surge(view: View, places: Sequence[Place], surge: int) -> Moves:
    broken: list[str] = []
    serving: list[str] = []
    surging = 0
    for place in places:
        pods = [pod for pod in place.pods if not pod.is_terminal]
        old = [pod for pod in pods if not view.is_new(pod)]
        new = [pod for pod in pods if view.is_new(pod)]
        if old and new:
            surging += not view.available(new[0])
        elif old and place.wanted:
            going = old[0].metadata.deletionTimestamp is not None
            (broken if going or not view.available(old[0]) else serving).append(place.node)
    return Moves(create_on=[*broken, *serving[: max(surge - surging, 0)]])


def counts(view: View, places: Sequence[Place]) -> Mapping[str, int]:
    """The numbers of the status."""
    desired = current = misscheduled = ready = available = updated = 0
    for place in places:
        if not place.wanted:
            misscheduled += bool(place.pods)
            continue
        desired += 1
        if not place.pods:
            continue
        current += 1
        first = min(place.pods, key=view.age)
        if first.is_ready:
            ready += 1
            available += view.available(first)
        updated += view.is_new(first)
    return {
        "desiredNumberScheduled": desired,
        "currentNumberScheduled": current,
        "numberMisscheduled": misscheduled,
        "numberReady": ready,
        "updatedNumberScheduled": updated,
        "numberAvailable": available,
        "numberUnavailable": desired - available,
    }

"""The moves of a StatefulSet: up by number, down and over to a new template from the highest.

With OrderedReady each step waits until all before it are available; with Parallel nothing waits but the update.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from controller_manager.amounts import scaled
from controller_manager.availability import is_available
from controller_manager.statefulset.identity import NAME_LABEL, ordinal, revision_of
from controller_manager.statefulset.views import StatefulSet, StatefulSetStatus
from controller_manager.views import Pod


@dataclass(slots=True)
class Moves:
    create: list[int] = field(default_factory=list)
    """Numbers."""
    claim: list[int] = field(default_factory=list)
    """Numbers of pods that may wait for claims."""
    delete: list[Pod] = field(default_factory=list)
    identify: list[Pod] = field(default_factory=list)
    """Pods whose labels somebody took."""


@dataclass(frozen=True, slots=True)
class View:
    found: StatefulSet
    current: str
    update: str
    """Names of the revisions."""
    now: float

    def available(self, pod: Pod | None) -> bool:
        return (
            pod is not None
            and pod.metadata.deletionTimestamp is None
            and running(pod)
            and is_available(pod, self.found.spec.minReadySeconds, self.now)
        )

    @property
    def in_order(self) -> bool:
        return self.found.spec.podManagementPolicy != "Parallel"

    def revision_for(self, number: int) -> str:
        """Pods below the partition come back as they were."""
        strategy = self.found.spec.updateStrategy
        if strategy.type != "RollingUpdate" or self.current == self.update:
            return self.update
        if strategy.rollingUpdate is None:
            below = self.found.status.currentReplicas
        else:
            below = self.found.partition
        return self.current if number < self.found.start + below else self.update


def running(pod: Pod) -> bool:
    return pod.status.phase == "Running" and pod.is_ready


def moves(view: View, pods: Sequence[Pod]) -> Moves:
    found = view.found
    result = Moves()
    replicas, condemned = sorted_out(found, pods)
    if not _replicas(view, replicas, result) or not _condemned(view, replicas, condemned, result):
        return result
    if result.delete or found.spec.updateStrategy.type == "OnDelete":
        return result
    _update(view, replicas, result)
    return result


def sorted_out(found: StatefulSet, pods: Sequence[Pod]) -> tuple[list[Pod | None], list[Pod]]:
    """Pods by number, with gaps; and those beyond the ends, the highest first."""
    replicas: list[Pod | None] = [None] * found.spec.replicas
    condemned: list[tuple[int, Pod]] = []
    for pod in pods:
        number = ordinal(found, pod.metadata)
        if number is None:
            continue
        if found.start <= number < found.start + found.spec.replicas:
            replicas[number - found.start] = pod
        else:
            condemned.append((number, pod))
    return replicas, [pod for _, pod in sorted(condemned, key=lambda each: -each[0])]


def _replicas(view: View, replicas: Sequence[Pod | None], result: Moves) -> bool:
    """False: the rest has to wait."""
    for index, pod in enumerate(replicas):
        number = view.found.start + index
        if pod is None:
            result.create.append(number)
            if view.in_order:
                return False
            continue
        if pod.is_terminal:
            if pod.metadata.deletionTimestamp is None:
                result.delete.append(pod)
            if view.in_order:
                return False
            continue
        if pod.status.phase == "Pending":
            result.claim.append(number)
        if view.in_order and not view.available(pod):
            return False
        if pod.metadata.labels.get(NAME_LABEL) != pod.metadata.name:
            result.identify.append(pod)
    return True


def _condemned(view: View, replicas: Sequence[Pod | None], condemned: Sequence[Pod], result: Moves) -> bool:
    if not view.in_order:
        result.delete += [pod for pod in condemned if pod.metadata.deletionTimestamp is None]
        return True
    unavailable = [pod for pod in [*replicas, *reversed(condemned)] if not view.available(pod)]
    for pod in condemned:
        if pod.metadata.deletionTimestamp is None and (view.available(pod) or pod is unavailable[0]):
            result.delete.append(pod)
        return False
    return True


def _update(view: View, replicas: Sequence[Pod | None], result: Moves) -> None:
    found = view.found
    strategy = found.spec.updateStrategy.rollingUpdate
    old = list(reversed(replicas[found.partition :]))
    if strategy is None or strategy.maxUnavailable is None:
        for pod in old:
            # One that is of no use is replaced too; one that was, is waited for.
            if pod is not None and _is_outdated(view, pod):
                result.delete.append(pod)
                return
            if not view.available(pod):
                return
        return
    limit = max(scaled(strategy.maxUnavailable, found.spec.replicas, round_up=True), 1)
    room = max(limit - sum(not view.available(pod) for pod in replicas), 0)
    result.delete += [pod for pod in old if pod is not None and _is_outdated(view, pod)][:room]


def _is_outdated(view: View, pod: Pod) -> bool:
    return revision_of(pod) != view.update and pod.metadata.deletionTimestamp is None


def status(view: View, pods: Sequence[Pod], collisions: int) -> StatefulSetStatus:
    found = view.found
    alive = [pod for pod in pods if pod.metadata.deletionTimestamp is None]
    ready = [pod for pod in pods if running(pod)]
    current, updated = (sum(revision_of(pod) == revision for pod in alive) for revision in (view.current, view.update))
    name = view.current
    complete = updated == len(ready) == len(pods) == found.spec.replicas
    if found.spec.updateStrategy.type == "RollingUpdate" and complete:
        name, current = view.update, updated
    return StatefulSetStatus(
        observedGeneration=found.metadata.generation,
        replicas=len(pods),
        readyReplicas=len(ready),
        currentReplicas=current,
        updatedReplicas=updated,
        availableReplicas=sum(is_available(pod, found.spec.minReadySeconds, view.now) for pod in ready),
        currentRevision=name,
        updateRevision=view.update,
        collisionCount=collisions,
        conditions=found.status.conditions,
    )

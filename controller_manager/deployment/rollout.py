"""How many replicas each ReplicaSet of a Deployment should have now: pure, looked at again after each change.

Invariants of a rolling update: never more than replicas + maxSurge pods in all, never fewer than replicas -
maxUnavailable available. Old sets shrink unhealthy pods first: they cost no availability.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from controller_manager.deployment.revisions import MAXIMUM
from controller_manager.views import Deployment, ReplicaSet, Strategy


@dataclass(frozen=True, slots=True)
class Bounds:
    surge: int
    unavailable: int

    def maximum(self, replicas: int) -> int:
        return replicas + self.surge if replicas else 0


def absolute(value: int | str, replicas: int, round_up: bool) -> int:
    """A count or a percentage of `replicas`."""
    if isinstance(value, int):
        return value
    share = replicas * int(value.rstrip("%")) / 100
    return math.ceil(share) if round_up else math.floor(share)


def bounds(strategy: Strategy, replicas: int) -> Bounds:
    if strategy.type != "RollingUpdate" or replicas == 0:
        return Bounds(0, 0)
    rolling = strategy.rollingUpdate
    surge = absolute(rolling.maxSurge if rolling else "25%", replicas, round_up=True)
    unavailable = absolute(rolling.maxUnavailable if rolling else "25%", replicas, round_up=False)
    if surge == 0 and unavailable == 0:
        unavailable = 1  # neither may be zero, or the roll-out could not take its first step
    return Bounds(surge, min(unavailable, replicas))


def first_size(deployment: Deployment, old: Sequence[ReplicaSet]) -> int:
    """Replicas the new ReplicaSet is created with."""
    replicas = deployment.spec.replicas
    if deployment.spec.strategy.type == "Recreate":
        return replicas
    limit = replicas + bounds(deployment.spec.strategy, replicas).surge
    return max(0, min(replicas, limit - sum(rs.spec.replicas for rs in old)))


def grown(deployment: Deployment, current: ReplicaSet, old: Sequence[ReplicaSet]) -> int:
    """The size of the current ReplicaSet, taking no more room than old pods leave."""
    replicas = deployment.spec.replicas
    if current.spec.replicas >= replicas:
        return replicas
    limit = replicas + bounds(deployment.spec.strategy, replicas).surge
    total = current.spec.replicas + sum(rs.spec.replicas for rs in old)
    room = max(0, limit - total)
    return min(replicas, current.spec.replicas + room)


def shrunk(deployment: Deployment, current: ReplicaSet, old: Sequence[ReplicaSet]) -> dict[str, int]:
    """New sizes of old ReplicaSets by name; only those that change."""
    replicas = deployment.spec.replicas
    least = replicas - bounds(deployment.spec.strategy, replicas).unavailable
    total = current.spec.replicas + sum(rs.spec.replicas for rs in old)
    new_unavailable = max(0, current.spec.replicas - current.status.availableReplicas)
    spare = total - least - new_unavailable
    sizes = {rs.metadata.name: rs.spec.replicas for rs in old}
    if spare <= 0:
        return {}
    for rs in old:
        unhealthy = max(0, sizes[rs.metadata.name] - rs.status.availableReplicas)
        cut = min(unhealthy, spare)
        sizes[rs.metadata.name] -= cut
        spare -= cut
    available = current.status.availableReplicas + sum(
        min(rs.status.availableReplicas, sizes[rs.metadata.name]) for rs in old
    )
    room = max(0, available - least)
    for rs in old:
        cut = min(sizes[rs.metadata.name], room)
        sizes[rs.metadata.name] -= cut
        room -= cut
    return {rs.metadata.name: sizes[rs.metadata.name] for rs in old if sizes[rs.metadata.name] != rs.spec.replicas}


def is_scaling(deployment: Deployment, sets: Sequence[ReplicaSet]) -> bool:
    """Whether `replicas` itself changed: a set with pods was last sized for another number."""
    for rs in sets:
        noted = rs.metadata.annotations.get("deployment.kubernetes.io/desired-replicas")
        if rs.spec.replicas > 0 and noted is not None and noted != str(deployment.spec.replicas):
            return True
    return False


def proportional(deployment: Deployment, sets: Sequence[ReplicaSet]) -> dict[str, int]:
    """Share a change of `replicas` among sets that hold pods, in proportion to their sizes (amid a roll-out)."""
    active = [rs for rs in sets if rs.spec.replicas > 0]
    replicas = deployment.spec.replicas
    allowed = bounds(deployment.spec.strategy, replicas).maximum(replicas)
    total = sum(rs.spec.replicas for rs in active)
    to_add = allowed - total
    ordered = sorted(active, key=lambda rs: (-rs.spec.replicas, rs.metadata.creationTimestamp or ""))
    if to_add > 0:  # growing favours the newest among equals
        ordered = sorted(active, key=lambda rs: rs.metadata.creationTimestamp or "", reverse=True)
        ordered.sort(key=lambda rs: -rs.spec.replicas)
    sizes: dict[str, int] = {}
    added = 0
    for rs in ordered:
        share = fair_share(rs, replicas, allowed, to_add, added) if to_add else 0
        sizes[rs.metadata.name] = max(0, rs.spec.replicas + share)
        added += share
    if ordered and to_add:
        largest = ordered[0].metadata.name
        sizes[largest] = max(0, sizes[largest] + to_add - added)
    return sizes


def fair_share(rs: ReplicaSet, replicas: int, allowed: int, to_add: int, added: int) -> int:
    if replicas == 0:
        return -rs.spec.replicas
    noted = int(rs.metadata.annotations.get(MAXIMUM, allowed) or allowed)
    share = round(rs.spec.replicas * allowed / max(1, noted)) - rs.spec.replicas
    left = to_add - added
    return min(share, left) if to_add > 0 else max(share, left)


def is_saturated(deployment: Deployment, current: ReplicaSet | None) -> bool:
    """The current set has every replica, sized for this Deployment and available."""
    return (
        current is not None
        and current.spec.replicas == deployment.spec.replicas
        and current.metadata.annotations.get("deployment.kubernetes.io/desired-replicas")
        == str(deployment.spec.replicas)
        and current.status.availableReplicas == deployment.spec.replicas
    )

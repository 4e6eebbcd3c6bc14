"""The numbers of a budget, from its pods and the sizes that their controllers want."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from apimachinery import timestamps
from controller_manager.amounts import scaled
from controller_manager.disruption.views import Budget
from controller_manager.views import Pod

#: An eviction that was agreed to and not carried out for this long does not count any more.
DELETION_TIMEOUT = 120.0

Scale = Callable[[Pod], tuple[str, int]]
"""Uid of what a pod belongs to and how many pods that wants. ValueError if nobody knows."""


@dataclass(frozen=True, slots=True)
class Health:
    healthy: int
    desired: int
    expected: int
    disrupted: dict[str, str] = field(default_factory=dict)
    overdue: tuple[Pod, ...] = ()
    """Pods that were evicted and are still here."""
    unmanaged: bool = False
    recheck: float | None = None

    @property
    def allowed(self) -> int:
        """Zero while no pods are known: the first ones are safe until they were counted."""
        return max(self.healthy - self.desired, 0) if self.expected > 0 else 0


def assess(budget: Budget, pods: Sequence[Pod], scale: Scale, now: float) -> Health:
    """Raises ValueError when the size of a pod's controller is needed and nobody knows it."""
    expected, desired, unmanaged = _wanted(budget, pods, scale)
    disrupted: dict[str, str] = {}
    overdue: list[Pod] = []
    recheck: float | None = None
    for pod in pods:
        when = budget.status.disruptedPods.get(pod.metadata.name)
        if when is None or pod.metadata.deletionTimestamp is not None:
            continue
        left = timestamps.parse_or(when, now) + DELETION_TIMEOUT - now
        if left < 0:
            overdue.append(pod)
        else:
            disrupted[pod.metadata.name] = when
            recheck = min(left, recheck if recheck is not None else left)
    healthy = sum(
        pod.is_ready and pod.metadata.deletionTimestamp is None and pod.metadata.name not in disrupted for pod in pods
    )
    return Health(healthy, desired, expected, disrupted, tuple(overdue), unmanaged, recheck)


def _wanted(budget: Budget, pods: Sequence[Pod], scale: Scale) -> tuple[int, int, bool]:
    least, most = budget.spec.minAvailable, budget.spec.maxUnavailable
    if most is None and isinstance(least, int):
        return len(pods), least, False
    if most is None and least is None:
        return 0, 0, False
    managed = [pod for pod in pods if pod.metadata.controller is not None]
    expected = sum(dict(scale(pod) for pod in managed).values())
    if most is not None:
        desired = max(expected - scaled(most, expected, round_up=True), 0)
    else:
        desired = scaled(least or 0, expected, round_up=True)
    return expected, desired, len(managed) < len(pods)

"""Which pods go first when there are too many: those that serve least.

The order is documented with the ReplicaSet: unassigned, pending, not ready, cheaper by annotation, crowded on a node,
ready for a shorter time, restarted more often, younger.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from apimachinery import timestamps
from controller_manager.views import Pod, condition

DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
_PHASES = {"Pending": 0, "Unknown": 1, "Running": 2}
SortKey = tuple[int, int, int, int, int, float, int, float]


def first_to_go(pods: Sequence[Pod], related: Sequence[Pod], count: int, now: float) -> list[Pod]:
    """`related` are all pods of the same top owner: crowding is judged over a whole Deployment."""
    crowd = Counter(pod.spec.nodeName for pod in related if pod.is_active and pod.spec.nodeName)
    return sorted(pods, key=lambda pod: _key(pod, crowd, now))[:count]


def _key(pod: Pod, crowd: Counter[str], now: float) -> SortKey:
    created = timestamps.parse_or(pod.metadata.creationTimestamp, now)
    return (
        1 if pod.spec.nodeName else 0,
        _PHASES.get(pod.status.phase, 0),
        1 if pod.is_ready else 0,
        _cost(pod),
        -crowd[pod.spec.nodeName],
        -_ready_since(pod, now) if pod.is_ready else 0.0,
        -max((status.restartCount for status in pod.status.containerStatuses), default=0),
        -created,
    )


def _cost(pod: Pod) -> int:
    try:
        return int(pod.metadata.annotations.get(DELETION_COST, "0"))
    except ValueError:
        return 0


def _ready_since(pod: Pod, now: float) -> float:
    ready = condition(pod.status.conditions, "Ready")
    return timestamps.parse_or(ready.lastTransitionTime if ready else None, now)

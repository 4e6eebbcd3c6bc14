"""Available: ready for at least minReadySeconds without a break."""

from __future__ import annotations

from collections.abc import Iterable

from apimachinery import timestamps
from controller_manager.views import Pod, condition


def available_at(pod: Pod, min_ready_seconds: int, now: float) -> float | None:
    """When the pod counts as available, if it stays ready; None while it is not ready."""
    ready = condition(pod.status.conditions, "Ready")
    if ready is None or ready.status != "True":
        return None
    return timestamps.parse_or(ready.lastTransitionTime, now) + min_ready_seconds


def is_available(pod: Pod, min_ready_seconds: int, now: float) -> bool:
    at = available_at(pod, min_ready_seconds, now)
    return at is not None and (min_ready_seconds == 0 or at <= now)


def next_available(pods: Iterable[Pod], min_ready_seconds: int, now: float) -> float | None:
    """Seconds until another pod becomes available by waiting alone."""
    if min_ready_seconds == 0:
        return None
    moments = (available_at(pod, min_ready_seconds, now) for pod in pods)
    return min((at - now for at in moments if at is not None and at > now), default=None)

"""The quality-of-service class of a pod, from its CPU and memory requests and limits alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apimachinery.podspec.resources import Amounts, add, amounts

GUARANTEED = "Guaranteed"
BURSTABLE = "Burstable"
BEST_EFFORT = "BestEffort"


def qos_class(pod: Mapping[str, Any]) -> str:
    """The class the server recorded at creation, or the computed one where none is recorded yet."""
    return str((pod.get("status") or {}).get("qosClass") or compute(pod.get("spec") or {}))


def compute(spec: Mapping[str, Any]) -> str:
    """The class a pod spec has by its amounts; ephemeral containers have none and do not count."""
    whole = spec.get("resources")
    if whole is not None:
        holders = [whole]
    else:
        containers = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
        holders = [container.get("resources") or {} for container in containers]
    requests: Amounts = {}
    limits: Amounts = {}
    guaranteed = True
    for holder in holders:
        add(requests, _counted(holder.get("requests")))
        limit = _counted(holder.get("limits"))
        add(limits, limit)
        # A pod-level table without limits is judged by the comparison below.
        if len(limit) < 2 and (whole is None or holder.get("limits")):
            guaranteed = False
    if not requests and not limits:
        return BEST_EFFORT
    return GUARANTEED if guaranteed and requests == limits else BURSTABLE


def _counted(table: Mapping[str, Any] | None) -> Amounts:
    zero_free = amounts({name: table[name] for name in ("cpu", "memory") if name in table}) if table else {}
    return {name: amount for name, amount in zero_free.items() if amount.value() > 0}

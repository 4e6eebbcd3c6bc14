"""Whether a node is heard of: judged by when this process last saw its Lease or its status change.

Clocks of other hosts play no part. The facts (grace, conditions, taints, their names) are upstream's node lifecycle
controller's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from apimachinery import timestamps
from controller_manager.views import Condition, Node, Taint, condition

NOT_READY = "node.kubernetes.io/not-ready"
UNREACHABLE = "node.kubernetes.io/unreachable"
UNSCHEDULABLE = "node.kubernetes.io/unschedulable"
CONDITION_TAINTS = {
    "MemoryPressure": "node.kubernetes.io/memory-pressure",
    "DiskPressure": "node.kubernetes.io/disk-pressure",
    "PIDPressure": "node.kubernetes.io/pid-pressure",
    "NetworkUnavailable": "node.kubernetes.io/network-unavailable",
}
OWN_TAINTS = frozenset({NOT_READY, UNREACHABLE, UNSCHEDULABLE, *CONDITION_TAINTS.values()})
SILENT_REASON = "NodeStatusUnknown"
SILENT_TEXT = "Kubelet stopped posting node status."
NEVER_REASON = "NodeStatusNeverUpdated"
NEVER_TEXT = "Kubelet never posted node status."
WATCHED = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")


@dataclass(slots=True)
class Heard:
    """The last sign of life of one node."""

    renewed: str | None
    status: tuple[tuple[str, str | None], ...]
    at: float


def signs(node: Node) -> tuple[tuple[str, str | None], ...]:
    return tuple((c.type, c.lastHeartbeatTime) for c in node.status.conditions)


def conditions_when_silent(node: Node, now: float) -> list[dict[str, Any]]:
    """The conditions of a node nobody hears of: all watched ones Unknown. Empty when they already are."""
    when = timestamps.format(now)
    changed = []
    for kind in WATCHED:
        old = condition(node.status.conditions, kind)
        if old is None:
            changed.append(_unknown(kind, NEVER_REASON, NEVER_TEXT, when, node.metadata.creationTimestamp))
        elif old.status != "Unknown":
            changed.append(_unknown(kind, SILENT_REASON, SILENT_TEXT, when, old.lastHeartbeatTime))
    return changed


def _unknown(kind: str, reason: str, text: str, when: str, heard: str | None) -> dict[str, Any]:
    return {
        "type": kind,
        "status": "Unknown",
        "reason": reason,
        "message": text,
        "lastHeartbeatTime": heard,
        "lastTransitionTime": when,
    }


def wanted_taints(node: Node, conditions: Iterable[Condition], now: float) -> list[Taint]:
    """All taints the node should have: its own ones, and those that follow from its conditions."""
    known = {c.type: c.status for c in conditions}
    ready = known.get("Ready")
    effects: list[tuple[str, str]] = []
    if ready == "False":
        effects += [(NOT_READY, "NoSchedule"), (NOT_READY, "NoExecute")]
    elif ready == "Unknown" or (ready is None and known):
        effects += [(UNREACHABLE, "NoSchedule"), (UNREACHABLE, "NoExecute")]
    elif ready is None:
        effects += [(NOT_READY, "NoSchedule")]
    effects += [(key, "NoSchedule") for kind, key in CONDITION_TAINTS.items() if known.get(kind) == "True"]
    if node.spec.unschedulable:
        effects.append((UNSCHEDULABLE, "NoSchedule"))
    present = {(t.key, t.effect): t for t in node.spec.taints}
    result = [t for t in node.spec.taints if t.key not in OWN_TAINTS]
    for key, effect in effects:
        old = present.get((key, effect))
        added = timestamps.format(now) if effect == "NoExecute" or key == UNSCHEDULABLE else None
        result.append(old if old is not None else Taint(key, effect, timeAdded=added))
    return result


def taints_json(taints: Sequence[Taint]) -> list[dict[str, Any]]:
    return [msgspec.to_builtins(t) for t in taints]

"""TaintToleration: NoSchedule and NoExecute taints repel, PreferNoSchedule taints cost score."""

from __future__ import annotations

import numpy as np

from scheduler.columns import Mask, NodeTable, Scores
from scheduler.plugins import Verdict, normalise
from scheduler.pod_info import PodInfo
from scheduler.views import Taint, Toleration


def tolerates(toleration: Toleration, taint: Taint) -> bool:
    """An empty key with Exists tolerates everything; an empty effect tolerates every effect."""
    if toleration.effect and toleration.effect != taint.effect:
        return False
    if toleration.key and toleration.key != taint.key:
        return False
    match toleration.operator or "Equal":
        case "Exists":
            return True
        case "Equal":
            return bool(toleration.key) and toleration.value == taint.value
        case "Lt" | "Gt":
            return compare(toleration, taint)
    return False


def compare(toleration: Toleration, taint: Taint) -> bool:
    """Numeric operators of KEP-5471: the taint's value against the toleration's."""
    try:
        value, bound = int(taint.value), int(toleration.value)
    except ValueError:
        return False
    return value < bound if toleration.operator == "Lt" else value > bound


class TaintToleration:
    name = "TaintToleration"

    def filter(self, pod: PodInfo, table: NodeTable) -> Verdict:
        repelled = [
            number
            for number, taints in enumerate(table.taint_lists)
            if any(t.effect in ("NoSchedule", "NoExecute") and not self._tolerated(pod, t) for t in taints)
        ]
        if not repelled:
            return Verdict()
        return Verdict({"node(s) had untolerated taint(s)": table.live & np.isin(table.taint_sets, repelled)})

    def score(self, pod: PodInfo, table: NodeTable, feasible: Mask) -> Scores:
        costs = np.array(
            [
                sum(1 for t in taints if t.effect == "PreferNoSchedule" and not self._tolerated(pod, t))
                for taints in table.taint_lists
            ],
            dtype=np.float64,
        )
        return normalise(costs[table.taint_sets], feasible, reverse=True)

    @staticmethod
    def _tolerated(pod: PodInfo, taint: Taint) -> bool:
        return any(tolerates(toleration, taint) for toleration in pod.pod.spec.tolerations)

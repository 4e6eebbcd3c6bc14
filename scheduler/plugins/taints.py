"""TaintToleration: NoSchedule and NoExecute taints repel, PreferNoSchedule taints cost score."""

from __future__ import annotations

import numpy as np

from apimachinery.placement import Taint, tolerates
from scheduler.columns import Mask, NodeTable, Scores
from scheduler.plugins import Verdict, normalise
from scheduler.pod_info import PodInfo


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

"""NodeName, NodeUnschedulable, NodeAffinity and NodePorts: what a pod says about nodes by name, label and port."""

from __future__ import annotations

import numpy as np

from apimachinery.placement import Taint, tolerates
from scheduler import selectors
from scheduler.columns import Mask, NodeTable, Scores
from scheduler.plugins import Verdict, normalise
from scheduler.pod_info import PodInfo

UNSCHEDULABLE = Taint("node.kubernetes.io/unschedulable", "NoSchedule")


class NodeName:
    name = "NodeName"

    def filter(self, pod: PodInfo, table: NodeTable) -> Verdict:
        wanted = pod.pod.spec.nodeName
        if not wanted:
            return Verdict()
        other = table.live.copy()
        if wanted in table.rows:
            other[table.rows[wanted]] = False
        return Verdict({"node(s) didn't match the requested node name": other})


class NodeUnschedulable:
    name = "NodeUnschedulable"

    def filter(self, pod: PodInfo, table: NodeTable) -> Verdict:
        cordoned = table.live & table.unschedulable
        if not cordoned.any() or any(tolerates(t, UNSCHEDULABLE) for t in pod.pod.spec.tolerations):
            return Verdict()
        return Verdict({"node(s) were unschedulable": cordoned})


class NodeAffinity:
    name = "NodeAffinity"

    def filter(self, pod: PodInfo, table: NodeTable) -> Verdict:
        spec = pod.pod.spec
        affinity = spec.affinity.nodeAffinity if spec.affinity else None
        required = affinity.requiredDuringSchedulingIgnoredDuringExecution if affinity else None
        if not spec.nodeSelector and required is None:
            return Verdict()
        mask = table.live.copy()
        for key, value in spec.nodeSelector.items():
            mask &= table.label(key) == table.values.find(value)
        if required is not None:
            any_term = np.zeros(table.size, dtype=np.bool_)
            for term in required.nodeSelectorTerms:
                any_term |= selectors.term_mask(term, table)
            mask &= any_term
        return Verdict({"node(s) didn't match Pod's node affinity/selector": table.live & ~mask})

    def score(self, pod: PodInfo, table: NodeTable, feasible: Mask) -> Scores:
        affinity = pod.pod.spec.affinity.nodeAffinity if pod.pod.spec.affinity else None
        scores = np.zeros(table.size)
        for preferred in affinity.preferredDuringSchedulingIgnoredDuringExecution if affinity else []:
            scores += selectors.term_mask(preferred.preference, table) * float(preferred.weight)
        return normalise(scores, feasible)


class NodePorts:
    name = "NodePorts"

    def filter(self, pod: PodInfo, table: NodeTable) -> Verdict:
        if not pod.host_ports:
            return Verdict()
        taken = np.zeros(table.size, dtype=np.bool_)
        for row, used in table.host_ports.items():
            taken[row] = any(conflict(wanted, other) for wanted in pod.host_ports for other in used)
        return Verdict(
            {"node(s) didn't have free ports for the requested pod ports": taken & table.live}, resolvable=True
        )


def conflict(wanted: tuple[str, str, int], used: tuple[str, str, int]) -> bool:
    if (wanted[0], wanted[2]) != (used[0], used[2]):
        return False
    return wanted[1] == used[1] or "0.0.0.0" in (wanted[1], used[1])

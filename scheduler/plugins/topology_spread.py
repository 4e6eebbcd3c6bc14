"""PodTopologySpread: how evenly pods of a kind lie over zones, nodes or any other label (KEP-895).

A node fails a DoNotSchedule constraint when placing the pod there would make its domain exceed the least populated one
by more than maxSkew. ScheduleAnyway constraints, and the cluster's defaults for pods of a controller, become a score.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from scheduler import selectors
from scheduler.cache import Cache
from scheduler.columns import ABSENT, Mask, NodeTable, Scores
from scheduler.plugins import MAX_SCORE, Verdict
from scheduler.plugins.node_choice import NodeAffinity
from scheduler.plugins.pods_near import in_domains
from scheduler.plugins.taints import TaintToleration
from scheduler.pod_info import PodInfo
from scheduler.views import LabelSelector, SpreadConstraint

UNEVEN = "node(s) didn't match pod topology spread constraints"
UNLABELLED = UNEVEN + " (missing required label)"


def effective_selector(constraint: SpreadConstraint, pod: PodInfo) -> LabelSelector | None:
    """matchLabelKeys join the selector with the pod's own values."""
    selector = constraint.labelSelector
    own = {k: pod.pod.metadata.labels[k] for k in constraint.matchLabelKeys if k in pod.pod.metadata.labels}
    if selector is None or not own:
        return selector
    return LabelSelector({**selector.matchLabels, **own}, selector.matchExpressions)


@dataclass(slots=True)
class PodTopologySpread:
    cache: Cache

    name = "PodTopologySpread"

    def filter(self, pod: PodInfo, table: NodeTable) -> Verdict:
        hard = [c for c in pod.pod.spec.topologySpreadConstraints if c.whenUnsatisfiable == "DoNotSchedule"]
        reasons: dict[str, Mask] = {}
        for constraint in hard:
            column = table.label(constraint.topologyKey)
            unlabelled = table.live & (column == ABSENT)
            eligible = self._eligible(constraint, pod, table) & ~unlabelled
            selector = effective_selector(constraint, pod)
            counts = in_domains(column, self._rows(selector, pod, table, eligible))
            domains = np.unique(column[eligible])
            fewest = float(counts[eligible].min(initial=np.inf)) if eligible.any() else 0.0
            if constraint.minDomains is not None and len(domains) < constraint.minDomains:
                fewest = 0.0
            own = 1.0 if selectors.matches(selector, pod.pod.metadata.labels) else 0.0
            uneven = table.live & ~unlabelled & (counts + own - fewest > constraint.maxSkew)
            if unlabelled.any():
                reasons[UNLABELLED] = reasons.get(UNLABELLED, np.zeros(table.size, dtype=np.bool_)) | unlabelled
            if uneven.any():
                reasons[UNEVEN] = reasons.get(UNEVEN, np.zeros(table.size, dtype=np.bool_)) | uneven
        return Verdict(reasons, resolvable=True)

    def score(self, pod: PodInfo, table: NodeTable, feasible: Mask) -> Scores:
        soft = [c for c in pod.pod.spec.topologySpreadConstraints if c.whenUnsatisfiable == "ScheduleAnyway"]
        if not pod.pod.spec.topologySpreadConstraints:
            soft = list(default_constraints(pod))
        if not soft or not feasible.any():
            return np.zeros(table.size)
        total = np.zeros(table.size)
        for constraint in soft:
            column = table.label(constraint.topologyKey)
            keyed = table.live & (column != ABSENT)
            counts = in_domains(column, self._rows(effective_selector(constraint, pod), pod, table, keyed))
            # Small domains count more: a pod among two zones matters more than one among a thousand nodes.
            weight = np.log(len(np.unique(column[feasible & keyed])) + 2.0)
            total += np.where(keyed, counts * weight + (constraint.maxSkew - 1), counts.max(initial=0.0) * weight)
        low, high = float(total[feasible].min()), float(total[feasible].max())
        if high == 0.0:
            return np.full(table.size, MAX_SCORE)
        return np.asarray(MAX_SCORE * (high + low - total) / high)

    def _eligible(self, constraint: SpreadConstraint, pod: PodInfo, table: NodeTable) -> Mask:
        mask = table.live.copy()
        if constraint.nodeAffinityPolicy != "Ignore":
            mask &= NodeAffinity().filter(pod, table).passing(table)
        if constraint.nodeTaintsPolicy == "Honor":
            mask &= TaintToleration().filter(pod, table).passing(table)
        return mask

    def _rows(self, selector: LabelSelector | None, pod: PodInfo, table: NodeTable, within: Mask) -> list[int]:
        namespace = pod.pod.metadata.namespace
        return [
            row
            for node, other in self.cache.pods()
            if (row := table.rows.get(node, -1)) >= 0
            and within[row]
            and other.pod.metadata.namespace == namespace
            and other.pod.metadata.deletionTimestamp is None
            and selectors.matches(selector, other.pod.metadata.labels)
        ]


def default_constraints(pod: PodInfo) -> Iterable[SpreadConstraint]:
    """Pods of one controller spread over nodes and zones by default (upstream's system defaults), matched by labels."""
    if not any(owner.controller for owner in pod.pod.metadata.ownerReferences) or not pod.pod.metadata.labels:
        return
    selector = LabelSelector(pod.pod.metadata.labels)
    yield SpreadConstraint(3, "kubernetes.io/hostname", "ScheduleAnyway", selector)
    yield SpreadConstraint(5, "topology.kubernetes.io/zone", "ScheduleAnyway", selector)

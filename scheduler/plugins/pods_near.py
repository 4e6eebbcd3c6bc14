"""InterPodAffinity: attraction and repulsion between pods by label, within topology domains.

Counts of matching pods are summed for each domain by `numpy.bincount` over the topology key's column, so a term costs
one pass over the pods it could match and one over the nodes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from scheduler import selectors
from scheduler.cache import Cache
from scheduler.columns import ABSENT, Ints, Mask, NodeTable, Scores
from scheduler.plugins import Verdict
from scheduler.pod_info import PodInfo
from scheduler.views import Affinity, PodTerm

NamespaceLabels = Callable[[str], Mapping[str, str]]
HARD_AFFINITY_WEIGHT = 1.0

NOT_MATCHED = "node(s) didn't match pod affinity rules"
REPELLED = "node(s) didn't match pod anti-affinity rules"
REPELLED_BY_OTHERS = "node(s) didn't satisfy existing pods anti-affinity rules"


def term_matches(term: PodTerm, owner: PodInfo, other: PodInfo, labels_of: NamespaceLabels) -> bool:
    """Whether `other` is one of the pods that `owner`'s term speaks of."""
    namespace = other.pod.metadata.namespace
    named = term.namespaces or ([] if term.namespaceSelector else [owner.pod.metadata.namespace])
    in_scope = namespace in named or (
        term.namespaceSelector is not None and selectors.matches(term.namespaceSelector, dict(labels_of(namespace)))
    )
    if not in_scope or not selectors.matches(term.labelSelector, other.pod.metadata.labels):
        return False
    own, theirs = owner.pod.metadata.labels, other.pod.metadata.labels
    same = all(own.get(k) == theirs.get(k) for k in term.matchLabelKeys if k in own)
    return same and all(own.get(k) != theirs.get(k) for k in term.mismatchLabelKeys if k in own)


def required(affinity: Affinity | None, anti: bool) -> list[PodTerm]:
    part = (affinity.podAntiAffinity if anti else affinity.podAffinity) if affinity else None
    return part.requiredDuringSchedulingIgnoredDuringExecution if part else []


def preferred(affinity: Affinity | None, anti: bool) -> list[tuple[float, PodTerm]]:
    part = (affinity.podAntiAffinity if anti else affinity.podAffinity) if affinity else None
    terms = part.preferredDuringSchedulingIgnoredDuringExecution if part else []
    return [(float(t.weight), t.podAffinityTerm) for t in terms]


def in_domains(column: Ints, rows: list[int], weights: list[float] | None = None) -> Scores:
    """For each node, the (weighted) number of `rows` in its domain; nodes without the key count nothing."""
    found = np.zeros(len(column))
    values = column[rows] if rows else np.zeros(0, dtype=np.int64)
    keyed = values != ABSENT
    if keyed.any():
        part = np.asarray(weights)[keyed] if weights is not None else None
        sums = np.bincount(values[keyed], weights=part, minlength=int(column.max()) + 1)
        found = np.where(column != ABSENT, sums[np.maximum(column, 0)], 0.0)
    return found


@dataclass(slots=True)
class InterPodAffinity:
    cache: Cache
    labels_of: NamespaceLabels

    name = "InterPodAffinity"

    def filter(self, pod: PodInfo, table: NodeTable) -> Verdict:
        reasons: dict[str, Mask] = {}
        affinity = pod.pod.spec.affinity
        repelled = np.zeros(table.size, dtype=np.bool_)
        for node, other in self.cache.pods():
            for term in required(other.pod.spec.affinity, anti=True):
                if node in table.rows and term_matches(term, other, pod, self.labels_of):
                    repelled |= in_domains(table.label(term.topologyKey), [table.rows[node]]) > 0
        if repelled.any():
            reasons[REPELLED_BY_OTHERS] = repelled & table.live
        against = np.zeros(table.size, dtype=np.bool_)
        for term in required(affinity, anti=True):
            against |= in_domains(table.label(term.topologyKey), self._rows(term, pod, table)) > 0
        if against.any():
            reasons[REPELLED] = against & table.live
        missing = self._unattracted(pod, table)
        if missing.any():
            reasons[NOT_MATCHED] = missing & table.live
        return Verdict(reasons, resolvable=NOT_MATCHED not in reasons)

    def _unattracted(self, pod: PodInfo, table: NodeTable) -> Mask:
        terms = required(pod.pod.spec.affinity, anti=False)
        missing = np.zeros(table.size, dtype=np.bool_)
        rows = [self._rows(term, pod, table) for term in terms]
        # The first pod of a group that attracts itself must be able to start somewhere.
        alone = not any(rows) and all(term_matches(term, pod, pod, self.labels_of) for term in terms)
        for term, matching in zip(terms, rows, strict=True):
            column = table.label(term.topologyKey)
            missing |= column == ABSENT
            if not alone:
                missing |= in_domains(column, matching) == 0
        return missing

    def _rows(self, term: PodTerm, pod: PodInfo, table: NodeTable) -> list[int]:
        return [
            table.rows[node]
            for node, other in self.cache.pods()
            if node in table.rows and term_matches(term, pod, other, self.labels_of)
        ]

    def score(self, pod: PodInfo, table: NodeTable, feasible: Mask) -> Scores:
        total = np.zeros(table.size)
        for anti, sign in ((False, 1.0), (True, -1.0)):
            for weight, term in preferred(pod.pod.spec.affinity, anti):
                total += sign * weight * in_domains(table.label(term.topologyKey), self._rows(term, pod, table))
        for node, other in self.cache.pods():
            theirs = other.pod.spec.affinity
            if theirs is None or node not in table.rows:
                continue
            wishes = [(w, t) for w, t in preferred(theirs, anti=False)]
            wishes += [(-w, t) for w, t in preferred(theirs, anti=True)]
            wishes += [(HARD_AFFINITY_WEIGHT, t) for t in required(theirs, anti=False)]
            for weight, term in wishes:
                if term_matches(term, other, pod, self.labels_of):
                    total += in_domains(table.label(term.topologyKey), [table.rows[node]], [weight])
        low, high = float(total[feasible].min(initial=0.0)), float(total[feasible].max(initial=0.0))
        return (total - low) * (100.0 / (high - low)) if high > low else np.zeros(table.size)

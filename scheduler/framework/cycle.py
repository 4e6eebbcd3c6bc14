"""Decide a pod's node from the cache as it is now.

Filters run in order over all nodes at once; each node's reasons are kept, so that an unschedulable pod's event and
`skiffctl why` can say what kept it away from every single node. Ties are broken by the random generator, as upstream
does by reservoir sampling.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from component_base.rng import Rng
from scheduler.cache import Cache
from scheduler.columns import Mask, NodeTable, Scores
from scheduler.plugins import Filter, Score
from scheduler.plugins.node_choice import NodeAffinity, NodeName, NodePorts, NodeUnschedulable
from scheduler.plugins.node_fit import BalancedAllocation, NodeResourcesFit
from scheduler.plugins.pods_near import InterPodAffinity, NamespaceLabels
from scheduler.plugins.taints import TaintToleration
from scheduler.plugins.topology_spread import PodTopologySpread
from scheduler.plugins.volume_binding import VolumeBinding
from scheduler.pod_info import PodInfo


@dataclass(frozen=True, slots=True)
class Profile:
    """Which plugins decide, and how much each score weighs (upstream's default profile)."""

    filters: Sequence[Filter]
    scores: Sequence[tuple[Score, float]]


def default_profile(cache: Cache, labels_of: NamespaceLabels, volumes: VolumeBinding) -> Profile:
    affinity, taints, fit = NodeAffinity(), TaintToleration(), NodeResourcesFit()
    spread, near = PodTopologySpread(cache), InterPodAffinity(cache, labels_of)
    return Profile(
        filters=(NodeUnschedulable(), NodeName(), taints, affinity, NodePorts(), fit, volumes, spread, near),
        scores=((taints, 3.0), (affinity, 2.0), (spread, 2.0), (near, 2.0), (fit, 1.0), (BalancedAllocation(), 1.0)),
    )


@dataclass(frozen=True, slots=True)
class Decision:
    """`node` is None when nothing fits; then `message` is what the user reads and `blocked_by` names the plugins."""

    node: str | None
    message: str = ""
    blocked_by: frozenset[str] = frozenset()
    feasible: int = 0
    reasons: Mapping[str, Mask] = field(default_factory=dict)
    resolvable: bool = False


def decide(pod: PodInfo, table: NodeTable, profile: Profile, rng: Rng, nominated: str = "") -> Decision:
    """`nominated` is the node on which room was made for the pod: it goes there if it can."""
    if len(table) == 0:
        return Decision(None, "no nodes available to schedule pods", frozenset({"NodeName"}))
    mask = table.live.copy()
    reasons: dict[str, Mask] = {}
    blocked: set[str] = set()
    resolvable = True
    for plugin in profile.filters:
        verdict = plugin.filter(pod, table)
        if verdict.everywhere:
            sentence = f"0/{len(table)} nodes are available: {verdict.everywhere}."
            return Decision(None, sentence, frozenset({plugin.name}))
        passing = verdict.passing(table)
        # A node already out keeps the reason of the filter that put it out, as upstream stops at the first.
        for sentence, failed in verdict.reasons.items():
            fresh = failed & mask
            if fresh.any():
                reasons[sentence] = reasons.get(sentence, np.zeros(table.size, dtype=np.bool_)) | fresh
                blocked.add(plugin.name)
                resolvable &= verdict.resolvable
        mask &= passing
        if not mask.any():
            break
    if not mask.any():
        return Decision(None, failure(len(table), reasons), frozenset(blocked), 0, reasons, resolvable)
    if nominated in table.rows and mask[table.rows[nominated]]:
        return Decision(nominated, feasible=1, reasons=reasons)
    row = best(total_scores(pod, table, profile, mask), mask, rng)
    return Decision(table.names[row], feasible=int(mask.sum()), reasons=reasons)


def total_scores(pod: PodInfo, table: NodeTable, profile: Profile, mask: Mask) -> Scores:
    total = np.zeros(table.size)
    if int(mask.sum()) > 1:
        for plugin, weight in profile.scores:
            total += weight * plugin.score(pod, table, mask)
    return total


def best(total: Scores, mask: Mask, rng: Rng) -> int:
    masked = np.where(mask, total, -np.inf)
    ties = np.flatnonzero(masked >= masked.max() - 1e-9)
    return int(ties[rng.randrange(len(ties))])


def failure(nodes: int, reasons: Mapping[str, Mask]) -> str:
    """Upstream's sentence: reasons sorted as text, each with the number of nodes it kept away."""
    counted = sorted(f"{int(mask.sum())} {sentence}" for sentence, mask in reasons.items())
    return f"0/{nodes} nodes are available: {', '.join(counted)}."

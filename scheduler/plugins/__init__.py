"""Filters and scores, one file each, vectorised over all nodes. Pure: they read the table and the pod, nothing else.

A filter returns `Verdict`: which nodes may run the pod, and for the others the reason upstream gives in the
FailedScheduling event. `resolvable` says whether evicting pods could change the verdict. A score returns a number
from 0 to 100 for each node; `framework.cycle` weighs and adds them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from scheduler.columns import Mask, NodeTable, Scores
from scheduler.pod_info import PodInfo

MAX_SCORE = 100.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """`reasons[sentence]` masks the nodes it applies to; a node may have several. Nodes in none of them pass.

    `everywhere` is said of the pod, not of nodes (upstream: a PreFilter's refusal); then no node passes.
    """

    reasons: Mapping[str, Mask] = field(default_factory=dict)
    resolvable: bool = False
    everywhere: str = ""

    def passing(self, table: NodeTable) -> Mask:
        mask = table.live & (not self.everywhere)
        for failed in self.reasons.values():
            mask &= ~failed
        return mask


class Filter(Protocol):
    name: str

    def filter(self, pod: PodInfo, table: NodeTable) -> Verdict: ...


class Score(Protocol):
    name: str

    def score(self, pod: PodInfo, table: NodeTable, feasible: Mask) -> Scores: ...


def normalise(scores: Scores, feasible: Mask, reverse: bool = False) -> Scores:
    """Scaled so that the best feasible node has 100; `reverse` makes the smallest the best."""
    highest = float(scores[feasible].max(initial=0.0))
    if highest == 0.0:
        return scores + (MAX_SCORE if reverse else 0.0)
    scaled = scores * (MAX_SCORE / highest)
    return MAX_SCORE - scaled if reverse else scaled

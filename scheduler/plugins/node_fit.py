"""NodeResourcesFit: enough CPU, memory, storage, extended resources and pod slots. Score: least allocated."""

from __future__ import annotations

import numpy as np

from scheduler.columns import Mask, NodeTable, Scores
from scheduler.plugins import MAX_SCORE, Verdict
from scheduler.pod_info import PodInfo


class NodeResourcesFit:
    name = "NodeResourcesFit"

    def filter(self, pod: PodInfo, table: NodeTable) -> Verdict:
        reasons: dict[str, Mask] = {}
        slots = table.column(table.allocatable, "pods")
        crowded = table.live & (table.pod_count + 1 > slots)
        if crowded.any():
            reasons["Too many pods"] = crowded
        for resource, amount in pod.requests.items():
            if amount == 0:
                continue
            free = table.column(table.allocatable, resource) - table.column(table.requested, resource)
            short = table.live & (free < amount)
            if short.any():
                reasons[f"Insufficient {resource}"] = short
        return Verdict(reasons, resolvable=True)

    def score(self, pod: PodInfo, table: NodeTable, feasible: Mask) -> Scores:
        """The mean share of CPU and memory that stays free once the pod is placed."""
        total = np.zeros(table.size)
        counted = np.zeros(table.size)
        for resource in ("cpu", "memory"):
            allocatable = table.column(table.allocatable, resource)
            used = table.column(table.weighed, resource) + pod.weighed.get(resource, 0)
            with np.errstate(divide="ignore", invalid="ignore"):
                share = np.where(allocatable > 0, (allocatable - used) * MAX_SCORE / allocatable, 0.0)
            total += np.clip(share, 0.0, MAX_SCORE)
            counted += allocatable > 0
        return np.where(counted > 0, total / np.maximum(counted, 1), 0.0)


class BalancedAllocation:
    """NodeResourcesBalancedAllocation: prefers nodes whose CPU and memory are used in equal parts."""

    name = "NodeResourcesBalancedAllocation"

    def score(self, pod: PodInfo, table: NodeTable, feasible: Mask) -> Scores:
        shares = []
        for resource in ("cpu", "memory"):
            allocatable = table.column(table.allocatable, resource)
            used = table.column(table.weighed, resource) + pod.weighed.get(resource, 0)
            with np.errstate(divide="ignore", invalid="ignore"):
                shares.append(np.where(allocatable > 0, np.minimum(used / allocatable, 1.0), 1.0))
        return np.asarray((1.0 - np.abs(shares[0] - shares[1]) / 2.0) * MAX_SCORE)

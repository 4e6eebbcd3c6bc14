"""Which changes of the cluster may help which waiting pods (KEP-4247, in coarse steps).

A hint that is too generous costs a decision; one that is too strict leaves a pod waiting for up to five minutes.
"""

from __future__ import annotations

from scheduler.queue import Waiting
from scheduler.views import Node, Pod

#: Plugins whose verdict a pod that leaves, shrinks or moves may change.
_BY_POD_GONE = frozenset({"NodeResourcesFit", "NodePorts", "PodTopologySpread", "InterPodAffinity"})
#: Plugins whose verdict a new or relabelled pod may change.
_BY_POD_NEW = frozenset({"PodTopologySpread", "InterPodAffinity"})


def node_appeared(waiting: Waiting) -> bool:
    """Anything may fit on a node nobody has seen."""
    return bool(waiting.blocked_by)


def node_changed(old: Node, new: Node) -> bool:
    """Whether the change can matter at all: heartbeats and statistics cannot."""
    return (
        old.metadata.labels != new.metadata.labels
        or old.spec != new.spec
        or old.status.allocatable != new.status.allocatable
    )


def pod_gone(waiting: Waiting) -> bool:
    return not waiting.blocked_by.isdisjoint(_BY_POD_GONE)


def pod_came(waiting: Waiting) -> bool:
    return not waiting.blocked_by.isdisjoint(_BY_POD_NEW)


def storage_changed(waiting: Waiting) -> bool:
    return "VolumeBinding" in waiting.blocked_by


def pod_matters(old: Pod, new: Pod) -> bool:
    """Whether a bound pod's change may free or attract: labels, requests after a resize, its end."""
    return (
        old.metadata.labels != new.metadata.labels
        or old.spec.containers != new.spec.containers
        or old.is_terminal != new.is_terminal
        or (old.metadata.deletionTimestamp is None) != (new.metadata.deletionTimestamp is None)
    )

"""VolumeBinding: a pod goes where its volumes are, or can be.

Claims that are bound tie the pod to the nodes their volumes reach. Claims of a class that waits for its first consumer
are given a volume only when the node is known: one that stands there already, or one that a provisioner then makes for
that node. Claims that are bound at once, but have not been, keep the pod away from every node.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from apimachinery.placement import NodeSelector, NodeSelectorTerm
from kubeclient.volumes import Claim, StorageClass, Volume, best_volume, storage
from scheduler import selectors
from scheduler.columns import Mask, NodeTable
from scheduler.plugins import Verdict
from scheduler.pod_info import PodInfo

NO_PROVISIONER = "kubernetes.io/no-provisioner"
CONFLICT = "node(s) had volume node affinity conflict"
NOTHING_TO_BIND = "node(s) didn't find available persistent volumes to bind"
NO_SUCH_VOLUME = "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)"
UNBOUND = "pod has unbound immediate PersistentVolumeClaims"


class Storage(Protocol):
    """The claims, volumes and classes as they are now."""

    def claim(self, key: str) -> Claim | None: ...

    def volume(self, name: str) -> Volume | None: ...

    def storage_class(self, name: str) -> StorageClass | None: ...

    def volumes_of_class(self, name: str) -> Iterable[Volume]: ...


@dataclass(frozen=True, slots=True)
class Binding:
    """What has to be written before the pod may be bound: `volume` is reserved, or the claim told its node."""

    claim: Claim
    volume: Volume | None
    told_at: int = 0
    """The claim's resource version that names the node."""


class VolumeBinding:
    name = "VolumeBinding"

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def filter(self, pod: PodInfo, table: NodeTable) -> Verdict:
        if not pod.claims:
            return Verdict()
        reasons: dict[str, Mask] = {}
        waiting: list[Claim] = []
        for key in pod.claims:
            claim = self._storage.claim(key)
            if claim is None:
                return Verdict(everywhere=f'persistentvolumeclaim "{key.partition("/")[2]}" not found')
            if claim.metadata.deletionTimestamp is not None:
                return Verdict(everywhere=f'persistentvolumeclaim "{claim.metadata.name}" is being deleted')
            if claim.status.phase == "Lost":
                text = f'persistentvolumeclaim "{claim.metadata.name}" bound to non-existent persistentvolume'
                return Verdict(everywhere=f'{text} "{claim.spec.volumeName}"')
            if claim.is_bound:
                _add(reasons, *self._kept_away(claim, table))
            elif self._waits(claim):
                waiting.append(claim)
            else:
                return Verdict(everywhere=UNBOUND)
        if waiting:
            missing = table.live.copy()
            for name, row in table.rows.items():
                missing[row] = self.bindings_of(waiting, table, name) is None
            _add(reasons, NOTHING_TO_BIND, missing)
        return Verdict(reasons)

    def bindings(self, pod: PodInfo, table: NodeTable, node: str) -> list[Binding]:
        """For a node that passed the filter."""
        claims = [claim for key in pod.claims if (claim := self._storage.claim(key)) is not None and not claim.is_bound]
        return self.bindings_of(claims, table, node) or []

    def bindings_of(self, claims: list[Claim], table: NodeTable, node: str) -> list[Binding] | None:
        """A volume for each claim, no volume twice, the smallest claim first; None if one of them gets nothing."""
        chosen: list[Binding] = []
        taken: set[str] = set()
        for claim in sorted(claims, key=lambda c: storage(c.spec.resources.requests)):
            reachable = [
                volume
                for volume in self._storage.volumes_of_class(claim.class_name)
                if volume.metadata.name not in taken and _reaches(volume, table, node)
            ]
            volume = best_volume(reachable, claim)
            if volume is not None:
                taken.add(volume.metadata.name)
            elif not self._can_be_made(claim, table, node):
                return None
            chosen.append(Binding(claim, volume))
        return chosen

    def _kept_away(self, claim: Claim, table: NodeTable) -> tuple[str, Mask]:
        volume = self._storage.volume(claim.spec.volumeName)
        if volume is None:
            return NO_SUCH_VOLUME, table.live.copy()
        return CONFLICT, table.live & ~_selected(_required(volume), table)

    def _waits(self, claim: Claim) -> bool:
        found = self._storage.storage_class(claim.class_name) if claim.class_name else None
        return found is not None and found.waits_for_consumer

    def _can_be_made(self, claim: Claim, table: NodeTable, node: str) -> bool:
        found = self._storage.storage_class(claim.class_name)
        if found is None or found.provisioner == NO_PROVISIONER:
            return False
        return not found.allowedTopologies or bool(_selected(_topology(found), table)[table.rows[node]])


def _topology(storage_class: StorageClass) -> NodeSelector:
    return NodeSelector([NodeSelectorTerm(term.as_requirements()) for term in storage_class.allowedTopologies])


def _required(volume: Volume) -> NodeSelector | None:
    return volume.spec.nodeAffinity.required if volume.spec.nodeAffinity is not None else None


def _reaches(volume: Volume, table: NodeTable, node: str) -> bool:
    return bool(_selected(_required(volume), table)[table.rows[node]])


def _selected(selector: NodeSelector | None, table: NodeTable) -> Mask:
    if selector is None:
        return table.live
    mask = np.zeros(table.size, dtype=np.bool_)
    for term in selector.nodeSelectorTerms:
        mask |= selectors.term_mask(term, table)
    return mask


def _add(reasons: dict[str, Mask], sentence: str, mask: Mask) -> None:
    if mask.any():
        reasons[sentence] = reasons[sentence] | mask if sentence in reasons else mask

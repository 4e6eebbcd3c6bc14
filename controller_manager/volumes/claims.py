"""One claim's way to a volume: found, asked for by name, waited for, provisioned by others, or lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from controller_manager.protection import claims_of
from controller_manager.views import Pod
from controller_manager.volumes.binding import JSON, bind, claim_path, claim_reference
from kubeclient.informer import Informers
from kubeclient.plan import NOTHING, Action, Event, Patch, Plan, merge_status
from kubeclient.rest import MERGE
from kubeclient.volumes import (
    BETA_PROVISIONER,
    BOUND_BY_CONTROLLER,
    CLAIMS,
    CLASSES,
    PROVISIONER,
    SELECTED_NODE,
    VOLUMES,
    Claim,
    StorageClass,
    Volume,
    best_volume,
    default_class,
    mismatch,
)

RESYNC = 15.0
BUILT_IN = "kubernetes.io/"


class Claims:
    """Gives each claim a volume.

    The volume is reserved first (`claimRef`, conditional on its version, so that two claims cannot get one volume),
    then the claim is told. Whatever is interrupted in between is completed by the next look at the same claim.
    """

    def __init__(self, informers: Informers) -> None:
        self._claims = informers.of(CLAIMS, Claim)
        self._volumes = informers.of(VOLUMES, Volume)
        self._classes = informers.of(CLASSES, StorageClass)
        self._pods = informers.of("/api/v1/pods", Pod)
        self._claims.add_index("class of unbound", lambda c: [] if c.is_bound else [c.class_name])
        self._volumes.add_index("class", lambda v: [v.class_name])
        self._pods.add_index("waiting with claim", _unscheduled_claims)

    def watch(self, enqueue: Callable[[str], None]) -> None:
        self._claims.add_key_handler(enqueue)

        def on_volume(old: Volume | None, new: Volume | None) -> None:
            volume = new or old
            if volume is None:
                return
            if volume.spec.claimRef is not None:
                enqueue(f"{volume.spec.claimRef.namespace}/{volume.spec.claimRef.name}")
            else:
                for claim in self._claims.indexed("class of unbound", volume.class_name):
                    enqueue(claim.metadata.key)

        def on_class(old: StorageClass | None, new: StorageClass | None) -> None:
            names = {"", new.metadata.name} if new is not None else set()
            for name in names:
                for claim in self._claims.indexed("class of unbound", name):
                    enqueue(claim.metadata.key)

        self._volumes.add_handler(on_volume)
        self._classes.add_handler(on_class)

    def plan(self, key: str) -> Plan:
        claim = self._claims.get(key)
        if claim is None:
            return NOTHING
        if claim.is_bound:
            return self._keep(claim)
        if claim.metadata.deletionTimestamp is not None:
            return NOTHING
        return self._take_named(claim) if claim.spec.volumeName else self._find(claim)

    def _keep(self, claim: Claim) -> Plan:
        if not claim.spec.volumeName:
            message = "Bound claim has lost reference to PersistentVolume. Data on the volume is lost!"
            return _lose(claim, "ClaimLost", message)
        volume = self._volumes.get(claim.spec.volumeName)
        if volume is None:
            return _lose(claim, "ClaimLost", "Bound claim has lost its PersistentVolume. Data on the volume is lost!")
        if volume.spec.claimRef is not None and not volume.spec.claimRef.names(claim):
            message = "Two claims are bound to the same volume, this one is bound incorrectly"
            return _lose(claim, "ClaimMisbound", message)
        return bind(volume, claim)

    def _take_named(self, claim: Claim) -> Plan:
        """Somebody wrote a volume's name into the claim."""
        volume = self._volumes.get(claim.spec.volumeName)
        if volume is None:
            return _wait(claim)
        reference = volume.spec.claimRef
        if reference is None:
            reason = mismatch(volume, claim)
            if reason:
                text = f'Cannot bind to requested volume "{volume.metadata.name}": {reason}'
                return _wait(claim, Event(claim_reference(claim), "Warning", "VolumeMismatch", text))
            return bind(volume, claim)
        if reference.names(claim):
            return bind(volume, claim)
        if BOUND_BY_CONTROLLER in claim.metadata.annotations:
            # Two of our own writes crossed; the name is ours to take back.
            back = {"metadata": {"annotations": {BOUND_BY_CONTROLLER: None}}, "spec": {"volumeName": None}}
            return Plan([[Patch(claim_path(claim), back, MERGE)]])
        text = f'volume "{volume.metadata.name}" already bound to a different claim.'
        return _wait(claim, Event(claim_reference(claim), "Warning", "FailedBinding", text))

    def _find(self, claim: Claim) -> Plan:
        storage_class = self._classes.get(claim.class_name) if claim.class_name else None
        waits = storage_class is not None and storage_class.waits_for_consumer
        candidates = self._volumes.indexed("class", claim.class_name)
        volume = best_volume(candidates, claim, reserved_only=waits)
        if volume is not None:
            return bind(volume, claim)
        if not claim.has_class:
            assigned = default_class(self._classes.values())
            if assigned is not None:
                body = {"spec": {"storageClassName": assigned.metadata.name}}
                return Plan([[Patch(claim_path(claim), body, MERGE)]])
        if waits and SELECTED_NODE not in claim.metadata.annotations:
            return _wait(claim, Event(claim_reference(claim), "Normal", *self._awaited(claim)))
        if claim.class_name:
            return self._provision(claim, storage_class)
        text = "no persistent volumes available for this claim and no storage class is set"
        return _wait(claim, Event(claim_reference(claim), "Normal", "FailedBinding", text))

    def _awaited(self, claim: Claim) -> tuple[str, str]:
        names = sorted(pod.metadata.name for pod in self._pods.indexed("waiting with claim", claim.metadata.key))
        if not names:
            return "WaitForFirstConsumer", "waiting for first consumer to be created before binding"
        word = "pod" if len(names) == 1 else "pods"
        return "WaitForPodScheduled", f"waiting for {word} {','.join(names)} to be scheduled"

    def _provision(self, claim: Claim, storage_class: StorageClass | None) -> Plan:
        """Volumes are made by provisioners outside; the claim's annotations name the one that is meant."""
        reference = claim_reference(claim)
        if storage_class is None:
            text = f'storageclass.storage.k8s.io "{claim.class_name}" not found'
            return _wait(claim, Event(reference, "Warning", "ProvisioningFailed", text))
        provisioner = storage_class.provisioner
        if provisioner.startswith(BUILT_IN):
            text = f"no volume plugin matched name: {provisioner}"
            return _wait(claim, Event(reference, "Warning", "ProvisioningFailed", text))
        actions: list[Action] = []
        if claim.metadata.annotations.get(PROVISIONER) != provisioner:
            notes = {PROVISIONER: provisioner, BETA_PROVISIONER: provisioner}
            actions.append(Patch(claim_path(claim), {"metadata": {"annotations": notes}}, MERGE))
        text = (
            f"Waiting for a volume to be created either by the external provisioner '{provisioner}' or manually by the "
            "system administrator. If volume creation is delayed, please verify that the provisioner is running and "
            "correctly registered."
        )
        return _wait(claim, Event(reference, "Normal", "ExternalProvisioning", text), *actions)


def _unscheduled_claims(pod: Pod) -> list[str]:
    if pod.spec.nodeName or pod.is_terminal:
        return []
    return claims_of(pod)


def _wait(claim: Claim, *actions: Action) -> Plan:
    """Stays Pending, told why; looked at again since not everything that helps is an event for this claim."""
    batch = list(actions)
    if claim.status.phase != "Pending":
        batch.append(merge_status(claim_path(claim), {"phase": "Pending"}))
    return Plan([batch], requeue_after=RESYNC)


def _lose(claim: Claim, reason: str, message: str) -> Plan:
    if claim.status.phase == "Lost":
        return NOTHING
    status: JSON = {"phase": "Lost", "accessModes": None, "capacity": None}
    event = Event(claim_reference(claim), "Warning", reason, message)
    batch: list[Any] = [merge_status(claim_path(claim), status), event]
    return Plan([batch])

"""One volume's life beside its claim: available, bound, released, and what its reclaim policy then asks for."""

from __future__ import annotations

from collections.abc import Callable

from controller_manager.volumes.binding import JSON, volume_path, volume_reference
from kubeclient.informer import Informers
from kubeclient.plan import NOTHING, Action, Event, Patch, Plan, merge_status
from kubeclient.rest import MERGE
from kubeclient.volumes import (
    BOUND_BY_CONTROLLER,
    CLAIMS,
    PROVISIONED_BY,
    VOLUMES,
    Claim,
    Volume,
)


class Volumes:
    """Keeps a volume's phase true and lets go of claims that are gone.

    A released volume is never given to another claim: the data is the old claim's. `Delete` is carried out by whoever
    provisioned the volume; `Recycle` is deprecated upstream and has no recycler here.
    """

    def __init__(self, informers: Informers) -> None:
        self._claims = informers.of(CLAIMS, Claim)
        self._volumes = informers.of(VOLUMES, Volume)

    def watch(self, enqueue: Callable[[str], None]) -> None:
        self._volumes.add_key_handler(enqueue)

        def on_claim(old: Claim | None, new: Claim | None) -> None:
            for claim in (old, new):
                if claim is not None and claim.spec.volumeName:
                    enqueue(claim.spec.volumeName)

        self._claims.add_handler(on_claim)

    def plan(self, key: str) -> Plan:
        volume = self._volumes.get(key)
        if volume is None:
            return NOTHING
        reference = volume.spec.claimRef
        if reference is None or not reference.uid:
            return _phase(volume, "Available")
        claim = self._claims.get(f"{reference.namespace}/{reference.name}")
        if claim is None or claim.metadata.uid != reference.uid:
            return self._release(volume)
        if claim.spec.volumeName == volume.metadata.name:
            return _phase(volume, "Bound")
        if not claim.spec.volumeName:
            # The claim's controller completes the binding, or the claim says no.
            return _phase(volume, "Available") if not volume.status.phase else NOTHING
        return self._part(volume)

    def _release(self, volume: Volume) -> Plan:
        ended = volume.status.phase in ("Released", "Failed")
        batch: list[Action] = [] if ended else [merge_status(volume_path(volume), {"phase": "Released"})]
        complaint = None if volume.metadata.deletionTimestamp is not None else _complaint(volume)
        if complaint is not None and volume.status.phase != "Failed":
            reason, message = complaint
            batch = [
                merge_status(volume_path(volume), {"phase": "Failed", "message": message}),
                Event(volume_reference(volume), "Warning", reason, message),
            ]
        return Plan([batch]) if batch else NOTHING

    def _part(self, volume: Volume) -> Plan:
        """The claim went to another volume; what a person reserved stays reserved by name."""
        if BOUND_BY_CONTROLLER in volume.metadata.annotations:
            reference: JSON | None = None
        else:
            reference = {"uid": None, "resourceVersion": None}
        body: JSON = {
            "metadata": {
                "resourceVersion": volume.metadata.resourceVersion,
                "annotations": {BOUND_BY_CONTROLLER: None},
            },
            "spec": {"claimRef": reference},
        }
        status = merge_status(volume_path(volume), {"phase": "Available"})
        return Plan([[Patch(volume_path(volume), body, MERGE)], [status]])


def _complaint(volume: Volume) -> tuple[str, str] | None:
    policy = volume.spec.persistentVolumeReclaimPolicy
    if policy == "Recycle":
        return "VolumeFailedRecycle", "No recycler plugin found for the volume!"
    if policy == "Delete" and PROVISIONED_BY not in volume.metadata.annotations:
        return (
            "VolumeFailedDelete",
            "error getting deleter volume plugin for volume: no deletable volume plugin matched",
        )
    return None


def _phase(volume: Volume, phase: str) -> Plan:
    if volume.status.phase == phase:
        return NOTHING
    return Plan([[merge_status(volume_path(volume), {"phase": phase, "message": None, "reason": None})]])

"""The writes that tie a volume and a claim together, in an order that a crash at any point leaves repairable. Pure."""

from __future__ import annotations

from typing import Any

from kubeclient.plan import Action, Patch, Plan, merge_status
from kubeclient.rest import MERGE
from kubeclient.volumes import BIND_COMPLETED, BOUND_BY_CONTROLLER, Claim, Volume

JSON = dict[str, Any]


def claim_path(claim: Claim) -> str:
    return f"/api/v1/namespaces/{claim.metadata.namespace}/persistentvolumeclaims/{claim.metadata.name}"


def volume_path(volume: Volume) -> str:
    return f"/api/v1/persistentvolumes/{volume.metadata.name}"


def claim_reference(claim: Claim) -> JSON:
    meta = claim.metadata
    head = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "resourceVersion": meta.resourceVersion}
    return {**head, "namespace": meta.namespace, "name": meta.name, "uid": meta.uid}


def volume_reference(volume: Volume) -> JSON:
    meta = volume.metadata
    head = {"apiVersion": "v1", "kind": "PersistentVolume", "resourceVersion": meta.resourceVersion}
    return {**head, "name": meta.name, "uid": meta.uid}


def bind(volume: Volume, claim: Claim) -> Plan:
    """Reserve the volume, mark it Bound, name it in the claim, mark that Bound; what is done already is left out.

    `bound-by-controller` on either side says that we chose the partner, so that we may also let go of it.
    """
    batches: list[list[Action]] = [
        reserve(volume, claim),
        _phase(volume, "Bound"),
        _name_volume(volume, claim),
        _claim_status(volume, claim),
    ]
    return Plan([batch for batch in batches if batch])


def reserve(volume: Volume, claim: Claim) -> list[Action]:
    reference = volume.spec.claimRef
    if reference is not None and reference.uid == claim.metadata.uid:
        return []
    body: JSON = {
        "metadata": {"resourceVersion": volume.metadata.resourceVersion},
        "spec": {"claimRef": claim_reference(claim)},
    }
    if reference is None:
        body["metadata"]["annotations"] = {BOUND_BY_CONTROLLER: "yes"}
    return [Patch(volume_path(volume), body, MERGE, gone_is_fine=False)]


def _phase(volume: Volume, phase: str) -> list[Action]:
    if volume.status.phase == phase:
        return []
    return [merge_status(volume_path(volume), {"phase": phase, "message": None, "reason": None})]


def _name_volume(volume: Volume, claim: Claim) -> list[Action]:
    notes: JSON = {}
    body: JSON = {}
    if claim.spec.volumeName != volume.metadata.name:
        body["spec"] = {"volumeName": volume.metadata.name}
        notes[BOUND_BY_CONTROLLER] = "yes"
    if not claim.is_bound:
        notes[BIND_COMPLETED] = "yes"
    if not notes:
        return []
    # By uid, not by version: the claim may have been labelled meanwhile, but must not be another one.
    return [Patch(claim_path(claim), {**body, "metadata": {"uid": claim.metadata.uid, "annotations": notes}}, MERGE)]


def _claim_status(volume: Volume, claim: Claim) -> list[Action]:
    status: JSON = {}
    if claim.status.phase != "Bound":
        status["phase"] = "Bound"
    if claim.status.accessModes != volume.spec.accessModes:
        status["accessModes"] = volume.spec.accessModes
    # The size of a claim that is bound already is told by whoever resizes it.
    if (claim.status.phase != "Bound" or not claim.status.capacity) and claim.status.capacity != volume.spec.capacity:
        status["capacity"] = volume.spec.capacity
    wanted = volume.spec.volumeAttributesClassName
    if claim.status.phase != "Bound" and wanted and claim.status.currentVolumeAttributesClassName != wanted:
        status["currentVolumeAttributesClassName"] = wanted
    return [merge_status(claim_path(claim), status)] if status else []

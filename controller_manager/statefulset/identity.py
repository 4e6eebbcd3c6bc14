"""What makes a pod of a StatefulSet that pod: its name and number, its host name, its claims."""

from __future__ import annotations

from typing import Any

from controller_manager.ownership import Owner
from controller_manager.statefulset.views import StatefulSet
from controller_manager.views import Pod
from kubeclient.plan import Patch
from kubeclient.rest import MERGE
from kubeclient.views import Meta
from kubeclient.volumes import Claim

REVISION_LABEL = "controller-revision-hash"
NAME_LABEL = "statefulset.kubernetes.io/pod-name"
INDEX_LABEL = "apps.kubernetes.io/pod-index"


def ordinal(found: StatefulSet, meta: Meta) -> int | None:
    """None for a name that is not the set's with a number after it."""
    parent, _, number = meta.name.rpartition("-")
    if parent != found.metadata.name or not (number.isascii() and number.isdigit()):
        return None
    return int(number)


def revision_of(pod: Pod) -> str:
    return pod.metadata.labels.get(REVISION_LABEL, "")


def claim_names(found: StatefulSet, number: int) -> dict[str, str]:
    """Claims of a pod by the names of their templates."""
    names = [template["metadata"]["name"] for template in found.spec.volumeClaimTemplates]
    return {name: f"{name}-{found.metadata.name}-{number}" for name in names}


def pod_for(found: StatefulSet, owner: Owner, number: int, template: dict[str, Any], revision: str) -> dict[str, Any]:
    metadata, spec = template.get("metadata") or {}, dict(template.get("spec") or {})
    name = f"{found.metadata.name}-{number}"
    claims = claim_names(found, number)
    if claims:
        others = [volume for volume in spec.get("volumes") or () if volume.get("name") not in claims]
        own = [{"name": key, "persistentVolumeClaim": {"claimName": value}} for key, value in claims.items()]
        spec["volumes"] = [*own, *others]
    if found.spec.serviceName:
        spec["subdomain"] = found.spec.serviceName
    labels = {**(metadata.get("labels") or {}), **identity_labels(name, number), REVISION_LABEL: revision}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            **{k: metadata[k] for k in ("annotations", "finalizers") if metadata.get(k)},
            "name": name,
            "namespace": found.metadata.namespace,
            "labels": labels,
            "ownerReferences": [owner.reference()],
        },
        "spec": {**spec, "hostname": name},
    }


def identity_labels(name: str, number: int) -> dict[str, str]:
    return {NAME_LABEL: name, INDEX_LABEL: str(number)}


def claims_for(found: StatefulSet, owner: Owner, number: int) -> list[dict[str, Any]]:
    """The claims as they are made, owned by the set if they are to go with it."""
    made = []
    for template in found.spec.volumeClaimTemplates:
        metadata = template["metadata"]
        body: dict[str, Any] = {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {
                "name": f"{metadata['name']}-{found.metadata.name}-{number}",
                "namespace": found.metadata.namespace,
                "labels": {**(metadata.get("labels") or {}), **found.spec.selector.matchLabels},
            },
            "spec": template.get("spec") or {},
        }
        if metadata.get("annotations"):
            body["metadata"]["annotations"] = metadata["annotations"]
        if found.retention.whenDeleted == "Delete":
            body["metadata"]["ownerReferences"] = [_reference(owner)]
        made.append(body)
    return made


def retain(found: StatefulSet, owner: Owner, pod: Pod, claim: Claim, condemned: bool) -> Patch | None:
    """Makes the claim go with the set, or with a pod that is scaled away, or with nothing."""
    wanted: list[dict[str, Any]] = []
    if condemned and found.retention.whenScaled == "Delete":
        wanted = [_reference(Owner("v1", "Pod", pod.metadata))]
    elif found.retention.whenDeleted == "Delete":
        wanted = [_reference(owner)]
    ours = {found.metadata.uid, pod.metadata.uid}
    present = {reference.uid for reference in claim.metadata.ownerReferences}
    if present & ours == {reference["uid"] for reference in wanted}:
        return None
    others = [
        {"apiVersion": r.apiVersion, "kind": r.kind, "name": r.name, "uid": r.uid, "controller": r.controller}
        for r in claim.metadata.ownerReferences
        if r.uid not in ours
    ]
    meta = claim.metadata
    body = {"metadata": {"resourceVersion": meta.resourceVersion, "ownerReferences": [*others, *wanted]}}
    return Patch(f"/api/v1/namespaces/{meta.namespace}/persistentvolumeclaims/{meta.name}", body, MERGE)


def _reference(owner: Owner) -> dict[str, Any]:
    return {key: value for key, value in owner.reference().items() if key != "blockOwnerDeletion"}

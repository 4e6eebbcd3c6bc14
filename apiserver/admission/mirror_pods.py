"""The pods that a kubelet may create, mirrors of those that it read from files, and what it may write about others."""

from __future__ import annotations

from typing import Any

from apimachinery import errors
from apimachinery.fields import quote
from apiserver.admission.chain import refuse
from apiserver.authz import references
from apiserver.ports import JSON, AdmissionRequest, Operation

_FREE_VOLUMES = frozenset(
    {
        "awsElasticBlockStore",
        "azureDisk",
        "cephfs",
        "cinder",
        "downwardAPI",
        "emptyDir",
        "fc",
        "flexVolume",
        "flocker",
        "gcePersistentDisk",
        "gitRepo",
        "hostPath",
        "image",
        "iscsi",
        "nfs",
        "photonPersistentDisk",
        "portworxVolume",
        "quobyte",
        "rbd",
        "scaleIO",
        "storageos",
        "vsphereVolume",
    }
)
_REFERRING_VOLUMES = {
    "configMap": "configmaps (via configmap volumes)",
    "secret": "secrets (via secret volumes)",
    "csi": "csidrivers (via CSI volumes)",
    "glusterfs": "endpoints (via glusterFS volumes)",
    "persistentVolumeClaim": "persistentvolumeclaims",
    "ephemeral": "persistentvolumeclaims (via ephemeral volumes)",
    "azureFile": "secrets (via azureFile volumes)",
}
_REFERRING_PROJECTIONS = {
    "configMap": "configmaps (via projected volumes)",
    "secret": "secrets (via projected volumes)",
    "serviceAccountToken": "serviceaccounts (via projected volumes)",
    "clusterTrustBundle": "clustertrustbundles",
    "podCertificate": "podcertificates",
}


def check_create(node: str, request: AdmissionRequest, stored_node: JSON | None) -> None:
    pod = request.obj
    assert pod is not None
    metadata, me = pod["metadata"], f"node {quote(node)}"
    if references.MIRROR not in (metadata.get("annotations") or {}):
        annotation = quote(references.MIRROR)
        raise refuse(request, f"pod does not have {annotation} annotation, {me} can only create mirror pods")
    if (pod.get("spec") or {}).get("nodeName") != node:
        raise refuse(request, f"{me} can only create pods with spec.nodeName set to itself")
    owners = metadata.get("ownerReferences") or []
    if len(owners) > 1:
        raise refuse(request, f"{me} can only create pods with a single owner reference set to itself")
    if not owners or (owners[0].get("apiVersion"), owners[0].get("kind"), owners[0].get("name")) != (
        "v1",
        "Node",
        node,
    ):
        raise refuse(request, f"{me} can only create pods with an owner reference set to itself")
    if not owners[0].get("controller"):
        raise refuse(request, f"{me} can only create pods with a controller owner reference set to itself")
    if owners[0].get("blockOwnerDeletion"):
        raise refuse(request, f"{me} must not set blockOwnerDeletion on an owner reference")
    if stored_node is None:
        raise errors.not_found("nodes", "", node)
    uid, owner_uid = stored_node["metadata"]["uid"], owners[0].get("uid", "")
    if owner_uid != uid:
        raise refuse(request, f"node {node} UID mismatch: expected {owner_uid} got {uid}")
    reference = refers_to(pod)
    if reference:
        raise refuse(request, f"{me} can not create pods that reference {reference}")


def check_status(node: str, request: AdmissionRequest) -> None:
    if request.operation is not Operation.UPDATE or request.obj is None or request.old is None:
        raise refuse(request, f"unexpected operation {quote(request.operation.value)}")
    me, new, old = f"node {quote(node)}", request.obj, request.old
    if (old.get("spec") or {}).get("nodeName") != node:
        raise refuse(request, f"{me} can only update pod status for pods with spec.nodeName set to itself")
    if (old["metadata"].get("labels") or {}) != (new["metadata"].get("labels") or {}):
        raise refuse(request, f"{me} cannot update labels through pod status")
    before, after = old.get("status") or {}, new.get("status") or {}
    if (before.get("resourceClaimStatuses") or []) != (after.get("resourceClaimStatuses") or []):
        raise refuse(request, f"{me} cannot update resource claim statues")
    if before.get("extendedResourceClaimStatus") != after.get("extendedResourceClaimStatus"):
        raise refuse(request, f"{me} cannot update extended resource claim status")


def refers_to(pod: JSON) -> str:
    """What of the API the pod needs, "" for nothing."""
    spec = pod.get("spec") or {}
    if spec.get("serviceAccountName"):
        return "serviceaccounts"
    for kind in ("secrets", "configmaps"):
        if references.names(pod, kind):
            return kind
    if spec.get("resourceClaims"):
        return "resourceclaims"
    return next(filter(None, (_volume_refers_to(volume) for volume in spec.get("volumes") or ())), "")


def _volume_refers_to(volume: dict[str, Any]) -> str:
    sources = [key for key, value in volume.items() if key != "name" and value is not None]
    for source in sources:
        if source in _REFERRING_VOLUMES:
            return _REFERRING_VOLUMES[source]
        if source == "projected":
            for projection in volume["projected"].get("sources") or ():
                for key, text in _REFERRING_PROJECTIONS.items():
                    if projection.get(key) is not None:
                        return text
        elif source not in _FREE_VOLUMES:
            return f"an unknown volume type {quote(source)}"
    return ""

"""Which secrets, config maps, claims and accounts a pod or a volume needs: what its node may therefore read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

MIRROR = "kubernetes.io/config.mirror"

#: kind, namespace, name; kinds are plurals of resources
Reference = tuple[str, str, str]

_POD_VOLUME_SECRETS = {
    "azureFile": "secretName",
    "cephfs": "secretRef",
    "cinder": "secretRef",
    "flexVolume": "secretRef",
    "rbd": "secretRef",
    "secret": "secretName",
    "scaleIO": "secretRef",
    "iscsi": "secretRef",
    "storageos": "secretRef",
    "csi": "nodePublishSecretRef",
}
_VOLUME_SECRETS = {
    "azureFile": ("secretName",),
    "cephfs": ("secretRef",),
    "cinder": ("secretRef",),
    "flexVolume": ("secretRef",),
    "rbd": ("secretRef",),
    "scaleIO": ("secretRef",),
    "iscsi": ("secretRef",),
    "storageos": ("secretRef",),
    "csi": ("nodePublishSecretRef", "nodeStageSecretRef", "nodeExpandSecretRef"),
}


def of_pod(pod: Mapping[str, Any]) -> set[Reference]:
    """Empty for mirror pods: a node must not gain rights by a pod that it created itself."""
    metadata, spec = pod["metadata"], pod.get("spec") or {}
    if MIRROR in (metadata.get("annotations") or {}):
        return set()
    namespace = metadata["namespace"]
    found = {(kind, namespace, name) for kind, name in _of_spec(metadata["name"], spec) if name}
    status = pod.get("status") or {}
    chosen = {entry["name"]: entry.get("resourceClaimName") for entry in status.get("resourceClaimStatuses") or ()}
    for claim in spec.get("resourceClaims") or ():
        name = claim.get("resourceClaimName") or chosen.get(claim["name"])
        if name:
            found.add(("resourceclaims", namespace, name))
    extended = (status.get("extendedResourceClaimStatus") or {}).get("resourceClaimName")
    if extended:
        found.add(("resourceclaims", namespace, extended))
    return found


def names(pod: Mapping[str, Any], kind: str) -> set[str]:
    """Those of one kind that the pod's spec names, of mirror pods too."""
    return {name for found, name in _of_spec(pod["metadata"].get("name", ""), pod["spec"]) if found == kind and name}


def _of_spec(pod_name: str, spec: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "serviceaccounts", spec.get("serviceAccountName") or ""
    for pull in spec.get("imagePullSecrets") or ():
        yield "secrets", pull.get("name") or ""
    for key in ("initContainers", "containers", "ephemeralContainers"):
        for container in spec.get(key) or ():
            yield from _of_container(container)
    for volume in spec.get("volumes") or ():
        yield from _of_volume(pod_name, volume)


def _of_container(container: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for source in container.get("envFrom") or ():
        yield "secrets", (source.get("secretRef") or {}).get("name") or ""
        yield "configmaps", (source.get("configMapRef") or {}).get("name") or ""
    for variable in container.get("env") or ():
        source = variable.get("valueFrom") or {}
        yield "secrets", (source.get("secretKeyRef") or {}).get("name") or ""
        yield "configmaps", (source.get("configMapKeyRef") or {}).get("name") or ""


def _of_volume(pod_name: str, volume: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for source, key in _POD_VOLUME_SECRETS.items():
        if volume.get(source):
            yield "secrets", _name(volume[source].get(key))
    yield "configmaps", (volume.get("configMap") or {}).get("name") or ""
    for source in (volume.get("projected") or {}).get("sources") or ():
        yield "secrets", (source.get("secret") or {}).get("name") or ""
        yield "configmaps", (source.get("configMap") or {}).get("name") or ""
    yield "persistentvolumeclaims", (volume.get("persistentVolumeClaim") or {}).get("claimName") or ""
    if volume.get("ephemeral"):
        yield "persistentvolumeclaims", f"{pod_name}-{volume['name']}"


def of_volume(volume: Mapping[str, Any]) -> tuple[tuple[str, str] | None, set[tuple[str, str]]]:
    """The claim (namespace, name) that a PersistentVolume is bound to, and the secrets a node needs to mount it."""
    spec = volume.get("spec") or {}
    claim = spec.get("claimRef")
    if not claim:
        return None, set()
    bound = (claim.get("namespace") or "", claim.get("name") or "")
    secrets = set()
    for source, keys in _VOLUME_SECRETS.items():
        for key in keys if spec.get(source) else ():
            value = spec[source].get(key)
            name = _name(value)
            namespace = value.get("namespace") if isinstance(value, Mapping) else spec[source].get("secretNamespace")
            if name:
                secrets.add((namespace or bound[0], name))
    return bound, secrets


def _name(value: object) -> str:
    """Of a plain name or of a reference."""
    if isinstance(value, Mapping):
        return str(value.get("name") or "")
    return str(value or "")

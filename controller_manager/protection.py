"""Claims, volumes and attribute classes in use outlive the request to delete them: a finalizer holds them till then.

Admission puts the finalizer on; without these controllers nothing would ever take it off.
"""

from __future__ import annotations

from collections.abc import Callable

from controller_manager.views import Pod
from kubeclient.informer import Informers
from kubeclient.plan import NOTHING, Patch, Plan
from kubeclient.views import Meta
from kubeclient.volumes import ATTRIBUTES_CLASSES, CLAIMS, VOLUMES, AttributesClass, Claim, Volume

CLAIM_FINALIZER = "kubernetes.io/pvc-protection"
VOLUME_FINALIZER = "kubernetes.io/pv-protection"
ATTRIBUTES_FINALIZER = "kubernetes.io/vac-protection"


class ClaimProtectionController:
    name = "pvc_protection"

    def __init__(self, informers: Informers) -> None:
        self._claims = informers.of(CLAIMS, Claim)
        self._pods = informers.of("/api/v1/pods", Pod)
        self._pods.add_index("claim", claims_of)

    def watch(self, enqueue: Callable[[str], None]) -> None:
        self._claims.add_key_handler(enqueue)

        def on_pod(old: Pod | None, new: Pod | None) -> None:
            # A pod only ever lets go: by leaving. One that comes holds nothing that is not there.
            if old is not None and (new is None or new.metadata.uid != old.metadata.uid or _is_over(new)):
                for key in claims_of(old):
                    enqueue(key)

        self._pods.add_handler(on_pod)

    def reconcile(self, key: str, now: float) -> Plan:
        claim = self._claims.get(key)
        if claim is None:
            return NOTHING
        in_use = any(pod.spec.nodeName and not _is_over(pod) for pod in self._pods.indexed("claim", key))
        meta = claim.metadata
        path = f"/api/v1/namespaces/{meta.namespace}/persistentvolumeclaims/{meta.name}"
        return _protect(meta, path, CLAIM_FINALIZER, in_use)


class VolumeProtectionController:
    name = "pv_protection"

    def __init__(self, informers: Informers) -> None:
        self._volumes = informers.of(VOLUMES, Volume)

    def watch(self, enqueue: Callable[[str], None]) -> None:
        self._volumes.add_key_handler(enqueue)

    def reconcile(self, key: str, now: float) -> Plan:
        volume = self._volumes.get(key)
        if volume is None:
            return NOTHING
        path = f"/api/v1/persistentvolumes/{volume.metadata.name}"
        return _protect(volume.metadata, path, VOLUME_FINALIZER, volume.status.phase == "Bound")


class AttributesClassProtectionController:
    """A VolumeAttributesClass stays while a claim wants or has it, or a volume has it (KEP-3751)."""

    name = "vac_protection"

    def __init__(self, informers: Informers) -> None:
        self._classes = informers.of(ATTRIBUTES_CLASSES, AttributesClass)
        self._claims = informers.of(CLAIMS, Claim)
        self._volumes = informers.of(VOLUMES, Volume)
        self._claims.add_index("attributes class", lambda claim: sorted(claim.attributes_classes))
        self._volumes.add_index("attributes class", lambda v: [v.spec.volumeAttributesClassName or ""])

    def watch(self, enqueue: Callable[[str], None]) -> None:
        self._classes.add_key_handler(enqueue)

        def on_claim(old: Claim | None, new: Claim | None) -> None:
            before = old.attributes_classes if old is not None else frozenset()
            for name in before - (new.attributes_classes if new is not None else frozenset()):
                enqueue(name)

        def on_volume(old: Volume | None, new: Volume | None) -> None:
            before = old.spec.volumeAttributesClassName if old is not None else None
            if before and (new is None or new.spec.volumeAttributesClassName != before):
                enqueue(before)

        self._claims.add_handler(on_claim)
        self._volumes.add_handler(on_volume)

    def reconcile(self, key: str, now: float) -> Plan:
        found = self._classes.get(key)
        if found is None:
            return NOTHING
        in_use = any(caches.indexed("attributes class", key) for caches in (self._claims, self._volumes))
        return _protect(found.metadata, f"{ATTRIBUTES_CLASSES}/{key}", ATTRIBUTES_FINALIZER, in_use)


def claims_of(pod: Pod) -> list[str]:
    """Keys of the claims a pod names, those made for it alone included."""
    names = [v.persistentVolumeClaim.claimName for v in pod.spec.volumes if v.persistentVolumeClaim is not None]
    names += [f"{pod.metadata.name}-{v.name}" for v in pod.spec.volumes if v.ephemeral is not None]
    return [f"{pod.metadata.namespace}/{name}" for name in names]


def _is_over(pod: Pod) -> bool:
    """Ended and let go by its kubelet: only the object is left."""
    meta = pod.metadata
    return pod.is_terminal and meta.deletionTimestamp is not None and meta.deletionGracePeriodSeconds == 0


def _protect(meta: Meta, path: str, finalizer: str, in_use: bool) -> Plan:
    held = finalizer in meta.finalizers
    if meta.deletionTimestamp is None:
        if held:
            return NOTHING
        return Plan([[Patch(path, {"metadata": {"uid": meta.uid, "finalizers": [finalizer]}})]])
    if not held or in_use:
        return NOTHING
    return Plan([[Patch(path, {"metadata": {"uid": meta.uid, "$deleteFromPrimitiveList/finalizers": [finalizer]}})]])

"""DefaultStorageClass, DefaultIngressClass: who names no class gets the one that is marked as default.

StorageObjectInUseProtection: volumes and claims get the finalizer that keeps them while they are used.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import ClassVar

from apimachinery import timestamps
from apiserver.admission.chain import CORE, Plugin, known
from apiserver.ports import JSON, AdmissionRequest, Objects, Operation

STORAGE_DEFAULT = "storageclass.kubernetes.io/is-default-class"
STORAGE_DEFAULT_BETA = "storageclass.beta.kubernetes.io/is-default-class"
CLAIM_CLASS_BETA = "volume.beta.kubernetes.io/storage-class"
INGRESS_DEFAULT = "ingressclass.kubernetes.io/is-default-class"
INGRESS_CLASS_OLD = "kubernetes.io/ingress.class"
FINALIZERS: Mapping[tuple[str, str], str] = {
    (CORE, "persistentvolumes"): "kubernetes.io/pv-protection",
    (CORE, "persistentvolumeclaims"): "kubernetes.io/pvc-protection",
    ("storage.k8s.io", "volumeattributesclasses"): "kubernetes.io/vac-protection",
}
CREATE_ONLY = frozenset({Operation.CREATE})


class DefaultStorageClass(Plugin):
    name: ClassVar[str] = "DefaultStorageClass"
    handles: ClassVar[frozenset[tuple[str, str]] | None] = frozenset({(CORE, "persistentvolumeclaims")})
    operations: ClassVar[frozenset[Operation]] = CREATE_ONLY

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._classes = known("storage.k8s.io", "v1", "storageclasses")

    async def mutate(self, request: AdmissionRequest) -> None:
        if request.subresource or request.obj is None:
            return
        spec = request.obj.setdefault("spec", {})
        annotations = request.obj["metadata"].get("annotations") or {}
        if CLAIM_CLASS_BETA in annotations or spec.get("storageClassName") is not None:
            return
        chosen = newest_default(self._objects.list(self._classes), STORAGE_DEFAULT, STORAGE_DEFAULT_BETA)
        if chosen:
            spec["storageClassName"] = chosen


class DefaultIngressClass(Plugin):
    name: ClassVar[str] = "DefaultIngressClass"
    handles: ClassVar[frozenset[tuple[str, str]] | None] = frozenset({("networking.k8s.io", "ingresses")})
    operations: ClassVar[frozenset[Operation]] = CREATE_ONLY

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._classes = known("networking.k8s.io", "v1", "ingressclasses")

    async def mutate(self, request: AdmissionRequest) -> None:
        if request.subresource or request.obj is None:
            return
        spec = request.obj.setdefault("spec", {})
        annotations = request.obj["metadata"].get("annotations") or {}
        if spec.get("ingressClassName") is not None or INGRESS_CLASS_OLD in annotations:
            return
        chosen = newest_default(self._objects.list(self._classes), INGRESS_DEFAULT)
        if chosen:
            spec["ingressClassName"] = chosen


class StorageObjectInUseProtection(Plugin):
    name: ClassVar[str] = "StorageObjectInUseProtection"
    handles: ClassVar[frozenset[tuple[str, str]] | None] = frozenset(FINALIZERS)
    operations: ClassVar[frozenset[Operation]] = CREATE_ONLY

    async def mutate(self, request: AdmissionRequest) -> None:
        if request.subresource or request.obj is None:
            return
        metadata = request.obj["metadata"]
        wanted = FINALIZERS[request.info.group, request.info.plural]
        present = metadata.get("finalizers") or []
        if wanted not in present:
            metadata["finalizers"] = [*present, wanted]


def newest_default(classes: Iterable[JSON], *annotations: str) -> str:
    """The name of the newest class marked as default, of equally old ones the first by name; "" without any."""
    marked = [
        one["metadata"]
        for one in classes
        if any((one["metadata"].get("annotations") or {}).get(key) == "true" for key in annotations)
    ]
    marked.sort(key=lambda metadata: (-timestamps.parse(metadata["creationTimestamp"]), metadata["name"]))
    return str(marked[0]["name"]) if marked else ""

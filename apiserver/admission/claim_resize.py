"""PersistentVolumeClaimResize: a claim grows only where its storage class says that volumes can."""

from __future__ import annotations

from typing import ClassVar

from apimachinery.podspec.resources import amounts
from apiserver.admission.chain import CORE, Plugin, known, refuse
from apiserver.admission.class_defaults import CLAIM_CLASS_BETA
from apiserver.ports import JSON, AdmissionRequest, Objects, Operation


class PersistentVolumeClaimResize(Plugin):
    name: ClassVar[str] = "PersistentVolumeClaimResize"
    handles: ClassVar[frozenset[tuple[str, str]] | None] = frozenset({(CORE, "persistentvolumeclaims")})
    operations: ClassVar[frozenset[Operation]] = frozenset({Operation.UPDATE})

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._classes = known("storage.k8s.io", "v1", "storageclasses")

    async def validate(self, request: AdmissionRequest) -> None:
        if request.subresource or request.obj is None or request.old is None:
            return
        new, old = (amounts(_requests(claim)).get("storage") for claim in (request.obj, request.old))
        if new is None or (old is not None and not new > old):
            return
        if (request.old.get("status") or {}).get("phase") != "Bound":
            raise refuse(request, "Only bound persistent volume claims can be expanded")
        name = _class_of(request.obj)
        stored = self._objects.get(self._classes, "", name) if name and name == _class_of(request.old) else None
        if stored is None or not stored.get("allowVolumeExpansion"):
            raise refuse(
                request,
                "only dynamically provisioned pvc can be resized and "
                "the storageclass that provisions the pvc must support resize",
            )


def _requests(claim: JSON) -> JSON:
    return dict(((claim.get("spec") or {}).get("resources") or {}).get("requests") or {})


def _class_of(claim: JSON) -> str:
    annotations = claim["metadata"].get("annotations") or {}
    return str(annotations.get(CLAIM_CLASS_BETA) or claim["spec"].get("storageClassName") or "")

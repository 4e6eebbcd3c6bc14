"""NamespaceLifecycle: nothing is created in namespaces that are absent or ending; three of them never end."""

from __future__ import annotations

from collections import OrderedDict
from typing import ClassVar

from apimachinery import errors
from apiserver.admission.chain import CORE, Plugin, known, refuse
from apiserver.ports import JSON, AdmissionRequest, Objects, Operation
from component_base.clock import Clock

IMMORTAL = frozenset({"default", "kube-system", "kube-public"})
DISTRUST_SECONDS = 30.0  # how long after a deletion the cache is not believed
DISTRUSTED = 100


class NamespaceLifecycle(Plugin):
    name: ClassVar[str] = "NamespaceLifecycle"
    operations: ClassVar[frozenset[Operation]] = frozenset({Operation.CREATE, Operation.UPDATE, Operation.DELETE})

    def __init__(self, objects: Objects, clock: Clock) -> None:
        self._objects = objects
        self._clock = clock
        self._namespaces = known(CORE, "v1", "namespaces")
        self._deleted: OrderedDict[str, float] = OrderedDict()

    async def mutate(self, request: AdmissionRequest) -> None:
        about_namespaces = (request.info.group, request.info.plural) == (CORE, "namespaces")
        if about_namespaces:
            if request.operation is Operation.DELETE:
                if request.name in IMMORTAL:
                    raise errors.forbidden("namespaces", "", request.name, "this namespace may not be deleted")
                self._distrust(request.name)
            return
        if not request.namespace or request.operation is Operation.DELETE:
            return
        if request.info.plural == "localsubjectaccessreviews":
            return  # an answer about the namespace would tell whether it exists
        namespace = await self._find(request.namespace)
        if request.operation is Operation.CREATE and phase(namespace) == "Terminating":
            why = f"unable to create new content in namespace {request.namespace} because it is being terminated"
            refusal = refuse(request, why)
            assert refusal.details is not None
            cause = {
                "reason": "NamespaceTerminating",
                "message": f"namespace {request.namespace} is being terminated",
                "field": "metadata.namespace",
            }
            refusal.details["causes"] = [cause]
            raise refusal

    async def _find(self, name: str) -> JSON:
        """From the cache unless it may be behind. Raises StatusError 404."""
        namespace = self._objects.get(self._namespaces, "", name)
        if namespace is None or (self._distrusted(name) and phase(namespace) == "Active"):
            namespace = await self._objects.get_latest(self._namespaces, "", name)
        if namespace is None:
            raise errors.not_found("namespaces", "", name)
        return namespace

    def _distrust(self, name: str) -> None:
        self._deleted[name] = self._clock.monotonic() + DISTRUST_SECONDS
        self._deleted.move_to_end(name)
        if len(self._deleted) > DISTRUSTED:
            self._deleted.popitem(last=False)

    def _distrusted(self, name: str) -> bool:
        return bool(self._deleted) and self._deleted.get(name, 0.0) > self._clock.monotonic()


def phase(namespace: JSON) -> str:
    return str((namespace.get("status") or {}).get("phase") or "Active")

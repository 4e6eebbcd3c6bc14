"""RuntimeClass: what a pod's runtime costs and where it is found is written into the pod."""

from __future__ import annotations

from typing import Any, ClassVar

from apimachinery.fields import quote
from apimachinery.podspec.resources import amounts
from apiserver.admission.chain import Plugin, known, pods_only, refuse
from apiserver.ports import JSON, AdmissionRequest, Objects, Operation


class RuntimeClass(Plugin):
    name: ClassVar[str] = "RuntimeClass"
    handles: ClassVar[frozenset[tuple[str, str]] | None] = pods_only()
    operations: ClassVar[frozenset[Operation]] = frozenset({Operation.CREATE})

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._classes = known("node.k8s.io", "v1", "runtimeclasses")

    async def mutate(self, request: AdmissionRequest) -> None:
        if request.subresource or request.obj is None:
            return
        spec = request.obj.setdefault("spec", {})
        runtime = await self._find(request, spec)
        if runtime is None:
            return
        overhead = (runtime.get("overhead") or {}).get("podFixed")
        if runtime.get("overhead") is not None:
            if spec.get("overhead") and amounts(spec["overhead"]) != amounts(overhead):
                raise refuse(request, "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead")
            if overhead:
                spec["overhead"] = dict(overhead)
        if runtime.get("scheduling") is not None:
            self._schedule(request, spec, runtime["scheduling"])

    async def validate(self, request: AdmissionRequest) -> None:
        if request.subresource or request.obj is None:
            return
        spec = request.obj["spec"]
        runtime = await self._find(request, spec)
        overhead = (runtime or {}).get("overhead")
        if overhead is None:
            if spec.get("overhead") is not None:
                why = "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead"
                raise refuse(request, why)
        elif amounts(overhead.get("podFixed")) != amounts(spec.get("overhead")):
            raise refuse(request, "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead")

    async def _find(self, request: AdmissionRequest, spec: dict[str, Any]) -> JSON | None:
        name = spec.get("runtimeClassName")
        if name is None:
            return None
        found = self._objects.get(self._classes, "", name)
        if found is None:
            found = await self._objects.get_latest(self._classes, "", name)
        if found is None:
            raise refuse(request, f"pod rejected: RuntimeClass {quote(name)} not found")
        return found

    @staticmethod
    def _schedule(request: AdmissionRequest, spec: dict[str, Any], scheduling: JSON) -> None:
        selector = dict(spec.get("nodeSelector") or {})
        for key, value in (scheduling.get("nodeSelector") or {}).items():
            if selector.get(key, value) != value:
                raise refuse(
                    request,
                    f"conflict: runtimeClass.scheduling.nodeSelector[{key}] = {value}; "
                    f"pod.spec.nodeSelector[{key}] = {selector[key]}",
                )
            selector[key] = value
        if selector:
            spec["nodeSelector"] = selector
        present = spec.get("tolerations") or []
        added = [one for one in scheduling.get("tolerations") or () if one not in present]
        if added:
            spec["tolerations"] = [*present, *added]

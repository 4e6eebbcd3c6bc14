"""Priority: the number and the preemption policy of a pod's PriorityClass are written into the pod."""

from __future__ import annotations

from typing import ClassVar

from apiserver.admission.chain import CORE, Plugin, known, refuse
from apiserver.ports import JSON, AdmissionRequest, Objects, Operation

PODS = (CORE, "pods")
CLASSES = ("scheduling.k8s.io", "priorityclasses")


class Priority(Plugin):
    name: ClassVar[str] = "Priority"
    handles: ClassVar[frozenset[tuple[str, str]] | None] = frozenset({PODS, CLASSES})
    operations: ClassVar[frozenset[Operation]] = frozenset({Operation.CREATE, Operation.UPDATE})

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._classes = known(CLASSES[0], "v1", CLASSES[1])

    async def mutate(self, request: AdmissionRequest) -> None:
        if request.subresource or request.info.plural != "pods" or request.obj is None:
            return
        spec = request.obj.setdefault("spec", {})
        if request.operation is Operation.UPDATE:
            before = (request.old or {}).get("spec") or {}
            for key in ("priority", "preemptionPolicy"):
                if spec.get(key) is None and before.get(key) is not None:
                    spec[key] = before[key]
            return
        name, value, policy = await self._resolve(request, spec.get("priorityClassName") or "")
        given, given_policy = spec.get("priority"), spec.get("preemptionPolicy")
        if given is not None and given != value:
            raise refuse(
                request,
                f"the integer value of priority ({given}) must not be provided in pod spec; "
                f"priority admission controller computed {value} from the given PriorityClass name",
            )
        if policy and given_policy and given_policy != policy:
            raise refuse(
                request,
                f"the string value of PreemptionPolicy ({given_policy}) must not be provided in pod spec; "
                f"priority admission controller computed {policy} from the given PriorityClass name",
            )
        if name:
            spec["priorityClassName"] = name
        spec["priority"] = value
        if policy:
            spec["preemptionPolicy"] = policy

    async def validate(self, request: AdmissionRequest) -> None:
        if (
            request.subresource
            or request.info.plural != "priorityclasses"
            or not (request.obj or {}).get("globalDefault")
        ):
            return
        assert request.obj is not None
        present = self._default()
        if present is None:
            return
        name = present["metadata"]["name"]
        if request.operation is Operation.CREATE or name != request.obj["metadata"].get("name"):
            raise refuse(request, f"PriorityClass {name} is already marked as default. Only one default can exist")

    async def _resolve(self, request: AdmissionRequest, name: str) -> tuple[str, int, str]:
        if not name:
            default = self._default()
            if default is None:
                return "", 0, "PreemptLowerPriority"
            return default["metadata"]["name"], default["value"], default.get("preemptionPolicy") or ""
        found = self._objects.get(self._classes, "", name)
        if found is None:
            found = await self._objects.get_latest(self._classes, "", name)
        if found is None:
            raise refuse(request, f"no PriorityClass with name {name} was found")
        return name, found["value"], found.get("preemptionPolicy") or ""

    def _default(self) -> JSON | None:
        """Of several, which only a race can make, the lowest."""
        defaults = [one for one in self._objects.list(self._classes) if one.get("globalDefault")]
        return min(defaults, key=lambda one: int(one["value"]), default=None)

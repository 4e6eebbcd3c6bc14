"""LimitRanger: requests and limits that containers leave out, and bounds that nobody leaves."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar

from apimachinery.podspec import resources as pod_resources
from apimachinery.podspec.resources import Amounts, amounts
from apimachinery.quantity import Quantity
from apiserver.admission.chain import CORE, Plugin, known, refuse
from apiserver.ports import JSON, AdmissionRequest, Objects, Operation

PODS = (CORE, "pods")
CLAIMS = (CORE, "persistentvolumeclaims")
ANNOTATION = "kubernetes.io/limit-ranger"


class LimitRanger(Plugin):
    name: ClassVar[str] = "LimitRanger"
    handles: ClassVar[frozenset[tuple[str, str]] | None] = frozenset({PODS, CLAIMS})
    operations: ClassVar[frozenset[Operation]] = frozenset({Operation.CREATE, Operation.UPDATE})

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._ranges = known(CORE, "v1", "limitranges")

    async def mutate(self, request: AdmissionRequest) -> None:
        if request.info.plural == "pods" and request.obj is not None:
            for one in self._applying(request):
                set_defaults(request.obj, one)

    async def validate(self, request: AdmissionRequest) -> None:
        if request.obj is None:
            return
        for one in self._applying(request):
            judge = judge_pod if request.info.plural == "pods" else judge_claim
            problems = list(dict.fromkeys(judge(request.obj, one)))
            if problems:
                raise refuse(request, problems[0] if len(problems) == 1 else f"[{', '.join(problems)}]")

    def _applying(self, request: AdmissionRequest) -> Iterator[JSON]:
        """The limits of the namespace, unless this request cannot change anything that they are about."""
        resizing = request.subresource == "resize" and request.operation is Operation.UPDATE
        if request.subresource and not resizing:
            return
        if request.info.plural == "pods" and request.operation is Operation.UPDATE and not resizing:
            return
        if request.old is not None and "deletionTimestamp" in request.old["metadata"]:
            return
        for stored in self._objects.list(self._ranges, request.namespace):
            yield {"limits": (stored.get("spec") or {}).get("limits") or []}


def set_defaults(pod: JSON, limit_range: JSON) -> None:
    """As in upstream the defaults of all container limits of one LimitRange are laid over each other first."""
    requests: dict[str, Any] = {}
    limits: dict[str, Any] = {}
    for limit in limit_range["limits"]:
        if limit.get("type") == "Container":
            requests |= limit.get("defaultRequest") or {}
            limits |= limit.get("default") or {}
    notes: list[str] = []
    spec = pod.get("spec") or {}
    for word, key in (("container", "containers"), ("init container", "initContainers")):
        for container in spec.get(key) or ():
            for kind, field, defaults in (("request", "requests", requests), ("limit", "limits", limits)):
                added = _complete(container, field, defaults)
                if added:
                    notes.append(f"{', '.join(sorted(added))} {kind} for {word} {container['name']}")
    if notes:
        text = f"LimitRanger plugin set: {'; '.join(notes)}"
        pod["metadata"]["annotations"] = {**(pod["metadata"].get("annotations") or {}), ANNOTATION: text}


def _complete(container: JSON, field: str, defaults: Mapping[str, Any]) -> list[str]:
    present = (container.get("resources") or {}).get(field) or {}
    added = {name: amount for name, amount in defaults.items() if name not in present}
    if added:
        container["resources"] = {**(container.get("resources") or {}), field: {**present, **added}}
    return list(added)


def judge_pod(pod: JSON, limit_range: JSON) -> Iterator[str]:
    spec = pod.get("spec") or {}
    for limit in limit_range["limits"]:
        if limit.get("type") == "Container":
            for container in (*(spec.get("containers") or ()), *(spec.get("initContainers") or ())):
                resources = container.get("resources") or {}
                yield from _judge(limit, amounts(resources.get("requests")), amounts(resources.get("limits")))
        elif limit.get("type") == "Pod":
            requests = pod_resources.requests(pod, with_overhead=False)
            yield from _judge(limit, requests, pod_resources.limits(pod, with_overhead=False))


def judge_claim(claim: JSON, limit_range: JSON) -> Iterator[str]:
    resources = (claim.get("spec") or {}).get("resources") or {}
    requests = amounts(resources.get("requests"))
    for limit in limit_range["limits"]:
        if limit.get("type") != "PersistentVolumeClaim":
            continue
        for name, bound in _bounds(limit, "min"):
            yield from _below("PersistentVolumeClaim", name, bound, requests, {})
        for name, bound in _bounds(limit, "max"):
            request, text = requests.get(name), f"maximum {name} usage per PersistentVolumeClaim is {bound}"
            if request is None:
                yield f"{text}.  No request is specified"
            elif request > bound:
                yield f"{text}, but request is {request}"


def _judge(limit: JSON, requests: Amounts, limits: Amounts) -> Iterator[str]:
    kind = limit["type"]
    for name, bound in _bounds(limit, "min"):
        yield from _below(kind, name, bound, requests, limits)
    for name, bound in _bounds(limit, "max"):
        yield from _above(kind, name, bound, requests, limits)
    for name, bound in _bounds(limit, "maxLimitRequestRatio"):
        yield from _out_of_ratio(kind, name, bound, requests, limits)


def _bounds(limit: JSON, key: str) -> Iterable[tuple[str, Quantity]]:
    return sorted(amounts(limit.get(key)).items())


def _below(kind: str, name: str, bound: Quantity, requests: Amounts, limits: Amounts) -> Iterator[str]:
    request, limit, text = requests.get(name), limits.get(name), f"minimum {name} usage per {kind} is {bound}"
    if request is None:
        yield f"{text}.  No request is specified"
    elif request < bound:
        yield f"{text}, but request is {request}"
    elif limit is not None and limit < bound:
        yield f"{text}, but limit is {limit}"


def _above(kind: str, name: str, bound: Quantity, requests: Amounts, limits: Amounts) -> Iterator[str]:
    request, limit, text = requests.get(name), limits.get(name), f"maximum {name} usage per {kind} is {bound}"
    if limit is None:
        yield f"{text}.  No limit is specified"
    elif limit > bound:
        yield f"{text}, but limit is {limit}"
    elif request is not None and request > bound:
        yield f"{text}, but request is {request}"


def _out_of_ratio(kind: str, name: str, bound: Quantity, requests: Amounts, limits: Amounts) -> Iterator[str]:
    request, limit = requests.get(name), limits.get(name)
    text = f"{name} max limit to request ratio per {kind} is {bound}"
    if not request:
        yield f"{text}, but no request is specified or request is 0"
    elif not limit:
        yield f"{text}, but no limit is specified or limit is 0"
    elif float(limit) / float(request) > float(bound):
        yield f"{text}, but provided ratio is {float(limit) / float(request):f}"

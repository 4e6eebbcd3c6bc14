"""What a pod asks for in all: containers, init steps, sidecars, pod-level amounts and overhead (KEP-753, KEP-2837).

An init container needs its own amounts beside those of the sidecars (restartable init containers) started before it;
the pod needs the larger of its dearest init step and its running containers with all sidecars. `together` does this in
whatever numbers amounts are held: quotas, the scheduler and the kubelet all count with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from functools import lru_cache
from typing import Any, TypeVar

from apimachinery.quantity import Quantity

Obj = dict[str, Any]
Amounts = dict[str, Quantity]
Number = TypeVar("Number", Quantity, Fraction, int)


@lru_cache(maxsize=8192)
def _parse(text: str) -> Quantity:
    return Quantity.parse(text)


def amounts(table: Mapping[str, Any] | None) -> Amounts:
    """A resource list as quantities. Raises ValueError where the object has not been validated and holds nonsense."""
    return {name: _parse(str(amount)) for name, amount in table.items()} if table else {}


def add(total: dict[str, Number], part: Mapping[str, Number]) -> None:
    for name, amount in part.items():
        known = total.get(name)
        total[name] = amount if known is None else known + amount


def larger(total: dict[str, Number], part: Mapping[str, Number]) -> None:
    for name, amount in part.items():
        known = total.get(name)
        if known is None or amount > known:
            total[name] = amount


def together(
    running: Iterable[Mapping[str, Number]], steps: Iterable[tuple[Mapping[str, Number], bool]]
) -> dict[str, Number]:
    """What containers need at the dearest moment. `steps`: of init containers in order, and which are sidecars."""
    total: dict[str, Number] = {}
    for part in running:
        add(total, part)
    sidecars: dict[str, Number] = {}
    peak: dict[str, Number] = {}
    for part, stays in steps:
        moment = dict(sidecars)
        add(moment, part)
        larger(peak, moment)
        if stays:
            sidecars = moment
    add(total, sidecars)
    larger(total, peak)
    return total


def is_sidecar(container: Mapping[str, Any]) -> bool:
    return container.get("restartPolicy") == "Always"


def is_pod_level(name: str) -> bool:
    """Whether a resource may be set for the pod as a whole."""
    return name in {"cpu", "memory"} or name.startswith("hugepages-")


def requests(pod: Mapping[str, Any], *, use_status: bool = False, with_overhead: bool = True) -> Amounts:
    """The pod's effective requests. `use_status` counts what a running pod still holds while it is being resized."""
    return _effective(pod, "requests", use_status=use_status, with_overhead=with_overhead)


def limits(pod: Mapping[str, Any], *, use_status: bool = False, with_overhead: bool = True) -> Amounts:
    """The pod's effective limits; overhead is added only where there is a limit."""
    return _effective(pod, "limits", use_status=use_status, with_overhead=with_overhead)


def of_containers(spec: Mapping[str, Any], field: str, reader: Callable[[Obj], Amounts] | None = None) -> Amounts:
    """Requests or limits (`field`) of all containers together, pod-level amounts and overhead left aside."""

    def spec_reader(container: Obj) -> Amounts:
        return amounts((container.get("resources") or {}).get(field))

    read = reader or spec_reader
    steps = [(read(container), is_sidecar(container)) for container in spec.get("initContainers") or ()]
    return together([read(container) for container in spec.get("containers") or ()], steps)


def _effective(pod: Mapping[str, Any], field: str, *, use_status: bool, with_overhead: bool) -> Amounts:
    spec = pod.get("spec") or {}
    total = of_containers(spec, field, _status_reader(pod, field) if use_status else None)
    whole = amounts((spec.get("resources") or {}).get(field))
    if use_status and whole:
        status = pod.get("status") or {}
        held = amounts((status.get("resources") or {}).get(field))
        allocated = amounts(status.get("allocatedResources")) if field == "requests" else {}
        if status.get("resources") is not None:
            whole = _held(pod, whole, held, allocated)
    total.update((name, amount) for name, amount in whole.items() if is_pod_level(name))
    if with_overhead:
        overhead = amounts(spec.get("overhead"))
        if field == "limits":
            overhead = {name: amount for name, amount in overhead.items() if total.get(name)}
        add(total, overhead)
    return total


def _status_reader(pod: Mapping[str, Any], field: str) -> Callable[[Obj], Amounts]:
    status = pod.get("status") or {}
    entries = [*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ())]
    by_name = {entry.get("name"): entry for entry in entries}
    running = {container.get("name") for container in (pod.get("spec") or {}).get("containers") or ()}

    def read(container: Obj) -> Amounts:
        wanted = amounts((container.get("resources") or {}).get(field))
        entry = by_name.get(container.get("name"))
        counts = container.get("name") in running or is_sidecar(container)
        if entry is None or entry.get("resources") is None or not counts:
            return wanted
        allocated = amounts(entry.get("allocatedResources")) if field == "requests" else {}
        return _held(pod, wanted, amounts(entry["resources"].get(field)), allocated)

    return read


def _held(pod: Mapping[str, Any], wanted: Amounts, held: Amounts, allocated: Amounts) -> Amounts:
    """The largest of what is wanted, held and allocated; a resize the node cannot ever grant does not count."""
    result = dict(held) if resize_infeasible(pod) else dict(wanted)
    larger(result, held)
    larger(result, allocated)
    return result


def resize_infeasible(pod: Mapping[str, Any]) -> bool:
    for condition in (pod.get("status") or {}).get("conditions") or ():
        if condition.get("type") == "PodResizePending":
            return bool(condition.get("reason") == "Infeasible")
    return False


def default_pod_level(spec: Obj) -> None:
    """Complete a pod's own `resources` from its containers' and from its limits, in place.

    Nothing happens unless the user began: pod-level amounts are opt-in.
    """
    wanted = spec["resources"]
    limit = wanted.get("limits") or {}
    request = wanted.get("requests") or {}
    if limit or request:
        for name, amount in _readable(spec, "limits").items():
            if name.startswith("hugepages-") and name not in request:
                limit.setdefault(name, str(amount))
        if limit:
            wanted["limits"] = limit
    if not limit:
        return
    for name, amount in _readable(spec, "requests").items():
        # Only what may be overcommitted: a huge page or an extended resource has request equal to limit anyway.
        if is_pod_level(name) and not name.startswith("hugepages-"):
            request.setdefault(name, str(amount))
    for name, text in limit.items():
        if is_pod_level(name):
            request.setdefault(name, text)
    if request:
        wanted["requests"] = request


def _readable(spec: Obj, field: str) -> Amounts:
    try:
        return of_containers(spec, field)
    except ValueError:  # validation will tell the user; defaults may not fail
        return {}

"""Endpoints, the older form: one object for a Service, ready and unready addresses by their set of ports."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from apimachinery import timestamps
from controller_manager.endpointslice import members as membership
from controller_manager.endpointslice.controller import enqueue_services_of, selected
from controller_manager.endpointslice.members import Member, Ports
from controller_manager.endpointslice.slices import HEADLESS, TRIGGER_TIME
from controller_manager.views import EndpointAddress, Endpoints, EndpointSubset, ObjectReference, Pod, Service
from kubeclient.informer import Informers
from kubeclient.plan import NOTHING, Create, Delete, Plan, Replace

MANAGED_BY = "endpoints.kubernetes.io/managed-by"
MANAGER = "endpoint-controller"
OVER_CAPACITY = "endpoints.kubernetes.io/over-capacity"
MAX_ADDRESSES = 1000


class EndpointsController:
    name = "endpoints"

    def __init__(self, informers: Informers) -> None:
        self._services = informers.of("/api/v1/services", Service)
        self._pods = informers.of("/api/v1/pods", Pod)
        self._endpoints = informers.of("/api/v1/endpoints", Endpoints)

    def watch(self, enqueue: Callable[[str], None]) -> None:
        self._services.add_key_handler(enqueue)
        self._endpoints.add_key_handler(enqueue)
        enqueue_services_of(self._pods, self._services, enqueue)

    def reconcile(self, key: str, now: float) -> Plan:
        service = self._services.get(key)
        found = self._endpoints.get(key)
        if service is None:
            if found is not None and found.metadata.labels.get(MANAGED_BY) == MANAGER:
                return Plan([[Delete(_path(found.metadata.namespace, found.metadata.name), found.metadata.uid)]])
            return NOTHING
        if not service.spec.selector or service.metadata.deletionTimestamp is not None:
            return NOTHING
        subsets, truncated = subsets_of(service, selected(service, self._pods))
        labels = {k: v for k, v in service.metadata.labels.items() if k != HEADLESS} | {MANAGED_BY: MANAGER}
        if service.spec.clusterIP in ("None", ""):
            labels[HEADLESS] = ""
        if found is not None and (found.subsets or []) == subsets and found.metadata.labels == labels:
            return NOTHING
        body = _body(service, found, labels, subsets, truncated, now)
        path = _path(service.metadata.namespace)
        return Plan([[Create(path, body) if found is None else Replace(f"{path}/{service.metadata.name}", body)]])


def subsets_of(service: Service, pods: Iterable[Pod]) -> tuple[list[EndpointSubset], bool]:
    """Sorted, so that equal memberships give equal objects; the flag says that addresses were left out."""
    ready: dict[Ports, list[EndpointAddress]] = {}
    unready: dict[Ports, list[EndpointAddress]] = {}
    count = 0
    family = membership.families(service)[0]
    truncated = False
    for member in sorted(membership.members(service, pods), key=lambda m: m.address):
        if member.family != family:
            continue
        publish = service.spec.publishNotReadyAddresses
        if member.pod.metadata.deletionTimestamp is not None and not publish:
            continue
        if count >= MAX_ADDRESSES:
            truncated = True
            break
        count += 1
        target = ready if publish or member.pod.is_ready else unready
        target.setdefault(member.ports, []).append(_address(service, member))
    subsets = [
        EndpointSubset(ready.get(ports), unready.get(ports), sorted(ports, key=lambda p: p.name) or None)
        for ports in sorted({*ready, *unready}, key=lambda ports: [(p.name, p.port or 0) for p in ports])
    ]
    return subsets, truncated


def _address(service: Service, member: Member) -> EndpointAddress:
    pod = member.pod
    return EndpointAddress(
        ip=member.address,
        hostname=membership.hostname(service, pod),
        nodeName=pod.spec.nodeName or None,
        targetRef=ObjectReference("Pod", pod.metadata.namespace, pod.metadata.name, pod.metadata.uid),
    )


def _body(
    service: Service,
    found: Endpoints | None,
    labels: dict[str, str],
    subsets: list[EndpointSubset],
    truncated: bool,
    now: float,
) -> dict[str, Any]:
    annotations = {k: v for k, v in (found.metadata.annotations if found else {}).items() if k != OVER_CAPACITY}
    annotations[TRIGGER_TIME] = timestamps.format(now)
    if truncated:
        annotations[OVER_CAPACITY] = "truncated"
    meta: dict[str, Any] = {
        "name": service.metadata.name,
        "namespace": service.metadata.namespace,
        "labels": labels,
        "annotations": annotations,
    }
    if found is not None:
        meta |= {"uid": found.metadata.uid, "resourceVersion": found.metadata.resourceVersion}
    content = [{k: v for k, v in msgspec.to_builtins(s).items() if v is not None} for s in subsets]
    for subset in content:
        subset["ports"] = [{k: v for k, v in port.items() if v not in (None, "")} for port in subset.get("ports", ())]
    return {"apiVersion": "v1", "kind": "Endpoints", "metadata": meta, "subsets": content}


def _path(namespace: str, name: str = "") -> str:
    return f"/api/v1/namespaces/{namespace}/endpoints" + (f"/{name}" if name else "")

"""EndpointSlices for Endpoints that people or programs write themselves, behind Services without a selector."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from controller_manager.endpointslice.slices import MANAGED_BY, SERVICE_NAME, TRIGGER_TIME, Group, lay_out
from controller_manager.ownership import Owner
from controller_manager.views import Endpoint, EndpointAddress, EndpointConditions, Endpoints, EndpointSlice, Service
from kubeclient.informer import Informers
from kubeclient.plan import NOTHING, Action, Create, Delete, Event, Plan, Replace

MANAGER = "endpointslicemirroring-controller.k8s.io"
SKIP = "endpointslice.kubernetes.io/skip-mirror"
LEADER = "control-plane.alpha.kubernetes.io/leader"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
COLLECTION = "/apis/discovery.k8s.io/v1/endpointslices"
MAX_ADDRESSES = 1000


class EndpointSliceMirroringController:
    name = "endpointslicemirroring"

    def __init__(self, informers: Informers) -> None:
        self._services = informers.of("/api/v1/services", Service)
        self._endpoints = informers.of("/api/v1/endpoints", Endpoints)
        self._slices = informers.of(COLLECTION, EndpointSlice)

    def watch(self, enqueue: Callable[[str], None]) -> None:
        self._services.add_key_handler(enqueue)
        self._endpoints.add_key_handler(enqueue)

        def on_slice(old: EndpointSlice | None, new: EndpointSlice | None) -> None:
            for found in (old, new):
                if found is not None and found.metadata.labels.get(MANAGED_BY) == MANAGER:
                    enqueue(f"{found.metadata.namespace}/{found.metadata.labels.get(SERVICE_NAME, '')}")

        self._slices.add_handler(on_slice)

    def reconcile(self, key: str, now: float) -> Plan:
        namespace, _, name = key.partition("/")
        existing = [
            found
            for found in self._slices.in_namespace(namespace)
            if found.metadata.labels.get(SERVICE_NAME) == name and found.metadata.labels.get(MANAGED_BY) == MANAGER
        ]
        found, service = self._endpoints.get(key), self._services.get(key)
        path = f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"
        if found is None or service is None or not is_mirrored(found, service):
            gone: list[Action] = [Delete(f"{path}/{s.metadata.name}", s.metadata.uid) for s in existing]
            return Plan([gone]) if gone else NOTHING
        wanted, invalid, left_out = wanted_of(found)
        layout = lay_out(wanted, existing, MAX_ADDRESSES)
        batch: list[Action] = []
        for group, endpoints in layout.created:
            batch.append(Create(path, _body(found, None, group, endpoints)))
        handled = {each.metadata.uid for each in layout.deleted}
        for each, endpoints in [*layout.changed, *((s, s.endpoints or []) for s in existing)]:
            body = _body(found, each, (each.addressType, tuple(each.ports or ())), endpoints)
            same = endpoints == each.endpoints and _dressed(body) == (each.metadata.labels, each.metadata.annotations)
            if each.metadata.uid not in handled and not same:
                batch.append(Replace(f"{path}/{each.metadata.name}", body))
            handled.add(each.metadata.uid)
        batch += [Delete(f"{path}/{each.metadata.name}", each.metadata.uid) for each in layout.deleted]
        return Plan([batch, _events(found, invalid, left_out)]) if batch else NOTHING


def is_mirrored(found: Endpoints, service: Service) -> bool:
    """Not where another controller makes the slices, nor for records of old leader elections."""
    meta = found.metadata
    return (
        not service.spec.selector
        and service.metadata.deletionTimestamp is None
        and meta.deletionTimestamp is None
        and meta.labels.get(SKIP) != "true"
        and LEADER not in meta.annotations
    )


def wanted_of(found: Endpoints) -> tuple[dict[Group, list[Endpoint]], int, int]:
    """Endpoints by family and ports; how many addresses were none, and how many too many."""
    wanted: dict[Group, list[Endpoint]] = {}
    invalid = left_out = 0
    for subset in found.subsets or ():
        ports = tuple(sorted(subset.ports or (), key=lambda port: (port.name, port.port or 0)))
        count = 0
        for ready, addresses in ((True, subset.addresses), (False, subset.notReadyAddresses)):
            for address in addresses or ():
                try:
                    family = f"IPv{ipaddress.ip_address(address.ip).version}"
                except ValueError:
                    invalid += 1
                    continue
                if count >= MAX_ADDRESSES:
                    left_out += 1
                    continue
                count += 1
                wanted.setdefault((family, ports), []).append(_endpoint(address, ready))
    return wanted, invalid, left_out


def _endpoint(address: EndpointAddress, ready: bool) -> Endpoint:
    return Endpoint(
        addresses=[address.ip],
        conditions=EndpointConditions(ready=ready),
        hostname=address.hostname or None,
        nodeName=address.nodeName,
        targetRef=address.targetRef,
    )


def _body(found: Endpoints, each: EndpointSlice | None, group: Group, endpoints: Sequence[Endpoint]) -> dict[str, Any]:
    family, ports = group
    meta = found.metadata
    metadata: dict[str, Any] = {
        "namespace": meta.namespace,
        "generateName": f"{meta.name}-",
        "labels": {**meta.labels, SERVICE_NAME: meta.name, MANAGED_BY: MANAGER},
        "annotations": {k: v for k, v in meta.annotations.items() if k not in (TRIGGER_TIME, LAST_APPLIED)},
        "ownerReferences": [Owner("v1", "Endpoints", meta).reference()],
    }
    if each is not None:
        old = each.metadata
        metadata |= {"name": old.name, "uid": old.uid, "resourceVersion": old.resourceVersion}
    content = [{k: v for k, v in msgspec.to_builtins(e).items() if v is not None} for e in endpoints]
    for entry in content:
        entry["conditions"] = {k: v for k, v in (entry.get("conditions") or {}).items() if v is not None}
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": metadata,
        "addressType": family,
        "endpoints": content,
        "ports": [{k: v for k, v in msgspec.to_builtins(p).items() if v is not None} for p in ports],
    }


def _dressed(body: dict[str, Any]) -> tuple[dict[str, str], dict[str, str]]:
    return body["metadata"]["labels"], body["metadata"]["annotations"]


def _events(found: Endpoints, invalid: int, left_out: int) -> list[Action]:
    reference = Owner("v1", "Endpoints", found.metadata).event_reference()
    events: list[Action] = []
    if invalid:
        message = f"Skipped {invalid} invalid IP addresses when mirroring to EndpointSlices"
        events.append(Event(reference, "Warning", "InvalidIPAddress", message))
    if left_out:
        message = (
            f"A max of {MAX_ADDRESSES} addresses can be mirrored to EndpointSlices per Endpoints subset. "
            f"{left_out} addresses were skipped"
        )
        events.append(Event(reference, "Warning", "TooManyAddressesToMirror", message))
    return events

"""How members are laid out over slices, changing as few slices as possible: each change goes to every node."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from controller_manager.endpointslice.members import Ports
from controller_manager.views import Endpoint, EndpointSlice, Service

SERVICE_NAME = "kubernetes.io/service-name"
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
MANAGER = "endpointslice-controller.k8s.io"
HEADLESS = "service.kubernetes.io/headless"
TRIGGER_TIME = "endpoints.kubernetes.io/last-change-trigger-time"
MAX_ENDPOINTS = 100

Group = tuple[str, Ports]
"""Address family and ports: all endpoints of a slice share them."""


@dataclass(slots=True)
class Layout:
    """`changed` holds existing slices with their new endpoints, `created` the endpoints of new ones by group."""

    created: list[tuple[Group, list[Endpoint]]] = field(default_factory=list)
    changed: list[tuple[EndpointSlice, list[Endpoint]]] = field(default_factory=list)
    deleted: list[EndpointSlice] = field(default_factory=list)


def lay_out(
    wanted: Mapping[Group, Sequence[Endpoint]], existing: Iterable[EndpointSlice], limit: int = MAX_ENDPOINTS
) -> Layout:
    """Endpoints stay in the slice they are in; newcomers fill slices that change anyway, then others, then new ones."""
    layout = Layout()
    by_group: dict[Group, list[EndpointSlice]] = {}
    for found in existing:
        by_group.setdefault((found.addressType, tuple(found.ports or ())), []).append(found)
    for group, endpoints in wanted.items():
        _lay_out_group(group, endpoints, by_group.pop(group, []), limit, layout)
    for left in by_group.values():
        layout.deleted += left
    return layout


def _lay_out_group(
    group: Group, endpoints: Sequence[Endpoint], slices: list[EndpointSlice], limit: int, layout: Layout
) -> None:
    unplaced = {_identity(e): e for e in endpoints}
    kept: list[tuple[EndpointSlice, list[Endpoint], bool]] = []
    for found in slices:
        stay = [unplaced.pop(i) for e in found.endpoints or () if (i := _identity(e)) in unplaced]
        kept.append((found, stay, stay != list(found.endpoints or ())))
    queue = list(unplaced.values())
    # Slices that are rewritten anyway take newcomers first; then the fullest that has room for them all.
    kept.sort(key=lambda entry: (not entry[2], -len(entry[1])))
    for found, stay, dirty in kept:
        room = limit - len(stay)
        take = queue[:room] if dirty or 0 < len(queue) <= room else []
        queue = queue[len(take) :]
        stay += take
        if not stay and (queue or len(kept) > 1 or endpoints):
            layout.deleted.append(found)
        elif dirty or take:
            layout.changed.append((found, stay))
    while queue:
        layout.created.append((group, queue[:limit]))
        queue = queue[limit:]
    if not endpoints and not kept:
        layout.created.append((group, []))


def _identity(endpoint: Endpoint) -> tuple[str, str]:
    return (endpoint.targetRef.uid if endpoint.targetRef else "", endpoint.addresses[0])


def labels_for(service: Service) -> dict[str, str]:
    """The Service's own labels, so that they select its slices too, and ours."""
    labels = {k: v for k, v in service.metadata.labels.items() if k not in (SERVICE_NAME, MANAGED_BY, HEADLESS)}
    if service.spec.clusterIP in ("None", ""):
        labels[HEADLESS] = ""
    return {**labels, SERVICE_NAME: service.metadata.name, MANAGED_BY: MANAGER}


def body(
    service: Service, owner: dict[str, Any], group: Group, endpoints: Sequence[Endpoint], trigger: str | None
) -> dict[str, Any]:
    """A slice as it is sent, without a name."""
    family, ports = group
    meta: dict[str, Any] = {
        "namespace": service.metadata.namespace,
        "labels": labels_for(service),
        "ownerReferences": [owner],
    }
    if trigger is not None:
        meta["annotations"] = {TRIGGER_TIME: trigger}
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": meta,
        "addressType": family,
        "endpoints": [msgspec.to_builtins(e) for e in endpoints],
        "ports": [{k: v for k, v in msgspec.to_builtins(p).items() if v is not None} for p in ports],
    }

"""Which endpoints may answer a service port, by traffic policy, readiness and topology.

Facts from KEP-2086 (internal traffic policy), KEP-1669 (terminating endpoints are a fall-back), KEP-2433 and KEP-4444
(zone and node hints: honoured only when every ready endpoint carries one and some match).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kube_proxy.rules.service_map import Endpoint, ServicePort


@dataclass(frozen=True, slots=True)
class Choice:
    """`cluster` serves policy Cluster, `local` serves policy Local; `exists_elsewhere` tells drop from reject."""

    cluster: tuple[Endpoint, ...] = ()
    local: tuple[Endpoint, ...] = ()
    exists_elsewhere: bool = False

    @property
    def all(self) -> tuple[Endpoint, ...]:
        return tuple(sorted({*self.cluster, *self.local}))


def choose(service: ServicePort, node_name: str, zone: str) -> Choice:
    endpoints = service.endpoints
    uses_local = service.internal_local or (service.external_local and service.is_externally_accessible)
    uses_cluster = not service.internal_local or (not service.external_local and service.is_externally_accessible)
    cluster: tuple[Endpoint, ...] = ()
    # Pods on this node bypass externalTrafficPolicy Local, so cluster-wide endpoints are needed then as well.
    if uses_cluster or service.external_local:
        ready = tuple(e for e in endpoints if e.ready)
        cluster = by_topology(ready, node_name, zone) or fallback(endpoints)
    local: tuple[Endpoint, ...] = ()
    if uses_local:
        here = tuple(e for e in endpoints if e.is_local)
        local = tuple(e for e in here if e.ready) or fallback(here)
    elsewhere = bool(cluster or local or [e for e in endpoints if e.ready] or fallback(endpoints))
    return Choice(cluster, local, elsewhere)


def fallback(endpoints: Sequence[Endpoint]) -> tuple[Endpoint, ...]:
    """Endpoints that still serve while they terminate: better than refusing everybody."""
    return tuple(e for e in endpoints if e.serving and e.terminating)


def by_topology(ready: tuple[Endpoint, ...], node_name: str, zone: str) -> tuple[Endpoint, ...]:
    if ready and all(e.nodes for e in ready):
        near = tuple(e for e in ready if node_name in e.nodes)
        if near:
            return near
    if ready and zone and all(e.zones for e in ready):
        near = tuple(e for e in ready if zone in e.zones)
        if near:
            return near
    return ready

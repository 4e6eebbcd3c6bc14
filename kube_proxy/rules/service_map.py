"""One flat record per (service, port, protocol), joined with the endpoints of its slices.

The records are what the rules are made of: they carry no API types, so that the same rules serve any source.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address

from kube_proxy import views


@dataclass(frozen=True, slots=True, order=True)
class Endpoint:
    ip: str
    port: int
    ready: bool = True
    serving: bool = True
    terminating: bool = False
    is_local: bool = False
    zones: frozenset[str] = frozenset()  # zones this endpoint is reserved for; empty: no hint
    nodes: frozenset[str] = frozenset()  # nodes this endpoint is reserved for; empty: no hint


@dataclass(frozen=True, slots=True)
class ServicePort:
    namespace: str
    name: str
    port_name: str
    protocol: str  # lower case, as nftables spells it
    port: int
    cluster_ip: str
    external_ips: tuple[str, ...] = ()
    load_balancer_ips: tuple[str, ...] = ()
    source_ranges: tuple[str, ...] = ()
    node_port: int = 0
    affinity_seconds: int = 0  # 0: no session affinity
    external_local: bool = False
    internal_local: bool = False
    health_check_node_port: int = 0
    endpoints: tuple[Endpoint, ...] = ()

    @property
    def key(self) -> str:
        """`namespace/name/protocol/port name`, unique in a cluster."""
        return f"{self.namespace}/{self.name}/{self.protocol}/{self.port_name}"

    @property
    def is_externally_accessible(self) -> bool:
        return bool(self.node_port or self.external_ips or self.load_balancer_ips)


def service_ports(
    services: Iterable[views.Service],
    slices: Iterable[views.EndpointSlice],
    node_name: str,
    want_v6: bool = False,
) -> list[ServicePort]:
    """Every port this proxy serves, sorted by key. Headless, ExternalName and foreign-proxy Services have none."""
    by_service: dict[tuple[str, str], list[views.EndpointSlice]] = {}
    family = "IPv6" if want_v6 else "IPv4"
    for piece in slices:
        owner = piece.metadata.labels.get(views.LABEL_SERVICE_NAME)
        if owner and piece.addressType == family and views.LABEL_HEADLESS not in piece.metadata.labels:
            by_service.setdefault((piece.metadata.namespace, owner), []).append(piece)
    flat = [
        flatten(
            service,
            port,
            by_service.get((service.metadata.namespace, service.metadata.name), []),
            node_name,
            want_v6,
        )
        for service in services
        if cluster_ip(service, want_v6)
        for port in service.spec.ports
    ]
    return sorted(flat, key=lambda record: record.key)


def cluster_ip(service: views.Service, want_v6: bool) -> str | None:
    """The Service's address of one family, or None when this proxy has nothing to do for it."""
    spec, labels = service.spec, service.metadata.labels
    if views.LABEL_OTHER_PROXY in labels or views.LABEL_HEADLESS in labels or spec.type == "ExternalName":
        return None
    for address in spec.clusterIPs or [spec.clusterIP]:
        if address not in ("", "None") and (":" in address) == want_v6:
            return address
    return None


def flatten(
    service: views.Service,
    port: views.ServicePort,
    slices: Iterable[views.EndpointSlice],
    node_name: str,
    want_v6: bool,
) -> ServicePort:
    spec = service.spec
    affinity = 0
    if spec.sessionAffinity == "ClientIP":
        config = spec.sessionAffinityConfig
        affinity = config.clientIP.timeoutSeconds if config and config.clientIP else 10800
    exposed = spec.type in ("NodePort", "LoadBalancer")
    ingress = service.status.loadBalancer.ingress if spec.type == "LoadBalancer" else []
    return ServicePort(
        namespace=service.metadata.namespace,
        name=service.metadata.name,
        port_name=port.name,
        protocol=port.protocol.lower(),
        port=port.port,
        cluster_ip=cluster_ip(service, want_v6) or "",
        external_ips=tuple(ip for ip in spec.externalIPs if (":" in ip) == want_v6),
        load_balancer_ips=tuple(i.ip for i in ingress if i.ip and i.ipMode == "VIP" and (":" in i.ip) == want_v6),
        source_ranges=tuple(c.strip() for c in spec.loadBalancerSourceRanges if (":" in c) == want_v6),
        node_port=port.nodePort if exposed else 0,
        affinity_seconds=affinity,
        external_local=spec.externalTrafficPolicy == "Local" and (exposed or bool(spec.externalIPs)),
        internal_local=spec.internalTrafficPolicy == "Local",
        health_check_node_port=spec.healthCheckNodePort if spec.type == "LoadBalancer" else 0,
        endpoints=tuple(sorted(endpoints_of(slices, port, node_name))),
    )


def endpoints_of(slices: Iterable[views.EndpointSlice], port: views.ServicePort, node_name: str) -> Iterable[Endpoint]:
    """Endpoints whose slice serves this port, one per address and port; the first slice that names one wins."""
    seen: set[tuple[str, int]] = set()
    for piece in slices:
        for target in piece.ports or []:
            if (target.name or "") != port.name or (target.protocol or "TCP") != port.protocol or not target.port:
                continue
            for endpoint in piece.endpoints or []:
                if not endpoint.addresses or (endpoint.addresses[0], target.port) in seen:
                    continue
                seen.add((endpoint.addresses[0], target.port))
                yield endpoint_of(endpoint, target.port, node_name)


def endpoint_of(endpoint: views.SliceEndpoint, port: int, node_name: str) -> Endpoint:
    conditions, hints = endpoint.conditions, endpoint.hints or views.Hints()
    ready = conditions.ready is not False
    return Endpoint(
        ip=str(ip_address(endpoint.addresses[0])),
        port=port,
        ready=ready,
        serving=ready if conditions.serving is None else conditions.serving,
        terminating=bool(conditions.terminating),
        is_local=endpoint.nodeName == node_name,
        zones=frozenset(zone.name for zone in hints.forZones),
        nodes=frozenset(node.name for node in hints.forNodes),
    )

"""What the proxy reads of Services, EndpointSlices and Nodes: nothing but these fields is decoded from the watch."""

from __future__ import annotations

from msgspec import Struct, field

#: Label that names another proxy for a Service; such a Service is left alone (upstream's well-known label).
LABEL_OTHER_PROXY = "service.kubernetes.io/service-proxy-name"
#: Label that marks a Service as headless whatever its clusterIP says.
LABEL_HEADLESS = "service.kubernetes.io/headless"
#: Label by which an EndpointSlice names its Service.
LABEL_SERVICE_NAME = "kubernetes.io/service-name"


class Meta(Struct, frozen=True):
    name: str = ""
    namespace: str = ""
    uid: str = ""
    resourceVersion: str = ""
    labels: dict[str, str] = field(default_factory=dict)


class ServicePort(Struct, frozen=True):
    port: int
    name: str = ""
    protocol: str = "TCP"
    nodePort: int = 0


class ClientIPConfig(Struct, frozen=True):
    timeoutSeconds: int = 10800


class SessionAffinityConfig(Struct, frozen=True):
    clientIP: ClientIPConfig | None = None


class ServiceSpec(Struct, frozen=True):
    type: str = "ClusterIP"
    clusterIP: str = ""
    clusterIPs: list[str] = field(default_factory=list)
    externalIPs: list[str] = field(default_factory=list)
    ports: list[ServicePort] = field(default_factory=list)
    sessionAffinity: str = "None"
    sessionAffinityConfig: SessionAffinityConfig | None = None
    externalTrafficPolicy: str = "Cluster"
    internalTrafficPolicy: str = "Cluster"
    loadBalancerSourceRanges: list[str] = field(default_factory=list)
    healthCheckNodePort: int = 0


class Ingress(Struct, frozen=True):
    ip: str = ""
    ipMode: str = "VIP"


class LoadBalancerStatus(Struct, frozen=True):
    ingress: list[Ingress] = field(default_factory=list)


class ServiceStatus(Struct, frozen=True):
    loadBalancer: LoadBalancerStatus = LoadBalancerStatus()


class Service(Struct, frozen=True):
    metadata: Meta
    spec: ServiceSpec = ServiceSpec()
    status: ServiceStatus = ServiceStatus()


class Conditions(Struct, frozen=True):
    """Absent `ready` and `serving` mean true (EndpointSlice API); absent `terminating` means false."""

    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None


class ForName(Struct, frozen=True):
    name: str


class Hints(Struct, frozen=True):
    forZones: list[ForName] = field(default_factory=list)
    forNodes: list[ForName] = field(default_factory=list)


class SliceEndpoint(Struct, frozen=True):
    addresses: list[str] = field(default_factory=list)
    conditions: Conditions = Conditions()
    nodeName: str | None = None
    zone: str | None = None
    hints: Hints | None = None


class SlicePort(Struct, frozen=True):
    name: str | None = None
    protocol: str | None = None
    port: int | None = None


class EndpointSlice(Struct, frozen=True):
    metadata: Meta
    addressType: str = "IPv4"
    endpoints: list[SliceEndpoint] | None = None
    ports: list[SlicePort] | None = None


class Taint(Struct, frozen=True):
    key: str


class NodeSpec(Struct, frozen=True):
    taints: list[Taint] = field(default_factory=list)
    podCIDR: str = ""
    podCIDRs: list[str] = field(default_factory=list)


class NodeAddress(Struct, frozen=True):
    type: str
    address: str


class NodeStatus(Struct, frozen=True):
    addresses: list[NodeAddress] = field(default_factory=list)


class Node(Struct, frozen=True):
    metadata: Meta
    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()

    def internal_ip(self, want_v6: bool) -> str | None:
        for address in self.status.addresses:
            if address.type == "InternalIP" and (":" in address.address) == want_v6:
                return address.address
        return None

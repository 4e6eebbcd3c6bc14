"""What the DNS server reads of Services, EndpointSlices and Namespaces."""

from __future__ import annotations

from msgspec import Struct, field

LABEL_SERVICE_NAME = "kubernetes.io/service-name"
LABEL_HEADLESS = "service.kubernetes.io/headless"


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


class ServiceSpec(Struct, frozen=True):
    type: str = "ClusterIP"
    clusterIP: str = ""
    clusterIPs: list[str] = field(default_factory=list)
    externalName: str = ""
    ports: list[ServicePort] = field(default_factory=list)
    publishNotReadyAddresses: bool = False


class Service(Struct, frozen=True):
    metadata: Meta
    spec: ServiceSpec = ServiceSpec()


class Conditions(Struct, frozen=True):
    """An absent `ready` means true (EndpointSlice API)."""

    ready: bool | None = None


class SliceEndpoint(Struct, frozen=True):
    addresses: list[str] = field(default_factory=list)
    conditions: Conditions = Conditions()
    hostname: str | None = None


class SlicePort(Struct, frozen=True):
    name: str | None = None
    protocol: str | None = None
    port: int | None = None


class EndpointSlice(Struct, frozen=True):
    metadata: Meta
    addressType: str = "IPv4"
    endpoints: list[SliceEndpoint] | None = None
    ports: list[SlicePort] | None = None


class Namespace(Struct, frozen=True):
    metadata: Meta

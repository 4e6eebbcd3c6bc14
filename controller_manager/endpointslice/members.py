"""Which pods stand behind a Service, at which ports, in which state."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from controller_manager.views import (
    Endpoint,
    EndpointConditions,
    EndpointPort,
    Node,
    ObjectReference,
    Pod,
    Service,
    ServicePort,
)

ZONE = "topology.kubernetes.io/zone"
Ports = tuple[EndpointPort, ...]


@dataclass(frozen=True, slots=True)
class Member:
    pod: Pod
    address: str
    family: str
    ports: Ports


def families(service: Service) -> list[str]:
    if service.spec.ipFamilies:
        return service.spec.ipFamilies
    return ["IPv6" if ":" in service.spec.clusterIP else "IPv4"]


def members(service: Service, pods: Iterable[Pod]) -> Iterator[Member]:
    """One for each pod and address family. Pods that ended, or have no address yet, stand behind nothing."""
    for pod in pods:
        if pod.is_terminal:
            continue
        ports = tuple(_ports(service, pod))
        if service.spec.ports and not ports:
            continue  # none of the named ports exists in this pod
        addresses = [ip.ip for ip in pod.status.podIPs] or [pod.status.podIP]
        for family in families(service):
            address = next((a for a in addresses if a and _family(a) == family), None)
            if address is not None:
                yield Member(pod, address, family, ports)


def _ports(service: Service, pod: Pod) -> Iterator[EndpointPort]:
    for port in service.spec.ports:
        number = target(port, pod)
        if number is not None:
            yield EndpointPort(port.name, number, port.protocol, port.appProtocol)


def target(port: ServicePort, pod: Pod) -> int | None:
    """The number of a Service port in this pod; a name is looked up in its containers, sidecars included."""
    wanted = port.targetPort
    if wanted is None or wanted in (0, ""):
        return port.port
    if isinstance(wanted, int):
        return wanted
    sidecars = [c for c in pod.spec.initContainers if c.restartPolicy == "Always"]
    for container in [*pod.spec.containers, *sidecars]:
        for offered in container.ports:
            if offered.name == wanted and offered.protocol == port.protocol:
                return offered.containerPort
    return None


def endpoint(service: Service, member: Member, node: Node | None) -> Endpoint:
    """The entry of an EndpointSlice."""
    pod = member.pod
    serving = pod.is_ready
    terminating = pod.metadata.deletionTimestamp is not None
    ready = service.spec.publishNotReadyAddresses or (serving and not terminating)
    return Endpoint(
        addresses=[member.address],
        conditions=EndpointConditions(ready, serving, terminating),
        hostname=hostname(service, pod) or None,
        nodeName=pod.spec.nodeName or None,
        targetRef=ObjectReference("Pod", pod.metadata.namespace, pod.metadata.name, pod.metadata.uid),
        zone=node.metadata.labels.get(ZONE) if node is not None else None,
    )


def hostname(service: Service, pod: Pod) -> str:
    """Only pods that chose this Service as their subdomain have a name of their own in its zone."""
    return pod.spec.hostname if pod.spec.hostname and pod.spec.subdomain == service.metadata.name else ""


def _family(address: str) -> str:
    return f"IPv{ipaddress.ip_address(address).version}"

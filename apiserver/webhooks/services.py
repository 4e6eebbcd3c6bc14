"""The address behind a Service reference, read from the apiserver's own caches.

A host that runs an apiserver need not route cluster addresses: requests go to a ready endpoint, not to the cluster IP.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from apimachinery import errors, resources
from apimachinery.resources import ResourceInfo
from apiserver.ports import JSON, Objects
from component_base.rng import Rng

SERVICE_LABEL = "kubernetes.io/service-name"


@dataclass(frozen=True, slots=True)
class Address:
    host: str
    port: int

    @property
    def authority(self) -> str:
        """As in a URL and a Host header."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class ServiceResolver:
    """Every answer is one of the ready endpoints, chosen at random."""

    def __init__(self, objects: Objects, rng: Rng) -> None:
        self._objects = objects
        self._rng = rng

    def resolve(self, namespace: str, name: str, port: int) -> Address:
        """Raises StatusError: 404 for an absent Service, 503 for one without that port or without endpoints."""
        service = self._objects.get(_known("", "services"), namespace, name)
        if service is None:
            raise errors.not_found("service", "", name)
        spec = service.get("spec") or {}
        if spec.get("type") == "ExternalName":
            return Address(str(spec.get("externalName") or ""), port)
        port_name = _port_name(spec, name, port)
        found = list(self._ready(namespace, name, port_name))
        if not found:
            raise errors.service_unavailable(f'no endpoints available for service "{name}"')
        return found[self._rng.randrange(len(found))]

    def _ready(self, namespace: str, name: str, port_name: str) -> Iterator[Address]:
        slices = self._objects.labelled(_known("discovery.k8s.io", "endpointslices"), namespace, SERVICE_LABEL, name)
        for one in slices:
            ports = [port for port in one.get("ports") or () if (port.get("name") or "") == port_name]
            number = ports[0].get("port") if ports else None
            if not number or one.get("addressType") == "FQDN":
                continue
            for endpoint in one.get("endpoints") or ():
                if (endpoint.get("conditions") or {}).get("ready") is not False and endpoint.get("addresses"):
                    yield Address(endpoint["addresses"][0], number)


def _port_name(spec: JSON, name: str, number: int) -> str:
    for port in spec.get("ports") or ():
        if port["port"] == number:
            return str(port.get("name") or "")
    raise errors.service_unavailable(f'no service port {number} found for service "{name}"')


def _known(group: str, plural: str) -> ResourceInfo:
    info = resources.find(group, "v1", plural)
    assert info is not None, plural
    return info

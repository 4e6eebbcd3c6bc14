"""Where a proxied request goes. Only addresses that the cluster's own objects name are ever connected to."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field

from apimachinery import errors, resources
from apimachinery.resources import ResourceInfo
from apiserver.ports import JSON, Objects
from component_base.rng import Rng


@dataclass(frozen=True, slots=True)
class Target:
    """`is_kubelet` decides who must prove who they are, and how."""

    host: str
    port: int
    scheme: str = "https"
    is_kubelet: bool = False
    verify: bool = True
    path: str = field(default="")

    @property
    def authority(self) -> str:
        """As in a URL and a Host header."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Addressing:
    """Which of a node's addresses to use, in this order, and its kubelet's port where the node tells none."""

    types: Sequence[str] = ("InternalIP", "ExternalIP", "Hostname")
    port: int = 10250


class Locator:
    """Finds nodes, pods and services; raises StatusError that say what is wrong with them."""

    def __init__(self, objects: Objects, addressing: Addressing, rng: Rng) -> None:
        self._objects = objects
        self._addressing = addressing
        self._rng = rng

    async def pod(self, namespace: str, name: str) -> JSON:
        return await self._require(core("pods"), namespace, name)

    async def kubelet(self, node_name: str) -> Target:
        info = core("nodes")
        node = self._objects.get(info, "", node_name)
        if node is None:
            node = await self._require(info, "", node_name)
        status = node.get("status") or {}
        endpoint = (status.get("daemonEndpoints") or {}).get("kubeletEndpoint") or {}
        port = endpoint.get("Port") or self._addressing.port
        return Target(preferred_address(status.get("addresses") or (), self._addressing.types), port, is_kubelet=True)

    async def node(self, identifier: str) -> Target:
        """Of `name`, `name:port` or `scheme:name:port`."""
        scheme, name, port = split_identifier(identifier, "node")
        kubelet = await self.kubelet(name)
        require_unicast(kubelet.host)
        if not port or port == str(kubelet.port):
            return kubelet
        return Target(kubelet.host, port_number(port), scheme or "http", verify=False)

    async def pod_port(self, namespace: str, identifier: str) -> Target:
        scheme, name, port = split_identifier(identifier, "pod")
        pod = await self.pod(namespace, name)
        if not port:
            containers = pod["spec"].get("containers") or ()
            port = next((str(one["ports"][0]["containerPort"]) for one in containers if one.get("ports")), "")
        status = pod.get("status") or {}
        address = status.get("podIP") or next((one["ip"] for one in status.get("podIPs") or () if one.get("ip")), "")
        require_unicast(address)
        default = 443 if scheme == "https" else 80
        return Target(address, port_number(port) if port else default, scheme or "http", verify=False)

    async def service_port(self, namespace: str, identifier: str) -> Target:
        scheme, name, port = split_identifier(identifier, "service")
        service = await self._require(core("services"), namespace, name)
        if port.isdigit():
            port = _port_name(service, name, int(port))
        endpoints = await self._require(core("endpoints"), namespace, name)
        candidates = []
        for subset in endpoints.get("subsets") or ():
            numbers = [one["port"] for one in subset.get("ports") or () if (one.get("name") or "") == port]
            candidates += [
                (address["ip"], numbers[0])
                for address in subset.get("addresses") or ()
                if numbers and self._is_a_pods(address, namespace)
            ]
        if not candidates:
            shown = identifier if endpoints.get("subsets") else name
            raise errors.service_unavailable(f'no endpoints available for service "{shown}"')
        host, number = candidates[self._rng.randrange(len(candidates))]
        return Target(host, number, scheme or "http", verify=False)

    def _is_a_pods(self, address: JSON, namespace: str) -> bool:
        """Endpoints are written by users too: without this anybody could have the apiserver call any address."""
        reference = address.get("targetRef") or {}
        if reference.get("kind") != "Pod" or reference.get("namespace", namespace) != namespace:
            return False
        pod = self._objects.get(core("pods"), namespace, reference.get("name") or "")
        if pod is None:
            return False
        status = pod.get("status") or {}
        own = {status.get("podIP"), *(one.get("ip") for one in status.get("podIPs") or ())}
        return address["ip"] in own

    async def _require(self, info: ResourceInfo, namespace: str, name: str) -> JSON:
        found = await self._objects.get_latest(info, namespace, name)
        if found is None:
            raise errors.not_found(info.plural, info.group, name)
        return found


def choose_container(pod: JSON, wanted: str) -> str:
    """The container asked for, or the only one. Raises StatusError 400."""
    spec, name = pod["spec"], pod["metadata"]["name"]
    everything = [
        container["name"]
        for key in ("initContainers", "containers", "ephemeralContainers")
        for container in spec.get(key) or ()
    ]
    if wanted:
        if wanted not in everything:
            raise errors.bad_request(f"container {wanted} is not valid for pod {name}")
        return wanted
    containers: list[JSON] = spec.get("containers") or []
    if len(containers) == 1:
        return str(containers[0]["name"])
    sentence = f"a container name must be specified for pod {name}"
    if containers:
        sentence += f", choose one of: [{' '.join(everything)}]"
    raise errors.bad_request(sentence)


def preferred_address(addresses: Sequence[JSON], types: Sequence[str]) -> str:
    for wanted in types:
        for address in addresses:
            if address.get("type") == wanted and address.get("address"):
                return str(address["address"])
    known = " ".join(f"{{{one.get('type')} {one.get('address')}}}" for one in addresses)
    raise errors.StatusError(500, "", f"no preferred addresses found; known addresses: [{known}]")


def split_identifier(identifier: str, word: str) -> tuple[str, str, str]:
    """(scheme, name, port) of `name`, `name:port`, `scheme:name:port`. Raises StatusError 400."""
    parts = identifier.split(":")
    if len(parts) == 1:
        parts = ["", parts[0], ""]
    elif len(parts) == 2:
        parts = ["", *parts]
    if len(parts) != 3 or parts[0] not in ("", "http", "https") or not parts[1]:
        raise errors.bad_request(f'invalid {word} request "{identifier}"')
    return parts[0], parts[1], parts[2]


def require_unicast(host: str) -> None:
    """No loopback, link-local or multicast address: what listens there trusts this host."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        raise errors.bad_request("address not allowed") from None
    if address.is_loopback or address.is_link_local or address.is_multicast or address.is_unspecified:
        raise errors.bad_request("address not allowed")


def port_number(text: str) -> int:
    if not text.isdigit() or not 0 < int(text) < 65536:
        raise errors.bad_request(f'invalid port "{text}"')
    return int(text)


def _port_name(service: JSON, name: str, number: int) -> str:
    for port in service["spec"].get("ports") or ():
        if port["port"] == number:
            return str(port.get("name") or "")
    raise errors.service_unavailable(f'no service port {number} found for service "{name}"')


def core(plural: str) -> ResourceInfo:
    info = resources.find("", "v1", plural)
    assert info is not None
    return info

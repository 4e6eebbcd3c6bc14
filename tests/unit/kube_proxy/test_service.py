"""From watches to transactions: what is written when, and what happens when the kernel refuses."""

import json
from typing import Any

import pytest

from component_base.clock import ManualClock
from kube_proxy import conntrack, routes
from kube_proxy.nft import NftError
from kube_proxy.rules.base import Network
from kube_proxy.rules.service_map import Endpoint, ServicePort
from kube_proxy.service import ProxyService
from kube_proxy.views import EndpointSlice, Node, Service
from kubeclient.informer import Informers
from kubeclient.rest import WatchEvent
from tests.unit.kubeclient.memory_api import MemoryApi

SERVICES, SLICES, NODES = "/api/v1/services", "/apis/discovery.k8s.io/v1/endpointslices", "/api/v1/nodes"
VIEWS: dict[str, type[Any]] = {SERVICES: Service, SLICES: EndpointSlice, NODES: Node}


class Recorder:
    def __init__(self) -> None:
        self.texts: list[str] = []
        self.refuse = 0

    async def apply(self, transaction: str) -> None:
        if self.refuse:
            self.refuse -= 1
            raise NftError("no")
        self.texts.append(transaction)


class World:
    def __init__(self) -> None:
        clock = ManualClock()
        self.informers = Informers(MemoryApi().client(), clock)
        self.kernel = Recorder()
        self.service = ProxyService(
            self.informers, self.kernel, None, Network("n1", cluster_cidr="10.244.0.0/16"), clock
        )

    def put(self, path: str, body: dict[str, Any], event: str = "MODIFIED") -> None:
        self.informers.of(path, VIEWS[path]).apply(WatchEvent(event, json.dumps(body).encode()))

    def web(self, *addresses: str) -> None:
        meta = {"name": "web", "namespace": "x"}
        port = {"name": "http", "port": 80, "protocol": "TCP"}
        self.put(SERVICES, {"metadata": meta, "spec": {"clusterIP": "10.96.0.5", "ports": [port]}})
        labels = {"kubernetes.io/service-name": "web"}
        piece = {
            "metadata": {"name": "web-1", "namespace": "x", "labels": labels},
            "addressType": "IPv4",
            "endpoints": [{"addresses": [a], "conditions": {"ready": True}} for a in addresses],
            "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        }
        self.put(SLICES, piece)


@pytest.fixture
def world() -> World:
    return World()


async def test_the_first_transaction_replaces_what_was_left_behind(world: World) -> None:
    world.web("10.244.0.2")
    assert not world.service.is_healthy
    await world.service.sync()
    (text,) = world.kernel.texts
    assert text.startswith("add table ip kube-proxy\ndelete table ip kube-proxy\n")
    assert "dnat to 10.244.0.2:8080" in text
    assert world.service.is_healthy


async def test_later_ones_carry_only_the_change_and_none_is_empty(world: World) -> None:
    world.web("10.244.0.2")
    await world.service.sync()
    await world.service.sync()
    assert len(world.kernel.texts) == 1
    world.web("10.244.0.2", "10.244.0.3")
    await world.service.sync()
    assert "delete table" not in world.kernel.texts[1]
    assert "10.244.0.3:8080" in world.kernel.texts[1]


async def test_after_a_refusal_everything_is_written_again(world: World) -> None:
    world.web("10.244.0.2")
    await world.service.sync()
    world.web("10.244.0.3")
    world.kernel.refuse = 1
    with pytest.raises(NftError):
        await world.service.sync()
    world.service._applied = None
    await world.service.sync()
    assert "delete table" in world.kernel.texts[-1]


def service_port(protocol: str, *addresses: str, node_port: int = 0) -> ServicePort:
    endpoints = tuple(Endpoint(a, 53) for a in addresses)
    return ServicePort("x", "dns", "", protocol, 53, "10.96.0.10", node_port=node_port, endpoints=endpoints)


def test_udp_flows_to_endpoints_that_left_are_forgotten() -> None:
    flows = conntrack.stale_flows([service_port("udp", "10.0.0.1", "10.0.0.2")], [service_port("udp", "10.0.0.2")])
    assert [conntrack.command(f) for f in flows] == [
        ["-D", "-p", "udp", "--orig-dst", "10.96.0.10", "--reply-src", "10.0.0.1"]
    ]
    assert conntrack.stale_flows([service_port("tcp", "10.0.0.1")], []) == []


def test_flows_from_before_the_first_endpoint_are_forgotten() -> None:
    flows = conntrack.stale_flows([service_port("udp")], [service_port("udp", "10.0.0.1", node_port=30053)])
    commands = [conntrack.command(f) for f in flows]
    assert ["-D", "-p", "udp", "--orig-dst", "10.96.0.10"] in commands
    assert ["-D", "-p", "udp", "--orig-port-dst", "30053"] in commands


def test_routes_lead_to_the_other_nodes() -> None:
    def node(name: str, cidr: str, address: str) -> Node:
        import msgspec

        status = {"addresses": [{"type": "InternalIP", "address": address}] if address else []}
        return msgspec.convert({"metadata": {"name": name}, "spec": {"podCIDR": cidr}, "status": status}, Node)

    nodes = [
        node("n1", "10.244.0.0/24", "10.0.0.1"),
        node("n2", "10.244.1.0/24", "10.0.0.2"),
        node("n3", "", "10.0.0.3"),
    ]
    nodes.append(node("n4", "10.244.4.0/24", ""))
    assert routes.wanted(nodes, "n1") == {"10.244.1.0/24": "10.0.0.2"}

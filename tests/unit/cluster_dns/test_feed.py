"""Watches into the zone, and the server's own announcement."""

import json
from typing import Any

import pytest

from cluster_dns.feed import feed
from cluster_dns.registration import COLLECTION, Registration, slice_for
from cluster_dns.views import EndpointSlice, Namespace, Service
from cluster_dns.zone import Verdict, Zone
from component_base.clock import ManualClock
from kubeclient.informer import Informers
from kubeclient.rest import WatchEvent
from tests.unit.kubeclient.memory_api import MemoryApi

NAMESPACES, SERVICES = "/api/v1/namespaces", "/api/v1/services"
SLICES = "/apis/discovery.k8s.io/v1/endpointslices"
VIEWS: dict[str, type[Any]] = {NAMESPACES: Namespace, SERVICES: Service, SLICES: EndpointSlice}


class World:
    def __init__(self) -> None:
        self.zone = Zone("cluster.local")
        self.informers = Informers(MemoryApi().client(), ManualClock())
        feed(self.informers, self.zone)

    def put(self, path: str, body: dict[str, Any], event: str = "MODIFIED") -> None:
        self.informers.of(path, VIEWS[path]).apply(WatchEvent(event, json.dumps(body).encode()))

    def addresses(self, name: str) -> list[str]:
        return sorted(record.data for record in self.zone.lookup(f"{name}.cluster.local.", "A").records)


@pytest.fixture
def world() -> World:
    found = World()
    found.put(NAMESPACES, {"metadata": {"name": "x"}})
    return found


def piece(service: str, *addresses: str) -> dict[str, Any]:
    meta = {"name": "piece", "namespace": "x", "labels": {"kubernetes.io/service-name": service}}
    endpoints = [{"addresses": [address], "conditions": {"ready": True}} for address in addresses]
    return {"metadata": meta, "addressType": "IPv4", "endpoints": endpoints, "ports": [{"name": "", "port": 80}]}


def test_services_come_change_and_go(world: World) -> None:
    meta = {"name": "web", "namespace": "x"}
    world.put(SERVICES, {"metadata": meta, "spec": {"clusterIP": "10.96.0.5", "ports": [{"port": 80}]}})
    assert world.addresses("web.x.svc") == ["10.96.0.5"]
    world.put(SERVICES, {"metadata": meta, "spec": {"clusterIP": "10.96.0.6", "ports": [{"port": 80}]}})
    assert world.addresses("web.x.svc") == ["10.96.0.6"]
    world.put(SERVICES, {"metadata": meta}, "DELETED")
    assert world.zone.lookup("web.x.svc.cluster.local.", "A").verdict is Verdict.NXDOMAIN


def test_a_slice_that_changes_its_service_leaves_the_old_one(world: World) -> None:
    for name in ("one", "two"):
        world.put(SERVICES, {"metadata": {"name": name, "namespace": "x"}, "spec": {"clusterIP": "None"}})
    world.put(SLICES, piece("one", "10.0.0.1", "10.0.0.2"))
    assert world.addresses("one.x.svc") == ["10.0.0.1", "10.0.0.2"]
    world.put(SLICES, piece("two", "10.0.0.1"))
    assert world.addresses("one.x.svc") == []
    assert world.addresses("two.x.svc") == ["10.0.0.1"]
    world.put(SLICES, piece("two"), "DELETED")
    assert world.addresses("two.x.svc") == []


async def test_the_server_announces_itself_and_withdraws() -> None:
    api = MemoryApi()
    registration = Registration(api.client(), ManualClock(), slice_for("n1", "10.0.0.1", 10053, 9153, ready=True))
    await registration.announce()
    stored = api.objects[f"{COLLECTION}/kube-dns-n1"]
    assert stored["metadata"]["labels"]["kubernetes.io/service-name"] == "kube-dns"
    assert stored["endpoints"][0]["conditions"]["ready"] is True
    await registration.announce()
    await registration.withdraw()
    assert api.objects[f"{COLLECTION}/kube-dns-n1"]["endpoints"] == []

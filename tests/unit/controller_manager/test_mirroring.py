"""Endpoints that somebody wrote appear as EndpointSlices, once, and go with them."""

from typing import Any

import pytest

from controller_manager.endpointslice.mirroring import MANAGER, EndpointSliceMirroringController
from tests.unit.controller_manager.caches import events
from tests.unit.controller_manager.world import World

SERVICES = "/api/v1/services"
ENDPOINTS = "/api/v1/endpoints"
SLICES = "/apis/discovery.k8s.io/v1/endpointslices"
KEY = "x/outside"


def addresses(*ips: str) -> list[dict[str, str]]:
    return [{"ip": ip} for ip in ips]


class Mirror(World):
    def __init__(self, *subsets: dict[str, Any], selector: dict[str, str] | None = None, **meta: Any) -> None:
        super().__init__()
        self.controller = EndpointSliceMirroringController(self.caches.informers)
        self.put(SERVICES, {"metadata": {"name": "outside", "namespace": "x"}, "spec": {"selector": selector}})
        self.write(*subsets, **meta)

    def write(self, *subsets: dict[str, Any], **meta: Any) -> None:
        self.put(ENDPOINTS, {"metadata": {"name": "outside", "namespace": "x", **meta}, "subsets": list(subsets)})

    @property
    def slices(self) -> list[dict[str, Any]]:
        return list(self.all(SLICES).values())


PORTS = [{"name": "web", "port": 80}]


def test_addresses_are_mirrored_with_their_readiness_and_ports() -> None:
    subset = {"addresses": addresses("192.0.2.1"), "notReadyAddresses": addresses("192.0.2.2"), "ports": PORTS}
    mirror = Mirror(subset, labels={"team": "a"}, annotations={"note": "b"})
    mirror.settle(KEY)
    (made,) = mirror.slices
    assert made["addressType"] == "IPv4"
    assert made["ports"] == [{"name": "web", "port": 80, "protocol": "TCP"}]
    assert [(e["addresses"], e["conditions"]) for e in made["endpoints"]] == [
        (["192.0.2.1"], {"ready": True}),
        (["192.0.2.2"], {"ready": False}),
    ]
    assert made["metadata"]["labels"] == {
        "team": "a",
        "kubernetes.io/service-name": "outside",
        "endpointslice.kubernetes.io/managed-by": MANAGER,
    }
    assert made["metadata"]["annotations"] == {"note": "b"}
    assert made["metadata"]["ownerReferences"][0]["kind"] == "Endpoints"


def test_families_have_slices_of_their_own() -> None:
    mirror = Mirror({"addresses": addresses("192.0.2.1", "2001:db8::1"), "ports": PORTS})
    mirror.settle(KEY)
    assert sorted(made["addressType"] for made in mirror.slices) == ["IPv4", "IPv6"]


def test_a_change_is_followed_in_the_same_slice() -> None:
    mirror = Mirror({"addresses": addresses("192.0.2.1"), "ports": PORTS})
    mirror.settle(KEY)
    (before,) = mirror.slices
    mirror.write({"addresses": addresses("192.0.2.1", "192.0.2.9"), "ports": PORTS}, labels={"team": "b"})
    mirror.settle(KEY)
    (after,) = mirror.slices
    assert after["metadata"]["name"] == before["metadata"]["name"]
    assert len(after["endpoints"]) == 2
    assert after["metadata"]["labels"]["team"] == "b"


@pytest.mark.parametrize(
    "more",
    [
        {"selector": {"app": "web"}},
        {"labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}},
        {"annotations": {"control-plane.alpha.kubernetes.io/leader": "{}"}},
    ],
)
def test_what_others_look_after_is_not_mirrored(more: dict[str, Any]) -> None:
    assert Mirror({"addresses": addresses("192.0.2.1"), "ports": PORTS}, **more).step(KEY).is_empty


@pytest.mark.parametrize("gone", [SERVICES, ENDPOINTS])
def test_slices_go_with_what_they_mirror(gone: str) -> None:
    mirror = Mirror({"addresses": addresses("192.0.2.1"), "ports": PORTS})
    mirror.settle(KEY)
    mirror.drop(gone, "outside")
    mirror.settle(KEY)
    assert not mirror.slices


def test_what_is_no_address_is_left_out_and_told() -> None:
    mirror = Mirror({"addresses": addresses("192.0.2.1", "nonsense"), "ports": PORTS})
    plan = mirror.step(KEY)
    assert [reason for reason, _ in events(plan)] == ["InvalidIPAddress"]
    assert len(mirror.slices[0]["endpoints"]) == 1

"""Addresses behind a Service: who is listed, in which state, in as few changed slices as possible."""

from typing import Any

import msgspec

from controller_manager.endpointslice import slices
from controller_manager.endpointslice.controller import EndpointSliceController
from controller_manager.endpointslice.endpoints import EndpointsController
from controller_manager.views import Endpoint, EndpointSlice, ObjectReference
from tests.unit.controller_manager.caches import NOW, THEN, Caches, creates, deletes, pod, replaces

SERVICES, PODS, SLICES = "/api/v1/services", "/api/v1/pods", "/apis/discovery.k8s.io/v1/endpointslices"
ENDPOINTS = "/api/v1/endpoints"


def service(**spec: Any) -> dict[str, Any]:
    port = {"name": "http", "port": 80, "protocol": "TCP", "targetPort": "http"}
    full = {"selector": {"app": "web"}, "clusterIP": "10.96.0.5", "ipFamilies": ["IPv4"], "ports": [port], **spec}
    return {"metadata": {"name": "web", "namespace": "x", "labels": {"team": "a"}}, "spec": full}


def setting(*pods: dict[str, Any], **spec: Any) -> tuple[Caches, EndpointSliceController, EndpointsController]:
    caches = Caches()
    controllers = EndpointSliceController(caches.informers), EndpointsController(caches.informers)
    caches.put("/api/v1/nodes", {"metadata": {"name": "n1", "labels": {"topology.kubernetes.io/zone": "east"}}})
    caches.put(SERVICES, service(**spec))
    for found in pods:
        caches.put(PODS, found)
    return caches, *controllers


def test_a_slice_lists_every_pod_with_its_state() -> None:
    ending = pod("ending", ip="10.0.0.3", meta={"deletionTimestamp": THEN})
    _, controller, _ = setting(pod("a", ip="10.0.0.1"), pod("b", ip="10.0.0.2", ready=False), ending)
    (made,) = creates(controller.reconcile("x/web", NOW))
    assert made.body["ports"] == [{"name": "http", "port": 8080, "protocol": "TCP"}]
    assert made.body["metadata"]["labels"]["kubernetes.io/service-name"] == "web"
    assert made.body["metadata"]["labels"]["team"] == "a"
    states = {e["addresses"][0]: e["conditions"] for e in made.body["endpoints"]}
    assert states["10.0.0.1"] == {"ready": True, "serving": True, "terminating": False}
    assert states["10.0.0.2"] == {"ready": False, "serving": False, "terminating": False}
    assert states["10.0.0.3"] == {"ready": False, "serving": True, "terminating": True}
    first = made.body["endpoints"][0]
    assert (first["zone"], first["nodeName"], first["targetRef"]["name"]) == ("east", "n1", "a")


def test_ended_pods_and_pods_without_address_are_not_listed() -> None:
    _, controller, _ = setting(pod("done", phase="Succeeded"), pod("new", ip=""))
    (made,) = creates(controller.reconcile("x/web", NOW))
    assert made.body["endpoints"] == [], "an empty slice says that the Service is known"


def test_pods_whose_named_port_differs_get_slices_of_their_own() -> None:
    other = pod(
        "b", ip="10.0.0.2", spec={"containers": [{"name": "c", "ports": [{"name": "http", "containerPort": 9}]}]}
    )
    _, controller, _ = setting(pod("a"), other)
    ports = {made.body["ports"][0]["port"] for made in creates(controller.reconcile("x/web", NOW))}
    assert ports == {8080, 9}


def test_nothing_is_written_twice_and_a_change_rewrites_one_slice() -> None:
    caches, controller, _ = setting(pod("a", ip="10.0.0.1"))
    (made,) = creates(controller.reconcile("x/web", NOW))
    stored = {**made.body, "metadata": {**made.body["metadata"], "name": "web-abcde"}}
    caches.put(SLICES, stored)
    assert controller.reconcile("x/web", NOW).is_empty
    caches.put(PODS, pod("b", ip="10.0.0.2"))
    plan = controller.reconcile("x/web", NOW)
    (changed,) = replaces(plan)
    assert [e["addresses"] for e in changed.body["endpoints"]] == [["10.0.0.1"], ["10.0.0.2"]]
    assert changed.body["metadata"]["resourceVersion"]
    assert not creates(plan)


def test_a_changed_label_of_the_service_is_passed_on() -> None:
    caches, controller, _ = setting(pod("a"))
    (made,) = creates(controller.reconcile("x/web", NOW))
    caches.put(SLICES, {**made.body, "metadata": {**made.body["metadata"], "name": "web-abcde"}})
    body = service()
    body["metadata"]["labels"] = {"team": "b"}
    caches.put(SERVICES, body)
    (changed,) = replaces(controller.reconcile("x/web", NOW))
    assert changed.body["metadata"]["labels"]["team"] == "b"


def endpoint(number: int) -> Endpoint:
    return Endpoint([f"10.0.{number // 250}.{number % 250}"], targetRef=ObjectReference(uid=str(number)))


def test_slices_are_filled_to_a_hundred_and_kept_when_others_go() -> None:
    group = ("IPv4", ())
    layout = slices.lay_out({group: [endpoint(n) for n in range(250)]}, [])
    assert [len(endpoints) for _, endpoints in layout.created] == [100, 100, 50]
    existing = [
        msgspec.convert(
            {"metadata": {"name": f"s{n}", "uid": f"s{n}"}, "endpoints": msgspec.to_builtins(endpoints), "ports": []},
            EndpointSlice,
        )
        for n, (_, endpoints) in enumerate(layout.created)
    ]
    fewer = [endpoint(n) for n in range(250) if n != 7]
    layout = slices.lay_out({group: fewer}, existing)
    assert [found.metadata.name for found, _ in layout.changed] == ["s0"]
    more = [*fewer, endpoint(300)]
    layout = slices.lay_out({group: more}, existing)
    assert [found.metadata.name for found, _ in layout.changed] == ["s0"], "the slice that changes anyway takes it"
    assert not layout.created


def test_endpoints_tell_ready_from_unready_and_leave_ending_pods_out() -> None:
    ending = pod("ending", ip="10.0.0.3", meta={"deletionTimestamp": THEN})
    caches, _, controller = setting(pod("a", ip="10.0.0.1"), pod("b", ip="10.0.0.2", ready=False), ending)
    (made,) = creates(controller.reconcile("x/web", NOW))
    (subset,) = made.body["subsets"]
    assert [a["ip"] for a in subset["addresses"]] == ["10.0.0.1"]
    assert [a["ip"] for a in subset["notReadyAddresses"]] == ["10.0.0.2"]
    assert subset["ports"] == [{"name": "http", "port": 8080, "protocol": "TCP"}]
    caches.put(ENDPOINTS, made.body)
    assert controller.reconcile("x/web", NOW).is_empty
    caches.drop(SERVICES, service())
    assert deletes(controller.reconcile("x/web", NOW)) == ["web"]


def test_a_service_that_publishes_unready_addresses_lists_them_as_ready() -> None:
    _, slice_controller, controller = setting(pod("a", ready=False), publishNotReadyAddresses=True)
    (made,) = creates(controller.reconcile("x/web", NOW))
    assert [a["ip"] for a in made.body["subsets"][0]["addresses"]] == ["10.0.0.1"]
    (made,) = creates(slice_controller.reconcile("x/web", NOW))
    assert made.body["endpoints"][0]["conditions"]["ready"] is True


def test_services_without_selector_are_somebody_elses() -> None:
    _, slice_controller, controller = setting(pod("a"), selector=None)
    assert slice_controller.reconcile("x/web", NOW).is_empty
    assert controller.reconcile("x/web", NOW).is_empty

"""Decisions about APIServices: availability, order, what is kept automatically, and joined documents. No server."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from dataclasses import replace
from typing import Any

import httpx
import pytest

from apiserver.aggregation import registration
from apiserver.aggregation.availability import PASSED, Condition, unreachable, with_condition
from apiserver.aggregation.backends import Backend, Backends, backend_of
from apiserver.aggregation.discovery import from_legacy
from apiserver.aggregation.forwarding import Forwarder
from apiserver.aggregation.openapi import merged
from apiserver.aggregation.transport import BackendTransport, Identity, escaped
from apiserver.authn.request_header import HeaderNames
from apiserver.endpoints.exchange import Exchange
from apiserver.ports import User
from apiserver.registry.catalog import Catalog
from apiserver.webhooks.services import Address
from tests.unit.apiserver.memory_objects import MemoryObjects

JSON = dict[str, Any]
GROUP = "apiregistration.k8s.io"


def api_service(group: str = "g.example", version: str = "v1", priority: int = 100, **spec: Any) -> JSON:
    base = {"group": group, "version": version, "groupPriorityMinimum": 2000, "versionPriority": priority}
    service = {"namespace": "n", "name": "s", "port": 443}
    return {"metadata": {"name": f"{version}.{group}"}, "spec": {**base, "service": service, **spec}}


BACKEND = backend_of(api_service())
SERVICE = {"spec": {"type": "ClusterIP", "ports": [{"port": 443, "name": "web"}]}}
SLICE = {"ports": [{"name": "web", "port": 8443}], "endpoints": [{"addresses": ["10.0.0.1"]}]}
UNREADY = {**SLICE, "endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": False}}]}


@pytest.mark.parametrize(
    ("service", "slices", "reason", "message"),
    [
        (None, [], "ServiceNotFound", 'service/s in "n" is not present'),
        (
            {"spec": {"ports": [{"port": 80}]}},
            [SLICE],
            "ServicePortError",
            'service/s in "n" is not listening on port 443',
        ),
        (SERVICE, [], "EndpointsNotFound", 'cannot find endpointslices for service/s in "n"'),
        (
            SERVICE,
            [UNREADY, {**SLICE, "ports": [{"name": "other", "port": 1}]}],
            "MissingEndpoints",
            'endpointslices for service/s in "n" have no addresses with port name "web"',
        ),
    ],
)
def test_why_a_server_cannot_be_asked(service: JSON | None, slices: list[JSON], reason: str, message: str) -> None:
    assert unreachable(BACKEND, service, slices) == Condition("False", reason, message)


def test_servers_that_can_be_asked() -> None:
    assert unreachable(BACKEND, SERVICE, [UNREADY, SLICE]) is None
    assert unreachable(BACKEND, {"spec": {"type": "ExternalName"}}, []) is None


def test_the_condition_tells_since_when() -> None:
    first = with_condition(api_service(), Condition("False", "A", "a"), 0.0)
    assert first is not None
    second = with_condition(first, Condition("False", "B", "b"), 60.0)
    assert second is not None
    (condition,) = second["status"]["conditions"]
    assert (condition["reason"], condition["lastTransitionTime"]) == ("B", "1970-01-01T00:00:00Z")
    third = with_condition(second, PASSED, 60.0)
    assert third is not None
    assert third["status"]["conditions"][0]["lastTransitionTime"] == "1970-01-01T00:01:00Z"
    assert with_condition(third, PASSED, 90.0) is None


def stored(objects: MemoryObjects, obj: JSON) -> None:
    objects.put("apiservices", obj["metadata"]["name"], "", GROUP, spec=obj["spec"], status=obj.get("status", {}))


def test_whose_a_request_is() -> None:
    objects = MemoryObjects()
    backends = Backends(objects)
    path = "/apis/g.example/v1"
    assert backends.for_path(path, "", "", "") is None
    stored(objects, api_service())
    stored(objects, api_service("", "v1"))
    assert backends.for_path(path, "", "", "") is not None
    assert backends.for_path(f"{path}/namespaces/a/b", "g.example", "v1", "b") is not None
    assert backends.for_path("/apis/g.example", "", "", "") is None
    assert backends.for_path("/apis/g.example/v2", "", "", "") is None
    assert backends.for_path("/api/v1/pods", "", "v1", "pods") is not None
    assert backends.for_path("/api/v1/namespaces", "", "v1", "namespaces") is None
    stored(objects, {"metadata": {"name": "v1.g.example"}, "spec": {**api_service()["spec"], "service": None}})
    assert backends.for_path(path, "", "", "") is None


def test_groups_and_versions_come_by_priority() -> None:
    objects = MemoryObjects()
    backends = Backends(objects)
    for obj in registration.wanted(Catalog()).values():
        stored(objects, obj)
    own = Catalog().groups()
    assert backends.order(own) == own
    stored(objects, api_service("a.example", "v1beta1", 10, groupPriorityMinimum=17450))
    stored(objects, api_service("a.example", "v1", 5, groupPriorityMinimum=100))
    names = [group for group, _ in backends.order(own)]
    assert names.index("autoscaling") < names.index("a.example") < names.index("batch")
    assert dict(backends.order(own))["a.example"] == ["v1beta1", "v1"]


def test_what_is_kept_automatically() -> None:
    wanted = registration.wanted(Catalog())
    apps = wanted["v1.apps"]
    assert apps["metadata"]["labels"] == {registration.LABEL: "onstart"}
    changed = {**apps, "spec": {**apps["spec"], "versionPriority": 1}}
    assert registration.repaired(changed, apps, starting=False) is None
    assert registration.repaired(changed, apps, starting=True) == apps
    theirs = {**changed, "metadata": {"name": "v1.apps"}}
    assert registration.repaired(theirs, apps, starting=True) is None
    custom = {"metadata": {"name": "v1.gone", "labels": {registration.LABEL: "true"}}, "spec": {}}
    assert registration.superfluous(custom, set(wanted), starting=False)
    assert not registration.superfluous(apps, set(wanted), starting=True)
    assert not registration.superfluous({"metadata": {"name": "x"}, "spec": {}}, set(wanted), starting=True)


def test_users_in_headers() -> None:
    user = User("u", ("g", "h"), "7", {"scopes/x y": ("a",)})
    assert Identity().headers(user) == [
        (b"X-Remote-User", b"u"),
        (b"X-Remote-Uid", b"7"),
        (b"X-Remote-Group", b"g"),
        (b"X-Remote-Group", b"h"),
        (b"X-Remote-Extra-scopes%2Fx%20y", b"a"),
    ]
    assert escaped("plain-1.a") == "plain-1.a"


def test_legacy_discovery_as_an_entry_of_the_aggregated_form() -> None:
    listed = [
        {"name": "a", "singularName": "b", "namespaced": False, "kind": "A", "verbs": ["get"], "shortNames": ["x"]},
        {"name": "a/status", "kind": "A", "verbs": ["patch"]},
        {"name": "a/scale", "group": "autoscaling", "version": "v1", "kind": "Scale", "verbs": ["get"]},
    ]
    (resource,) = from_legacy("g", "v1", {"resources": listed})["resources"]
    assert (resource["resource"], resource["scope"], resource["shortNames"]) == ("a", "Cluster", ["x"])
    kinds = {one["subresource"]: one["responseKind"]["group"] for one in resource["subresources"]}
    assert kinds == {"status": "g", "scale": "autoscaling"}


def test_documents_are_joined() -> None:
    def reference(name: str) -> JSON:
        return {"$ref": f"#/definitions/{name}"}

    own: JSON = {"paths": {"/api/v1": {}}, "definitions": {"Meta": {"type": "object"}, "Spec": {"type": "string"}}}
    kinds = {"type": "object", "x-kubernetes-group-version-kind": [{"kind": "Meta"}]}
    definitions = {
        "Thing": {"properties": {"meta": reference("Meta"), "spec": reference("Spec")}},
        "Meta": kinds,
        "Spec": {"type": "object", "properties": {"self": reference("Spec")}},
        "Unused": {},
    }
    other = {"paths": {"/apis/g/v1/things": reference("Thing"), "/apis/g/v12": {}}, "definitions": definitions}
    found = merged(own, [("/apis/g/v1", other)])
    assert set(found["paths"]) == {"/api/v1", "/apis/g/v1/things"}
    assert set(found["definitions"]) == {"Meta", "Spec", "Thing", "Spec_v2"}
    assert found["definitions"]["Thing"]["properties"] == {"meta": reference("Meta"), "spec": reference("Spec_v2")}
    assert found["definitions"]["Spec_v2"]["properties"]["self"] == reference("Spec_v2")
    assert own["definitions"].keys() == {"Meta", "Spec"}


class Recorded(BackendTransport):
    """One server, which answers 200 to whatever it is sent, and remembers the headers."""

    def __init__(self) -> None:
        self.identity = Identity()
        self.sent: list[httpx.Headers] = []

    def resolve(self, backend: Backend) -> Address:
        return Address("10.0.0.1", 443)

    async def client(self, backend: Backend) -> httpx.AsyncClient:
        def answer(request: httpx.Request) -> httpx.Response:
            self.sent.append(request.headers)
            return httpx.Response(200, stream=httpx.ByteStream(b"{}"))

        return httpx.AsyncClient(transport=httpx.MockTransport(answer))


async def test_a_client_cannot_say_who_it_is_in_headers_of_the_front_proxy() -> None:
    transport, gone = Recorded(), asyncio.Event()
    believed = HeaderNames(("x-user",), ("x-uid",), ("x-group",), ("x-more-",))
    claims = {"X-User": "root", "X-Uid": "0", "X-Group": "system:masters", "X-More-Scopes": "all", "X-Remote-User": "r"}
    sent = [(b"x-kept", b"1"), *((name.lower().encode(), value.encode()) for name, value in claims.items())]

    async def receive() -> JSON:
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: MutableMapping[str, Any]) -> None:
        """Nobody reads the answer."""

    exchange = Exchange({"method": "GET", "path": "/apis/g.example/v1/x", "headers": sent}, receive, send)
    exchange.user = User("alice", ("readers",))
    await Forwarder(transport, believed)(replace(BACKEND, available=True), exchange)
    (headers,) = transport.sent
    assert headers["x-kept"] == "1"
    assert headers.get_list("x-remote-user") == ["alice"]
    assert not [name for name in claims if name.lower() in headers and name != "X-Remote-User"]

"""APIServices: what another server answers in the apiserver's name, and those that the apiserver keeps itself."""

from __future__ import annotations

import base64
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests.integration.cluster_parts import ApiServer
from tests.integration.https_server import Answer, HttpsServer, Request

JSON = dict[str, Any]
APISERVICES = "/apis/apiregistration.k8s.io/v1/apiservices"
GROUP, VERSION = "wardle.example.com", "v1alpha1"
ROOT = f"/apis/{GROUP}/{VERSION}"
NAME = f"{VERSION}.{GROUP}"
FLUNDERS = {"name": "flunders", "singularName": "flunder", "namespaced": True, "kind": "Flunder", "verbs": ["get"]}
V2 = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
SECONDS = 60.0


go_on = threading.Event()


def two_pieces() -> Iterator[bytes]:
    """The second is sent only after the test has seen the first."""
    yield b'{"n":1}\n'
    go_on.wait(30)
    yield b'{"n":2}\n'


def beats() -> Iterator[bytes]:
    """Until nobody reads them; the end of the test's patience ends them too."""
    end = time.monotonic() + 2 * SECONDS
    while time.monotonic() < end:
        yield b"{}\n"
        time.sleep(0.05)


def extension(request: Request) -> Answer:
    """A small server of one kind, with nothing but legacy discovery."""
    path = request.path.partition("?")[0]
    if path == ROOT:
        return Answer(200, {"kind": "APIResourceList", "groupVersion": f"{GROUP}/{VERSION}", "resources": [FLUNDERS]})
    if path == "/openapi/v3":
        return Answer(200, {"paths": {ROOT[1:]: {"serverRelativeURL": f"/openapi/v3{ROOT}?hash=1"}}})
    if path == f"/openapi/v3{ROOT}":
        return Answer(200, {"openapi": "3.0.0", "paths": {f"{ROOT}/flunders": {}}})
    if path == "/openapi/v2":
        item = {"get": {"responses": {"200": {"schema": {"$ref": "#/definitions/flunder"}}}}}
        definitions = {"flunder": {"type": "object"}, "unused": {"type": "object"}}
        return Answer(
            200, {"swagger": "2.0", "paths": {f"{ROOT}/flunders": item, "/x": {}}, "definitions": definitions}
        )
    if path == f"{ROOT}/stream":
        return Answer(pieces=two_pieces())
    if path == f"{ROOT}/beats":
        return Answer(pieces=beats())
    if path.startswith(f"{ROOT}/"):
        return Answer(418 if request.method == "DELETE" else 200, {"method": request.method, "path": request.path})
    return Answer(404, {"kind": "Status", "status": "Failure", "code": 404})


def until(check: Callable[[], Any]) -> Any:
    end = time.monotonic() + SECONDS
    while not (found := check()):
        assert time.monotonic() < end, "it did not come about in time"
        time.sleep(0.05)
    return found


def last(other: HttpsServer, path: str) -> Request:
    """The apiserver asks for availability, discovery and OpenAPI of its own accord meanwhile."""
    return next(one for one in reversed(other.requests) if one.path == path)


def available(api: httpx.Client) -> JSON:
    conditions = (api.get(f"{APISERVICES}/{NAME}").json().get("status") or {}).get("conditions") or [{}]
    found: JSON = conditions[0]
    return found


@pytest.fixture
def other(api: httpx.Client, namespace: str) -> Iterator[HttpsServer]:
    """Behind a Service, registered, and known to be available."""
    with HttpsServer(extension, dns=[f"api.{namespace}.svc"]) as server:
        spec = {"type": "ExternalName", "externalName": "localhost"}
        made = api.post(f"/api/v1/namespaces/{namespace}/services", json={"metadata": {"name": "api"}, "spec": spec})
        assert made.status_code == 201, made.text
        made = api.post(APISERVICES, json=api_service(namespace, server))
        assert made.status_code == 201, made.text
        until(lambda: available(api).get("status") == "True")
        until(lambda: api.get(f"{ROOT}/x").status_code == 200)
        yield server
        api.delete(f"{APISERVICES}/{NAME}")


def api_service(namespace: str, server: HttpsServer) -> JSON:
    return {
        "metadata": {"name": NAME},
        "spec": {
            "group": GROUP,
            "version": VERSION,
            "groupPriorityMinimum": 2000,
            "versionPriority": 200,
            "caBundle": base64.b64encode(server.authority).decode(),
            "service": {"namespace": namespace, "name": "api", "port": server.port},
        },
    }


def test_requests_go_to_the_other_server(server: ApiServer, api: httpx.Client, other: HttpsServer) -> None:
    found = api.get(f"{ROOT}/namespaces/a/flunders/f?x=%2F&y", headers={"authorization": "Bearer secret"})
    assert found.json() == {"method": "GET", "path": f"{ROOT}/namespaces/a/flunders/f?x=%2F&y"}
    assert found.headers["x-kubernetes-pf-flowschema-uid"]
    sent = last(other, f"{ROOT}/namespaces/a/flunders/f?x=%2F&y")
    assert sent.headers["x-remote-user"] == "admin"
    assert sent.headers["x-remote-group"] == "system:authenticated"  # the last of several with this name
    assert "authorization" not in sent.headers
    posted = api.post(f"{ROOT}/namespaces/a/flunders", json={"a": 1})
    assert (posted.status_code, last(other, f"{ROOT}/namespaces/a/flunders").object) == (200, {"a": 1})
    assert api.delete(f"{ROOT}/namespaces/a/flunders/f").status_code == 418
    with server.http("nobody", ()) as somebody:
        refused = somebody.get(f"{ROOT}/namespaces/b/flunders")
        assert refused.status_code == 403
        assert 'flunders.wardle.example.com is forbidden: User "nobody" cannot list' in refused.json()["message"]
    assert not [one for one in other.requests if one.path == f"{ROOT}/namespaces/b/flunders"]


def test_streams_come_piece_by_piece(api: httpx.Client, other: HttpsServer) -> None:
    del other
    with api.stream("GET", f"{ROOT}/stream?watch=1") as answer:
        pieces = answer.iter_raw()
        assert next(pieces) == b'{"n":1}\n'
        go_on.set()
        assert next(pieces) == b'{"n":2}\n'


def test_a_client_that_leaves_takes_the_connection_along(api: httpx.Client, other: HttpsServer) -> None:
    with api.stream("GET", f"{ROOT}/beats?watch=1") as answer:
        assert next(answer.iter_raw()).startswith(b"{}")
        connection = last(other, f"{ROOT}/beats?watch=1").connection
        assert connection not in other.ended
    until(lambda: connection in other.ended)


def test_connections_are_upgraded(server: ApiServer, api: httpx.Client, other: HttpsServer) -> None:
    del api
    address = ("127.0.0.1", int(server.url.rpartition(":")[2]))
    with (
        socket.create_connection(address) as plain,
        server.tls().wrap_socket(plain, server_hostname="localhost") as tls,
    ):
        tls.settimeout(20)
        head = f"GET {ROOT}/x HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"
        tls.sendall(head.encode())
        reader = tls.makefile("rb")
        assert reader.readline() == b"HTTP/1.1 101 Switching Protocols\r\n"
        while reader.readline().strip():
            pass
        tls.sendall(b"hello\n")
        assert reader.readline() == b"hello\n"
    assert last(other, f"{ROOT}/x").headers["x-remote-user"] == "admin"


def test_discovery_and_openapi_name_it(api: httpx.Client, other: HttpsServer) -> None:
    del other
    groups = [one["name"] for one in api.get("/apis").json()["groups"]]
    assert groups.index("apps") < groups.index(GROUP)
    assert api.get(f"/apis/{GROUP}").json()["preferredVersion"]["version"] == VERSION
    assert api.get(ROOT).json()["resources"] == [FLUNDERS]

    def entry() -> JSON | None:
        items = api.get("/apis", headers={"accept": V2}).json()["items"]
        version = next(one["versions"][0] for one in items if one["metadata"]["name"] == GROUP)
        return version if version["freshness"] == "Current" else None

    resource = until(entry)["resources"][0]
    assert (resource["resource"], resource["scope"]) == ("flunders", "Namespaced")
    assert resource["responseKind"] == {"group": GROUP, "version": VERSION, "kind": "Flunder"}
    assert api.get("/openapi/v3").json()["paths"][ROOT[1:]] == {"serverRelativeURL": f"/openapi/v3{ROOT}?hash=1"}
    assert api.get(f"/openapi/v3{ROOT}").json()["paths"] == {f"{ROOT}/flunders": {}}
    whole = api.get("/openapi/v2").json()
    assert f"{ROOT}/flunders" in whole["paths"]
    assert "/x" not in whole["paths"]
    assert "flunder" in whole["definitions"]
    assert "unused" not in whole["definitions"]


def test_a_server_that_cannot_be_reached(api: httpx.Client, namespace: str, other: HttpsServer) -> None:
    api.delete(f"/api/v1/namespaces/{namespace}/services/api")
    condition = until(lambda: found if (found := available(api))["status"] == "False" else None)
    assert (condition["reason"], condition["message"]) == (
        "ServiceNotFound",
        f'service/api in "{namespace}" is not present',
    )
    refused = until(lambda: found if (found := api.get(f"{ROOT}/x")).status_code != 200 else None)
    assert (refused.status_code, refused.text) == (503, "service unavailable\n")
    assert GROUP in [one["name"] for one in api.get("/apis").json()["groups"]]
    api.delete(f"{APISERVICES}/{NAME}")
    until(lambda: api.get(f"{ROOT}/x").status_code == 404)
    assert GROUP not in [one["name"] for one in api.get("/apis").json()["groups"]]


def test_an_apiservice_that_loses_its_service_is_local(api: httpx.Client, other: HttpsServer) -> None:
    del other
    change = {"spec": {"service": None, "caBundle": None}}
    merge = {"content-type": "application/merge-patch+json"}
    assert api.patch(f"{APISERVICES}/{NAME}", json=change, headers=merge).status_code == 200
    until(lambda: available(api).get("reason") == "Local")
    assert api.get(f"{ROOT}/x").status_code == 404


def test_apiservices_of_what_is_answered_here(api: httpx.Client) -> None:
    def all_there() -> JSON | None:
        found = {one["metadata"]["name"]: one for one in api.get(APISERVICES).json()["items"]}
        return found if {"v1.", "v1.apps", "v2.autoscaling"} <= found.keys() else None

    found = until(all_there)
    assert found["v1.apps"]["metadata"]["labels"] == {"kube-aggregator.kubernetes.io/automanaged": "onstart"}
    assert found["v1.apps"]["spec"] == {
        "group": "apps",
        "version": "v1",
        "groupPriorityMinimum": 17800,
        "versionPriority": 15,
    }
    assert found["v1."]["status"]["conditions"][0]["reason"] == "Local"
    table = "application/json;as=Table;g=meta.k8s.io;v=v1"
    row = api.get(f"{APISERVICES}/v1.apps", headers={"accept": table}).json()["rows"][0]["cells"]
    assert row[:3] == ["v1.apps", "Local", "True"]
    api.delete(f"{APISERVICES}/v1.apps")
    until(lambda: api.get(f"{APISERVICES}/v1.apps").status_code == 200)

"""How a namespace is emptied and what it says meanwhile."""

import json
from typing import Any

import httpx
import pytest

from component_base.clock import ManualClock
from controller_manager.namespace.controller import NamespaceController, Remains, conditions_of
from controller_manager.views import Namespace
from kubeclient.informer import Informers
from kubeclient.kubeconfig import KubeConfig
from kubeclient.rest import RestClient, WatchEvent

NOW = 1_800_000_000.0


def kind(plural: str, *verbs: str) -> dict[str, Any]:
    entry = {"resource": plural, "scope": "Namespaced", "responseKind": {"kind": plural.title()}}
    return {**entry, "verbs": verbs or ("list", "delete", "deletecollection")}


class Server(httpx.AsyncBaseTransport):
    """Serves discovery, and objects by kind; `sticky` kinds survive one deletion."""

    def __init__(self, **objects: list[dict[str, Any]]) -> None:
        self.objects = objects
        self.sticky: set[str] = set()
        self.log: list[str] = []
        self.finalized: dict[str, Any] = {}
        self.reported: dict[str, Any] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if path == "/api":
            resources = [
                kind("pods"),
                kind("configmaps"),
                kind("secrets", "list", "delete"),
                kind("bindings", "create"),
            ]
            group = {"metadata": {"name": ""}, "versions": [{"version": "v1", "resources": resources}]}
            return httpx.Response(200, json={"items": [group]})
        if path == "/apis":
            return httpx.Response(200, json={"items": []})
        self.log.append(f"{request.method} {path.removeprefix('/api/v1/namespaces/')}")
        return self._namespace(request, path.split("/"))

    def _namespace(self, request: httpx.Request, parts: list[str]) -> httpx.Response:
        if parts[-1] == "finalize":
            self.finalized = json.loads(request.content)
        elif parts[-1] == "status":
            self.reported = json.loads(request.content)["status"]
        elif len(parts) == 5:
            return httpx.Response(200, json={"metadata": {"name": "x"}, "spec": {"finalizers": ["kubernetes", "mine"]}})
        elif request.method == "DELETE":
            self._delete(parts[5], parts[6] if len(parts) > 6 else None)
        else:
            return httpx.Response(200, json={"items": self.objects.get(parts[5], [])})
        return httpx.Response(200, json={})

    def _delete(self, plural: str, name: str | None) -> None:
        if plural not in self.sticky:
            kept = [o for o in self.objects.get(plural, []) if name is not None and o["metadata"]["name"] != name]
            self.objects[plural] = kept


def controller(server: Server, deleting: bool = True) -> NamespaceController:
    client = RestClient(KubeConfig("http://memory"), transport=server)
    informers = Informers(client, ManualClock())
    meta = {"name": "x", **({"deletionTimestamp": "2027-01-01T00:00:00Z"} if deleting else {})}
    body = {"metadata": meta, "spec": {"finalizers": ["kubernetes"]}}
    informers.of("/api/v1/namespaces", Namespace).apply(WatchEvent("ADDED", json.dumps(body).encode()))
    return NamespaceController(informers, client)


def named(name: str, **meta: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, **meta}}


async def test_everything_goes_and_then_only_our_finalizer() -> None:
    server = Server(pods=[named("p")], configmaps=[named("c")], secrets=[named("s"), named("t")])
    assert await controller(server).sync("x", NOW) is None
    assert not any(server.objects.values())
    assert server.finalized["spec"]["finalizers"] == ["mine"]
    assert "DELETE x/secrets/s" in server.log, "a kind without deletecollection is deleted one by one"


async def test_pods_end_before_anything_else_is_touched() -> None:
    server = Server(pods=[named("p", deletionGracePeriodSeconds=30)], configmaps=[named("c")])
    server.sticky = {"pods"}
    again = await controller(server).sync("x", NOW)
    assert again == 15.0, "half of the grace period, at most"
    assert server.objects["configmaps"]
    assert not server.finalized
    shown = {c["type"]: (c["status"], c["message"]) for c in server.reported["conditions"]}
    assert shown["NamespaceContentRemaining"] == (
        "True",
        "Some resources are remaining: pods. has 1 resource instances",
    )


async def test_a_namespace_that_is_not_being_deleted_is_left_alone() -> None:
    server = Server(pods=[named("p")])
    await controller(server, deleting=False).sync("x", NOW)
    assert server.log == []


@pytest.mark.parametrize(
    ("remains", "kind_of", "text"),
    [
        (Remains(discovery="down"), "NamespaceDeletionDiscoveryFailure", "Discovery failed for some groups, down"),
        (Remains(failures=["a: no"]), "NamespaceDeletionContentFailure", "Failed to delete all resource types, a: no"),
        (
            Remains(counts={"a.": 1}, finalizers={"f": 1}),
            "NamespaceFinalizersRemaining",
            "Some content in the namespace has finalizers remaining: f in 1 resource instances",
        ),
    ],
)
def test_conditions_say_what_is_in_the_way(remains: Remains, kind_of: str, text: str) -> None:
    found = {c["type"]: c for c in conditions_of(remains)}
    assert (found[kind_of]["status"], found[kind_of]["message"]) == ("True", text)
    assert sum(c["status"] == "True" for c in found.values()) >= 1

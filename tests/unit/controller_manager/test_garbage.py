"""Who is looked at when something goes, and what becomes of it."""

import json
from typing import Any

import httpx

from component_base.clock import ManualClock
from controller_manager.garbage_collector.controller import GarbageCollector
from controller_manager.garbage_collector.graph import FOREGROUND, ORPHAN, Graph
from kubeclient.discovery import Resource
from kubeclient.kubeconfig import KubeConfig
from kubeclient.rest import RestClient
from kubeclient.views import Meta, OwnerReference

SETS, PODS = "/apis/apps/v1/replicasets", "/api/v1/pods"


def meta(name: str, *owners: str, finalizers: list[str] | None = None, deleting: bool = False) -> Meta:
    references = [OwnerReference("apps/v1", "ReplicaSet", o, f"uid-{o}", True, True) for o in owners]
    return Meta(
        name=name,
        namespace="x",
        uid=f"uid-{name}",
        resourceVersion="5",
        ownerReferences=references,
        finalizers=finalizers or [],
        deletionTimestamp="2027-01-01T00:00:00Z" if deleting else None,
    )


def test_dependents_are_looked_at_when_their_owner_goes() -> None:
    graph = Graph()
    graph.observe(SETS, meta("set"))
    assert graph.observe(PODS, meta("a", "set")) == set()
    graph.observe(PODS, meta("b", "set"))
    assert graph.forget("uid-set") == {"uid-a", "uid-b"}


def test_an_object_whose_owner_was_never_seen_is_looked_at() -> None:
    graph = Graph()
    assert graph.observe(PODS, meta("a", "ghost")) == {"uid-a"}
    assert graph.vertices["uid-ghost"].is_virtual
    graph.observe(SETS, meta("ghost"))
    assert not graph.vertices["uid-ghost"].is_virtual


def test_ghosts_vanish_with_their_last_dependent() -> None:
    graph = Graph()
    graph.observe(PODS, meta("a", "ghost"))
    graph.forget("uid-a")
    assert not graph.vertices


def test_an_owner_that_waits_is_looked_at_when_a_dependent_goes() -> None:
    graph = Graph()
    graph.observe(PODS, meta("a", "set"))
    assert graph.observe(SETS, meta("set", finalizers=[FOREGROUND], deleting=True)) == {"uid-set", "uid-a"}
    assert [v.meta.name for v in graph.blocking(graph.vertices["uid-set"])] == ["a"]
    assert graph.forget("uid-a") == {"uid-set"}


class World(httpx.AsyncBaseTransport):
    """Says which objects exist and notes what is asked for."""

    def __init__(self, **existing: str) -> None:
        self.existing = existing  # name -> uid
        self.asked: list[tuple[str, str, Any]] = []
        client = RestClient(KubeConfig("http://memory"), transport=self)
        self.collector = GarbageCollector(client, ManualClock())
        kind = Resource("apps", "v1", "replicasets", "ReplicaSet", True, frozenset())
        self.collector._kinds = {"apps/v1/ReplicaSet": kind}
        self.graph = self.collector._graph

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        name = request.url.path.rpartition("/")[2]
        self.asked.append((request.method, name, json.loads(request.content) if request.content else None))
        if request.method == "GET" and name not in self.existing:
            return httpx.Response(404, json={"kind": "Status", "code": 404, "reason": "NotFound", "message": "no"})
        return httpx.Response(200, json={"metadata": {"name": name, "uid": self.existing.get(name, "")}})

    async def look_at(self, *uids: str) -> list[tuple[str, str, Any]]:
        self.asked.clear()
        for uid in uids:
            await self.collector.sync(uid, 0.0)
        return [entry for entry in self.asked if entry[0] != "GET"]


async def test_an_object_is_deleted_when_its_owner_does_not_exist() -> None:
    world = World()
    world.graph.observe(PODS, meta("a", "ghost"))
    ((method, name, options),) = await world.look_at("uid-a")
    assert (method, name, options["propagationPolicy"]) == ("DELETE", "a", "Background")
    assert options["preconditions"] == {"uid": "uid-a", "resourceVersion": "5"}


async def test_an_owner_made_again_under_the_same_name_is_not_the_owner() -> None:
    world = World(ghost="another-uid")
    world.graph.observe(PODS, meta("a", "ghost"))
    assert [entry[0] for entry in await world.look_at("uid-a")] == ["DELETE"]


async def test_an_owner_that_exists_though_unseen_protects() -> None:
    world = World(ghost="uid-ghost")
    world.graph.observe(PODS, meta("a", "ghost"))
    assert await world.look_at("uid-a") == []


async def test_one_solid_owner_is_enough_and_dead_references_go() -> None:
    world = World()
    world.graph.observe(SETS, meta("set"))
    world.graph.observe(PODS, meta("a", "set", "ghost"))
    ((method, _, body),) = await world.look_at("uid-a")
    assert method == "PATCH"
    assert [o["name"] for o in body["metadata"]["ownerReferences"]] == ["set"]


async def test_foreground_deletion_ends_when_nothing_blocks() -> None:
    world = World()
    world.graph.observe(PODS, meta("a", "set"))
    world.graph.observe(SETS, meta("set", finalizers=[FOREGROUND], deleting=True))
    first = await world.look_at("uid-set", "uid-a")
    assert [(m, n) for m, n, _ in first] == [("DELETE", "a")]
    world.graph.forget("uid-a")
    ((method, name, body),) = await world.look_at("uid-set")
    assert (method, name, body["metadata"]["finalizers"]) == ("PATCH", "set", None)


async def test_orphaning_takes_the_references_off_before_the_owner_goes() -> None:
    world = World()
    world.graph.observe(PODS, meta("a", "set"))
    world.graph.observe(SETS, meta("set", finalizers=[ORPHAN], deleting=True))
    first, second = await world.look_at("uid-set")
    assert (first[1], first[2]["metadata"]["ownerReferences"]) == ("a", None)
    assert (second[1], second[2]["metadata"]["finalizers"]) == ("set", None)


async def test_objects_that_own_each_other_in_a_circle_do_not_wait_for_ever() -> None:
    world = World()
    world.graph.observe(SETS, meta("b", "a"))
    world.graph.observe(SETS, meta("c", "b"))
    world.graph.observe(SETS, meta("a", "c", finalizers=[FOREGROUND], deleting=True))
    ((method, name, options),) = await world.look_at("uid-b")
    assert (method, name, options["propagationPolicy"]) == ("DELETE", "b", "Foreground")
    world.graph.observe(SETS, meta("b", "a", finalizers=[FOREGROUND], deleting=True))
    ((method, name, body),) = await world.look_at("uid-c")
    (reference,) = body["metadata"]["ownerReferences"]
    assert (method, name, reference["name"]) == ("PATCH", "c", "b")
    assert not reference.get("blockOwnerDeletion")

    freed = meta("c", "b")
    freed.ownerReferences[0] = OwnerReference("apps/v1", "ReplicaSet", "b", "uid-b", True, False)
    assert world.graph.observe(SETS, freed) == {"uid-b", "uid-c"}
    asked = await world.look_at("uid-b", "uid-c")
    assert [(m, n) for m, n, _ in asked] == [("PATCH", "b"), ("DELETE", "c")]
    assert asked[0][2]["metadata"]["finalizers"] is None

"""Pods go where their volumes are, or where they can be."""

import asyncio
import json
from typing import Any

import pytest

from component_base.clock import ManualClock
from kubeclient.informer import Informers
from kubeclient.rest import WatchEvent
from kubeclient.volumes import BIND_COMPLETED, CLAIMS, SELECTED_NODE, Claim
from scheduler.cache import Cache
from scheduler.plugins.volume_binding import Binding, VolumeBinding
from scheduler.pod_info import PodInfo
from scheduler.storage import InformedStorage, write_bindings
from tests.unit.kubeclient.memory_api import MemoryApi
from tests.unit.scheduler.test_filters import where
from tests.unit.scheduler.worlds import MemoryStorage, make_node, make_pod

LATE = "WaitForFirstConsumer"
EAST, WEST = make_node("e", labels={"zone": "east"}), make_node("w", labels={"zone": "west"})


def pod_with(*claims: str) -> Any:
    return make_pod("p", volumes=[{"name": c, "persistentVolumeClaim": {"claimName": c}} for c in claims])


@pytest.fixture
def storage() -> MemoryStorage:
    return MemoryStorage()


def test_a_bound_volume_draws_the_pod_to_its_nodes(storage: MemoryStorage) -> None:
    storage.add_volume("disk", zone="west")
    storage.add_claim("data", volume="disk")
    assert where(pod_with("data"), EAST, WEST, storage=storage).node == "w"
    refused = where(pod_with("data"), EAST, storage=storage)
    assert refused.message == "0/1 nodes are available: 1 node(s) had volume node affinity conflict."


@pytest.mark.parametrize(
    ("claim", "sentence"),
    [
        ("none", 'persistentvolumeclaim "none" not found'),
        ("unbound", "pod has unbound immediate PersistentVolumeClaims"),
    ],
)
def test_claims_that_keep_a_pod_from_every_node(storage: MemoryStorage, claim: str, sentence: str) -> None:
    storage.add_class("now", "Immediate")
    storage.add_claim("unbound", "now")
    refused = where(pod_with(claim), EAST, WEST, storage=storage)
    assert refused.message == f"0/2 nodes are available: {sentence}."
    assert not refused.resolvable


def test_a_claim_bound_to_a_volume_that_is_gone(storage: MemoryStorage) -> None:
    storage.add_claim("data", volume="disk")
    assert "bound to non-existent pv(s)" in where(pod_with("data"), EAST, storage=storage).message


def test_a_claim_that_waits_goes_with_the_pod_to_a_volume_that_stands_ready(storage: MemoryStorage) -> None:
    storage.add_class("late", LATE)
    storage.add_volume("disk", "late", zone="west")
    storage.add_claim("data", "late")
    assert where(pod_with("data"), EAST, WEST, storage=storage).node == "w"
    refused = where(pod_with("data"), EAST, storage=storage)
    assert "1 node(s) didn't find available persistent volumes to bind" in refused.message


def test_two_claims_of_a_pod_need_two_volumes(storage: MemoryStorage) -> None:
    storage.add_class("late", LATE)
    storage.add_volume("disk", "late")
    storage.add_claim("one", "late")
    storage.add_claim("two", "late")
    assert where(pod_with("one", "two"), EAST, storage=storage).node is None
    storage.add_volume("other", "late", size="5Gi")
    assert where(pod_with("one", "two"), EAST, storage=storage).node == "e"


def test_a_provisioner_makes_volumes_where_its_topologies_allow(storage: MemoryStorage) -> None:
    storage.add_class("made", LATE, "example.com/disk", zones=["west"])
    storage.add_claim("data", "made")
    assert where(pod_with("data"), EAST, WEST, storage=storage).node == "w"


def test_what_is_to_be_written_follows_the_node(storage: MemoryStorage) -> None:
    storage.add_class("late", LATE, "example.com/disk")
    storage.add_volume("disk", "late", zone="west")
    storage.add_claim("data", "late")
    cache = Cache()
    for node in (EAST, WEST):
        cache.set_node(node)
    plugin = VolumeBinding(storage)
    pod = PodInfo(pod_with("data"))
    assert [b.volume for b in plugin.bindings(pod, cache.table, "e")] == [None], "to be made there"
    assert [b.volume for b in plugin.bindings(pod, cache.table, "w")] == [storage.volumes["disk"]]


async def test_a_volume_is_reserved_and_a_provisioner_told(storage: MemoryStorage) -> None:
    api = MemoryApi()
    for path in ("/api/v1/persistentvolumes/disk", "/api/v1/namespaces/default/persistentvolumeclaims/made"):
        api.put(path, {"metadata": {"name": path.rpartition("/")[2]}})
    storage.add_volume("disk")
    storage.add_claim("data")
    storage.add_claim("made")
    claims = storage.claims
    bindings = [Binding(claims["default/data"], storage.volumes["disk"]), Binding(claims["default/made"], None)]
    written = await write_bindings(api.client(), bindings, "e")
    assert api.objects["/api/v1/persistentvolumes/disk"]["spec"]["claimRef"]["uid"] == "uid-data"
    told = api.objects["/api/v1/namespaces/default/persistentvolumeclaims/made"]["metadata"]
    assert told["annotations"] == {SELECTED_NODE: "e"}
    assert written[1].told_at == int(told["resourceVersion"])


def show(informers: Informers, version: int, **notes: str) -> None:
    notes = {key.replace("_", "-").replace("--", "/"): value for key, value in notes.items()}
    meta = {"name": "data", "namespace": "default", "uid": "uid-data", "resourceVersion": str(version)}
    body = {"metadata": {**meta, "annotations": notes}}
    informers.of(CLAIMS, Claim).apply(WatchEvent("MODIFIED", json.dumps(body).encode()))


@pytest.mark.parametrize(("annotation", "outcome"), [(BIND_COMPLETED, ""), ("other", "was given up")])
async def test_binding_waits_for_the_claims(storage: MemoryStorage, annotation: str, outcome: str) -> None:
    informers = Informers(MemoryApi().client(), ManualClock())
    informed = InformedStorage(informers)
    storage.add_claim("data")
    show(informers, 3)
    binding = Binding(storage.claims["default/data"], None, told_at=5)
    waiting = asyncio.ensure_future(informed.until_bound([binding], "e"))
    await asyncio.sleep(0)
    assert not waiting.done(), "what was there before our own write is no answer"
    show(informers, 6, **{annotation: "yes"})
    if outcome:
        with pytest.raises(ValueError, match=outcome):
            await waiting
    else:
        await waiting

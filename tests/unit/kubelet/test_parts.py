"""Small decisions: grace periods, status patches, what is left to clean, rotated logs, lists and watches."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest

from component_base.clock import ManualClock
from component_base.tasks import spawn
from kubelet.containers.amounts import exact
from kubelet.follow import follow
from kubelet.objects import ObjectStore
from kubelet.pod import Pod, decode, from_object
from kubelet.storage import rename_large, tidy_rotated
from kubelet.sync.clean import stale_containers, stale_sandboxes
from kubelet.sync.publish import StatusPublisher, status_patch
from kubelet.sync.stop import grace_period
from tests.unit.kubelet.fake_api import FakeApi
from tests.unit.kubelet.pods import exited, make_pod, running, sandbox, seen
from tests.unit.kubelet.turns import settled


@pytest.mark.parametrize(
    ("text", "value"), [("1Ki", 1024), ("2k", 2000), ("500m", 0.5), ("1e3", 1000), (3, 3), ("2E", 2e18)]
)
def test_quantities(text: str | int, value: float) -> None:
    assert float(exact(text)) == value


def test_the_grace_period_comes_from_the_nearest_wish() -> None:
    probe = {"tcpSocket": {"port": 1}, "terminationGracePeriodSeconds": 7}
    pod = make_pod("a", extra={"a": {"livenessProbe": probe}}, terminationGracePeriodSeconds=30)
    container = pod.container("a")
    assert grace_period(pod, container) == 30
    assert grace_period(pod, container, "liveness") == 7
    assert grace_period(pod, container, "startup") == 30
    assert grace_period(pod, container, "liveness", override=0) == 0


def test_a_patch_names_what_is_new_and_what_is_ours() -> None:
    before = {"phase": "Pending", "podIPs": [{"ip": "a"}], "podIP": "a", "reason": "old"}
    conditions = [{"type": "Ready", "status": "True"}, {"type": "example.com/gate", "status": "True"}]
    wanted = {"phase": "Running", "podIPs": [{"ip": "b"}], "podIP": "b", "conditions": conditions}
    assert status_patch("u", wanted, before) == {
        "metadata": {"uid": "u"},
        "status": {
            "phase": "Running",
            "podIP": "b",
            "podIPs": [{"ip": "b"}, {"$patch": "replace"}],
            "conditions": [{"type": "Ready", "status": "True"}],
            "reason": None,
        },
    }


async def test_the_newest_status_is_sent_and_a_pod_that_is_gone_is_left_alone() -> None:
    api, clock = FakeApi(), ManualClock()
    path = api.pod("web", {"containers": []})
    pod = Pod(metadata=decode(b'{"metadata": {"name": "web", "namespace": "default", "uid": "uid-web"}}').metadata)
    publisher = StatusPublisher(api, clock, pod)
    for phase in ("Pending", "Running"):
        publisher.publish({"phase": phase})
    await publisher.flush()
    assert api.status(path)["phase"] == "Running"
    assert api.calls.count(("PATCH", f"{path}/status")) == 1
    api.drop(path)
    publisher.publish({"phase": "Failed"})
    await publisher.flush()
    assert publisher.gone


def test_what_a_condition_says_no_more_is_taken_back() -> None:
    unready = {"type": "Ready", "status": "False", "reason": "ContainersNotReady", "message": "web"}
    ready = {"type": "Ready", "status": "True"}
    patch = status_patch("u", {"conditions": [ready]}, {"conditions": [unready]})
    assert patch["status"]["conditions"] == [{**ready, "reason": None, "message": None}]


async def test_what_somebody_else_writes_into_our_conditions_is_written_over() -> None:
    api, clock = FakeApi(), ManualClock()
    path = api.pod("web", {"containers": []})
    pod = from_object(api.objects[path])
    publisher = StatusPublisher(api, clock, pod)
    ready = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    publisher.publish({"phase": "Running", "conditions": [ready]})
    publisher.observed(pod)  # the watch lags behind what we send
    await publisher.flush()
    patches = api.calls.count(("PATCH", f"{path}/status"))
    publisher.observed(from_object(api.objects[path]))
    await publisher.flush()
    assert api.calls.count(("PATCH", f"{path}/status")) == patches, "our own write is no news"

    lost = {"type": "Ready", "status": "False", "reason": "NodeNotReady"}
    await api.patch(f"{path}/status", {"status": {"conditions": [lost]}})
    publisher.observed(from_object(api.objects[path]))
    await publisher.flush()
    assert api.condition(path, "Ready") == "True"
    assert "reason" not in api.status(path)["conditions"][0]


def test_one_ended_attempt_is_kept_beside_the_newest() -> None:
    pod = make_pod("a", "b")
    present = seen(
        pod,
        running(pod, "a", attempt=2),
        exited(pod, "a", attempt=1),
        exited(pod, "a", attempt=0),
        exited(pod, "b", attempt=2),
        exited(pod, "b", attempt=1),
        exited(pod, "b", attempt=0),
    )
    assert sorted(stale_containers(present)) == ["a-0", "b-0"]


def test_old_sandboxes_go_when_they_are_empty() -> None:
    pod = make_pod("a")
    boxes = (sandbox(attempt=2), sandbox(ready=False, attempt=1), sandbox(ready=False, attempt=0))
    present = seen(pod, exited(pod, "a", sandbox_id="sb0"), sandboxes=boxes)
    assert stale_sandboxes(present) == ["sb1"]


def test_a_large_log_is_moved_away_and_older_ones_are_compressed(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    path.write_bytes(b"x" * 100)
    assert not rename_large(path, 101, 1)
    for stamp in range(1, 6):
        path.write_bytes(b"%d" % stamp * 100)
        assert rename_large(path, 100, stamp)
        path.write_bytes(b"")
        tidy_rotated(path, 3)
    left = sorted(p.name for p in tmp_path.iterdir())
    assert left == ["0.log", "0.log.4.gz", "0.log.5"]
    assert gzip.decompress((tmp_path / "0.log.4.gz").read_bytes()) == b"4" * 100


async def test_a_collection_is_followed_and_listed_anew_when_its_watch_expires() -> None:
    api, clock = FakeApi(), ManualClock()
    api.pod("one", {"containers": []})
    changes: list[tuple[str, bool]] = []
    lists: list[set[str]] = []
    task = spawn(
        follow(
            api,
            clock,
            "/api/v1/pods",
            {"fieldSelector": "spec.nodeName=node-1"},
            decode=decode,
            on_change=lambda uid, pod: changes.append((uid, pod is not None)),
            on_synced=lists.append,
            last_words=True,
        ),
        "follow",
    )
    await settled()
    two = api.pod("two", {"containers": []})
    api.pod("other", {"containers": [], "nodeName": "node-2"})
    api.drop(two)
    await settled()
    assert changes == [("uid-one", True), ("uid-two", True), ("uid-two", True), ("uid-two", False)]
    api._watchers[0][2].put_nowait(("ERROR", b'{"kind": "Status", "code": 410}'))
    await settled()
    assert lists == [{"uid-one"}, {"uid-one"}]
    task.cancel()


async def test_objects_are_watched_as_long_as_a_pod_holds_them() -> None:
    api, clock = FakeApi(), ManualClock()
    woken: list[str] = []
    store = ObjectStore(api, clock, woken.append)
    path = "/api/v1/namespaces/default/configmaps/c"

    def put(value: str) -> None:
        body: dict[str, Any] = {"kind": "ConfigMap", "metadata": {"name": "c", "namespace": "default"}}
        api.put(path, {**body, "data": {"k": value}})

    put("1")
    found = await store.acquire("pod-1", "default", ["c", "missing"], [])
    assert found.config_maps == {"c": {"k": b"1"}, "missing": None}
    put("2")
    await settled()
    assert woken == ["pod-1"]
    assert (await store.acquire("pod-1", "default", ["c"], [])).config_maps == {"c": {"k": b"2"}}
    store.release("pod-1")
    await settled()
    assert not api._watchers

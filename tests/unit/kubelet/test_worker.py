"""A pod's worker on virtual time with a runtime of records: what it calls, and what it tells the API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from component_base.clock import ManualClock
from kubelet.agent import Agent
from kubelet.containers.cgroups import CgroupTree
from kubelet.node.machine import Machine
from kubelet.settings import Settings
from kubelet.sync.worker import Verdict
from kubelet.volumes import mounts
from tests.unit.kubelet.fake_api import FakeApi, RecordedEvents
from tests.unit.kubelet.fake_runtime import FakeRuntime
from tests.unit.kubelet.turns import settled, without_threads

MACHINE = Machine(4, 8 << 30, "6.1", "Debian", "id", "uuid", "boot", "amd64")


class Bench:
    def __init__(self, folder: Path) -> None:
        without_threads()
        self.clock = ManualClock(1_800_000_000.0)
        self.api = FakeApi()
        self.events = RecordedEvents()
        self.runtime = FakeRuntime(self.clock)
        settings = Settings("node-1", node_ip="192.0.2.1", root=folder / "kubelet", pod_logs=folder / "logs")
        self.agent = Agent(settings, self.api, self.runtime, self.events, self.clock, MACHINE)  # type: ignore[arg-type]
        self.agent.cgroups = CgroupTree(folder / "cgroup")
        self.agent.parts = self.agent._parts()

    async def until(self, condition: Callable[[], Any], seconds: float = 60.0) -> None:
        """Lets virtual time pass until it is true."""
        for _ in range(int(seconds * 10)):
            await settled()
            if condition():
                return
            self.clock.advance(0.1)
            self.wake()
        raise AssertionError(f"never came true: {self.runtime.calls} {self.events.seen}")

    def wake(self) -> None:
        """What the runtime's events would do."""
        for uid in list(self.agent.fleet.workers):
            self.agent.fleet.changed(uid)

    def pod(self, *names: str, **spec: Any) -> str:
        containers = [{"name": name, "image": f"{name}:1"} for name in names]
        return self.api.pod("web", {"containers": containers, **spec})

    def phase(self, path: str) -> str:
        return str(self.api.status(path).get("phase", ""))


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    (tmp_path / "cgroup").mkdir()
    made = Bench(tmp_path)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(made.agent.services.run()), group.create_task(made.agent.follow_pods())]
        yield made
        for task in tasks:
            task.cancel()
    await made.agent.fleet.stop()
    # What stays mounted, later sessions cannot remove with the folders that pytest keeps: they would fail for it.
    for point in mounts.mount_points(tmp_path):
        mounts.unmount(point)


async def test_containers_start_in_order_and_the_status_follows(bench: Bench) -> None:
    path = bench.pod("a", "b")
    await bench.until(lambda: bench.api.condition(path, "Ready") == "True")
    assert bench.runtime.calls == ["run_sandbox web", "create a", "start a-0", "create b", "start b-0"]
    status = bench.api.status(path)
    assert (status["phase"], status["podIP"], status["hostIP"]) == ("Running", "10.0.0.9", "192.0.2.1")
    assert status["qosClass"] == "BestEffort"


async def test_a_failed_sandbox_is_tried_again(bench: Bench) -> None:
    bench.runtime.fail["run_sandbox"] = "no network"
    path = bench.pod("a")
    await bench.until(lambda: "FailedCreatePodSandBox" in bench.events.reasons)
    assert bench.phase(path) == "Pending"
    bench.runtime.fail.clear()
    await bench.until(lambda: bench.phase(path) == "Running")


async def test_a_config_map_made_while_volumes_are_written_gets_into_its_volume(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    volumes = bench.agent.parts.volumes
    once = volumes.set_up
    made = False

    async def meanwhile(*args: Any) -> None:
        nonlocal made
        await once(*args)
        if not made:
            made = True
            body = {"kind": "ConfigMap", "metadata": {"name": "late"}, "data": {"key": "value"}}
            bench.api.put("/api/v1/namespaces/default/configmaps/late", body)
            await settled()

    monkeypatch.setattr(type(volumes), "set_up", lambda self, *args: meanwhile(*args))
    path = bench.pod("a", volumes=[{"name": "v", "configMap": {"name": "late", "optional": True}}])
    await bench.until(lambda: bench.phase(path) == "Running")
    folder = volumes.pod_dir("uid-web") / "volumes" / "kubernetes.io~configmap" / "v"
    await bench.until(lambda: (folder / "key").exists() and (folder / "key").read_text() == "value")


async def test_restarts_back_off_ten_then_twenty_seconds(bench: Bench) -> None:
    path = bench.pod("a")
    await bench.until(lambda: bench.phase(path) == "Running")
    starts = []
    for attempt in range(3):
        bench.runtime.exit("a", 1)
        ended = bench.clock.now()
        await bench.until(lambda n=attempt + 1: f"start a-{n}" in bench.runtime.calls)  # type: ignore[misc]
        starts.append(bench.clock.now() - ended)
    assert starts[0] < 1
    assert starts[1] == pytest.approx(10, abs=1)
    assert starts[2] == pytest.approx(20, abs=1)


async def test_containers_that_fail_their_liveness_probe_again_and_again_back_off(bench: Bench) -> None:
    probe = {"exec": {"command": ["false"]}, "periodSeconds": 1, "failureThreshold": 1}
    bench.runtime.exec_code = 1
    bench.api.pod("web", {"containers": [{"name": "a", "image": "a:1", "livenessProbe": probe}]})
    ended = []
    for attempt in range(3):
        await bench.until(lambda n=attempt: f"start a-{n}" in bench.runtime.calls)  # type: ignore[misc]
        ended.append(bench.clock.now())
    assert ended[1] - ended[0] < 5
    assert ended[2] - ended[1] == pytest.approx(11, abs=2)


async def test_a_missing_secret_is_told_of_less_and_less_often(bench: Bench) -> None:
    path = bench.pod("a", volumes=[{"name": "keys", "secret": {"secretName": "absent"}}])
    began = bench.clock.now()
    await bench.until(lambda: bench.clock.now() - began > 45)
    told = [text for _, reason, text in bench.events.seen if reason == "FailedMount"]
    assert set(told) == {'MountVolume.SetUp failed for volume "keys" : secret "absent" not found'}
    assert len(told) <= 6
    bench.api.put("/api/v1/namespaces/default/secrets/absent", {"kind": "Secret", "metadata": {"name": "absent"}})
    await bench.until(lambda: bench.phase(path) == "Running", 10)


async def test_a_finished_job_keeps_its_containers_until_it_is_deleted(bench: Bench) -> None:
    path = bench.pod("a", restartPolicy="Never")
    await bench.until(lambda: bench.phase(path) == "Running")
    bench.runtime.exit("a", 0)
    await bench.until(lambda: bench.phase(path) == "Succeeded")
    await bench.until(lambda: "stop_sandbox sandbox-0" in bench.runtime.calls)
    assert bench.runtime.made
    bench.api.delete_pod(path)
    await bench.until(lambda: path not in bench.api.objects)
    await bench.until(lambda: not bench.runtime.made and not bench.runtime.boxes)


async def test_deletion_stops_with_the_grace_period_and_deletes_last(bench: Bench) -> None:
    path = bench.pod("a", terminationGracePeriodSeconds=7)
    await bench.until(lambda: bench.phase(path) == "Running")
    bench.api.delete_pod(path)
    await bench.until(lambda: path not in bench.api.objects)
    assert bench.runtime.stops == [("a-0", 7)]
    await bench.until(lambda: not bench.agent.fleet.workers)
    assert not bench.runtime.boxes


async def test_sidecars_stop_after_the_containers_they_serve(bench: Bench) -> None:
    sidecar = {"name": "s", "image": "s:1", "restartPolicy": "Always"}
    path = bench.pod("a", initContainers=[sidecar])
    await bench.until(lambda: bench.phase(path) == "Running")
    bench.api.delete_pod(path)
    await bench.until(lambda: path not in bench.api.objects)
    assert [name for name, _ in bench.runtime.stops] == ["a-0", "s-0"]


async def test_a_lost_sandbox_is_replaced(bench: Bench) -> None:
    path = bench.pod("a")
    await bench.until(lambda: bench.phase(path) == "Running")
    await bench.runtime.stop_sandbox("sandbox-0")
    await bench.until(lambda: "start a-1" in bench.runtime.calls)
    assert "SandboxChanged" in bench.events.reasons


async def test_an_eviction_leaves_a_failed_pod(bench: Bench) -> None:
    path = bench.pod("a")
    await bench.until(lambda: bench.phase(path) == "Running")
    (worker,) = bench.agent.fleet.workers.values()
    worker.end(Verdict("Evicted", "The node was low on resource: memory.", 0))
    await bench.until(lambda: bench.phase(path) == "Failed")
    await bench.until(lambda: bench.runtime.stops == [("a-0", 2)])
    assert bench.api.status(path)["reason"] == "Evicted"


async def test_a_pod_gone_from_the_api_is_removed_without_a_delete(bench: Bench) -> None:
    path = bench.pod("a")
    await bench.until(lambda: bench.phase(path) == "Running")
    bench.api.drop(path)
    await bench.until(lambda: not bench.agent.fleet.workers)
    assert not bench.runtime.made
    assert ("DELETE", path) not in bench.api.calls


async def test_a_pull_is_asked_for_once_and_told(bench: Bench) -> None:
    path = bench.pod("new")
    await bench.until(lambda: bench.phase(path) == "Running")
    assert bench.runtime.calls.count("pull new:1") == 1
    assert bench.events.reasons[:2] == ["Pulling", "Pulled"]


async def test_a_failing_pull_shows_as_error_and_then_as_back_off(bench: Bench) -> None:
    bench.runtime.fail["pull"] = "no such image"
    path = bench.pod("new")

    def reason() -> str:
        statuses = bench.api.status(path).get("containerStatuses") or [{}]
        return str(statuses[0].get("state", {}).get("waiting", {}).get("reason"))

    await bench.until(lambda: reason() == "ErrImagePull")
    await bench.until(lambda: reason() == "ImagePullBackOff")
    assert ("Warning", "Failed", "Error: ErrImagePull") in bench.events.seen
    await bench.until(lambda: ("Warning", "Failed", "Error: ImagePullBackOff") in bench.events.seen)
    bench.runtime.fail.clear()
    await bench.until(lambda: bench.phase(path) == "Running")


async def test_conditions_of_others_stay(bench: Bench) -> None:
    path = bench.pod("a", readinessGates=[{"conditionType": "example.com/gate"}])
    await bench.until(lambda: bench.phase(path) == "Running")
    assert bench.api.condition(path, "Ready") == "False"
    body = bench.api.objects[path]
    gate = {"type": "example.com/gate", "status": "True"}
    status = {**body["status"], "conditions": [*body["status"]["conditions"], gate]}
    bench.api.put(path, {**body, "status": status})
    await bench.until(lambda: bench.api.condition(path, "Ready") == "True")
    assert bench.api.condition(path, "example.com/gate") == "True"


async def test_without_a_network_only_host_network_pods_start(bench: Bench) -> None:
    bench.agent.state.network_complaint = "container runtime network not ready"
    path = bench.pod("a")
    await bench.until(lambda: "NetworkNotReady" in bench.events.reasons)
    assert bench.phase(path) == "Pending"
    bench.agent.state.network_complaint = ""
    bench.agent.fleet.wake_all()
    await bench.until(lambda: bench.phase(path) == "Running")


async def test_new_limits_reach_the_running_container(bench: Bench) -> None:
    path = bench.pod("a")
    await bench.until(lambda: bench.phase(path) == "Running")
    body = bench.api.objects[path]
    (container,) = body["spec"]["containers"]
    grown = {**container, "resources": {"limits": {"memory": "64Mi"}}}
    bench.api.put(path, {**body, "spec": {**body["spec"], "containers": [grown]}})
    await bench.until(lambda: f"update a-0 {64 << 20}" in bench.runtime.calls)
    assert "start a-1" not in bench.runtime.calls


async def test_a_pod_deleted_by_force_is_stopped_with_the_grace_of_the_deletion(bench: Bench) -> None:
    path = bench.pod("a", terminationGracePeriodSeconds=30)
    await bench.until(lambda: bench.phase(path) == "Running")
    bench.api.objects[path]["metadata"] |= {
        "deletionTimestamp": "2026-01-01T00:00:00Z",
        "deletionGracePeriodSeconds": 0,
    }
    bench.api.drop(path)
    await bench.until(lambda: bench.runtime.stops == [("a-0", 2)])
    await bench.until(lambda: not bench.agent.fleet.workers)


async def test_an_image_is_mounted_as_a_volume(bench: Bench) -> None:
    container = {
        "name": "a",
        "image": "a:1",
        "volumeMounts": [{"name": "data", "mountPath": "/data", "subPath": "inner"}],
    }
    volumes = [{"name": "data", "image": {"reference": "data:1", "pullPolicy": "Always"}}]
    path = bench.api.pod("web", {"containers": [container], "volumes": volumes})
    await bench.until(lambda: bench.phase(path) == "Running")
    assert "pull data:1" in bench.runtime.calls
    (mount,) = [m for m in bench.runtime.find("a").config.mounts if m.container_path == "/data"]
    assert (mount.image.image, mount.image_sub_path, mount.readonly, mount.host_path) == (
        "sha256:data:1",
        "inner",
        True,
        "",
    )

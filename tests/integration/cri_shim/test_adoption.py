"""Killing the shim, or containerd, while containers run: nothing of theirs is lost, and the next life takes over."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time

import pytest

from component_base.http2.channel import Http2Channel
from component_base.rpc import RpcError
from kubelet.cri_shim.containerd_client import Containerd
from kubelet.cri_shim.settings import NAMESPACE
from skiff_pb.containerd import task_pb2
from skiff_pb.cri import runtime_pb2 as cri
from tests.integration.cri_shim.node import ROOT, Node, until

pytestmark = [pytest.mark.root, pytest.mark.asyncio(loop_scope="session")]

COUNTER = "i=0; while :; do i=$((i+1)); echo line $i; sleep 0.02; done"


async def restart(node: Node, number: int = signal.SIGKILL) -> None:
    await asyncio.to_thread(node.kill_shim, number)
    node.start_shim()
    await node.ready()


def numbers(node: Node, pod: cri.PodSandboxConfig) -> list[int]:
    return [int(line.rpartition(" ")[2]) for line in node.log(pod).splitlines()]


def in_order(found: list[int], killed: bool) -> bool:
    """Every line, once and in order. A kill -9 may take along the one line between the pipe and the log."""
    missing = set(range(1, found[-1] + 1)) - set(found)
    return found == sorted(set(found)) and len(missing) <= (1 if killed else 0)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_a_running_container_is_taken_over_with_its_output(shim: Node, number: int) -> None:
    pod = shim.pod_config()
    sandbox = await shim.sandbox(pod)
    container = await shim.run(sandbox, pod, shim.container_config(["sh", "-c", COUNTER]))
    await until(lambda: len(numbers(shim, pod)), lambda count: count > 5)
    before = await shim.status(container)
    await restart(shim, number)
    after = await shim.status(container)
    assert after.state == cri.CONTAINER_RUNNING
    assert (after.started_at, after.image_ref, after.log_path) == (before.started_at, before.image_ref, before.log_path)
    seen = len(numbers(shim, pod))
    await until(lambda: len(numbers(shim, pod)), lambda count: count > seen + 20)
    assert in_order(numbers(shim, pod), killed=number == signal.SIGKILL)
    assert (await shim.exec(container, "echo", "still")).stdout == b"still\n"
    status = (await shim.runtime("PodSandboxStatus", cri.PodSandboxStatusRequest(pod_sandbox_id=sandbox))).status
    assert status.state == cri.SANDBOX_READY
    assert status.network.ip
    await shim.runtime("StopContainer", cri.StopContainerRequest(container_id=container, timeout=0))
    assert (await shim.status(container)).exit_code == 137
    await shim.remove(sandbox)


async def test_output_made_while_no_shim_lives_is_kept(shim: Node) -> None:
    pod = shim.pod_config()
    sandbox = await shim.sandbox(pod)
    container = await shim.run(sandbox, pod, shim.container_config(["sh", "-c", COUNTER]))
    await until(lambda: len(numbers(shim, pod)), lambda count: count > 5)
    await asyncio.to_thread(shim.kill_shim)
    seen = len(numbers(shim, pod))
    await asyncio.sleep(1.0)
    shim.start_shim()
    await shim.ready()
    await until(lambda: len(numbers(shim, pod)), lambda count: count > seen + 40)
    assert in_order(numbers(shim, pod), killed=True)
    assert (await shim.status(container)).state == cri.CONTAINER_RUNNING
    await shim.remove(sandbox)


async def test_an_end_that_nobody_watched_is_found_afterwards(shim: Node) -> None:
    pod = shim.pod_config()
    sandbox = await shim.sandbox(pod)
    container = await shim.run(sandbox, pod, shim.container_config(["sh", "-c", "sleep 0.7; exit 9"]))
    await asyncio.to_thread(shim.kill_shim)
    channel = Http2Channel(f"unix://{shim.containerd_socket}")
    containerd = Containerd(channel, NAMESPACE)
    await until(lambda: containerd.task(container), lambda task: task.status == task_pb2.STOPPED)
    await channel.close()
    restarted = time.time_ns()
    shim.start_shim()
    await shim.ready()
    status = await shim.exited(container)
    assert (status.exit_code, status.reason) == (9, "Error")
    assert status.started_at < status.finished_at < restarted, "its end is told, not when we heard of it"
    await shim.remove(sandbox)


async def test_standard_input_survives(shim: Node) -> None:
    pod = shim.pod_config()
    sandbox = await shim.sandbox(pod)
    config = shim.container_config(["cat"])
    config.stdin = True
    container = await shim.run(sandbox, pod, config)
    await restart(shim)
    await asyncio.sleep(0.3)
    assert (await shim.status(container)).state == cri.CONTAINER_RUNNING
    await shim.remove(sandbox)


async def test_pods_of_an_earlier_life_can_be_removed(shim: Node) -> None:
    pod = shim.pod_config()
    sandbox = await shim.sandbox(pod)
    await shim.run(sandbox, pod, shim.container_config(["sleep", "1000"]))
    await restart(shim)
    await shim.remove(sandbox)
    assert not (await shim.runtime("ListPodSandbox", cri.ListPodSandboxRequest())).items
    assert not (await shim.runtime("ListContainers", cri.ListContainersRequest())).containers


async def test_a_sandbox_that_ends_by_itself_is_not_ready(shim: Node) -> None:
    pod = shim.pod_config()
    sandbox = await shim.sandbox(pod)
    request = cri.PodSandboxStatusRequest(pod_sandbox_id=sandbox, verbose=True)
    answer = await shim.runtime("PodSandboxStatus", request)
    os.kill(json.loads(answer.info["info"])["pid"], signal.SIGKILL)

    async def state() -> int:
        return int((await shim.runtime("PodSandboxStatus", request)).status.state)

    await until(state, lambda found: found == cri.SANDBOX_NOTREADY)
    again = cri.PodSandboxConfig.FromString(pod.SerializeToString())
    again.metadata.attempt = 1
    second = await shim.sandbox(again)
    for identity in (sandbox, second):
        await shim.remove(identity)


async def test_after_a_reboot_the_old_pods_can_be_removed_and_new_ones_made(shim: Node) -> None:
    pod = shim.pod_config()
    sandbox = await shim.sandbox(pod)
    container = await shim.run(sandbox, pod, shim.container_config(["sleep", "1000"]))
    await asyncio.to_thread(shim.lose_power)
    shim.start_containerd()
    shim.start_shim()
    await shim.ready()
    status = await shim.status(container)
    assert (status.state, status.exit_code, status.reason) == (cri.CONTAINER_EXITED, 255, "Unknown")
    listed = (await shim.runtime("ListPodSandbox", cri.ListPodSandboxRequest())).items
    assert [(item.id, item.state) for item in listed] == [(sandbox, cri.SANDBOX_NOTREADY)]
    again = cri.PodSandboxConfig.FromString(pod.SerializeToString())
    again.metadata.attempt = 1
    second = await shim.sandbox(again)
    await shim.run(second, again, shim.container_config(["sleep", "1000"]))
    for identity in (sandbox, second):
        await shim.remove(identity)


async def test_a_second_shim_on_the_same_socket_is_refused(shim: Node) -> None:
    process = await asyncio.create_subprocess_exec(*shim.shim_command(), stderr=asyncio.subprocess.PIPE, cwd=ROOT)
    _, errors = await process.communicate()
    assert process.returncode == 1
    assert b"another process serves" in errors
    assert b"Traceback" not in errors
    await shim.runtime("Version", cri.VersionRequest())


SLOW_PLUGIN = """#!/usr/bin/python3
import json, os, sys, time
config = json.load(sys.stdin)
if os.environ["CNI_COMMAND"] == "ADD":
    time.sleep(1.5)
    print(json.dumps(config["prevResult"]))
"""


async def test_a_sandbox_half_made_is_not_ready_and_can_be_removed(shim: Node) -> None:
    plugin = shim.folder / "bin" / "slow"
    plugin.parent.mkdir()
    plugin.write_text(SLOW_PLUGIN)
    plugin.chmod(0o755)
    conf = shim.folder / "cni" / "10-test.conflist"
    good = conf.read_text()
    changed = json.loads(good)
    changed["plugins"].append({"type": "slow"})
    conf.write_text(json.dumps(changed))
    leases = shim.folder / "ipam" / f"test{shim.subnet}"
    async with asyncio.TaskGroup() as group:
        making = group.create_task(asyncio.wait([group.create_task(_refused(shim))]))
        await until(lambda: [each for each in os.listdir(leases) if each.startswith("10.")], bool)
        await asyncio.to_thread(shim.kill_shim)
        await making
    conf.write_text(good)
    shim.start_shim()
    await shim.ready()
    (item,) = (await shim.runtime("ListPodSandbox", cri.ListPodSandboxRequest())).items
    assert item.state == cri.SANDBOX_NOTREADY
    await shim.remove(item.id)
    assert not [each for each in os.listdir(leases) if each.startswith("10.")]
    assert not os.listdir(shim.folder / "shimrun" / "netns")


async def _refused(shim: Node) -> None:
    with pytest.raises(RpcError):
        await shim.sandbox(shim.pod_config())


async def test_a_restart_of_containerd_is_survived(shim: Node) -> None:
    pod = shim.pod_config()
    sandbox = await shim.sandbox(pod)
    container = await shim.run(sandbox, pod, shim.container_config(["sh", "-c", COUNTER]))
    short = await shim.run(sandbox, pod, shim.container_config(["sh", "-c", "sleep 1; exit 4"], "short"))
    assert shim.containerd is not None
    shim.containerd.kill()
    await asyncio.to_thread(shim.containerd.wait)
    await asyncio.sleep(1.2)
    shim.start_containerd()
    assert (await shim.exited(short)).exit_code == 4
    assert (await shim.status(container)).state == cri.CONTAINER_RUNNING
    seen = len(numbers(shim, pod))
    await until(lambda: len(numbers(shim, pod)), lambda count: count > seen + 5)
    assert (await shim.exec(container, "true")).exit_code == 0
    await shim.remove(sandbox)

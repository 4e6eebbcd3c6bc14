"""Pods come and go while the shim is killed again and again: in the end nothing of any of them is left."""

from __future__ import annotations

import asyncio
import os
import random

import pytest

from component_base.http2.channel import Http2Channel
from component_base.rpc import RpcError
from kubelet.cri_shim.containerd_client import Containerd
from kubelet.cri_shim.settings import NAMESPACE
from skiff_pb.cri import runtime_pb2 as cri
from tests.integration.cri_shim.node import Node, until

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(180)]

WORKERS, PODS, KILLS = 4, 4, 5


async def one_pod(node: Node, rng: random.Random) -> None:
    """What a kubelet does for a pod, without patience: each step may meet a shim that dies."""
    pod = node.pod_config()
    sandbox = await node.sandbox(pod)
    container = await node.run(sandbox, pod, node.container_config(["sh", "-c", "echo x; sleep 1000"]))
    await asyncio.sleep(rng.random() / 4)
    await node.exec(container, "true")
    await node.runtime("StopContainer", cri.StopContainerRequest(container_id=container, timeout=0))
    await node.remove(sandbox)


async def worker(node: Node, rng: random.Random) -> None:
    for _ in range(PODS):
        try:
            await one_pod(node, rng)
        except RpcError:
            await asyncio.sleep(0.2)


async def killer(node: Node, rng: random.Random) -> None:
    for _ in range(KILLS):
        await asyncio.sleep(0.5 + rng.random() * 2)
        await asyncio.to_thread(node.kill_shim)
        await asyncio.to_thread(node.start_shim)
        await node.answering()


@pytest.mark.parametrize("seed", [1])
async def test_nothing_is_left_of_pods_whose_shim_was_killed(shim: Node, seed: int) -> None:
    rng = random.Random(seed)
    async with asyncio.TaskGroup() as group:
        for _ in range(WORKERS):
            group.create_task(worker(shim, rng))
        group.create_task(killer(shim, rng))
    for item in (await shim.runtime("ListPodSandbox", cri.ListPodSandboxRequest())).items:
        await shim.remove(item.id)
    channel = Http2Channel(f"unix://{shim.containerd_socket}")
    containerd = Containerd(channel, NAMESPACE)
    assert await containerd.tasks() == {}
    assert [each.id for each in await containerd.containers()] == []
    for folder in ("netns", "sandboxes", "io", "exec"):
        path = shim.folder / "shimrun" / folder
        assert not path.exists() or os.listdir(path) == [], folder
    addresses = shim.folder / "ipam" / f"test{shim.subnet}"
    assert [name for name in os.listdir(addresses) if name.startswith("10.")] == []

    async def strays() -> list[str]:
        return [key for key in await containerd.snapshot_keys() if not key.startswith("sha256:")]

    # A shim ends the leases of the one before it, which sets the collector to work.
    await asyncio.to_thread(shim.kill_shim)
    shim.start_shim()
    await shim.ready()
    await until(strays, lambda found: not found)
    await channel.close()

"""What wakes a pod's worker: lists that differ, or the runtime's events."""

import asyncio
from collections.abc import AsyncGenerator

from component_base.clock import ManualClock
from component_base.tasks import spawn
from kubelet.containers.config import POD_UID
from kubelet.sync.pleg import Pleg
from skiff_pb.cri import runtime_pb2 as cri
from tests.unit.kubelet.fake_runtime import FakeRuntime
from tests.unit.kubelet.turns import settled


def sandbox(uid: str) -> cri.PodSandboxConfig:
    return cri.PodSandboxConfig(metadata=cri.PodSandboxMetadata(name=uid, uid=uid), labels={POD_UID: uid})


async def test_only_pods_that_changed_are_woken() -> None:
    clock = ManualClock()
    runtime = FakeRuntime(clock)
    woken: list[str] = []
    pleg = Pleg(runtime, clock, woken.append)
    await runtime.run_sandbox(sandbox("one"))
    await runtime.run_sandbox(sandbox("two"))
    await pleg.relist()
    assert sorted(woken) == ["one", "two"]
    woken.clear()
    await pleg.relist()
    assert woken == []
    await runtime.stop_sandbox("sandbox-1")
    await pleg.relist()
    assert woken == ["two"]


class Streaming(FakeRuntime):
    queue: asyncio.Queue[str]

    async def events(self) -> AsyncGenerator[cri.ContainerEventResponse, None]:
        while True:
            uid = await self.queue.get()
            status = cri.PodSandboxStatus(metadata=cri.PodSandboxMetadata(uid=uid))
            yield cri.ContainerEventResponse(pod_sandbox_status=status)


async def test_a_quiet_stream_of_events_is_healthy() -> None:
    clock = ManualClock()
    runtime = Streaming(clock)
    runtime.queue = asyncio.Queue()
    woken: list[str] = []
    pleg = Pleg(runtime, clock, woken.append)
    task = spawn(pleg.run(), "pleg")
    await settled()
    clock.advance(1000)
    assert pleg.healthy
    runtime.queue.put_nowait("one")
    await settled()
    assert woken == ["one"]
    task.cancel()


async def test_without_events_the_lists_tell_the_health() -> None:
    clock = ManualClock()
    pleg = Pleg(FakeRuntime(clock), clock, lambda uid: None)
    await pleg.relist()
    clock.advance(179)
    assert pleg.healthy
    clock.advance(2)
    assert not pleg.healthy

import asyncio
from collections.abc import Callable

import msgspec

from apimachinery.errors import service_unavailable
from component_base.clock import ManualClock
from kubeclient.events import EventRecorder
from kubeclient.executor import Executor
from kubeclient.informer import Informers
from kubeclient.plan import NOTHING, Create, Delete, Patch, Plan, collection_and_key
from kubeclient.runner import ControllerRunner
from tests.unit.kubeclient.memory_api import MemoryApi

PODS = "/api/v1/namespaces/x/pods"


class Meta(msgspec.Struct, frozen=True):
    name: str
    namespace: str = ""
    deletionTimestamp: str | None = None


class Pod(msgspec.Struct, frozen=True):
    metadata: Meta


class OneForEach:
    """Wants pods p0 … p(n-1); plans from the cache only."""

    name = "one-for-each"

    def __init__(self, informers: Informers, count: int) -> None:
        self.pods = informers.of(PODS, Pod)
        self.count = count
        self.plans = 0

    def watch(self, enqueue: Callable[[str], None]) -> None:
        self.enqueue = enqueue

    def reconcile(self, key: str, now: float) -> Plan:
        have = {pod.metadata.name for pod in self.pods.values()}
        missing = [f"p{n}" for n in range(self.count) if f"p{n}" not in have]
        if not missing:
            return NOTHING
        self.plans += 1
        return Plan([[Create(PODS, {"metadata": {"name": name, "namespace": "x"}}) for name in missing]])


async def settle(rounds: int = 100) -> None:
    for _ in range(rounds):
        await asyncio.sleep(0)


async def test_a_plan_waits_for_the_writes_of_the_one_before() -> None:
    api, clock = MemoryApi(), ManualClock()
    client = api.client()
    informers = Informers(client, clock)
    controller = OneForEach(informers, 5)
    executor = Executor(client, informers, EventRecorder(client, "test", "", clock), clock)
    runner = ControllerRunner(controller, executor, clock, workers=1)
    tasks = [asyncio.ensure_future(informers.run()), asyncio.ensure_future(runner.run())]
    await informers.synced()
    controller.enqueue("key")
    controller.enqueue("key")
    await settle(20)
    controller.enqueue("key")
    await settle()
    assert sorted(api.objects) == [f"{PODS}/p{n}" for n in range(5)]
    assert controller.plans == 1
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_failure_is_tried_again_and_ends_the_batch() -> None:
    api, clock = MemoryApi(), ManualClock()
    client = api.client()
    informers = Informers(client, clock)
    controller = OneForEach(informers, 3)
    executor = Executor(client, informers, EventRecorder(client, "test", "", clock), clock)
    runner = ControllerRunner(controller, executor, clock)
    api.refuse = [service_unavailable("busy")]
    await runner.process("key")
    assert [line for line in api.log if line.startswith("POST")] == [f"POST {PODS}"], "the first goes alone"
    assert runner.queue.failures("key") == 1
    await runner.process("key")
    assert len(api.objects) == 3
    assert runner.queue.failures("key") == 0
    runner.queue.shut_down()


async def test_what_is_gone_already_needs_no_deletion() -> None:
    api, clock = MemoryApi(), ManualClock()
    client = api.client()
    informers = Informers(client, clock)
    executor = Executor(client, informers, EventRecorder(client, "test", "", clock), clock)
    await executor.execute("k", Plan([[Delete(f"{PODS}/none")], [Patch(f"{PODS}/none/status", {"status": {}})]]))
    assert [line.split()[0] for line in api.log] == ["DELETE", "PATCH"]


def test_a_path_tells_the_collection_and_the_key() -> None:
    assert collection_and_key("/api/v1/namespaces/x/pods/y/status") == ("/api/v1/pods", "x/y")
    assert collection_and_key("/apis/apps/v1/namespaces/x/deployments", "d") == ("/apis/apps/v1/deployments", "x/d")
    assert collection_and_key("/api/v1/nodes/n") == ("/api/v1/nodes", "n")
    assert collection_and_key("/api/v1/namespaces/x/status") == ("/api/v1/namespaces", "x")
    assert collection_and_key("/api/v1/namespaces/x") == ("/api/v1/namespaces", "x")

import asyncio

import pytest

from component_base.clock import ManualClock
from kubeclient.workqueue import ShutDown, WorkQueue


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def queue(clock: ManualClock) -> WorkQueue[str]:
    return WorkQueue(clock)


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_key_waits_once_however_often_it_is_added(queue: WorkQueue[str]) -> None:
    for _ in range(3):
        queue.add("a")
    queue.add("b")
    assert [await queue.get(), await queue.get()] == ["a", "b"]
    assert len(queue) == 0


async def test_a_key_in_work_comes_again_only_when_done(queue: WorkQueue[str]) -> None:
    queue.add("a")
    assert await queue.get() == "a"
    queue.add("a")
    assert len(queue) == 0, "nobody else may have it now"
    queue.done("a")
    assert await queue.get() == "a"
    queue.done("a")
    assert len(queue) == 0


async def test_the_shortest_of_several_waits_counts(queue: WorkQueue[str], clock: ManualClock) -> None:
    queue.add_after("a", 60)
    queue.add_after("a", 5)
    queue.add_after("a", 30)
    await settle()
    clock.advance(5)
    await settle()
    assert await queue.get() == "a"
    queue.done("a")
    clock.advance(60)
    await settle()
    assert len(queue) == 0, "the longer waits are void"


async def test_failures_wait_longer_each_time_until_forgotten(queue: WorkQueue[str], clock: ManualClock) -> None:
    waits = []
    for _ in range(4):
        queue.add_rate_limited("a")
        before = clock.monotonic()
        while not len(queue):
            await settle()
            clock.advance(0.0005)
            await settle()
        waits.append(round(clock.monotonic() - before, 3))
        queue.done(await queue.get())
    assert waits == pytest.approx([0.005, 0.01, 0.02, 0.04], abs=0.002)
    queue.forget("a")
    assert queue.failures("a") == 0


async def test_workers_end_when_the_queue_is_shut_down(queue: WorkQueue[str]) -> None:
    worker = asyncio.ensure_future(queue.get())
    await settle()
    queue.shut_down()
    with pytest.raises(ShutDown):
        await worker
    queue.add("late")
    assert len(queue) == 0

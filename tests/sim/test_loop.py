"""The virtual loop: time jumps, stopped processes stand still, order is that of the real loop."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.sim.loop import PROCESS, StuckError, VirtualLoop


class Thing:
    def __init__(self) -> None:
        self.is_stopped = False
        self.parked: list[asyncio.Handle] = []
        self.tasks: dict[asyncio.Task[Any], None] = {}

    def in_thread(self, executor: object, work: Callable[[], Any], done: asyncio.Future[Any]) -> None:
        asyncio.get_running_loop().call_later(2.0, lambda: done.set_result(work()))


@pytest.fixture
def loop() -> Iterator[VirtualLoop]:
    found = VirtualLoop()
    yield found
    found.close()


def test_a_long_sleep_takes_no_time(loop: VirtualLoop) -> None:
    loop.run_until_complete(asyncio.sleep(1e6))
    assert loop.time() == 1e6


def test_timers_of_one_moment_run_in_the_order_of_their_setting(loop: VirtualLoop) -> None:
    order: list[int] = []
    for number in range(20):
        loop.call_later(1.0, order.append, number)
    loop.run_until_complete(asyncio.sleep(1.0))
    assert order == list(range(20))


def test_a_stopped_process_goes_on_where_it_stood(loop: VirtualLoop) -> None:
    thing, seen = Thing(), []

    async def work() -> None:
        for _ in range(4):
            await asyncio.sleep(1.0)
            seen.append(loop.time())

    async def main() -> None:
        context = contextvars.copy_context()
        context.run(PROCESS.set, thing)
        task = loop.create_task(work(), context=context)
        await asyncio.sleep(2.5)
        thing.is_stopped = True
        await asyncio.sleep(7.5)
        thing.is_stopped = False
        loop.resume(thing)
        await task

    loop.run_until_complete(main())
    assert seen == [1.0, 2.0, 10.0, 11.0]


def test_threads_are_the_processes_business(loop: VirtualLoop) -> None:
    PROCESS.set(Thing())
    try:
        assert loop.run_until_complete(asyncio.to_thread(lambda: 42)) == 42
        assert loop.time() == 2.0
    finally:
        PROCESS.set(None)


def test_a_simulation_that_waits_for_nothing_says_so(loop: VirtualLoop) -> None:
    with pytest.raises(StuckError):
        loop.run_until_complete(loop.create_future())
    for task in asyncio.all_tasks(loop):
        task.cancel()

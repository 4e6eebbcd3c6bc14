"""Running a service: one event loop, signals turned into an event, background tasks that cannot be lost.

The only place that creates tasks outside an `asyncio.TaskGroup`.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import uvloop

log = logging.getLogger(__name__)

_running: set[asyncio.Task[Any]] = set()


def run_service(main: Callable[[asyncio.Event], Awaitable[int | None]]) -> int:
    """Run `main` until it returns; SIGTERM and SIGINT set the event it is given, a second one ends it at once.

    The exit code is what `main` returns (None: 0). An exception is logged once, whole, and gives 1.
    """
    if not __debug__:
        raise SystemExit("refusing to run with assertions off: they guard the data")

    async def shell() -> int:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        task = asyncio.ensure_future(main(stop))

        def on_signal() -> None:
            if stop.is_set():
                task.cancel()
            stop.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, on_signal)
        try:
            return await task or 0
        except asyncio.CancelledError:
            return 1

    try:
        return uvloop.run(shell())
    except Exception:  # the one place of a process that catches broadly
        log.exception("the service ends because of an error it did not expect")
        return 1


async def run_until(stop: asyncio.Event, *work: Coroutine[Any, Any, None]) -> None:
    """Run all of `work` side by side until `stop` is set. One that fails ends the others, and its error is raised."""
    tasks = [asyncio.ensure_future(item) for item in work]
    stopping = asyncio.ensure_future(stop.wait())
    try:
        waiting: list[asyncio.Future[Any]] = [*tasks, stopping]
        done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in (*tasks, stopping):
            task.cancel()
        await asyncio.gather(*tasks, stopping, return_exceptions=True)


def spawn(work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
    """A background task that is kept referenced and whose failure is logged, never silent."""
    task = asyncio.create_task(work, name=name)
    _running.add(task)
    task.add_done_callback(_finished)
    return task


def _finished(task: asyncio.Task[Any]) -> None:
    _running.discard(task)
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("background task %s failed", task.get_name(), exc_info=error)

"""Lets everything that can happen at this instant happen, however slow the machine: no test waits for real time."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

TURNS = 100
"""Of the event loop; the longest chain of awaits in the kubelet takes about thirty."""


class InlineExecutor(ThreadPoolExecutor):
    """What is handed to a thread is done at once, in the loop's own."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - whatever it is, the future hands it on
            future.set_exception(error)
        return future


def without_threads() -> None:
    """For the running loop, so that the number of its turns says what has been done."""
    asyncio.get_running_loop().set_default_executor(InlineExecutor())


async def settled() -> None:
    for _ in range(TURNS):
        await asyncio.sleep(0)

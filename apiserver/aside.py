"""Work on big objects: one thread is busy with it, and the loop goes on answering others.

What is written in Python gives way every few milliseconds. One thread: big objects take turns, so that only one of them
is unfolded in memory at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import TypeVar

#: Of an object's bytes: less is worked on at once, as handing it over would cost more.
ASIDE_BYTES = 512 * 1024
T = TypeVar("T")


async def aside(work: Callable[[], T], size: int, least: int = ASIDE_BYTES) -> T:
    """What `work` gives, for an object of `size` bytes; nobody else may change what it looks at meanwhile."""
    if size < least:
        return work()
    return await asyncio.get_running_loop().run_in_executor(_thread(), work)


@lru_cache(maxsize=1)
def _thread() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, "big-object")

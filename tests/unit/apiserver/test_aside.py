"""Big objects are worked on beside the loop, small ones at once."""

from __future__ import annotations

import asyncio
import threading

import pytest

from apiserver.aside import ASIDE_BYTES, aside


async def test_the_loop_goes_on_meanwhile() -> None:
    may_end = threading.Event()

    def work() -> int:
        assert may_end.wait(30)
        return threading.get_ident()

    working = asyncio.ensure_future(aside(work, ASIDE_BYTES))
    await asyncio.sleep(0)
    assert not working.done()
    may_end.set()
    other = await working
    assert other != threading.get_ident()
    assert await aside(threading.get_ident, ASIDE_BYTES) == other, "big objects take turns on one thread"


async def test_small_ones_are_not_handed_over() -> None:
    assert await aside(threading.get_ident, ASIDE_BYTES - 1) == threading.get_ident()
    assert await aside(threading.get_ident, 100, least=50) != threading.get_ident()


async def test_what_goes_wrong_there_is_heard_here() -> None:
    def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await aside(fail, ASIDE_BYTES)

"""Long work in slices, of which one runs in each turn of the event loop, whomever it belongs to.

`asyncio.sleep(0)` alone lets twenty such works run a slice each in every turn, and who comes then waits for twenty.
"""

from __future__ import annotations

import asyncio
from collections import deque
from weakref import WeakKeyDictionary


class Turns:
    """First come, first served."""

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()
        """The first may have had its turn: it is taken out afterwards, so that nobody else begins to give turns."""

    async def next(self) -> None:
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[None] = loop.create_future()
        self._waiting.append(turn)
        if len(self._waiting) == 1:
            loop.call_soon(self._give)
        await turn

    def _give(self) -> None:
        waiting = self._waiting
        while waiting and waiting[0].done():  # had, or given up
            waiting.popleft()
        if waiting:
            waiting[0].set_result(None)
            asyncio.get_running_loop().call_soon(self._give)


_turns: WeakKeyDictionary[asyncio.AbstractEventLoop, Turns] = WeakKeyDictionary()


async def next_turn() -> None:
    """Call it between slices. A slice should take no more than a millisecond."""
    loop = asyncio.get_running_loop()
    found = _turns.get(loop)
    if found is None:
        found = _turns[loop] = Turns()
    await found.next()

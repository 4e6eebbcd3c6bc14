"""Work for a client that may leave: an idle stream notices by nothing else that nobody reads it any more."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from apiserver.ports import Receive


async def while_present(receive: Receive, work: Coroutine[Any, Any, None]) -> None:
    """Does `work`, and breaks it off when the client goes. The request's body must have been read."""
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_gone(receive))
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
    finally:
        for task in (working, leaving):
            task.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass

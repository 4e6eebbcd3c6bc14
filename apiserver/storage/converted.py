"""The cache of one version of a custom kind whose versions are converted by a webhook.

A cache never waits, and a webhook takes its time. So what the feed brings is queued here, converted in its order, many
objects at once, and only then applied. Until then readers who must see it wait (`Feed.reached`), and everybody else is
told the revision that the applied part belongs to (`at`).
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence

from apiserver.storage.cache import Entry, Item, ResourceCache
from apiserver.storage.index import Indexer
from component_base.tasks import spawn

log = logging.getLogger(__name__)

Convert = Callable[[Sequence[bytes]], Awaitable[list[bytes]]]
Event = tuple[str, bytes | None, int, int, float]
Whole = tuple[list[Item], int, float, int]
#: Objects in one call of a webhook.
BATCH = 200


class ConvertedCache(ResourceCache):
    """`convert` makes stored values those of this version; `give_up` is called when it has failed.

    After a failure the cache is of no use: its watches have ended, and the feed makes a new one when it is asked for.
    """

    def __init__(self, prefix: str, indexer: Indexer, convert: Convert, give_up: Callable[[], None]) -> None:
        super().__init__(prefix, indexer)
        self._convert = convert
        self._give_up = give_up
        self._queue: deque[Event | Whole] = deque()
        self._working = False
        self._failure: Exception | None = None
        self._waiting: list[asyncio.Future[None]] = []

    async def native(self, values: Sequence[bytes]) -> list[bytes]:
        return await self._convert(values)

    # -- Written by the feed

    def read(self, page: Iterable[Item]) -> Sequence[Item | Entry]:
        return list(page)

    def load(self, items: Iterable[Item | Entry], revision: int, now: float, began: int = 0) -> None:
        self._queue.append(([item for item in items if not isinstance(item, Entry)], revision, now, began))
        self._work()

    def apply(self, key: str, value: bytes | None, revision: int, lease: int, now: float) -> None:
        self._queue.append((key, value, revision, lease, now))
        self._work()

    def _work(self) -> None:
        if not self._working and self._failure is None:
            self._working = True
            spawn(self._drain(), f"convert {self.prefix}")

    async def _drain(self) -> None:
        try:
            while self._queue:
                first = self._queue[0]
                if len(first) == 4:
                    await self._load(*first)
                    self._queue.popleft()
                else:
                    await self._apply()
                self._tell_waiting()
        except Exception as error:  # noqa: BLE001 - whatever it was, those who wait must hear of it
            log.warning("objects under %s cannot be converted: %s", self.prefix, error)
            self._fail(error)
        finally:
            self._working = False

    async def _load(self, items: list[Item], revision: int, now: float, began: int) -> None:
        done: list[Item] = []
        for start in range(0, len(items), BATCH):
            part = items[start : start + BATCH]
            values = await self._convert([value for _, value, _, _ in part])
            done += [(key, value, mod, lease) for (key, _, mod, lease), value in zip(part, values, strict=True)]
        super().load(done, revision, now, began)

    async def _apply(self) -> None:
        """The events at the head of the queue."""
        part: list[Event] = []
        for one in self._queue:
            if len(one) == 4 or len(part) == BATCH:
                break
            part.append(one)
        values = iter(await self._convert([value for _, value, _, _, _ in part if value is not None]))
        for key, value, revision, lease, now in part:
            self._queue.popleft()
            super().apply(key, None if value is None else next(values), revision, lease, now)

    def _fail(self, error: Exception) -> None:
        self._failure = error
        self._queue.clear()
        for reset in list(self.resets):
            reset()
        self._give_up()
        self._tell_waiting()

    def _tell_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            if not one.done():
                one.set_result(None)

    # -- Read by everybody

    def at(self, revision: int) -> int:
        if self._failure is not None:
            return 0
        if not self._queue:
            return revision
        first = self._queue[0]
        return 0 if len(first) == 4 else min(revision, first[2] - 1)

    async def progress(self) -> None:
        """Once more has been applied. Raises what the conversion has failed with."""
        if self._failure is None and self._queue:
            waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(waiting)
            await waiting
        if self._failure is not None:
            raise self._failure

"""Container events for GetContainerEvents: each subscriber has a bounded queue and is cut off when it falls behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from skiff_pb.cri import runtime_pb2 as cri

BACKLOG = 1000


class EventFeed:
    def __init__(self) -> None:
        self._queues: set[asyncio.Queue[cri.ContainerEventResponse | None]] = set()

    @property
    def wanted(self) -> bool:
        """Whether anybody listens: building an event costs a look at every container of the pod."""
        return bool(self._queues)

    def publish(self, event: cri.ContainerEventResponse) -> None:
        for queue in list(self._queues):
            if queue.full():
                # It must list again anyway; a gap it does not know of would be worse than an ended stream.
                self._queues.discard(queue)
                queue.get_nowait()
                queue.put_nowait(None)
            else:
                queue.put_nowait(event)

    async def subscribe(self) -> AsyncIterator[cri.ContainerEventResponse]:
        queue: asyncio.Queue[cri.ContainerEventResponse | None] = asyncio.Queue(BACKLOG)
        self._queues.add(queue)
        try:
            while (event := await queue.get()) is not None:
                yield event
        finally:
            self._queues.discard(queue)

    def close(self) -> None:
        for queue in self._queues:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(None)
        self._queues.clear()

"""The parts of flow control, joined."""

from __future__ import annotations

import asyncio

from prometheus_client import REGISTRY

from apiserver.endpoints.exchange import Exchange
from apiserver.flowcontrol.configuration import Configuration
from apiserver.flowcontrol.gate import Gate
from apiserver.flowcontrol.keeping import Keeper
from apiserver.flowcontrol.metrics import FlowMetrics
from apiserver.ports import Objects
from apiserver.registry.catalog import Catalog
from apiserver.storage.feed import Feed
from component_base.clock import Clock
from component_base.flags import Values
from component_base.tasks import spawn


class FlowControl:
    """`gate` is None where priorities are turned off."""

    def __init__(
        self, values: Values, seats: int, objects: Objects, feed: Feed, catalog: Catalog, clock: Clock
    ) -> None:
        self.gate: Gate | None = None
        if not values["enable-priority-and-fairness"]:
            return
        configuration = Configuration(objects, seats, clock.monotonic)
        self._keeper = Keeper(objects, configuration, clock)
        REGISTRY.register(FlowMetrics(configuration))

        def sizes(exchange: Exchange) -> int:
            """As if all objects were as long as the first."""
            target = exchange.target
            info = catalog.find(target.group, target.version, target.resource)
            if info is None or not info.is_stored:
                return 0
            entries = feed.cache(info).entries
            if not entries:
                return 0
            count = len(entries)
            limit = exchange.query.get("limit", "")
            if limit.isdigit() and int(limit):
                count = min(count, int(limit))
            return count * len(entries.peekitem(0)[1].data)

        self.gate = Gate(configuration, clock, values["request-timeout"], sizes)

    def start(self, bootstrapped: asyncio.Event, is_first: bool) -> list[asyncio.Task[None]]:
        """The first of several workers keeps the objects for all."""
        if self.gate is None:
            return []

        async def keep() -> None:
            await bootstrapped.wait()
            async with asyncio.TaskGroup() as group:
                group.create_task(self._keeper.keep())
                group.create_task(self._keeper.upkeep())

        lending = spawn(self._keeper.lend(), "lend seats")
        return [lending, spawn(keep(), "keep flow control's objects")] if is_first else [lending]

"""What runs beside the requests: lending seats, the Dangling condition, and the objects that must be there."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from apimachinery import timestamps
from apimachinery.errors import StatusError
from apiserver.flowcontrol.configuration import MANDATORY, Configuration, info
from apiserver.flowcontrol.upkeep import put_right, wanted_objects
from apiserver.ports import Objects
from component_base.clock import Clock

log = logging.getLogger(__name__)

JSON = dict[str, Any]
LEND_SECONDS = 10.0
UPKEEP_SECONDS = 60.0
RETRY_SECONDS = 1.0


def condition(dangling: bool, level: str) -> JSON:
    about = f'This FlowSchema references the PriorityLevelConfiguration object named "{level}"'
    if dangling:
        return {"status": "True", "reason": "NotFound", "message": f"{about} but there is no such object"}
    return {"status": "False", "reason": "Found", "message": f"{about} and it exists"}


def with_condition(obj: JSON, dangling: bool, now: float) -> JSON | None:
    """The FlowSchema with its condition; None if it has it already."""
    wanted = condition(dangling, obj["spec"]["priorityLevelConfiguration"]["name"])
    conditions = list((obj.get("status") or {}).get("conditions") or ())
    present = next((one for one in conditions if one.get("type") == "Dangling"), None)
    if present is not None and all(present.get(key) == value for key, value in wanted.items()):
        return None
    since = present.get("lastTransitionTime") if present and present.get("status") == wanted["status"] else None
    updated = {"type": "Dangling", "lastTransitionTime": since or timestamps.format(now), **wanted}
    others = [one for one in conditions if one.get("type") != "Dangling"]
    return {**obj, "status": {**(obj.get("status") or {}), "conditions": [*others, updated]}}


class Keeper:
    def __init__(self, objects: Objects, configuration: Configuration, clock: Clock) -> None:
        self._objects = objects
        self._configuration = configuration
        self._clock = clock
        self._changed = asyncio.Event()
        configuration.listeners.append(self._changed.set)

    async def lend(self) -> None:
        """For ever."""
        while True:
            await self._clock.sleep(LEND_SECONDS)
            self._configuration.rebalance()

    async def upkeep(self) -> None:
        """For ever, after the first objects are made: a minute, as upstream, so that versions side by side agree."""
        while True:
            await self._clock.sleep(UPKEEP_SECONDS)
            try:
                await put_right(self._objects)
            except StatusError as error:
                log.warning("putting flow control's objects right: %s; trying again", error)

    async def keep(self) -> None:
        """For ever, after the first objects are made: conditions, and mandatory objects that somebody took away."""
        while True:
            self._changed.clear()
            try:
                await self._mandatory()
                await self._conditions()
            except StatusError as error:
                log.warning("keeping flow control's objects: %s; trying again", error)
                await self._clock.sleep(RETRY_SECONDS)
                continue
            await self._changed.wait()

    async def _mandatory(self) -> None:
        for plural, obj in wanted_objects():
            name = obj["metadata"]["name"]
            if name in MANDATORY and self._objects.get(info(plural), "", name) is None:
                try:
                    await self._objects.create(info(plural), obj)
                except StatusError as error:
                    if error.reason != "AlreadyExists":
                        raise

    async def _conditions(self) -> None:
        for name, dangling in self._configuration.dangling().items():
            obj = self._objects.get(info("flowschemas"), "", name)
            if obj is None or with_condition(obj, dangling, self._clock.now()) is None:
                continue
            try:
                await self._objects.update_raw(
                    info("flowschemas"),
                    "",
                    name,
                    lambda old, dangling=dangling: with_condition(old, dangling, self._clock.now()),  # type: ignore[misc]
                )
            except StatusError as error:
                if error.code != 404:
                    raise

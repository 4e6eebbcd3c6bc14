"""Keeps CustomResourceDefinitions: grants names, establishes, and empties what is being deleted."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from apimachinery.errors import StatusError
from apimachinery.resources import ResourceInfo
from apiserver.extensions import conditions
from apiserver.extensions.definition import DEFINITIONS, is_true
from apiserver.extensions.kinds import CustomKinds
from apiserver.registry import deletion
from apiserver.registry.objects import StoredObjects
from apiserver.registry.writer import Write, Writer
from apiserver.storage.cache import DELETED, Change
from apiserver.storage.feed import Feed
from component_base.clock import Clock
from component_base.rpc import RpcError
from component_base.tasks import spawn

log = logging.getLogger(__name__)

JSON = dict[str, Any]
RETRY_SECONDS = 1.0
#: How long instances may take to go before the status says so, and how often that is looked at.
PATIENCE_SECONDS, LOOK_SECONDS = 60.0, 0.05
WORKERS = 16


class Keeper:
    """Every apiserver has one. They compute the same, and each write succeeds for one of them only."""

    def __init__(self, feed: Feed, objects: StoredObjects, writer: Writer, kinds: CustomKinds, clock: Clock) -> None:
        self._feed = feed
        self._objects = objects
        self._writer = writer
        self._kinds = kinds
        self._clock = clock
        self._names: dict[str, dict[str, JSON]] = {}
        """By group and definition: the names granted."""
        self._dirty: dict[str, None] = {}
        self._bell = asyncio.Event()
        self._emptying: set[str] = set()
        feed.cache(DEFINITIONS).listen(self._hear)

    def _hear(self, change: Change) -> None:
        obj = change.entry.peek()
        name, group = obj["metadata"]["name"], obj["spec"]["group"]
        granted = self._names.setdefault(group, {})
        before = granted.get(name)
        if change.type == DELETED:
            granted.pop(name, None)
        else:
            granted[name] = (obj.get("status") or {}).get("acceptedNames") or {}
            self._mark(name)
        if before and granted.get(name) != before:  # what one gives up, another may have been waiting for
            for other in granted:
                self._mark(other)

    def _mark(self, name: str) -> None:
        self._dirty[name] = None
        self._bell.set()

    async def run(self) -> None:
        """For ever."""
        while True:
            await self._bell.wait()
            self._bell.clear()
            await self._feed.ready.wait()
            while self._dirty:
                name = next(iter(self._dirty))
                del self._dirty[name]
                try:
                    await self._sync(name)
                except (StatusError, RpcError) as error:
                    log.warning("the status of the CustomResourceDefinition %s: %s; trying again", name, error)
                    self._mark(name)
                    await self._clock.sleep(RETRY_SECONDS)

    async def _sync(self, name: str) -> None:
        obj = self._read(name)
        if obj is None:
            return
        if obj["metadata"].get("deletionTimestamp"):
            if deletion.CLEANUP in (obj["metadata"].get("finalizers") or ()) and name not in self._emptying:
                self._emptying.add(name)
                spawn(self._empty(name), f"delete the instances of {name}")
            return

        def change(current: JSON) -> JSON | None:
            group = self._names.get(current["spec"]["group"], {})
            used = conditions.Used(names for other, names in group.items() if other != name)
            return current if conditions.settle(current, used, self._clock.now()) else None

        await self._write(name, change)

    def _read(self, name: str) -> JSON | None:
        """Not kept decoded: schemas may be large."""
        entry = self._feed.cache(DEFINITIONS).get("", name)
        return entry.peek() if entry is not None else None

    async def _write(self, name: str, change: Callable[[JSON], JSON | None]) -> None:
        try:
            written = await self._objects.update_raw(DEFINITIONS, "", name, change)
        except StatusError as error:
            if error.code != 404:
                raise
            return
        if self._read(name) is None:
            return  # the news of its deletion was faster than the answer: its names are free, and stay so
        names = (written.get("status") or {}).get("acceptedNames") or {}
        self._names.setdefault(written["spec"]["group"], {})[name] = names

    # -- Deletion

    async def _empty(self, name: str) -> None:
        """Until no instance is left and the definition is gone."""
        try:
            while await self._empty_once(name):
                await self._clock.sleep(RETRY_SECONDS)
        finally:
            self._emptying.discard(name)

    async def _empty_once(self, name: str) -> bool:
        """Whether it must be tried again."""
        try:
            await self._say(name, True, "InstanceDeletionInProgress", "CustomResource deletion is in progress")
            definition = self._read(name)
            if definition is None:
                return False
            if not is_true(definition, "Established"):
                await self._finish(name, "NeverEstablished", "resource was never established")
            elif problem := await self._delete_instances(name):
                await self._say(name, True, *problem)
                return True
            else:
                await self._finish(name, "InstanceDeletionCompleted", "removed all instances")
        except (StatusError, RpcError, TimeoutError) as error:
            log.warning("deleting the instances of %s: %s; trying again", name, error)
            return True
        return False

    async def _say(self, name: str, state: bool, reason: str, message: str) -> None:
        def change(current: JSON) -> JSON | None:
            before = [dict(one) for one in current["status"].get("conditions") or ()]
            conditions.put(current, "Terminating", state, reason, message, self._clock.now())
            return current if current["status"]["conditions"] != before else None

        await self._write(name, change)

    async def _finish(self, name: str, reason: str, message: str) -> None:
        def change(current: JSON) -> JSON | None:
            conditions.put(current, "Terminating", False, reason, message, self._clock.now())
            metadata = current["metadata"]
            left = [one for one in metadata.get("finalizers") or () if one != deletion.CLEANUP]
            metadata["finalizers"] = left
            return current

        await self._write(name, change)

    async def _delete_instances(self, name: str) -> tuple[str, str] | None:
        """None once there are none; else reason and message."""
        await self._feed.fresh()
        definition = self._kinds.get(name)
        if definition is None:
            return None
        info = definition.resources[definition.storage]
        try:
            await self._feed.prepared(info)
        except StatusError as error:
            return "InstanceDeletionFailed", f"could not list instances: {error.message}"
        cache = self._feed.cache(info)
        room = asyncio.Semaphore(WORKERS)

        async def remove(namespace: str, one: str) -> None:
            async with room:
                await self._delete(info, namespace, one)

        results = await asyncio.gather(
            *(remove(entry.namespace, entry.name) for entry in list(cache.entries.values())), return_exceptions=True
        )
        failed = [one for one in results if isinstance(one, StatusError)]
        if failed:
            return "InstanceDeletionFailed", f"could not issue all deletes: {failed[0].message}"
        end = self._clock.monotonic() + PATIENCE_SECONDS
        while self._feed.cache(info).entries:
            if self._clock.monotonic() > end:
                detail = "context deadline exceeded"
                return "InstanceDeletionCheck", f"could not confirm zero CustomResources remaining: {detail}"
            await self._clock.sleep(LOOK_SECONDS)
        return None

    async def _delete(self, info: ResourceInfo, namespace: str, name: str) -> None:
        try:
            await self._writer.delete(info, namespace, name, deletion.Options(), Write(admit=False))
        except StatusError as error:
            if error.code != 404:
                raise

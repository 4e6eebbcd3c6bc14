"""All stored objects for parts inside the apiserver: `apiserver.ports.Objects` over the caches and the writer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import orjson

from apimachinery.errors import StatusError
from apimachinery.resources import ResourceInfo
from apiserver.registry import deletion, versions
from apiserver.registry.writer import Write, Writer
from apiserver.storage import encoding
from apiserver.storage.cache import DELETED, Change
from apiserver.storage.feed import Feed
from apiserver.storage.store import ObjectStore

JSON = dict[str, Any]


class StoredObjects:
    def __init__(self, feed: Feed, store: ObjectStore, writer: Writer) -> None:
        self._feed = feed
        self._store = store
        self._writer = writer

    def get(self, info: ResourceInfo, namespace: str, name: str) -> JSON | None:
        entry = self._feed.cache(info).get(namespace if info.namespaced else "", name)
        return entry.shared() if entry is not None else None

    def list(self, info: ResourceInfo, namespace: str = "") -> Sequence[JSON]:
        return [entry.shared() for entry in self._feed.cache(info).within(namespace if info.namespaced else "")]

    def labelled(self, info: ResourceInfo, namespace: str, label: str, value: str) -> Sequence[JSON]:
        found = self._feed.cache(info).hinted(namespace, "", ("label", label, value))
        return [entry.shared() for entry in found if entry.labels.get(label) == value]

    async def get_latest(self, info: ResourceInfo, namespace: str, name: str) -> JSON | None:
        kv = await self._store.latest(info.key(namespace, name))
        if kv is None:
            return None
        (value,) = await self._feed.cache(info).native([kv.value])
        return versions.from_stored(info, encoding.decode(encoding.with_revision(value, kv.mod_revision)))

    async def create(self, info: ResourceInfo, obj: JSON) -> JSON:
        copy: JSON = orjson.loads(orjson.dumps(obj))
        copy["kind"], copy["apiVersion"] = info.kind, info.api_version
        entry = await self._writer.create(info, copy, Write(admit=False))
        return entry.copy()

    async def update(
        self, info: ResourceInfo, namespace: str, name: str, change: Callable[[JSON], JSON | None]
    ) -> JSON:
        async def run(current: JSON) -> JSON | None:
            return change(current)

        written = await self._writer.update(info, namespace, name, run, Write(admit=False))
        return written.entry.copy()

    async def update_raw(
        self, info: ResourceInfo, namespace: str, name: str, change: Callable[[JSON], JSON | None]
    ) -> JSON:
        """As `update`, but what `change` returns is stored as it is: also status, also what validation forbids."""

        async def run(current: JSON) -> JSON | None:
            return change(current)

        written = await self._writer.update(info, namespace, name, run, Write(admit=False, raw=True))
        return written.entry.copy()

    async def delete(self, info: ResourceInfo, namespace: str, name: str) -> None:
        try:
            await self._writer.delete(info, namespace, name, deletion.Options(grace=0), Write(admit=False))
        except StatusError as error:
            if error.code != 404:
                raise

    def on_change(self, info: ResourceInfo, callback: Callable[[JSON | None, JSON | None], None]) -> None:
        """What is decoded for listeners is not kept: some follow all pods of a cluster."""
        cache = self._feed.cache(info)
        for entry in list(cache.entries.values()):
            callback(None, entry.peek())

        def hear(change: Change) -> None:
            old = change.previous.peek() if change.previous is not None else None
            callback(old, None if change.type == DELETED else change.entry.peek())

        cache.listen(hear)

    async def synced(self, info: ResourceInfo) -> None:
        cache = self._feed.cache(info)
        await self._feed.ready.wait()
        if info.custom is not None:
            await self._feed.prepared(info)
        await self._feed.fresh(cache)

"""Custom kinds come and go with their definitions: in the catalog, and in the feed that makes their caches."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Sequence
from typing import Any

import orjson

from apiserver.extensions.conversion import Converter
from apiserver.extensions.definition import DEFINITIONS, Definition, is_true
from apiserver.registry import versions
from apiserver.registry.catalog import Catalog
from apiserver.storage import encoding
from apiserver.storage.cache import DELETED, Change, ResourceCache
from apiserver.storage.converted import ConvertedCache
from apiserver.storage.feed import Feed
from apiserver.storage.index import Indexer

log = logging.getLogger(__name__)

JSON = dict[str, Any]


class CustomKinds:
    """What it hears of a definition has its effect at once, before the feed's revision moves on.

    A reader who has waited for a revision therefore finds every kind that was established then.
    """

    def __init__(self, feed: Feed, catalog: Catalog, converter: Converter) -> None:
        self._feed = feed
        self._catalog = catalog
        self._converter = converter
        self._installed: dict[str, Definition] = {}
        feed.cache(DEFINITIONS).listen(self._hear)

    def get(self, name: str) -> Definition | None:
        """The definition of this name, if its kinds are served."""
        return self._installed.get(name)

    def _hear(self, change: Change) -> None:
        obj = change.entry.peek()
        name = obj["metadata"]["name"]
        if change.type == DELETED or not is_true(obj, "Established"):
            self._remove(name)
            return
        try:
            self._install(obj, change.entry.data)
        except Exception as error:  # noqa: BLE001 - one bad definition must not stop the feed
            log.error("the CustomResourceDefinition %s cannot be served: %r", name, error)

    def _install(self, obj: JSON, data: bytes) -> None:
        name = obj["metadata"]["name"]
        known = self._installed.get(name)
        made = Definition(obj, data)
        if known is not None and known.signature == made.signature:
            known.data = data
            made = known
        else:
            self._remove(name)
            self._add(made)
        for version in made.versions.values():
            version.terminating = is_true(obj, "Terminating")

    def _add(self, made: Definition) -> None:
        self._installed[made.name] = made
        for name, info in made.resources.items():
            version = made.versions[name]
            if made.by_webhook:
                version.convert = functools.partial(self._converter.convert, made, version)
                self._feed.serve(info, name, functools.partial(self._converted, made, name))
        if not made.by_webhook:
            self._feed.serve(made.resources[made.storage], "", functools.partial(self._stored, made))
        for name in made.served:
            self._catalog.add(made.resources[name])
        if self._feed.ready.is_set():
            # From now on every apiserver knows the history, whichever of them a client watches.
            self._feed.cache(made.resources[made.storage])

    def _remove(self, name: str) -> None:
        known = self._installed.pop(name, None)
        if known is None:
            return
        for version, info in known.resources.items():
            if version in known.served:
                self._catalog.remove(info)
        self._feed.forget(next(iter(known.resources.values())))

    def _converted(self, made: Definition, name: str, drop: Callable[[], None]) -> ResourceCache:
        info, version = made.resources[name], made.versions[name]
        indexer = Indexer(info.group_resource, version.selectable)
        return ConvertedCache(f"{info.etcd_prefix}/", indexer, functools.partial(self._values, made, name), drop)

    def _stored(self, made: Definition, drop: Callable[[], None]) -> ResourceCache:
        del drop  # it never fails
        info = made.resources[made.storage]
        indexer = Indexer(info.group_resource, made.selectable)
        prepare = functools.partial(versions.prepare, made.versions[made.storage])
        return ResourceCache(f"{info.etcd_prefix}/", indexer, prepare)

    async def _values(self, made: Definition, name: str, values: Sequence[bytes]) -> list[bytes]:
        """Stored values as the cache of a version holds them; those of other versions go through the webhook."""
        version = made.versions[name]
        stored = [orjson.loads(value) for value in values]
        objs = [version.read(one) for one in stored]
        foreign = [index for index, one in enumerate(objs) if one["apiVersion"] != version.api_version]
        if foreign:
            converted = await self._converter.convert(made, version, [objs[index] for index in foreign])
            for index, obj in zip(foreign, converted, strict=True):
                objs[index] = obj
        return [
            value if obj == was else encoding.for_storage(obj)
            for value, obj, was in zip(values, objs, stored, strict=True)
        ]

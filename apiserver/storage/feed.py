"""Keeps all caches in step with the store: one read of everything, then one watch of everything.

One watch instead of one per resource: its revision is then the revision of all caches, and since it covers every key of
the store, each revision arrives as an event and nobody has to ask for progress. Fresh reads ask the store for its
revision (callers at the same time share one question) and wait until the watch has come that far.
"""

from __future__ import annotations

import asyncio
import functools
import heapq
import logging
from collections.abc import AsyncIterator, Callable, Iterator

from apimachinery import errors
from apimachinery.resources import ResourceInfo
from apiserver.storage.cache import Entry, Item, ResourceCache
from apiserver.storage.index import Indexer
from apiserver.storage.watchers import WatchHub
from component_base.clock import Clock
from component_base.rpc import Code, RpcError
from component_base.tasks import spawn
from kubeclient.etcd3 import EtcdClient, KeyValue, WatchResponse, prefix_end

log = logging.getLogger(__name__)

ROOT = "/registry/"
#: Taken in within some milliseconds, as a server that reads everything again answers requests meanwhile.
PAGE = 250
#: How long a read waits for the caches to catch up with the store.
PATIENCE_SECONDS = 3.0
RETRY_SECONDS = 1.0
#: As upstream's client of conversion webhooks.
CONVERSION_SECONDS = 30.0
#: Makes the cache of one version of a custom resource; the argument drops it, for when it is of no use any more.
MakeCache = Callable[[Callable[[], None]], ResourceCache]


def _key(info: ResourceInfo) -> str:
    own = info.custom is not None and info.custom.convert is not None
    return f"{info.etcd_prefix}/{info.version}" if own else f"{info.etcd_prefix}/"


def _prefix(key: str) -> str:
    """Of a custom resource, by an object's key: /registry/<group>/<plural>/."""
    return key[: key.find("/", key.find("/", len(ROOT)) + 1) + 1]


class Feed:
    def __init__(self, client: EtcdClient, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self.revision = 0
        self.ready = asyncio.Event()
        self._caches: dict[str, ResourceCache] = {}
        self._hubs: dict[str, WatchHub] = {}
        self._routes: dict[str, tuple[ResourceCache, ...]] = {}
        """By storage prefix: of a custom kind, every version that somebody has asked for has a cache of its own."""
        self._custom: dict[str, dict[str, MakeCache]] = {}
        """By storage prefix and view."""
        self._changed: dict[str, int] = {}
        """By storage prefix: the last revision that changed anything there, as far as the feed has seen any."""
        self._began = 0
        self._taking = 0
        """The revision of the event that caches are being told of."""
        self._loading: dict[str, asyncio.Task[None]] = {}
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._sequence = 0
        self._question: asyncio.Future[int] | None = None
        self._asking = False

    # -- Caches

    def cache(self, info: ResourceInfo, selectable: tuple[str, ...] = ()) -> ResourceCache:
        """The cache of the resource's storage prefix; versions of a resource share it. Made at the first call.

        Where a webhook converts, versions have caches of their own, made at the same time so that a watch finds the
        same history in each. Raises StatusError 404 for a custom resource that is not served any more.
        """
        key = _key(info)
        found = self._caches.get(key)
        if found is None:
            prefix = f"{info.etcd_prefix}/"
            if info.custom is None:
                stored = "events" if info.group_resource == "events.events.k8s.io" else info.group_resource
                self._add(prefix, ResourceCache(prefix, Indexer(stored, selectable)))
            else:
                for view, make in self._custom.get(prefix, {}).items():
                    if prefix + view not in self._caches:
                        self._add(prefix + view, make(functools.partial(self._drop, prefix + view)))
            found = self._caches.get(key)
            if found is None:
                raise errors.path_not_found()
        return found

    def _add(self, key: str, cache: ResourceCache) -> None:
        self._caches[key] = cache
        self._routes[cache.prefix] = (*self._routes.get(cache.prefix, ()), cache)
        self._hubs[key] = WatchHub(cache)
        if self.ready.is_set():
            self._loading[key] = spawn(self._load_one(cache), f"load {key}")

    def hub(self, info: ResourceInfo) -> WatchHub:
        return self._hubs[_key(info)]

    def serve(self, info: ResourceInfo, view: str, make: MakeCache) -> None:
        """A custom resource is there; `view` is "" for what all versions share, else the version.

        Its cache is made when somebody asks.
        """
        self._custom.setdefault(f"{info.etcd_prefix}/", {})[view] = make

    def forget(self, info: ResourceInfo) -> None:
        """A custom resource went away, or is defined anew: watches of all its versions end, its memory is freed."""
        prefix = f"{info.etcd_prefix}/"
        for view in self._custom.pop(prefix, {}):
            self._drop(prefix + view)

    def _drop(self, key: str) -> None:
        if hub := self._hubs.pop(key, None):
            hub.close()
        self._loading.pop(key, None)
        cache = self._caches.pop(key, None)
        if cache is not None:
            left = tuple(one for one in self._routes[cache.prefix] if one is not cache)
            if left:
                self._routes[cache.prefix] = left
            else:
                del self._routes[cache.prefix]

    async def prepared(self, info: ResourceInfo) -> None:
        """Once the cache of a custom resource, which is made when it is first asked for, holds its objects."""
        cache, key = self.cache(info), _key(info)
        if cache.loaded:
            return
        await self.ready.wait()
        while True:
            try:
                if (loading := self._loading.get(key)) is not None:
                    await asyncio.shield(loading)
            except RpcError:
                self._drop(key)
                raise
            async with asyncio.timeout(CONVERSION_SECONDS):
                await cache.progress()
            cache = self.cache(info)
            if cache.loaded:
                break
        await self.reached(cache.floor)

    @property
    def watchers(self) -> dict[str, int]:
        return {prefix: hub.watchers for prefix, hub in self._hubs.items()}

    def end_watches(self) -> None:
        for hub in self._hubs.values():
            hub.close()

    def _route(self, key: str) -> tuple[ResourceCache, ...]:
        """/registry/pods/a/b lies in /registry/pods/, /registry/services/specs/a/b in /registry/services/specs/."""
        first = key.find("/", len(ROOT)) + 1
        found = self._routes.get(key[:first])
        if found is None and first:
            found = self._routes.get(key[: key.find("/", first) + 1])
        return found or ()

    # -- Following the store

    async def run(self) -> None:
        """For ever: reads everything, then follows; reads again when the store has compacted what it needs."""
        while True:
            try:
                await self._load()
                self.ready.set()
                await self._follow()
            except RpcError as error:
                compacted = error.code is Code.OUT_OF_RANGE
                log.warning("the store's watch ended, reading everything again: %s", error.message)
                await self._clock.sleep(0.0 if compacted else RETRY_SECONDS)

    async def _load(self) -> None:
        found: dict[str, list[Item | Entry]] = {name: [] for name in self._caches}
        known = dict(self._caches)
        revision = 0
        async for kvs, at in self._pages(ROOT.encode()):
            revision = at
            items: dict[str, list[Item]] = {}
            for kv in kvs:
                key = kv.key.decode()
                if caches := self._route(key):
                    prefix = caches[0].prefix
                    items.setdefault(prefix, []).append((key[len(prefix) :], kv.value, kv.mod_revision, kv.lease))
            for name, cache in known.items():
                if cache.prefix in items:
                    found[name] += cache.read(items[cache.prefix])
        now = self._clock.monotonic()
        self._began = revision
        for name, cache in known.items():
            if self._caches.get(name) is cache:
                cache.load(found.pop(name), revision, now)
                await asyncio.sleep(0)
        for name in [one for one, cache in self._caches.items() if known.get(one) is not cache]:
            self._loading[name] = spawn(self._load_one(self._caches[name]), f"load {name}")
        if revision < self.revision:
            log.warning(
                "the store went back from revision %d to %d: it was restored or replaced", self.revision, revision
            )
            self.revision = revision
        self._advance(revision)

    async def _load_one(self, cache: ResourceCache) -> None:
        """A resource that appeared while running: as of the revision that the feed is at, from where it goes on.

        Nothing has happened to it since its last change, so watches may begin there.
        """
        items = []
        revision, began = max(self.revision, self._taking), max(self._began, self._changed.get(cache.prefix, 0))
        async for kvs, _ in self._pages(cache.prefix.encode(), revision):
            items += [(kv.key.decode()[len(cache.prefix) :], kv.value, kv.mod_revision, kv.lease) for kv in kvs]
        cache.load(items, revision, self._clock.monotonic(), began)

    async def _pages(self, prefix: bytes, revision: int = 0) -> AsyncIterator[tuple[list[KeyValue], int]]:
        start, end = prefix, prefix_end(prefix)
        while True:
            page = await self._client.range(start, end, limit=PAGE, revision=revision)
            revision = revision or page.revision
            yield page.kvs, revision
            if not page.more:
                return
            start = page.kvs[-1].key + b"\0"

    async def _follow(self) -> None:
        watch = self._client.watch(b"\0", b"\0", start_revision=self.revision + 1)
        try:
            async for response in watch:
                self._take(response)
        finally:
            await watch.aclose()

    def _take(self, response: WatchResponse) -> None:
        now = self._clock.monotonic()
        for event in response.events:
            kv: KeyValue = event.kv
            key = kv.key.decode("utf-8", "replace")
            caches = self._route(key)
            self._taking = kv.mod_revision
            self._changed[caches[0].prefix if caches else _prefix(key)] = kv.mod_revision
            for cache in caches:
                value = None if event.type == "DELETE" else kv.value
                try:
                    cache.apply(key[len(cache.prefix) :], value, kv.mod_revision, kv.lease, now)
                except ValueError as error:  # written by somebody else; one bad value must not stop the others
                    log.error("the value of %s in the store cannot be read: %s", key, error)
        self._advance(response.events[-1].kv.mod_revision if response.events else response.revision)

    def _advance(self, revision: int) -> None:
        self.revision = max(self.revision, revision)
        while self._waiting and self._waiting[0][0] <= self.revision:
            _, _, waiting = heapq.heappop(self._waiting)
            if not waiting.done():
                waiting.set_result(None)

    # -- Waiting

    async def reached(self, revision: int, cache: ResourceCache | None = None) -> None:
        """Once the caches (`cache`, of those that may be late) hold `revision`. Raises 504 when that takes too long."""
        if revision > self.revision:
            await self._brought(revision)
        if cache is not None and cache.at(revision) < revision:
            async with asyncio.timeout(CONVERSION_SECONDS):
                while cache.at(revision) < revision:
                    await cache.progress()

    async def _brought(self, revision: int) -> None:
        self._sequence += 1
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (revision, self._sequence, waiting))
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await waiting
        except TimeoutError:
            raise too_large(revision, self.revision) from None

    async def fresh(self, cache: ResourceCache | None = None) -> int:
        """Once the caches (`cache`, of those that may be late) hold all that was stored before this call."""
        revision = await self._stored_revision()
        await self.reached(revision, cache)
        return revision

    async def _stored_revision(self) -> int:
        """A linearizable read that began after this call; callers who wait for the next one share it."""
        if self._question is None:
            self._question = asyncio.get_running_loop().create_future()
        question = self._question
        if not self._asking:
            self._asking = True
            spawn(self._ask(), "ask the store's revision")
        return await asyncio.shield(question)

    async def _ask(self) -> None:
        try:
            while self._question is not None:
                question, self._question = self._question, None
                try:
                    revision = await self._client.revision()
                except RpcError as error:
                    if not question.done():
                        question.set_exception(error)
                        question.exception()
                else:
                    if not question.done():
                        question.set_result(revision)
        finally:
            self._asking = False

    def caches(self) -> Iterator[ResourceCache]:
        return iter(self._caches.values())


def too_large(asked: int, current: int) -> errors.StatusError:
    """A resourceVersion that the store has not reached: clients match on the cause and wait."""
    cause = {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
    return errors.StatusError(
        504,
        "Timeout",
        f"Too large resource version: {asked}, current: {current}",
        {"causes": [cause], "retryAfterSeconds": 1},
    )

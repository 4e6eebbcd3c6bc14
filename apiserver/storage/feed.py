"""Keeps all caches in step with the store: one read of everything, then one watch of everything.

One watch instead of one per resource: its revision is then the revision of all caches, and since it covers every key of
the store, each revision arrives as an event and nobody has to ask for progress. Fresh reads ask the store for its
revision (callers at the same time share one question) and wait until the watch has come that far.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
from collections.abc import AsyncIterator, Iterator

from apimachinery import errors
from apimachinery.resources import ResourceInfo
from apiserver.storage.cache import ResourceCache
from apiserver.storage.index import Indexer
from apiserver.storage.watchers import WatchHub
from component_base.clock import Clock
from component_base.rpc import Code, RpcError
from component_base.tasks import spawn
from kubeclient.etcd3 import EtcdClient, KeyValue, WatchResponse, prefix_end

log = logging.getLogger(__name__)

ROOT = "/registry/"
PAGE = 1000
#: How long a read waits for the caches to catch up with the store.
PATIENCE_SECONDS = 3.0
RETRY_SECONDS = 1.0


class Feed:
    def __init__(self, client: EtcdClient, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self.revision = 0
        self.ready = asyncio.Event()
        self._caches: dict[str, ResourceCache] = {}
        self._hubs: dict[str, WatchHub] = {}
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._sequence = 0
        self._question: asyncio.Future[int] | None = None
        self._asking = False

    # -- Caches

    def cache(self, info: ResourceInfo, selectable: tuple[str, ...] = ()) -> ResourceCache:
        """The cache of the resource's storage prefix; versions of a resource share it. Made at the first call."""
        prefix = f"{info.etcd_prefix}/"
        found = self._caches.get(prefix)
        if found is None:
            stored = "events" if info.group_resource == "events.events.k8s.io" else info.group_resource
            found = self._caches[prefix] = ResourceCache(prefix, Indexer(stored, selectable))
            self._hubs[prefix] = WatchHub(found)
            if self.ready.is_set():
                spawn(self._load_one(found), f"load {prefix}")
        return found

    def hub(self, info: ResourceInfo) -> WatchHub:
        return self._hubs[f"{info.etcd_prefix}/"]

    def forget(self, info: ResourceInfo) -> None:
        """A custom resource went away: its watches end, its memory is freed."""
        prefix = f"{info.etcd_prefix}/"
        if hub := self._hubs.pop(prefix, None):
            hub.close()
        self._caches.pop(prefix, None)

    @property
    def watchers(self) -> dict[str, int]:
        return {prefix: hub.watchers for prefix, hub in self._hubs.items()}

    def end_watches(self) -> None:
        for hub in self._hubs.values():
            hub.close()

    def _route(self, key: str) -> ResourceCache | None:
        """/registry/pods/a/b lies in /registry/pods/, /registry/services/specs/a/b in /registry/services/specs/."""
        first = key.find("/", len(ROOT)) + 1
        found = self._caches.get(key[:first])
        if found is None and first:
            found = self._caches.get(key[: key.find("/", first) + 1])
        return found

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
        pages: dict[str, list[tuple[str, bytes, int, int]]] = {prefix: [] for prefix in self._caches}
        revision = 0
        async for kvs, at in self._pages(ROOT.encode()):
            revision = at
            for kv in kvs:
                key = kv.key.decode()
                cache = self._route(key)
                if cache is not None and cache.prefix in pages:
                    pages[cache.prefix].append((key[len(cache.prefix) :], kv.value, kv.mod_revision, kv.lease))
        now = self._clock.monotonic()
        for prefix, items in pages.items():
            if prefix in self._caches:
                self._caches[prefix].load(items, revision, now)
                await asyncio.sleep(0)
        for prefix in [p for p in self._caches if p not in pages]:
            spawn(self._load_one(self._caches[prefix]), f"load {prefix}")
        if revision < self.revision:
            log.warning(
                "the store went back from revision %d to %d: it was restored or replaced", self.revision, revision
            )
            self.revision = revision
        self._advance(revision)

    async def _load_one(self, cache: ResourceCache) -> None:
        """A resource that appeared while running."""
        items = []
        revision = 0
        async for kvs, at in self._pages(cache.prefix.encode()):
            revision = at
            items += [(kv.key.decode()[len(cache.prefix) :], kv.value, kv.mod_revision, kv.lease) for kv in kvs]
        cache.load(items, revision, self._clock.monotonic())

    async def _pages(self, prefix: bytes) -> AsyncIterator[tuple[list[KeyValue], int]]:
        start, end, revision = prefix, prefix_end(prefix), 0
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
            if (cache := self._route(key)) is not None:
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

    async def reached(self, revision: int) -> None:
        """Once the caches hold `revision`. Raises 504 when the store does not come that far soon."""
        if revision <= self.revision:
            return
        self._sequence += 1
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (revision, self._sequence, waiting))
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await waiting
        except TimeoutError:
            raise too_large(revision, self.revision) from None

    async def fresh(self) -> int:
        """Once the caches hold all that was stored before this call."""
        revision = await self._stored_revision()
        await self.reached(revision)
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
                    found = await self._client.range(ROOT.encode(), count_only=True)
                except RpcError as error:
                    if not question.done():
                        question.set_exception(error)
                        question.exception()
                else:
                    if not question.done():
                        question.set_result(found.revision)
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

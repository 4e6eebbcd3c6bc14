"""GET with `watch`: a stream of changes, from a revision, from the present state, or beginning with the whole state."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterable, Iterator

from apimachinery import errors, protobuf
from apimachinery.resources import ResourceInfo
from apiserver.endpoints.accept import JSON, PROTOBUF
from apiserver.endpoints.core import Core, selection
from apiserver.endpoints.exchange import Exchange
from apiserver.endpoints.queries import list_options
from apiserver.endpoints.render import Renderer
from apiserver.messages import MessageAnswer, lines, wants_messages
from apiserver.storage.cache import Change, Entry, ResourceCache
from apiserver.storage.watchers import Group, Watcher
from component_base.tasks import spawn

BOOKMARK_SECONDS = 60.0
TIMER_SLACK = 0.002
"""The event loop's timers count whole milliseconds and may end early by one: that is in time, not another turn."""
#: Bookmarks also come shortly before the watch ends by its timeout, so that the client can go on from there.
BEFORE_END_SECONDS = 2.0
CHUNK_BYTES = 256 * 1024
STALL_SECONDS = 60.0


async def watch(core: Core, exchange: Exchange, info: ResourceInfo) -> None:
    shape = exchange.choose(watch=True)
    options = list_options(exchange, watch=True)
    revision = options.revision
    # Who names no revision begins with the state, as if sendInitialEvents were set.
    initial = not revision if options.initial is None else options.initial
    cache, hub = core.feed.cache(info), core.feed.hub(info)
    chosen = selection(exchange, info, cache.indexer)
    matches = chosen.matches
    namespace = exchange.target.namespace if info.namespaced else ""
    renderer = core.renderer(exchange, info)
    known = bool(shape.transform) or protobuf.knows(info.group, info.version, info.kind)
    if shape.media_type == PROTOBUF and not known:
        raise errors.not_acceptable((JSON,))
    timeout = timeout_of(core, options.timeout)
    if revision is None:
        await core.feed.fresh(cache)
    elif revision:
        await core.feed.reached(revision, cache)
    if core.feed.cache(info) is not cache:  # of an older definition: nobody would ever tell this watch anything
        raise errors.expired(f"the definition of {info.group_resource} has just changed: list again")
    changes: list[Change] | None = []
    entries: Iterable[Entry] = ()
    if initial:
        entries = list(cache.whole(namespace) if chosen.hint is None else cache.hinted(namespace, "", chosen.hint))
    elif revision:
        changes = cache.since(revision)
        if changes is None:
            raise errors.expired(f"too old resource version: {revision} ({cache.floor})")
    # From here until the watcher has joined nothing may be awaited.
    at = cache.at(core.feed.revision)
    watcher = Watcher()
    view = (namespace, *chosen.texts, *renderer.view)

    def make() -> Group:
        if namespace and matches is not None:
            return Group(lambda entry: entry.namespace == namespace and matches(entry), renderer.event)
        if namespace:
            return Group(lambda entry: entry.namespace == namespace, renderer.event)
        return Group(matches or (lambda entry: True), renderer.event, everything=matches is None)

    hint = chosen.hint or (("field", "metadata.namespace", namespace) if namespace else None)
    group = hub.join(view, make, watcher, hint)
    past = chunks(group.initial(watcher, entries, changes or ()))
    past = itertools.chain([next(past, b"")], past)  # what comes first must be rendered before anything live
    if wants_messages(exchange.scope):
        answer = MessageAnswer(exchange.scope, split=lines if shape.media_type == JSON else None)
        exchange.answer_through(answer.send, answer.receive)
    stream = Stream(core, exchange, cache, watcher, renderer, timeout, options.bookmarks)
    try:
        await stream.run(
            past,
            at if initial else None,
            protobuf.WATCH_MEDIA_TYPE if shape.media_type == PROTOBUF else shape.media_type,
        )
    finally:
        hub.leave(view, watcher)


def timeout_of(core: Core, asked: int) -> float:
    """A negative time is over at once."""
    return float(max(0, asked)) if asked else core.min_request_timeout * (1.0 + core.rng.random())


def chunks(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Joined to writes of a good size."""
    batch: list[bytes] = []
    size = 0
    for piece in pieces:
        batch.append(piece)
        size += len(piece)
        if size >= CHUNK_BYTES:
            yield b"".join(batch)
            batch, size = [], 0
    if batch:
        yield b"".join(batch)


class Stream:
    """Sends what a watcher gets, until the client goes, the time is up, or the watcher is closed."""

    def __init__(
        self,
        core: Core,
        exchange: Exchange,
        cache: ResourceCache,
        watcher: Watcher,
        renderer: Renderer,
        timeout: float,
        bookmarks: bool,
    ) -> None:
        self._core = core
        self._exchange = exchange
        self._cache = cache
        self._watcher = watcher
        self._renderer = renderer
        self._bookmarks = bookmarks
        self._end = core.clock.monotonic() + timeout

    async def run(self, past: Iterator[bytes], initial_at: int | None, media_type: str) -> None:
        exchange = self._exchange
        await exchange.begin(200, exchange.head(media_type))
        await self._send(b"")
        listening = spawn(self._listen(), f"watch {exchange.path}")
        try:
            for piece in past:
                if piece:
                    await self._send(piece)
            if initial_at is not None and self._bookmarks:
                await self._send(self._renderer.bookmark(initial_at, True))
            await self._follow()
        finally:
            listening.cancel()
        await exchange.send({"type": "http.response.body", "body": b""})

    async def _send(self, data: bytes) -> None:
        """Raises TimeoutError when the client does not read: the connection ends, and what waits for it is freed."""
        if self._exchange.push(data):
            return
        async with asyncio.timeout(STALL_SECONDS):
            await self._exchange.send({"type": "http.response.body", "body": data, "more_body": True})

    async def _listen(self) -> None:
        """Ends the watch when the client leaves."""
        while (await self._exchange.receive())["type"] != "http.disconnect":
            pass
        self._watcher.close()

    async def _follow(self) -> None:
        watcher, clock = self._watcher, self._core.clock
        marked = clock.monotonic()
        final = False
        while True:
            now = clock.monotonic()
            until = min(self._end, marked + BOOKMARK_SECONDS) if self._bookmarks else self._end
            if self._bookmarks and not final:
                until = min(until, max(self._end - BEFORE_END_SECONDS, now))
            woken = await watcher.wait(max(0.0, until - now))
            if self._exchange.is_paused:  # what is pending is shared by all watchers until it is taken
                await self._send(b"")
            data = watcher.take()
            if data:
                await self._send(data)
                watcher.rest()
            if watcher.closed:
                return
            now = clock.monotonic() + TIMER_SLACK
            if now >= self._end:
                return
            if not woken and self._bookmarks and now >= until:
                final = final or now >= self._end - BEFORE_END_SECONDS
                marked = now
                await self._send(self._renderer.bookmark(self._cache.at(self._core.feed.revision), False))

"""Fan-out of changes: watchers who ask for the same view share one filter and one encoding of each change."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Iterable

from apiserver.storage import encoding
from apiserver.storage.cache import ADDED, DELETED, MODIFIED, Change, Entry, Hint, ResourceCache

#: A reader this far behind is dropped: it lists again, which costs the server less than its backlog.
MAXIMUM_BACKLOG_EVENTS = 20_000
MAXIMUM_BACKLOG_BYTES = 64 * 1024 * 1024

#: Under a stream of changes a watcher is sent what gathers in this time at once: each write costs it a TLS record, a
#: system call and a wake-up at the other end. A change that comes after a pause is sent without delay.
GATHER_SECONDS = 0.005

Render = Callable[[str, Entry, bool], bytes]
Matches = Callable[[Entry], bool]


class Watcher:
    """One open watch: what it has not sent yet, and a bell."""

    __slots__ = ("_bell", "_bytes", "_pending", "_rests_until", "_waiting", "closed", "first", "overflowed")

    def __init__(self) -> None:
        self._pending: list[bytes] = []
        self._bytes = 0
        self._waiting: asyncio.Future[None] | None = None
        self._bell: asyncio.TimerHandle | None = None
        self._rests_until = 0.0
        self.closed = False
        self.overflowed = False
        self.first = True
        """No event has been rendered for this watcher yet."""

    def push(self, data: bytes) -> None:
        if self.closed:
            return
        self._pending.append(data)
        self._bytes += len(data)
        if len(self._pending) > MAXIMUM_BACKLOG_EVENTS or self._bytes > MAXIMUM_BACKLOG_BYTES:
            self.overflowed = True
            self._pending.clear()
            self.close()
        elif self._waiting is not None and self._bell is None:
            self._ring(asyncio.get_running_loop())

    def rest(self) -> None:
        """Something has been sent just now."""
        self._rests_until = asyncio.get_running_loop().time() + GATHER_SECONDS

    def _ring(self, loop: asyncio.AbstractEventLoop) -> None:
        left = self._rests_until - loop.time()
        if left <= 0:
            self._wake()
        else:
            self._bell = loop.call_later(left, self._wake)

    def close(self) -> None:
        """No more events; what is pending may still be taken."""
        self.closed = True
        self._wake()

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    def take(self) -> bytes:
        """All that is pending, as one piece."""
        pending, self._pending, self._bytes = self._pending, [], 0
        return pending[0] if len(pending) == 1 else b"".join(pending)

    async def wait(self, seconds: float) -> bool:
        """True once something is pending or the watch is closed, False after `seconds`."""
        loop = asyncio.get_running_loop()
        if self.closed or (self._pending and self._rests_until <= loop.time()):
            return True
        self._waiting = waiting = loop.create_future()
        timer = loop.call_later(seconds, _give_up, waiting)
        if self._pending:
            self._ring(loop)
        try:
            await waiting
        finally:
            timer.cancel()
            if self._bell is not None:
                self._bell.cancel()
                self._bell = None
            self._waiting = None
        return bool(self._pending) or self.closed


def _give_up(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)


class Group:
    """All watchers of one view of one resource."""

    def __init__(self, matches: Matches, render: Render, everything: bool = False) -> None:
        self.watchers: set[Watcher] = set()
        self._matches = matches
        self._render = render
        self._everything = everything

    def hear(self, change: Change) -> None:
        kind = change.type if self._everything else self.kind(change)
        if not kind:
            return
        entry = change.entry
        if kind == DELETED and change.type != DELETED and change.previous is not None:
            entry = left(change)
        following: bytes | None = None
        beginning: bytes | None = None
        for watcher in self.watchers:
            if watcher.first:
                if beginning is None:
                    beginning = self._render(kind, entry, True)
                watcher.first = False
                watcher.push(beginning)
            else:
                if following is None:
                    following = self._render(kind, entry, False)
                watcher.push(following)

    def kind(self, change: Change) -> str:
        """The change as this view sees it: entering a selection is ADDED, leaving it DELETED, "" is nothing."""
        now = change.type != DELETED and self._matches(change.entry)
        before = change.previous is not None and self._matches(change.previous)
        if now:
            return MODIFIED if before else ADDED
        return DELETED if before else ""

    def initial(self, watcher: Watcher, entries: Iterable[Entry], changes: Iterable[Change] = ()) -> Iterable[bytes]:
        """Encoded events of the matching part of a state, or of past changes, for a watcher who joins."""
        for entry in entries:
            if self._everything or self._matches(entry):
                first, watcher.first = watcher.first, False
                yield self._render(ADDED, entry, first)
        for change in changes:
            if kind := self.kind(change):
                entry = left(change) if kind == DELETED and change.type != DELETED else change.entry
                first, watcher.first = watcher.first, False
                yield self._render(kind, entry, first)


def left(change: Change) -> Entry:
    """What a view is told of an object that left its selection: its last state there, at the revision of leaving."""
    previous = change.previous
    assert previous is not None
    data = encoding.replace_revision(previous.data, change.revision)
    return Entry(previous.key, data, change.revision, previous.summary)


class WatchHub:
    """The groups of one resource. Of those who select something exact, only whom a change concerns hear of it."""

    def __init__(self, cache: ResourceCache) -> None:
        self._cache = cache
        self._groups: dict[Hashable, tuple[Group, Hint | None]] = {}
        self._open: set[Group] = set()
        """Those without a hint."""
        self._hinted: dict[tuple[str, str], dict[str, set[Group]]] = {}
        """By what the hint is about, and by what it says."""
        self._stop: Callable[[], None] | None = None
        cache.resets.append(self.close)

    def join(self, view: Hashable, make: Callable[[], Group], watcher: Watcher, hint: Hint | None = None) -> Group:
        """Between `since`/`within` of the cache and this call nothing may be awaited, or a change is lost.

        `hint` is something that every entry of the view has.
        """
        found = self._groups.get(view)
        if found is None:
            found = self._groups[view] = (make(), hint)
            self._places(hint).add(found[0])
        if self._stop is None:
            self._stop = self._cache.listen(self._hear)
        found[0].watchers.add(watcher)
        return found[0]

    def _places(self, hint: Hint | None) -> set[Group]:
        if hint is None:
            return self._open
        kind, name, value = hint
        return self._hinted.setdefault((kind, name), {}).setdefault(value, set())

    def _hear(self, change: Change) -> None:
        for group in self._open:
            group.hear(change)
        entry, previous = change.entry, change.previous
        for (kind, name), groups in self._hinted.items():
            value = entry.hinted(kind, name)
            for group in groups.get(value, ()) if value is not None else ():
                group.hear(change)
            if previous is None:
                continue
            before = previous.hinted(kind, name)
            if before is not None and before != value:
                for group in groups.get(before, ()):
                    group.hear(change)

    def leave(self, view: Hashable, watcher: Watcher) -> None:
        found = self._groups.get(view)
        if found is None:
            return
        group, hint = found
        group.watchers.discard(watcher)
        if group.watchers:
            return
        del self._groups[view]
        self._places(hint).discard(group)
        if hint is not None and not self._places(hint):
            about = self._hinted[hint[:2]]
            del about[hint[2]]
            if not about:
                del self._hinted[hint[:2]]
        if not self._groups:
            self._silence()

    def _silence(self) -> None:
        if self._stop is not None:
            self._stop()
            self._stop = None

    def close(self) -> None:
        """The resource's state was read anew or is gone: everybody must list again."""
        self._silence()
        for group, _ in self._groups.values():
            for watcher in group.watchers:
                watcher.close()
        self._groups.clear()
        self._open.clear()
        self._hinted.clear()

    @property
    def watchers(self) -> int:
        return sum(len(group.watchers) for group, _ in self._groups.values())

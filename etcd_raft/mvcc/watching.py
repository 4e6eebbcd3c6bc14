"""Who is told of which change.

A watcher is either *current*: it is offered each batch of changes as it is committed; or *behind*: it reads the history
by `catch_up`, in steps of its own stream's choosing, until it is current. A stream that has no room refuses an offer
and its watcher falls behind; so a slow reader costs nothing but its place in the history, and can only be lost to
compaction. Watchers of the same range share the encoded bytes of a batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

from etcd_raft.mvcc.keyspace import Keyspace, Record, in_range
from etcd_raft.mvcc.wire import as_field_3, varint


class Batch:
    """Changes of one range over consecutive revisions, and their wire form for each kind of watcher."""

    __slots__ = ("_encoded", "_space", "first", "last", "records")

    def __init__(self, space: Keyspace, records: list[Record], first: int, last: int) -> None:
        self._space = space
        self.records = records
        self.first = first
        self.last = last
        self._encoded: dict[tuple[bool, bool, bool], bytes] = {}

    def events(self, prev_kv: bool, no_put: bool, no_delete: bool) -> bytes:
        """`WatchResponse.events` fields, one after another; empty if the filters leave nothing."""
        kind = (prev_kv, no_put, no_delete)
        found = self._encoded.get(kind)
        if found is None:
            found = self._encoded[kind] = b"".join(
                [
                    self._event(record, prev_kv)
                    for record in self.records
                    if not (no_put if record.version else no_delete)
                ]
            )
        return found

    def _event(self, record: Record, prev_kv: bool) -> bytes:
        inner = record.field if record.version else b"\x08\x01" + record.field
        if prev_kv and record.version != 1 and record.mod > self._space.compacted:
            previous = self._space.at(record.key, record.mod - 1)
            if previous is not None:
                inner += as_field_3(previous.field)
        return b"\x5a" + varint(len(inner)) + inner


class Sink(Protocol):
    """Where a watcher's batches go."""

    def offer(self, watcher: Watcher, events: bytes, revision: int) -> bool:
        """False if there is no room: the watcher falls behind and nothing of the batch counts as delivered."""
        ...

    def fall_behind(self, watcher: Watcher) -> None:
        """From now on the watcher has to be caught up."""
        ...


class Watcher:
    """One range watched from `needs` on, the first revision that has not been delivered."""

    __slots__ = ("current", "end", "needs", "no_delete", "no_put", "prev_kv", "sink", "start", "watch_id")

    def __init__(
        self,
        sink: Sink,
        watch_id: int,
        start: bytes,
        end: bytes | None,
        needs: int,
        prev_kv: bool = False,
        no_put: bool = False,
        no_delete: bool = False,
    ) -> None:
        self.sink = sink
        self.watch_id = watch_id
        self.start = start
        self.end = end
        self.needs = needs
        self.prev_kv = prev_kv
        self.no_put = no_put
        self.no_delete = no_delete
        self.current = False


class _Group:
    """The current watchers of one range."""

    __slots__ = ("end", "pending", "start", "watchers")

    def __init__(self, start: bytes, end: bytes | None) -> None:
        self.start = start
        self.end = end
        self.watchers: dict[Watcher, None] = {}
        self.pending: list[Record] = []


class WatchTable:
    """All watchers of one member. `publish` is called after each batch of commits."""

    def __init__(self, space: Keyspace) -> None:
        self._space = space
        self._groups: dict[tuple[bytes, bytes | None], _Group] = {}
        self._keys: dict[bytes, _Group] = {}
        self._prefixes: dict[int, dict[bytes, _Group]] = {}
        self._ranges: list[_Group] = []
        self._published = space.revision

    def reset(self, space: Keyspace) -> None:
        """The state was replaced by a snapshot: everybody goes on from the revision they need in the new history."""
        for group in list(self._groups.values()):
            for watcher in list(group.watchers):
                watcher.needs = max(watcher.needs, self._published + 1)
                self._leave(group, watcher)
                watcher.sink.fall_behind(watcher)
        self._space = space
        self._published = space.revision

    # Watchers

    @property
    def current_count(self) -> int:
        return sum(len(group.watchers) for group in self._groups.values())

    def add(self, watcher: Watcher) -> None:
        """A watcher that needs nothing of the past is current at once; another has to catch up first."""
        if watcher.needs > self._space.revision:
            self._join(watcher)

    def remove(self, watcher: Watcher) -> None:
        if watcher.current:
            self._leave(self._groups[watcher.start, watcher.end], watcher)

    def is_compacted(self, watcher: Watcher) -> bool:
        """Whether what it needs next is gone. Only a watcher that is behind can be overtaken."""
        return not watcher.current and watcher.needs < self._space.compacted

    def catch_up(self, watcher: Watcher, revisions: int, size: int) -> Batch | None:
        """The next part of the history, at most so many revisions, ending early once `size` bytes are found.

        None if nothing in it concerns the watcher. It is current once it has read everything.
        """
        assert not self.is_compacted(watcher), "the caller has checked for compaction"
        first, last = watcher.needs, min(self._space.revision, watcher.needs + revisions - 1)
        found: list[Record] = []
        for changes in self._space.history(first, last):
            matching = [record for record in changes if in_range(record.key, watcher.start, watcher.end)]
            if matching:
                found += matching
                size -= sum(len(record.field) for record in matching)
                if size <= 0:
                    last = changes[0].mod
                    break
        watcher.needs = max(watcher.needs, last + 1)
        if watcher.needs > self._space.revision:
            self._join(watcher)
        return Batch(self._space, found, first, last) if found else None

    # Publishing

    def publish(self) -> None:
        """Offer everything committed since the last call to the current watchers.

        The key space must not be pruned in between: a compaction may already cover what is to be offered.
        """
        space = self._space
        first = self._published + 1
        if space.revision < first:
            return
        self._published = space.revision
        if not self._groups:
            return
        touched: dict[_Group, None] = {}
        for record in space.changes_since(first - 1):
            for group in self._matching(record.key):
                group.pending.append(record)
                touched[group] = None
        for group in touched:
            records, group.pending = group.pending, []
            self._offer(group, Batch(space, records, first, space.revision))

    def _offer(self, group: _Group, batch: Batch) -> None:
        for watcher in list(group.watchers):
            if watcher.needs > batch.first:
                # It asked to start later, perhaps in the middle of this batch or after it.
                later = [record for record in batch.records if record.mod >= watcher.needs]
                if not later:
                    continue
                offered = Batch(self._space, later, watcher.needs, batch.last)
            else:
                offered = batch
            events = offered.events(watcher.prev_kv, watcher.no_put, watcher.no_delete)
            if events and not watcher.sink.offer(watcher, events, batch.last):
                watcher.needs = max(watcher.needs, batch.first)
                self._leave(group, watcher)
                watcher.sink.fall_behind(watcher)

    def _matching(self, key: bytes) -> Iterator[_Group]:
        group = self._keys.get(key)
        if group is not None:
            yield group
        for length, groups in self._prefixes.items():
            group = groups.get(key[:length])
            if group is not None:
                yield group
        for group in self._ranges:
            if in_range(key, group.start, group.end):
                yield group

    # Groups

    def _join(self, watcher: Watcher) -> None:
        key = (watcher.start, watcher.end)
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = _Group(*key)
            if watcher.end is None:
                self._keys[watcher.start] = group
            elif _is_prefix(watcher.start, watcher.end):
                self._prefixes.setdefault(len(watcher.start), {})[watcher.start] = group
            else:
                self._ranges.append(group)
        group.watchers[watcher] = None
        watcher.current = True

    def _leave(self, group: _Group, watcher: Watcher) -> None:
        del group.watchers[watcher]
        watcher.current = False
        if group.watchers:
            return
        del self._groups[group.start, group.end]
        if group.end is None:
            del self._keys[group.start]
        elif _is_prefix(group.start, group.end):
            same_length = self._prefixes[len(group.start)]
            del same_length[group.start]
            if not same_length:
                del self._prefixes[len(group.start)]
        else:
            self._ranges.remove(group)


def all_current(watchers: Iterable[Watcher], revision: int) -> bool:
    """Whether a progress notice at that revision is true for all of them: none is behind, none starts later."""
    return all(watcher.current and watcher.needs <= revision + 1 for watcher in watchers)


def _is_prefix(start: bytes, end: bytes) -> bool:
    """Whether [start, end) is exactly the keys that begin with `start`."""
    stripped = start.rstrip(b"\xff")
    return bool(stripped) and end == stripped[:-1] + bytes([stripped[-1] + 1])

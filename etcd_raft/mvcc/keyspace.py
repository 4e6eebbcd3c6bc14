"""All keys with their retained history.

`live` holds what a read of the present sees, in one dictionary and one sorted list. What was overwritten or deleted
goes to `past`, per key; and every change of every revision stands in `log`, for watches and for reads in the past.
Compaction is one number at first: reads below it are refused from then on, and `prune` drops what nobody can see any
more in as many small steps as its caller likes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
from sortedcontainers import SortedList

from etcd_raft.mvcc.wire import encode_kv, encode_tombstone

#: What a record costs beside its bytes, roughly: the object, its numbers, its places in the indexes.
RECORD_OVERHEAD = 128


class Record(msgspec.Struct, frozen=True, gc=False):
    """A key as written by one revision. `field` is its KeyValue in wire form; `version` 0 marks a deletion."""

    key: bytes
    field: bytes
    create: int
    mod: int
    version: int
    lease: int


def in_range(key: bytes, start: bytes, end: bytes | None) -> bool:
    """`end` None: the key alone; empty: everything from `start` on."""
    if end is None:
        return key == start
    return key >= start and (not end or key < end)


def range_bounds(range_end: bytes) -> bytes | None:
    """A request's range_end as the bound used here: absent means one key, a single zero byte means no bound."""
    if not range_end:
        return None
    return b"" if range_end == b"\0" else range_end


class Keyspace:
    """Revisions begin at 1 (nothing written). `compacted` is the oldest revision that can still be read."""

    def __init__(self) -> None:
        self.revision = 1
        self.compacted = 0
        self.size = 0
        self.live: dict[bytes, Record] = {}
        self.order: Any = SortedList()
        self.past: dict[bytes, list[Record]] = {}
        self.log: list[tuple[Record, ...]] = []
        self.log_start = 2
        self._pruned = 1
        self._pins = 0
        #: For the metrics: operations of this member since it started.
        self.puts = self.deletes = self.ranges = 0

    # Writing: between `changes` of one transaction and `commit`, reads see the new state already.

    def put(self, key: bytes, value: bytes, lease: int, revision: int) -> tuple[Record, Record | None]:
        """Write at a revision that is not committed yet; the new record and the one it replaces."""
        old = self.live.get(key)
        if old is None:
            self.order.add(key)
            record = Record(key, encode_kv(key, value, revision, revision, 1, lease), revision, revision, 1, lease)
        else:
            self._retire(old)
            create, version, key = old.create, old.version + 1, old.key
            record = Record(
                key, encode_kv(key, value, create, revision, version, lease), create, revision, version, lease
            )
        self.live[key] = record
        self.puts += 1
        self.size += len(record.field) + RECORD_OVERHEAD
        return record, old

    def delete(self, record: Record, revision: int) -> Record:
        key = record.key
        self.deletes += 1
        del self.live[key]
        self.order.remove(key)
        self._retire(record)
        tombstone = Record(key, encode_tombstone(key, revision), 0, revision, 0, 0)
        self._retire(tombstone)
        self.size += len(tombstone.field) + RECORD_OVERHEAD
        return tombstone

    def commit(self, changes: list[Record]) -> None:
        """The changes made since the last commit become the next revision."""
        assert changes, "a revision changes something"
        assert changes[0].mod == self.revision + 1, "changes belong to the next revision"
        self.revision += 1
        self.log.append(tuple(changes))

    def _retire(self, record: Record) -> None:
        retired = self.past.get(record.key)
        if retired is None:
            self.past[record.key] = [record]
        else:
            retired.append(record)

    # Reading

    def at(self, key: bytes, revision: int) -> Record | None:
        """The key as a reader at that revision saw it."""
        record = self.live.get(key)
        if record is not None and record.mod <= revision:
            return record
        for record in reversed(self.past.get(key, ())):
            if record.mod <= revision:
                return record if record.version else None
        return None

    def span(self, start: bytes, end: bytes | None) -> tuple[int, int]:
        """The positions in `order` of the live keys in a range."""
        if end is None:
            position = self.order.bisect_left(start)
            return position, position + (start in self.live)
        first = self.order.bisect_left(start)
        return first, max(first, self.order.bisect_left(end) if end else len(self.order))

    def records(self, start: bytes, end: bytes | None, limit: int = 0) -> list[Record]:
        """The live records of a range, in order of their keys."""
        if end is None:
            record = self.live.get(start)
            return [record] if record is not None else []
        first, last = self.span(start, end)
        if limit:
            last = min(last, first + limit)
        live = self.live
        return [live[key] for key in self.order.islice(first, last)]

    def changes_since(self, revision: int) -> Iterator[Record]:
        """Everything committed after that revision, in order."""
        for changes in self.log[max(0, revision + 1 - self.log_start) :]:
            yield from changes

    def history(self, first: int, last: int) -> list[tuple[Record, ...]]:
        """The changes of the revisions first…last; what is compacted is not there."""
        assert first >= self.compacted, "the caller has checked for compaction"
        return self.log[max(0, first - self.log_start) : max(0, last + 1 - self.log_start)]

    # Compaction

    def compact(self, revision: int) -> None:
        assert self.compacted < revision <= self.revision, "the caller has checked the revision"
        self.compacted = revision

    @property
    def must_prune(self) -> bool:
        return self._pruned < self.compacted and not self._pins

    def prune(self, revisions: int) -> None:
        """Drop what compaction has hidden, for so many revisions of the history.

        Of each key the newest record at or below the compacted revision stays, unless it is a deletion. The compacted
        revision's own changes stay in the log: a watch may start there.
        """
        if not self.must_prune:
            return
        last = min(self.compacted, self._pruned + revisions)
        for changes in self.log[max(0, self._pruned + 1 - self.log_start) : max(0, last + 1 - self.log_start)]:
            for change in changes:
                self._prune_key(change)
        self._pruned = last
        keep = min(last + 1, self.compacted)
        if keep > self.log_start:
            del self.log[: keep - self.log_start]
            self.log_start = keep

    def _prune_key(self, change: Record) -> None:
        retired = self.past.get(change.key)
        if retired is None:
            return
        drop = 0
        while drop < len(retired) and (
            retired[drop].mod < change.mod or (retired[drop].mod == change.mod and not change.version)
        ):
            self.size -= len(retired[drop].field) + RECORD_OVERHEAD
            drop += 1
        if drop == len(retired):
            del self.past[change.key]
        else:
            del retired[:drop]

    def pin(self) -> None:
        """History stays as it is until `unpin`: somebody reads it in slices."""
        self._pins += 1

    def unpin(self) -> None:
        self._pins -= 1

    # Restoring

    def load(self, base: Iterable[Record], compacted: int) -> None:
        """Into an empty key space: the records that a reader at `compacted` sees and which are older than it."""
        for record in base:
            self.live[record.key] = record
            self.size += len(record.field) + RECORD_OVERHEAD
        self.order = SortedList(self.live)
        self.compacted = compacted
        self.log_start = max(2, compacted)
        self._pruned = self.revision = self.log_start - 1

    def replay(self, changes: tuple[Record, ...]) -> None:
        """The next revision of the history, as another member committed it. Raises ValueError if it is not the next."""
        if self.revision < self.compacted < changes[0].mod:
            self.skip()
        if changes[0].mod != self.revision + 1:
            raise ValueError(f"revision {self.revision + 1} is missing in the history")
        for record in changes:
            old = self.live.pop(record.key, None)
            if old is not None:
                self._retire(old)
            if record.version:
                self.live[record.key] = record
            elif old is not None:
                self._retire(record)
            self.size += len(record.field) + RECORD_OVERHEAD
            if (old is not None) != bool(record.version):
                (self.order.add if old is None else self.order.remove)(record.key)
        self.log.append(changes)
        self.revision += 1

    def skip(self) -> None:
        """A revision of which nothing is left: what etcd deleted at the compacted one, what a restore adds."""
        self.log.append(())
        self.revision += 1

"""All objects of one resource in memory, as encoded bytes with their indexed fields, and its recent changes.

Everything here runs in the loop's thread and never waits: the feed applies changes, readers look.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import Any

from msgspec import Struct
from sortedcontainers import SortedDict

from apiserver.storage import encoding
from apiserver.storage.index import Fields, Indexer, Labels, Summary

#: Changes kept so that watches may begin in the past: at least MINIMUM, at most MAXIMUM, between them for SECONDS.
WINDOW_MINIMUM = 1000
WINDOW_MAXIMUM = 100_000
WINDOW_SECONDS = 75.0

ADDED, MODIFIED, DELETED = "ADDED", "MODIFIED", "DELETED"


class Entry(Struct, gc=False, eq=False):
    """One object at one revision. Never changed: a change makes a new entry.

    Nothing here refers back to its entry, so that the collector need not look at any of them: with 50,000 it would
    halt everything for many milliseconds.
    """

    key: str
    data: bytes
    revision: int
    summary: Summary
    lease: int = 0
    stale: bool = False
    """The store holds something else: an older version, unknown fields, no defaults. The next write mends that."""
    _object: encoding.JSON | None = None

    @property
    def namespace(self) -> str:
        return self.summary.namespace

    @property
    def name(self) -> str:
        return self.summary.name

    @property
    def labels(self) -> Labels:
        return self.summary.labels

    @property
    def fields(self) -> Fields:
        return self.summary.fields

    def field(self, name: str) -> str | None:
        """What selectors of fields compare."""
        if name == "metadata.name":
            return self.name
        return self.namespace if name == "metadata.namespace" else self.fields.get(name)

    def hinted(self, kind: str, name: str) -> str | None:
        """What a hint of this kind and name must say to mean this entry."""
        return self.labels.get(name) if kind == "label" else self.field(name)

    def shared(self) -> encoding.JSON:
        """Decoded once, for readers inside the apiserver: never change it."""
        if self._object is None:
            self._object = encoding.decode(self.data)
        return self._object

    def peek(self) -> encoding.JSON:
        """As `shared`, but what had to be decoded is not kept: for reading many objects once."""
        return self._object if self._object is not None else encoding.decode(self.data)

    def copy(self) -> encoding.JSON:
        return encoding.decode(self.data)


class Change(Struct, gc=False, eq=False):
    """What happened to one key. `entry` of a deletion is the last state with the deletion's revision."""

    type: str
    entry: Entry
    previous: Entry | None
    revision: int
    seen: float


Item = tuple[str, bytes, int, int]
"""Key, value, mod revision, lease."""
Listener = Callable[[Change], None]
#: ("label" or "field", its name, its value): what a selector demands exactly.
Hint = tuple[str, str, str]
#: Selectors are looked up instead of tried on every entry for this many labels and fields of a resource.
MAXIMUM_LOOKUPS = 16


class Lookup:
    """Keys of entries by the value of one label or field; made when somebody first selects by it."""

    __slots__ = ("_keys", "_kind", "_name")

    def __init__(self, kind: str, name: str, entries: Iterable[Entry]) -> None:
        self._kind = kind
        self._name = name
        self._keys: dict[str, set[str]] = {}
        for entry in entries:
            self.add(entry)

    def add(self, entry: Entry) -> None:
        value = entry.hinted(self._kind, self._name)
        if value is not None:
            self._keys.setdefault(value, set()).add(entry.key)

    def discard(self, entry: Entry) -> None:
        value = entry.hinted(self._kind, self._name)
        if value is not None and (keys := self._keys.get(value)) is not None:
            keys.discard(entry.key)
            if not keys:
                del self._keys[value]

    def keys(self, value: str) -> Iterable[str]:
        return self._keys.get(value, ())


class ResourceCache:
    """`prefix` is the collection's key with its slash; entries are found by what follows it: `[namespace/]name`.

    `prepare` makes of stored values those that entries hold; what is not changed it returns as it is.
    """

    def __init__(self, prefix: str, indexer: Indexer, prepare: Callable[[bytes], bytes] | None = None) -> None:
        self.prefix = prefix
        self._prepare = prepare
        self.indexer = indexer
        self.entries: SortedDict[str, Entry] = SortedDict()
        self.changes: deque[Change] = deque()
        self.floor = 0
        """Changes after this revision are all in the window."""
        self.revision = 0
        """Of the last change of this resource."""
        self.loaded = False
        self._loaded_at = 0
        self._listeners: list[Listener] = []
        self._pending: list[tuple[str, bytes | None, int, int, float]] = []
        self.resets: list[Callable[[], None]] = []
        self.memo: dict[Hashable, Any] = {}
        """Whatever readers derive from the present state; empty again after each change."""
        self._lookups: dict[tuple[str, str], Lookup] = {}

    def listen(self, listener: Listener) -> Callable[[], None]:
        """`listener` hears every change from now on; call what is returned to end that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    # -- Written by the feed

    def read(self, page: Iterable[Item]) -> Sequence[Item | Entry]:
        """A part of what `load` will be given, in a form that takes it less time."""
        known = self.entries
        return [
            found if (found := known.get(item[0])) is not None and found.revision == item[2] else self._entry(*item)
            for item in page
        ]

    def load(self, items: Iterable[Item | Entry], revision: int, now: float, began: int = 0) -> None:
        """The whole collection as of `revision`. Listeners hear the differences.

        `began`, where that is known: since then nothing has changed up to `revision`.
        """
        old, self.entries = self.entries, SortedDict()
        made = (item if isinstance(item, Entry) else self._entry(*item) for item in items)
        fresh = {entry.key: entry for entry in made}
        self.entries.update(fresh)
        self.memo.clear()
        self._lookups.clear()
        self.changes.clear()
        self.floor, self._loaded_at = began or revision, revision
        self.revision = max((e.revision for e in fresh.values()), default=revision)
        self.loaded = True
        for reset in list(self.resets):
            reset()
        if self._listeners:
            self._tell_differences(old, fresh, revision, now)
        pending, self._pending = self._pending, []
        for key, value, mod, lease, seen in pending:
            if mod > revision:
                self.apply(key, value, mod, lease, seen)

    def _tell_differences(self, old: dict[str, Entry], fresh: dict[str, Entry], revision: int, now: float) -> None:
        for key, entry in fresh.items():
            previous = old.get(key)
            if previous is None or previous.revision != entry.revision:
                self._tell(Change(MODIFIED if previous else ADDED, entry, previous, entry.revision, now))
        for key, previous in old.items():
            if key not in fresh:
                self._tell(Change(DELETED, previous, previous, revision, now))

    def apply(self, key: str, value: bytes | None, revision: int, lease: int, now: float) -> None:
        """One event of the store; `value` is None for a deletion."""
        if not self.loaded:
            self._pending.append((key, value, revision, lease, now))
            return
        if revision <= self._loaded_at:
            return
        previous: Entry | None = self.entries.get(key)
        self.memo.clear()
        if previous is not None:
            for lookup in self._lookups.values():
                lookup.discard(previous)
        if value is None:
            if previous is None:
                return
            del self.entries[key]
            gone = Entry(key, encoding.replace_revision(previous.data, revision), revision, previous.summary)
            change = Change(DELETED, gone, previous, revision, now)
        else:
            entry = self._entry(key, value, revision, lease)
            self.entries[key] = entry
            for lookup in self._lookups.values():
                lookup.add(entry)
            change = Change(MODIFIED if previous else ADDED, entry, previous, revision, now)
        self.revision = revision
        self.changes.append(change)
        self._forget(now)
        self._tell(change)

    def _entry(self, key: str, value: bytes, revision: int, lease: int) -> Entry:
        prepared = value if self._prepare is None else self._prepare(value)
        data = encoding.with_revision(prepared, revision)
        return Entry(key, data, revision, self.indexer.summary(prepared), lease, prepared is not value)

    def _forget(self, now: float) -> None:
        changes = self.changes
        while len(changes) > WINDOW_MINIMUM and (
            len(changes) > WINDOW_MAXIMUM or now - changes[0].seen > WINDOW_SECONDS
        ):
            self.floor = changes.popleft().revision

    def _tell(self, change: Change) -> None:
        for listener in list(self._listeners):
            listener(change)

    async def native(self, values: Sequence[bytes]) -> list[bytes]:
        """What entries hold for these stored values."""
        return list(values) if self._prepare is None else [self._prepare(value) for value in values]

    # -- Read by everybody

    def at(self, revision: int) -> int:
        """The newest revision whose changes have all been applied, given that the feed has brought `revision`."""
        return revision

    async def progress(self) -> None:
        """Once more has been applied, where that is ever behind what the feed brings."""

    def get(self, namespace: str, name: str) -> Entry | None:
        found: Entry | None = self.entries.get(f"{namespace}/{name}" if namespace else name)
        return found

    def within(self, namespace: str, after: str = "") -> Iterator[Entry]:
        """Entries of a namespace ("" for all) in key order, from behind the key `after` on."""
        start = after or (f"{namespace}/" if namespace else None)
        end = f"{namespace}0" if namespace else None  # "0" follows "/"
        whole = start is None and end is None
        keys = iter(self.entries) if whole else self.entries.irange(start, end, inclusive=(not after, False))
        return map(self.entries.__getitem__, keys)

    def whole(self, namespace: str) -> list[Entry]:
        """All entries of a namespace ("" for all), shared: do not change it."""
        found: list[Entry] | None = self.memo.get(("whole", namespace))
        if found is None:
            found = self.memo["whole", namespace] = list(self.within(namespace))
        return found

    def size(self, namespace: str) -> int:
        """Bytes of all of a namespace ("" for all)."""
        found: int | None = self.memo.get(("size", namespace))
        if found is None:
            found = self.memo["size", namespace] = sum([len(entry.data) for entry in self.whole(namespace)])
        return found

    def hinted(self, namespace: str, after: str, hint: Hint) -> Iterator[Entry]:
        """As `within`, but only entries that have what the hint demands."""
        kind, name, value = hint
        if kind == "field" and name == "metadata.name" and (namespace or "/" not in next(iter(self.entries), "/")):
            one = self.get(namespace, value)
            return iter([one] if one is not None and one.key > after else [])
        lookup = self._lookups.get((kind, name))
        if lookup is None:
            if len(self._lookups) >= MAXIMUM_LOOKUPS:
                return self.within(namespace, after)
            lookup = self._lookups[kind, name] = Lookup(kind, name, self.entries.values())
        prefix = f"{namespace}/" if namespace else ""
        keys = sorted(key for key in lookup.keys(value) if key.startswith(prefix) and key > after)
        return (self.entries[key] for key in keys)

    def since(self, revision: int) -> list[Change] | None:
        """Changes after `revision`, oldest first; None if some of them are forgotten."""
        if revision < self.floor:
            return None
        found: list[Change] = []
        for change in reversed(self.changes):
            if change.revision <= revision:
                break
            found.append(change)
        found.reverse()
        return found

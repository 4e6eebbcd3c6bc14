"""The log of one member, in memory: what is durable, what is committed, what is handed out to be applied.

    first ............ applied .. applying ..... committed ........ last
                                              (stable is anywhere up to last)

Entries below `first` live on in the snapshot. `stable` is the last index known to be durable here; what lies above it
still has to go through a `Ready`. `committed` never decreases; only the part above it may be replaced.
"""

from __future__ import annotations

from collections.abc import Sequence

from etcd_raft.raft.messages import Entry, SnapshotMeta

KEPT_BYTES = 32 << 20
"""What entries that a snapshot covers may take in memory at most, however many of them are to be kept."""


class LostEntriesError(Exception):
    """This member has acknowledged entries that its log does not hold: its disk lost them, or it is an old copy."""


class RaftLog:
    __slots__ = (
        "_base_term",
        "_entries",
        "applied",
        "applying",
        "committed",
        "first",
        "pending_snapshot",
        "snapshot",
        "stable",
    )

    def __init__(self, snapshot: SnapshotMeta, entries: Sequence[Entry], committed: int) -> None:
        self.snapshot = snapshot
        self.pending_snapshot: SnapshotMeta | None = None
        self.first = snapshot.index + 1
        self._base_term = snapshot.term
        self._entries: list[Entry] = list(entries)
        assert not entries or entries[0].index == self.first, "a log has no gap behind its snapshot"
        self.stable = self.last_index
        self.committed = max(committed, snapshot.index)
        assert self.committed <= self.last_index, f"commit {committed} lies beyond the log's end {self.last_index}"
        self.applied = self.applying = snapshot.index

    @property
    def last_index(self) -> int:
        return self.first + len(self._entries) - 1

    @property
    def last_term(self) -> int:
        return self._entries[-1].term if self._entries else self._base_term

    def term(self, index: int) -> int | None:
        """The term of the entry at `index`; None if it is compacted away or does not exist yet."""
        offset = index - self.first
        if 0 <= offset < len(self._entries):
            return self._entries[offset].term
        return self._base_term if offset == -1 else None

    def matches(self, index: int, term: int) -> bool:
        return self.term(index) == term

    def is_up_to_date(self, index: int, term: int) -> bool:
        """Whether a candidate whose last entry is (index, term) may lead this member (thesis section 3.6.1)."""
        return term > self.last_term or (term == self.last_term and index >= self.last_index)

    def slice(self, low: int, high: int, max_bytes: int) -> tuple[Entry, ...]:
        """Entries in [low, high), at least one if there is any, as many as fit `max_bytes`."""
        assert self.first <= low <= high <= self.last_index + 1, (self.first, low, high, self.last_index)
        chosen = self._entries[low - self.first : high - self.first]
        total = 0
        for position, entry in enumerate(chosen):
            total += len(entry.data) + 24
            if total > max_bytes and position:
                return tuple(chosen[:position])
        return tuple(chosen)

    def append(self, entries: Sequence[Entry]) -> None:
        """Append, replacing what is there at the same and higher indexes."""
        if not entries:
            return
        start = entries[0].index
        assert self.committed < start <= self.last_index + 1, (self.committed, start, self.last_index)
        if start <= self.last_index:
            del self._entries[start - self.first :]
            self.stable = min(self.stable, start - 1)
        self._entries.extend(entries)

    def append_after(self, index: int, term: int, entries: Sequence[Entry]) -> int | None:
        """The follower's half of replication: the index that now matches, or None if (index, term) does not fit."""
        if not self.matches(index, term):
            return None
        matched = index + len(entries)
        for position, entry in enumerate(entries):
            if not self.matches(entry.index, entry.term):
                assert entry.index > self.committed, f"entry {entry.index} conflicts below commit {self.committed}"
                self.append(entries[position:])
                break
        return matched

    def conflict_hint(self, index: int, term: int) -> tuple[int, int | None]:
        """The highest index <= `index` whose term is <= `term`, and its term (None if compacted)."""
        index = min(index, self.last_index)
        while True:
            here = self.term(index)
            if here is None or here <= term:
                return index, here
            index -= 1

    def commit_to(self, index: int) -> bool:
        if index <= self.committed:
            return False
        if index > self.last_index:
            raise LostEntriesError(f"its log ends at entry {self.last_index}, but it has acknowledged entry {index}")
        self.committed = index
        return True

    def unstable(self) -> tuple[Entry, ...]:
        return tuple(self._entries[self.stable + 1 - self.first :]) if self.stable < self.last_index else ()

    def stable_to(self, index: int, term: int) -> None:
        """(index, term) became durable. It may have been replaced meanwhile; then the news is void."""
        if index > self.stable and self.matches(index, term):
            self.stable = index

    def has_committed_to_apply(self) -> bool:
        return self.pending_snapshot is None and min(self.committed, self.stable) > self.applying

    def next_committed(self, max_bytes: int) -> tuple[Entry, ...]:
        if not self.has_committed_to_apply():
            return ()
        return self.slice(self.applying + 1, min(self.committed, self.stable) + 1, max_bytes)

    def unapplied(self) -> list[Entry]:
        """Committed entries whose effect is not in force yet."""
        low = max(self.applied + 1, self.first)
        return self._entries[low - self.first : self.committed + 1 - self.first]

    def compact(self, snapshot: SnapshotMeta, keep: int) -> None:
        """A snapshot is durable: keep only its last `keep` entries, for followers that lag a bit."""
        assert snapshot.index <= self.applied, "only what is applied can be in a snapshot"
        if snapshot.index <= self.snapshot.index:
            return
        self.snapshot = snapshot
        cut = self._first_within(snapshot.index - keep + 1, snapshot.index, KEPT_BYTES)
        if cut > self.first:
            base = self.term(cut - 1)
            assert base is not None
            self._base_term = base
            del self._entries[: cut - self.first]
            self.first = cut

    def _first_within(self, low: int, last: int, size: int) -> int:
        """The first index from `low` on from where the entries up to `last` take no more than `size` bytes."""
        for index in range(last, max(low, self.first) - 1, -1):
            size -= len(self._entries[index - self.first].data)
            if size < 0:
                return index + 1
        return low

    def restore(self, snapshot: SnapshotMeta) -> None:
        """Become the empty log behind a snapshot that the leader sent."""
        assert snapshot.index > self.committed
        self.snapshot = self.pending_snapshot = snapshot
        self._entries.clear()
        self.first = snapshot.index + 1
        self._base_term = snapshot.term
        self.stable = self.committed = self.applying = snapshot.index

"""A member's data directory as one thing: write-ahead log plus snapshot files, created, recovered and kept in step.

    member/wal/    member/snap/

A snapshot counts only once the log holds a marker for it, so a crash between the two leaves the older state intact.
Segments are released up to the *older* of the two snapshots kept: should the newer one be damaged, the older one and
the log still lead to the present. All methods block; one thread at a time calls them.
"""

from __future__ import annotations

import logging
import os.path
from collections.abc import Iterator, Sequence

import msgspec

from etcd_raft.ports import Member
from etcd_raft.raft import Change, ChangeKind, Entry, EntryKind, HardState, Ready, SnapshotMeta
from etcd_raft.raft.membership import encode_change
from etcd_raft.roster import MemberWords, encode_words
from etcd_raft.wal import (
    CorruptionError,
    FileSystem,
    Identity,
    Marker,
    SnapshotFile,
    SnapshotHeader,
    SnapshotStore,
    SnapshotWriter,
    WriteAheadLog,
)
from etcd_raft.wal.log import SEGMENT_BYTES

logger = logging.getLogger(__name__)


class Restart(msgspec.Struct, frozen=True):
    """Where a member continues."""

    identity: Identity
    snapshot: SnapshotFile | None
    hard_state: HardState
    entries: tuple[Entry, ...]

    @property
    def meta(self) -> SnapshotMeta:
        return self.snapshot.header.meta if self.snapshot is not None else SnapshotMeta()


class Storage:
    def __init__(self, filesystem: FileSystem, directory: str, segment_bytes: int = SEGMENT_BYTES) -> None:
        self._fs = filesystem
        self._segment_bytes = segment_bytes
        self._wal_directory = os.path.join(directory, "member", "wal")
        self._snap_directory = os.path.join(directory, "member", "snap")
        self._wal: WriteAheadLog | None = None
        self._snapshots: SnapshotStore | None = None
        self._identity = Identity(0, 0)

    def exists(self) -> bool:
        return WriteAheadLog.exists(self._fs, self._wal_directory)

    def has_snapshots(self) -> bool:
        """Also of a folder that has no log (any more)."""
        try:
            return any(name.endswith(".snap") for name in self._fs.list(self._snap_directory))
        except FileNotFoundError:
            return False

    @property
    def wal(self) -> WriteAheadLog:
        assert self._wal is not None, "create() or open() first"
        return self._wal

    @property
    def snapshots(self) -> SnapshotStore:
        assert self._snapshots is not None, "create() or open() first"
        return self._snapshots

    def create(self, identity: Identity, bootstrap: Sequence[Member] = ()) -> Restart:
        """A new member. A new cluster starts from a log that adds its members, the same on all of them."""
        self._identity = identity
        self._snapshots = SnapshotStore(self._fs, self._snap_directory)
        self._wal = WriteAheadLog.create(self._fs, self._wal_directory, identity, self._segment_bytes)
        return self._found(bootstrap)

    def _found(self, bootstrap: Sequence[Member]) -> Restart:
        entries = tuple(
            Entry(index, 1, encode_change(_founding(member)), EntryKind.MEMBERSHIP)
            for index, member in enumerate(sorted(bootstrap, key=lambda m: m.id), 1)
        )
        hard_state = HardState(term=1 if entries else 0, commit=len(entries))
        if entries:
            self.wal.append(hard_state, entries)
        return Restart(self._identity, None, hard_state, entries)

    def open(self, bootstrap: Sequence[Member] = ()) -> Restart:
        """Continue after a stop or a crash. Raises CorruptionError if what was acknowledged is no longer there.

        `bootstrap` is used only if the crash came before `create` had written the founders.
        """
        self._wal, found = WriteAheadLog.open(self._fs, self._wal_directory, self._segment_bytes)
        self._snapshots = SnapshotStore(self._fs, self._snap_directory)
        self._identity = found.identity
        if found.cut_bytes:
            logger.warning("cut a torn, never acknowledged tail of %d bytes off the write-ahead log", found.cut_bytes)
        if bootstrap and not found.entries and not found.markers and found.hard_state == HardState():
            return self._found(bootstrap)
        snapshot, problems = self._snapshots.newest_valid({(m.index, m.term) for m in found.markers})
        for problem in problems:
            logger.warning("passing over a damaged snapshot: %s", problem)
        base = snapshot.header.meta.index if snapshot is not None else 0
        if snapshot is not None and snapshot.header.identity != found.identity:
            raise CorruptionError(f"{snapshot.path}: the snapshot belongs to another member")
        entries = tuple(entry for entry in found.entries if entry.index > base)
        last_marked = max((m.index for m in found.markers), default=0)
        reaches = entries[-1].index if entries else base
        if (entries and entries[0].index != base + 1) or max(last_marked, found.hard_state.commit) > reaches:
            reason = (
                problems[0] if problems else f"entries up to {max(last_marked, found.hard_state.commit)} are missing"
            )
            raise CorruptionError(f"{self._wal_directory}: the log does not continue snapshot {base}: {reason}")
        return Restart(found.identity, snapshot, found.hard_state, entries)

    def take_over(self, restart: Restart, changes: Sequence[Change]) -> Restart:
        """Declare the whole log committed, with these membership changes behind it: nobody else is left to ask."""
        base = restart.entries[-1].index if restart.entries else restart.meta.index
        term = restart.hard_state.term
        added = tuple(
            Entry(base + n, term, encode_change(change), EntryKind.MEMBERSHIP) for n, change in enumerate(changes, 1)
        )
        hard_state = HardState(term, restart.hard_state.vote, base + len(added))
        self.wal.append(hard_state, added)
        return Restart(restart.identity, restart.snapshot, hard_state, (*restart.entries, *added))

    def persist(self, ready: Ready) -> None:
        """Steps 2 to 4 of `Ready`. The file of a received snapshot is durable already; its marker is written here."""
        marker = Marker(ready.snapshot.index, ready.snapshot.term) if ready.snapshot is not None else None
        self.wal.append(ready.hard_state, ready.entries, marker)

    # Snapshots

    def create_snapshot(self, meta: SnapshotMeta, roster: bytes, origin: str = "own") -> SnapshotWriter:
        """May be written by another thread than the log's: it touches nothing but its own file."""
        return self.snapshots.create(SnapshotHeader(self._identity, meta, roster), origin)

    def find_snapshot(self, meta: SnapshotMeta) -> SnapshotFile | None:
        for index, term, path in self.snapshots.files():
            if (index, term) == (meta.index, meta.term):
                return self.snapshots.open(path)
        return None

    def chunks(self, snapshot: SnapshotFile) -> Iterator[bytes]:
        return self.snapshots.chunks(snapshot)

    def mark_snapshot(self, meta: SnapshotMeta) -> None:
        """A snapshot of our own is on disk: the log may rest on it, and forget what is older than the one before."""
        self.wal.append(None, (), Marker(meta.index, meta.term))
        oldest = self.snapshots.purge()
        if oldest:
            self.wal.release(oldest)

    def close(self) -> None:
        if self._wal is not None:
            self._wal.close()


def _founding(member: Member) -> Change:
    words = MemberWords(0, 0, member.name, member.peer_urls, member.client_urls)
    return Change(ChangeKind.ADD_VOTER, member.id, encode_words(words))

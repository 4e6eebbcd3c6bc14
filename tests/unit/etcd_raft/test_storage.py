"""Data directories: bootstrap, restart, snapshots that count only when marked, damaged snapshots passed over."""

from __future__ import annotations

import pytest

from etcd_raft.ports import Member
from etcd_raft.raft import Configuration, Entry, HardState, SnapshotMeta
from etcd_raft.storage import Storage
from etcd_raft.wal import CorruptionError, Identity, SnapshotHeader, SnapshotStore
from tests.sim.disk import SimulatedDisk

ME = Identity(7, 1)
FOUNDERS = (Member(1, "a", ("http://a:1",), ()), Member(2, "b", ("http://b:1",), ()))
VOTERS = Configuration(frozenset({1, 2}))


def opened(disk: SimulatedDisk) -> Storage:
    storage = Storage(disk, "/data", 4096)
    storage.open()
    return storage


def filled(disk: SimulatedDisk, last: int) -> Storage:
    storage = Storage(disk, "/data", 4096)
    storage.create(ME, FOUNDERS)
    for n in range(3, last + 1):
        storage.wal.append(HardState(1, 0, n), [Entry(n, 1, bytes(100))])
    return storage


def snap(storage: Storage, index: int, chunks: tuple[bytes, ...] = (b"state",)) -> None:
    meta = SnapshotMeta(index, 1, VOTERS)
    writer = storage.create_snapshot(meta, b"roster")
    for chunk in chunks:
        writer.write(chunk)
    writer.finish()
    storage.mark_snapshot(meta)


def test_a_new_cluster_starts_from_its_founders() -> None:
    disk = SimulatedDisk()
    storage = Storage(disk, "/data")
    assert not storage.exists()
    created = storage.create(ME, FOUNDERS)
    assert created.hard_state.commit == 2
    again = Storage(disk, "/data")
    assert again.exists()
    assert again.open().entries == created.entries


def test_restart_from_a_snapshot() -> None:
    disk = SimulatedDisk()
    storage = filled(disk, 30)
    snap(storage, 20, (b"one", b"two", bytes(100_000)))
    restart = Storage(disk, "/data", 4096).open()
    assert restart.meta == SnapshotMeta(20, 1, VOTERS)
    assert [e.index for e in restart.entries] == list(range(21, 31))
    assert restart.snapshot is not None
    assert list(storage.chunks(restart.snapshot)) == [b"one", b"two", bytes(100_000)]


def test_an_unmarked_snapshot_does_not_count() -> None:
    disk = SimulatedDisk()
    storage = filled(disk, 30)
    writer = storage.create_snapshot(SnapshotMeta(25, 1, VOTERS), b"")
    writer.write(b"x")
    writer.finish()
    assert Storage(disk, "/data", 4096).open().snapshot is None


def test_old_segments_go_but_two_snapshots_stay() -> None:
    disk = SimulatedDisk()
    storage = filled(disk, 300)
    for index in (100, 200, 300):
        snap(storage, index)
    assert len(disk.list("/data/member/snap")) == 2
    restart = Storage(disk, "/data", 4096).open()
    assert restart.meta.index == 300
    assert len(disk.list("/data/member/wal")) < 6


def test_a_damaged_snapshot_is_passed_over_for_the_one_before() -> None:
    disk = SimulatedDisk()
    storage = filled(disk, 300)
    for index in (100, 200, 300):
        snap(storage, index)
    newest = "/data/member/snap/" + disk.list("/data/member/snap")[-1]
    disk.names[newest].now[-20] ^= 1
    restart = Storage(disk, "/data", 4096).open()
    assert restart.meta.index == 200
    assert restart.entries[0].index == 201
    assert restart.entries[-1].index == 300


def test_when_both_snapshots_are_damaged_the_member_says_so() -> None:
    disk = SimulatedDisk()
    storage = filled(disk, 300)
    for index in (100, 200, 300):
        snap(storage, index)
    for name in disk.list("/data/member/snap"):
        disk.names["/data/member/snap/" + name].now[-20] ^= 1
    with pytest.raises(CorruptionError, match="checksum mismatch"):
        Storage(disk, "/data", 4096).open()


def test_a_crash_during_bootstrap_is_made_good() -> None:
    """The log exists but its founders were never written: creating it again must be possible."""
    disk = SimulatedDisk()
    storage = Storage(disk, "/data", 4096)
    storage.create(ME, ())
    restart = Storage(disk, "/data", 4096).open(bootstrap=FOUNDERS)
    assert len(restart.entries) == 2
    assert restart.hard_state.commit == 2
    assert Storage(disk, "/data", 4096).open().entries == restart.entries


def test_truncated_and_foreign_snapshot_files() -> None:
    disk = SimulatedDisk()
    store = SnapshotStore(disk, "/snap")
    writer = store.create(SnapshotHeader(ME, SnapshotMeta(5, 1, VOTERS), b"r"))
    writer.write(b"abc")
    file = writer.finish()
    store.verify(store.open(file.path))
    for size in (0, 5, 20, file.size - 9, file.size - 1):
        inode = disk.names[file.path]
        whole = bytes(inode.now)
        del inode.now[size:]
        with pytest.raises(CorruptionError):
            store.verify(store.open(file.path))
        inode.now[:] = whole

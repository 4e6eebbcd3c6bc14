"""The write-ahead log: what was appended comes back, torn tails are cut, damage to durable data is not passed over."""

from __future__ import annotations

import contextlib
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from component_base.rng import seeded
from etcd_raft.raft import Entry, EntryKind, HardState
from etcd_raft.wal import CorruptionError, DiskFileSystem, Identity, Marker, WriteAheadLog, records
from tests.sim.disk import SimulatedDisk

ME = Identity(7, 8)


def entry(index: int, term: int = 1, data: bytes | None = None) -> Entry:
    return Entry(index, term, b"%d" % index if data is None else data)


def new_log(disk: SimulatedDisk, segment_bytes: int = 4096) -> WriteAheadLog:
    return WriteAheadLog.create(disk, "/wal", ME, segment_bytes)


def test_what_was_appended_comes_back() -> None:
    disk = SimulatedDisk()
    log = new_log(disk)
    log.append(HardState(1, 2, 0), [entry(1), Entry(2, 1, b"m", EntryKind.MEMBERSHIP)])
    log.append(None, [entry(3)])
    log.append(HardState(2, 0, 3))
    _, found = WriteAheadLog.open(disk, "/wal", 4096)
    assert found.identity == ME
    assert found.hard_state == HardState(2, 0, 3)
    assert found.entries == (entry(1), Entry(2, 1, b"m", EntryKind.MEMBERSHIP), entry(3))
    assert found.cut_bytes == 0


def test_later_entries_replace_earlier_ones() -> None:
    disk = SimulatedDisk()
    log = new_log(disk)
    log.append(None, [entry(n) for n in range(1, 6)])
    log.append(HardState(2, 0, 0), [entry(3, 2)])
    _, found = WriteAheadLog.open(disk, "/wal", 4096)
    assert [(e.index, e.term) for e in found.entries] == [(1, 1), (2, 1), (3, 2)]


def test_one_append_is_one_sync() -> None:
    disk = SimulatedDisk()
    log = new_log(disk)
    before = disk.syncs
    log.append(HardState(1, 0, 0), [entry(n) for n in range(1, 100)])
    assert disk.syncs == before + 1


def test_segments_roll_and_are_released() -> None:
    disk = SimulatedDisk()
    log = new_log(disk, 1024)
    for n in range(1, 60):
        log.append(None, [entry(n, data=bytes(100))])
    assert len(disk.list("/wal")) > 4
    log.append(None, (), Marker(40, 1))
    assert log.release(40)
    log2, found = WriteAheadLog.open(disk, "/wal", 1024)
    assert found.entries[0].index <= 41
    assert found.entries[-1].index == 59
    assert Marker(40, 1) in found.markers
    log2.append(None, [entry(60)])
    assert WriteAheadLog.open(disk, "/wal", 1024)[1].entries[-1].index == 60


def test_a_leaders_snapshot_voids_the_log() -> None:
    disk = SimulatedDisk()
    log = new_log(disk)
    log.append(None, [entry(n) for n in range(1, 6)])
    log.append(HardState(3, 0, 50), [entry(51, 3)], Marker(50, 2))
    _, found = WriteAheadLog.open(disk, "/wal", 4096)
    assert [e.index for e in found.entries] == [51]


def test_an_own_snapshot_keeps_the_log() -> None:
    disk = SimulatedDisk()
    log = new_log(disk)
    log.append(None, [entry(n) for n in range(1, 6)])
    log.append(None, (), Marker(5, 1))
    log.append(None, (), Marker(4, 1))
    assert len(WriteAheadLog.open(disk, "/wal", 4096)[1].entries) == 5


@pytest.mark.parametrize("cut", [1, 7, 20, 30, 60])
def test_a_torn_tail_is_cut_and_written_over(cut: int) -> None:
    disk = SimulatedDisk()
    log = new_log(disk)
    log.append(None, [entry(1)])
    end = log._offset
    log.append(None, [entry(2, data=bytes(range(1, 101)))])
    inode = disk.names["/wal/" + disk.list("/wal")[0]]
    inode.now[end + cut : log._offset] = bytes(log._offset - end - cut)
    log2, found = WriteAheadLog.open(disk, "/wal", 4096)
    assert [e.index for e in found.entries] == [1]
    log2.append(None, [entry(2, 2)])
    _, found = WriteAheadLog.open(disk, "/wal", 4096)
    assert [(e.index, e.term) for e in found.entries] == [(1, 1), (2, 2)]


@pytest.mark.parametrize("victim", [0, 1])
def test_damage_before_an_intact_frame_is_refused(victim: int) -> None:
    disk = SimulatedDisk()
    log = new_log(disk)
    starts = []
    for n in range(1, 4):
        starts.append(log._offset)
        log.append(None, [entry(n, data=b"payload")])
    name = "/wal/" + disk.list("/wal")[0]
    disk.names[name].now[starts[victim] + 30] ^= 0x40
    with pytest.raises(CorruptionError, match=r"checksum mismatch in data that was durable .*offset"):
        WriteAheadLog.open(disk, "/wal", 4096)


def test_damage_in_an_older_segment_and_a_missing_segment_are_refused() -> None:
    disk = SimulatedDisk()
    log = new_log(disk, 512)
    for n in range(1, 30):
        log.append(None, [entry(n, data=bytes(60))])
    names = disk.list("/wal")
    kept = bytes(disk.names["/wal/" + names[1]].now)
    disk.names["/wal/" + names[1]].now[-40:] = b"\xff" * 40
    with pytest.raises(CorruptionError):
        WriteAheadLog.open(disk, "/wal", 512)
    disk.names["/wal/" + names[1]].now[:] = kept
    WriteAheadLog.open(disk, "/wal", 512)
    disk.remove("/wal/" + names[1])
    with pytest.raises(CorruptionError, match="missing"):
        WriteAheadLog.open(disk, "/wal", 512)


def test_a_failed_disk_ends_the_log() -> None:
    disk = SimulatedDisk()
    log = new_log(disk)

    def fail(kind: str) -> None:
        if kind == "sync":
            raise OSError(5, "input/output error")

    disk.before = fail
    with pytest.raises(OSError, match="input/output"):
        log.append(None, [entry(1)])
    disk.before = None
    with pytest.raises(OSError, match="failed before"):
        log.append(None, [entry(1)])


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 1 << 32), appends=st.lists(st.integers(0, 1500), min_size=1, max_size=12))
def test_whatever_a_crash_keeps_the_acknowledged_comes_back(seed: int, appends: list[int]) -> None:
    """Crash in the middle of an arbitrary change; what `append` had returned for must be there afterwards."""
    rng, disk = seeded(seed), SimulatedDisk()
    log = new_log(disk, 1024)
    stop_at, count, acknowledged = rng.randrange(1, 40), 0, 0

    def maybe_crash(kind: str) -> None:
        nonlocal count
        count += 1
        if count == stop_at:
            raise KeyboardInterrupt

    disk.before = maybe_crash
    try:
        for index, size in enumerate(appends, 1):
            log.append(HardState(1, 0, index - 1), [entry(index, data=bytes([index]) * size)])
            acknowledged = index
    except KeyboardInterrupt:
        pass
    disk.crash(rng)
    log, found = WriteAheadLog.open(disk, "/wal", 1024)
    expected = [entry(i, data=bytes([i]) * s) for i, s in enumerate(appends, 1)]
    assert len(found.entries) >= acknowledged
    assert list(found.entries) == expected[: len(found.entries)]
    log.append(HardState(9, 0, 0), [entry(len(found.entries) + 1, 9)])
    assert WriteAheadLog.open(disk, "/wal", 1024)[1].entries[-1].term == 9


@given(data=st.binary(max_size=300))
def test_decoding_noise_never_fails_otherwise_than_by_value_error(data: bytes) -> None:
    records.decode_frame(data, 0)
    with contextlib.suppress(ValueError):
        list(records.decode_records(data))


def test_on_a_real_disk(tmp_path: os.PathLike[str]) -> None:
    directory = os.path.join(tmp_path, "member", "wal")
    log = WriteAheadLog.create(DiskFileSystem(), directory, ME, 8192)
    for n in range(1, 200):
        log.append(HardState(1, 0, n), [entry(n, data=bytes(100))])
    log.close()
    log, found = WriteAheadLog.open(DiskFileSystem(), directory, 8192)
    assert len(found.entries) == 199
    log.append(None, (), Marker(150, 1))
    log.release(150)
    log.close()
    assert WriteAheadLog.open(DiskFileSystem(), directory, 8192)[1].entries[-1].index == 199

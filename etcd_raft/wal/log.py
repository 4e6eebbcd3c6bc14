"""The write-ahead log: append frames to preallocated segments, recover them, release what a snapshot replaced.

    wal/0000000000000003-00000000000186a1.wal      number of the segment, first index it may hold

A segment opens with a frame that repeats identity, hard state and newest snapshot marker, so that any suffix of the
segments can stand alone. New segments are made under a temporary name, synced, then renamed. One thread at a time may
call; any OSError leaves the log unusable (`failed`), because what reached the disk is unknown after it.
"""

from __future__ import annotations

import itertools
import os.path
import re
from collections.abc import Sequence

import msgspec

from component_base.failpoints import failpoint
from etcd_raft.raft.messages import Entry, HardState
from etcd_raft.wal import records
from etcd_raft.wal.filesystem import File, FileSystem
from etcd_raft.wal.records import CorruptionError, Identity, Marker

SEGMENT_BYTES = 16 << 20
_NAME = re.compile(r"^([0-9a-f]{16})-([0-9a-f]{16})\.wal$")


class Recovered(msgspec.Struct, frozen=True):
    """What replay found."""

    identity: Identity
    hard_state: HardState
    entries: tuple[Entry, ...]
    """Contiguous, as they stand after all replacements."""
    markers: tuple[Marker, ...]
    cut_bytes: int
    """Size of the torn tail that was cut; 0 if the last stop was clean."""


class _Segment(msgspec.Struct, frozen=True):
    number: int
    first_index: int
    path: str


class _Replay:
    """Accumulates records in file order into the state they describe."""

    def __init__(self) -> None:
        self.identity: Identity | None = None
        self.hard_state = HardState()
        self.entries: list[Entry] = []
        self.markers: dict[int, Marker] = {}

    def take(self, record: records.Record) -> None:
        if isinstance(record, Entry):
            self._take_entry(record)
        elif isinstance(record, HardState):
            self.hard_state = record
        elif isinstance(record, Marker):
            self._take_marker(record)
        elif self.identity not in (None, record):
            raise ValueError("the segments belong to different members")
        else:
            self.identity = record

    def _take_entry(self, entry: Entry) -> None:
        if self.entries:
            keep = entry.index - self.entries[0].index
            if keep > len(self.entries):
                raise ValueError(f"entry {entry.index} follows entry {self.entries[-1].index}")
            del self.entries[max(keep, 0) :]
        self.entries.append(entry)

    def _take_marker(self, marker: Marker) -> None:
        self.markers[marker.index] = marker
        # A snapshot from the leader replaces a log that does not reach it, or that disagrees with it.
        if not self.entries:
            return
        position = marker.index - self.entries[0].index
        if position >= len(self.entries) or (position >= 0 and self.entries[position].term != marker.term):
            self.entries.clear()


class WriteAheadLog:
    def __init__(self, filesystem: FileSystem, directory: str, segment_bytes: int = SEGMENT_BYTES) -> None:
        self._fs = filesystem
        self._directory = directory
        self._segment_bytes = segment_bytes
        self._segments: list[_Segment] = []
        self._file: File | None = None
        self._offset = 0
        self._sequence = 1
        self._identity = Identity(0, 0)
        self._hard_state = HardState()
        self._marker = Marker(0, 0)
        self._last_index = 0
        self.failed = False
        self.sync_count = 0

    @staticmethod
    def exists(filesystem: FileSystem, directory: str) -> bool:
        try:
            return any(_NAME.match(name) for name in filesystem.list(directory))
        except FileNotFoundError:
            return False

    @classmethod
    def create(
        cls, filesystem: FileSystem, directory: str, identity: Identity, segment_bytes: int = SEGMENT_BYTES
    ) -> WriteAheadLog:
        log = cls(filesystem, directory, segment_bytes)
        filesystem.make_directory(directory)
        log._identity = identity
        log._start_segment(number=0)
        return log

    # Recovery

    @classmethod
    def open(
        cls, filesystem: FileSystem, directory: str, segment_bytes: int = SEGMENT_BYTES
    ) -> tuple[WriteAheadLog, Recovered]:
        """Replay all segments and make the last one ready for more. Raises CorruptionError."""
        log = cls(filesystem, directory, segment_bytes)
        log._segments = log._list_segments()
        replay = _Replay()
        cut = 0
        for position, segment in enumerate(log._segments):
            is_last = position == len(log._segments) - 1
            cut = log._replay_segment(segment, replay, is_last)
        if replay.identity is None:
            raise CorruptionError(f"{log._segments[0].path}: offset 0: the segment does not say whose log it is")
        log._identity, log._hard_state = replay.identity, replay.hard_state
        log._marker = max(replay.markers.values(), key=lambda m: m.index, default=Marker(0, 0))
        log._last_index = max(log._marker.index, replay.entries[-1].index if replay.entries else 0)
        log._continue_segment()
        markers = tuple(sorted(replay.markers.values(), key=lambda m: m.index))
        return log, Recovered(replay.identity, replay.hard_state, tuple(replay.entries), markers, cut)

    def _list_segments(self) -> list[_Segment]:
        segments = []
        for name in self._fs.list(self._directory):
            path = os.path.join(self._directory, name)
            parsed = _NAME.match(name)
            if parsed:
                segments.append(_Segment(int(parsed[1], 16), int(parsed[2], 16), path))
            elif name.endswith(".tmp"):
                self._fs.remove(path)
        segments.sort(key=lambda s: s.number)
        for before, after in itertools.pairwise(segments):
            if after.number != before.number + 1:
                raise CorruptionError(f"{after.path}: segment {before.number + 1} in front of it is missing")
        return segments

    def _replay_segment(self, segment: _Segment, replay: _Replay, is_last: bool) -> int:
        """Returns how many bytes of a torn tail lie behind the last intact frame."""
        data = self._fs.read(segment.path)
        offset, is_first_frame = 0, True
        while (frame := records.decode_frame(data, offset)) is not None:
            expected = frame.sequence if is_first_frame and segment is self._segments[0] else self._sequence
            if frame.sequence != expected:
                raise CorruptionError(
                    f"{segment.path}: offset {offset}: frame {frame.sequence} stands where {expected} belongs"
                )
            try:
                for record in records.decode_records(frame.payload):
                    replay.take(record)
            except ValueError as problem:
                raise CorruptionError(f"{segment.path}: offset {offset}: {problem}") from None
            self._sequence = frame.sequence + 1
            offset, is_first_frame = frame.end, False
        if is_first_frame and not data.startswith(records.MAGIC_BYTES):
            raise CorruptionError(
                f"{segment.path}: this is no log of etcd_raft, perhaps one of etcd itself; give another --data-dir and "
                "carry the data over with etcdctl make-mirror"
            )
        rest = data[offset:].rstrip(b"\0")
        later = records.find_frame_after(data, offset, self._sequence) if rest else None
        if is_first_frame or later is not None or (rest and not is_last):
            proof = f"an intact frame follows at offset {later}" if later is not None else "later segments follow"
            proof = "the segment's first frame" if is_first_frame else proof
            raise CorruptionError(
                f"{segment.path}: offset {offset}: checksum mismatch in data that was durable ({proof}); "
                "remove the member and add it again with an empty data directory, or restore a backup"
            )
        self._offset = offset
        return len(rest)

    def _continue_segment(self) -> None:
        """Zero the torn tail, so that no later scan finds pieces of it."""
        path = self._segments[-1].path
        self._file = self._fs.open(path)
        size = self._fs.size(path)
        if self._fs.read_at(path, self._offset, size - self._offset).strip(b"\0"):
            self._file.truncate(self._offset)
            self._file.truncate(max(size, self._segment_bytes))
            self._file.sync()

    # Appending

    def append(self, hard_state: HardState | None, entries: Sequence[Entry] = (), marker: Marker | None = None) -> None:
        """Write one frame and make it durable. On OSError the log has failed and takes nothing more."""
        if self.failed:
            raise OSError("the write-ahead log has failed before")
        try:
            if self._offset >= self._segment_bytes:
                self._start_segment(self._segments[-1].number + 1)
            parts = []
            if marker is not None:
                parts.append(records.encode_marker(marker))
            if entries:
                parts.append(records.encode_entries(entries))
            if hard_state is not None:
                parts.append(records.encode_hard_state(hard_state))
            self._write(b"".join(parts))
        except OSError:
            self.failed = True
            raise
        if marker is not None and marker.index > self._marker.index:
            self._marker = marker
        self._hard_state = hard_state or self._hard_state
        if entries:
            self._last_index = entries[-1].index
        elif marker is not None:
            self._last_index = max(self._last_index, marker.index)

    def _write(self, payload: bytes) -> None:
        assert self._file is not None
        frame = records.encode_frame(self._sequence, payload)
        self._file.write_at(self._offset, frame)
        failpoint("wal_before_sync")
        self._file.sync()
        failpoint("wal_after_sync")
        self.sync_count += 1
        self._sequence += 1
        self._offset += len(frame)

    def _start_segment(self, number: int) -> None:
        name = f"{number:016x}-{self._last_index + 1:016x}.wal"
        path = os.path.join(self._directory, name)
        file = self._fs.create(path + ".tmp", preallocate=self._segment_bytes)
        old, self._file, self._offset = self._file, file, 0
        parts = [records.encode_identity(self._identity)]
        if self._marker.index:
            parts.append(records.encode_marker(self._marker))
        parts.append(records.encode_hard_state(self._hard_state))
        self._write(b"".join(parts))
        self._fs.rename(path + ".tmp", path)
        self._fs.sync_directory(self._directory)
        self._segments.append(_Segment(number, self._last_index + 1, path))
        if old is not None:
            old.close()

    # The rest

    def release(self, index: int) -> list[str]:
        """Remove the segments that hold nothing behind `index`; returns their paths."""
        removed = []
        while len(self._segments) > 1 and self._segments[1].first_index <= index + 1:
            segment = self._segments.pop(0)
            self._fs.remove(segment.path)
            removed.append(segment.path)
        if removed:
            self._fs.sync_directory(self._directory)
        return removed

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

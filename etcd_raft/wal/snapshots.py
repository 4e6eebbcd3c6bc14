"""Snapshot files: the state machine's bytes with a header that says which entries and which members they stand for.

    snap/0000000000000007-00000000000186a0.snap     term, index

    file   magic 8 bytes | header length u32 | header (msgpack) | crc u32 of header
           chunk: length u32 | crc u32 | bytes, repeated | length 0 | crc u32 over all chunk checksums

A file appears under its name only when it is complete and durable: written as `.tmp`, synced, renamed, directory
synced. Files from a leader take the same way. Old files go once newer ones exist, but two are kept.
"""

from __future__ import annotations

import os.path
import re
import struct
import zlib
from collections.abc import Iterator

import msgspec

from etcd_raft.raft.messages import SnapshotMeta
from etcd_raft.wal.filesystem import File, FileSystem
from etcd_raft.wal.records import CorruptionError, Identity

MAGIC = b"SKSNAP01"
KEEP = 2
READ_BYTES = 1 << 20
MAX_CHUNK = 64 << 20
_U32 = struct.Struct("<I")
_CHUNK = struct.Struct("<II")
_NAME = re.compile(r"^([0-9a-f]{16})-([0-9a-f]{16})\.snap$")


class SnapshotHeader(msgspec.Struct, frozen=True):
    identity: Identity
    meta: SnapshotMeta
    membership: bytes
    """The members' names and addresses at that point, in the node's own encoding."""


class SnapshotFile(msgspec.Struct, frozen=True):
    path: str
    header: SnapshotHeader
    body_offset: int
    size: int


def _name(meta: SnapshotMeta) -> str:
    return f"{meta.term:016x}-{meta.index:016x}.snap"


class SnapshotWriter:
    """Writes one file chunk by chunk; `finish` makes it durable and visible, `abort` removes what there is."""

    def __init__(self, filesystem: FileSystem, directory: str, header: SnapshotHeader, origin: str) -> None:
        self._fs = filesystem
        self._directory = directory
        self._path = os.path.join(directory, _name(header.meta))
        # A snapshot of our own and one from the leader may stand for the same entry: they must not share a file.
        self._temporary = f"{self._path}.{origin}.tmp"
        self._file: File = filesystem.create(self._temporary)
        encoded = msgspec.msgpack.encode(header)
        start = MAGIC + _U32.pack(len(encoded)) + encoded + _U32.pack(zlib.crc32(encoded))
        self._file.write_at(0, start)
        self._header = header
        self._body = self._offset = len(start)
        self._crc = 0

    def write(self, chunk: bytes) -> None:
        for start in range(0, len(chunk), MAX_CHUNK):
            piece = chunk[start : start + MAX_CHUNK]
            crc = zlib.crc32(piece)
            self._file.write_at(self._offset, _CHUNK.pack(len(piece), crc) + piece)
            self._offset += _CHUNK.size + len(piece)
            self._crc = zlib.crc32(_U32.pack(crc), self._crc)

    def finish(self) -> SnapshotFile:
        self._file.write_at(self._offset, _CHUNK.pack(0, self._crc))
        self._offset += _CHUNK.size
        self._file.sync()
        self._file.close()
        self._fs.rename(self._temporary, self._path)
        self._fs.sync_directory(self._directory)
        return SnapshotFile(self._path, self._header, self._body, self._offset)

    def abort(self) -> None:
        self._file.close()
        self._fs.remove(self._temporary)


class SnapshotStore:
    def __init__(self, filesystem: FileSystem, directory: str) -> None:
        self._fs = filesystem
        self._directory = directory
        filesystem.make_directory(directory)
        for name in filesystem.list(directory):
            if name.endswith(".tmp"):
                filesystem.remove(os.path.join(directory, name))

    def create(self, header: SnapshotHeader, origin: str = "own") -> SnapshotWriter:
        return SnapshotWriter(self._fs, self._directory, header, origin)

    def files(self) -> list[tuple[int, int, str]]:
        """(index, term, path) of the files, newest first."""
        found = []
        for name in self._fs.list(self._directory):
            parsed = _NAME.match(name)
            if parsed:
                found.append((int(parsed[2], 16), int(parsed[1], 16), os.path.join(self._directory, name)))
        return sorted(found, reverse=True)

    def open(self, path: str) -> SnapshotFile:
        """Read the header. Raises CorruptionError."""
        start = self._fs.read_at(path, 0, len(MAGIC) + _U32.size)
        if len(start) < len(MAGIC) + _U32.size or not start.startswith(MAGIC):
            raise CorruptionError(f"{path}: offset 0: this is not a snapshot file")
        length = _U32.unpack_from(start, len(MAGIC))[0]
        if length > MAX_CHUNK:
            raise CorruptionError(f"{path}: offset {len(MAGIC)}: the header's length {length} is impossible")
        rest = self._fs.read_at(path, len(start), length + _U32.size)
        encoded, crc = rest[:length], rest[length:]
        if len(crc) < _U32.size or _U32.unpack(crc)[0] != zlib.crc32(encoded):
            raise CorruptionError(f"{path}: offset {len(start)}: checksum mismatch in the header")
        try:
            header = msgspec.msgpack.decode(encoded, type=SnapshotHeader)
        except msgspec.MsgspecError as problem:
            raise CorruptionError(f"{path}: offset {len(start)}: {problem}") from None
        return SnapshotFile(path, header, len(start) + length + _U32.size, self._fs.size(path))

    def chunks(self, file: SnapshotFile) -> Iterator[bytes]:
        """The state machine's bytes as they were written. Raises CorruptionError, possibly after some chunks."""
        offset, running = file.body_offset, 0
        while True:
            head = self._fs.read_at(file.path, offset, _CHUNK.size)
            if len(head) < _CHUNK.size:
                raise CorruptionError(f"{file.path}: offset {offset}: the file is cut short")
            length, crc = _CHUNK.unpack(head)
            if length == 0:
                if crc != running:
                    raise CorruptionError(f"{file.path}: offset {offset}: chunks are missing")
                return
            data = self._fs.read_at(file.path, offset + _CHUNK.size, min(length, MAX_CHUNK))
            if len(data) < length or zlib.crc32(data) != crc:
                raise CorruptionError(f"{file.path}: offset {offset}: checksum mismatch")
            yield data
            running = zlib.crc32(_U32.pack(crc), running)
            offset += _CHUNK.size + length

    def verify(self, file: SnapshotFile) -> None:
        for _ in self.chunks(file):
            pass

    def newest_valid(self, allowed: set[tuple[int, int]] | None = None) -> tuple[SnapshotFile | None, list[str]]:
        """The newest intact file among (index, term) in `allowed`, and one sentence about each damaged one."""
        problems = []
        for index, term, path in self.files():
            if allowed is not None and (index, term) not in allowed:
                continue
            try:
                file = self.open(path)
                self.verify(file)
            except CorruptionError as problem:
                problems.append(str(problem))
                continue
            return file, problems
        return None, problems

    def purge(self, keep: int = KEEP) -> int:
        """Remove old files; returns the index of the oldest one left (0 if fewer than `keep` exist)."""
        files = self.files()
        for _, _, path in files[keep:]:
            self._fs.remove(path)
        return files[keep - 1][0] if len(files) >= keep else 0

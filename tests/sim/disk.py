"""A file system in memory that forgets what was never synced, as a power cut would make it.

Each file has the content that a crash keeps and a list of writes since its last sync; each directory has the names a
crash keeps and the changes since its last sync. `crash` draws how much of both survives: any subset of a file's
512-byte sectors, any prefix of a directory's changes.
"""

from __future__ import annotations

import errno
import os.path
from collections.abc import Callable

from component_base.rng import Rng

SECTOR = 512


class Inode:
    def __init__(self) -> None:
        self.durable = bytearray()
        self.now = bytearray()
        self.pending: list[tuple[int, bytes] | int] = []  # a write, or a new size

    def write(self, offset: int, data: bytes) -> None:
        _put(self.now, offset, data)
        self.pending.append((offset, data))

    def resize(self, size: int) -> None:
        _resize(self.now, size)
        self.pending.append(size)

    def sync(self) -> None:
        self.durable = bytearray(self.now)
        self.pending.clear()

    def crash(self, rng: Rng) -> None:
        for change in self.pending:
            if isinstance(change, int):
                if rng.random() < 0.5:
                    _resize(self.durable, change)
                continue
            offset, data = change
            for start in range(0, len(data), SECTOR):
                if rng.random() < 0.5:
                    _put(self.durable, offset + start, data[start : start + SECTOR])
        self.pending.clear()
        self.now = bytearray(self.durable)


def _put(content: bytearray, offset: int, data: bytes) -> None:
    if len(content) < offset:
        content.extend(bytes(offset - len(content)))
    content[offset : offset + len(data)] = data


def _resize(content: bytearray, size: int) -> None:
    if size < len(content):
        del content[size:]
    else:
        content.extend(bytes(size - len(content)))


class SimulatedFile:
    def __init__(self, disk: SimulatedDisk, inode: Inode) -> None:
        self._disk = disk
        self._inode = inode

    def write_at(self, offset: int, data: bytes) -> None:
        self._disk.touch("write")
        self._inode.write(offset, bytes(data))

    def sync(self) -> None:
        self._disk.touch("sync")
        self._inode.sync()
        self._disk.syncs += 1

    def truncate(self, size: int) -> None:
        self._disk.touch("truncate")
        self._inode.resize(size)

    def close(self) -> None:
        pass


class SimulatedDisk:
    """wal.FileSystem. Directories themselves are durable at once; names inside them are not."""

    def __init__(self) -> None:
        self.names: dict[str, Inode] = {}
        self._durable_names: dict[str, Inode] = {}
        self._changes: list[tuple[str, Inode | None]] = []
        self._directories: set[str] = set()
        self.syncs = 0
        self.before: Callable[[str], None] | None = None
        """Called before each change with its kind; it may raise to fail the disk."""

    def touch(self, kind: str) -> None:
        if self.before is not None:
            self.before(kind)

    def make_directory(self, path: str) -> None:
        self._directories.add(path)

    def list(self, path: str) -> list[str]:
        if path not in self._directories:
            raise FileNotFoundError(errno.ENOENT, "no such directory", path)
        return sorted(os.path.basename(name) for name in self.names if os.path.dirname(name) == path)

    def _find(self, path: str) -> Inode:
        try:
            return self.names[path]
        except KeyError:
            raise FileNotFoundError(errno.ENOENT, "no such file", path) from None

    def read(self, path: str) -> bytes:
        return bytes(self._find(path).now)

    def read_at(self, path: str, offset: int, size: int) -> bytes:
        return bytes(self._find(path).now[offset : offset + size])

    def size(self, path: str) -> int:
        return len(self._find(path).now)

    def create(self, path: str, preallocate: int = 0) -> SimulatedFile:
        self.touch("create")
        inode = Inode()
        if preallocate:
            inode.resize(preallocate)
        self._name(path, inode)
        return SimulatedFile(self, inode)

    def open(self, path: str) -> SimulatedFile:
        return SimulatedFile(self, self._find(path))

    def rename(self, old: str, new: str) -> None:
        self.touch("rename")
        inode = self._find(old)
        self._name(new, inode)
        self._name(old, None)

    def remove(self, path: str) -> None:
        self.touch("remove")
        self._find(path)
        self._name(path, None)

    def _name(self, path: str, inode: Inode | None) -> None:
        if inode is None:
            self.names.pop(path, None)
        else:
            self.names[path] = inode
        self._changes.append((path, inode))

    def sync_directory(self, path: str) -> None:
        self.touch("sync_directory")
        rest = []
        for name, inode in self._changes:
            if os.path.dirname(name) == path:
                self._keep(name, inode)
            else:
                rest.append((name, inode))
        self._changes = rest

    def _keep(self, name: str, inode: Inode | None) -> None:
        if inode is None:
            self._durable_names.pop(name, None)
        else:
            self._durable_names[name] = inode

    def crash(self, rng: Rng) -> None:
        for inode in {id(i): i for i in (*self.names.values(), *self._durable_names.values())}.values():
            inode.crash(rng)
        for name, change in self._changes[: rng.randrange(len(self._changes) + 1)]:
            self._keep(name, change)
        self._changes = []
        self.names = dict(self._durable_names)
        self.before = None

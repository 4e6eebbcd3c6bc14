"""The few things the log asks of a disk, as a port, so that a simulated disk can lose what was never synced.

The contract is POSIX's: written bytes survive a crash only after `sync`, names only after `sync_directory`.
"""

from __future__ import annotations

import contextlib
import errno
import os
from typing import Protocol


class File(Protocol):
    def write_at(self, offset: int, data: bytes) -> None: ...
    def sync(self) -> None:
        """fdatasync."""
        ...

    def truncate(self, size: int) -> None: ...
    def close(self) -> None: ...


class FileSystem(Protocol):
    def make_directory(self, path: str) -> None:
        """With its parents; all of them are durable on return."""
        ...

    def list(self, path: str) -> list[str]: ...
    def read(self, path: str) -> bytes: ...
    def read_at(self, path: str, offset: int, size: int) -> bytes: ...
    def size(self, path: str) -> int: ...
    def create(self, path: str, preallocate: int = 0) -> File:
        """A new file of `preallocate` zero bytes; an old one of that name is emptied."""
        ...

    def open(self, path: str) -> File: ...
    def rename(self, old: str, new: str) -> None: ...
    def remove(self, path: str) -> None: ...
    def sync_directory(self, path: str) -> None: ...


class DiskFile:
    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def write_at(self, offset: int, data: bytes) -> None:
        view = memoryview(data)
        while view:
            written = os.pwrite(self._descriptor, view, offset)
            view = view[written:]
            offset += written

    def sync(self) -> None:
        os.fdatasync(self._descriptor)

    def truncate(self, size: int) -> None:
        os.ftruncate(self._descriptor, size)

    def close(self) -> None:
        os.close(self._descriptor)


class DiskFileSystem:
    def make_directory(self, path: str) -> None:
        missing = []
        while path and not os.path.isdir(path):
            missing.append(path)
            path = os.path.dirname(path)
        for directory in reversed(missing):
            os.mkdir(directory, mode=0o700)
            self.sync_directory(os.path.dirname(directory) or ".")

    def list(self, path: str) -> list[str]:
        return sorted(os.listdir(path))

    def read(self, path: str) -> bytes:
        with open(path, "rb") as file:
            return file.read()

    def read_at(self, path: str, offset: int, size: int) -> bytes:
        with open(path, "rb") as file:
            file.seek(offset)
            return file.read(size)

    def size(self, path: str) -> int:
        return os.stat(path).st_size

    def create(self, path: str, preallocate: int = 0) -> DiskFile:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        if preallocate:
            try:
                os.posix_fallocate(descriptor, 0, preallocate)
            except OSError as problem:
                if problem.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
                    os.close(descriptor)
                    with contextlib.suppress(OSError):
                        os.unlink(path)
                    raise
                os.ftruncate(descriptor, preallocate)
        return DiskFile(descriptor)

    def open(self, path: str) -> DiskFile:
        return DiskFile(os.open(path, os.O_RDWR | os.O_CLOEXEC))

    def rename(self, old: str, new: str) -> None:
        os.rename(old, new)

    def remove(self, path: str) -> None:
        os.unlink(path)

    def sync_directory(self, path: str) -> None:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

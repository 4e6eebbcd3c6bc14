"""A snapshot that `etcdctl snapshot save` has fetched: `python -m etcd_raft status FILE` says what is in it.

The file is a database (see `bolt`) with its SHA-256 behind it. Both this store's and etcd's own files are read.
"""

from __future__ import annotations

import hashlib
import mmap
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from google.protobuf.message import DecodeError

from component_base import flags
from etcd_raft.backup.bolt import DatabaseError, Reader
from etcd_raft.backup.contents import load
from etcd_raft.machine import StoreMachine
from etcd_raft.mvcc.hashing import hash_steps

_DIGEST_BYTES = hashlib.sha256().digest_size
#: Databases have whole pages; what is left over is the checksum. That is how etcd's tools tell, too.
_BLOCK = 512
_CHUNK = 1 << 20
PROGRAM: Final = "etcd_raft status"


class SavedError(Exception):
    """The file cannot be used; says why."""


@contextmanager
def opened(path: Path, skip_hash_check: bool = False) -> Iterator[Reader]:
    """The database in the file, its checksum verified first. Raises SavedError, also from within; OSError."""
    size = path.stat().st_size
    has_digest = size % _BLOCK == _DIGEST_BYTES
    if size <= _BLOCK or (size % _BLOCK and not has_digest):
        raise SavedError(
            f"{path} is no saved snapshot or an incomplete one; fetch it again with `etcdctl snapshot save`"
        )
    if not has_digest and not skip_hash_check:
        raise SavedError(
            f"{path} has no checksum, as a file that was copied out of a data directory; "
            "save one with `etcdctl snapshot save`, or use --skip-hash-check if you trust it"
        )
    with path.open("rb") as file:
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)  # Closed when nobody refers to its parts any more.
    end = size - _DIGEST_BYTES if has_digest else size
    if not skip_hash_check and _digest(data, end) != data[end:]:
        raise SavedError(f"{path} is damaged: its checksum does not fit; use another copy")
    try:
        yield Reader(memoryview(data)[:end])
    except (DatabaseError, DecodeError) as problem:
        raise SavedError(
            f"{path} holds no database of etcd ({problem}); it is damaged, or was saved by a version of this store "
            "older than that format: save it again from a running member"
        ) from None


def _digest(data: mmap.mmap, end: int) -> bytes:
    digest = hashlib.sha256()
    for start in range(0, end, _CHUNK):
        digest.update(data[start : min(end, start + _CHUNK)])
    return digest.digest()


@dataclass(frozen=True, slots=True)
class Saved:
    """What is in the file; `hash` is what HashKV answered at that revision."""

    revision: int
    keys: int
    hash: int
    size: int

    @classmethod
    def read(cls, path: Path, skip_hash_check: bool = False) -> Saved:
        machine = read(path, 0, skip_hash_check)
        *_, crc = hash_steps(machine.space, machine.space.revision)
        return cls(machine.space.revision, len(machine.space.live), crc, path.stat().st_size)


def read(path: Path, applied_index: int, skip_hash_check: bool = False, bump: int = 0) -> StoreMachine:
    """The state in the file. Raises SavedError, OSError."""
    with opened(path, skip_hash_check) as database:
        return load(database, applied_index, bump)


def main(arguments: list[str]) -> None:
    if len(arguments) != 1:
        sys.exit("usage: python -m etcd_raft status FILE")
    try:
        found = Saved.read(Path(arguments[0]))
    except (SavedError, OSError) as problem:
        flags.fail(PROGRAM, str(problem))
    sys.stdout.write(f"revision {found.revision}, {found.keys} keys, hash {found.hash}, {found.size} bytes\n")

"""A snapshot that `etcdctl snapshot save` has fetched: `python -m etcd_raft.saved FILE` says what is in it.

The file is the store's own dump, padded to whole blocks, with a SHA-256 at its end.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from etcd_raft.machine import StoreMachine
from etcd_raft.mvcc.hashing import hash_steps

_DIGEST_BYTES = hashlib.sha256().digest_size
_BLOCK = 512
_CHUNK = 1 << 20


class SavedError(Exception):
    """The file cannot be used; says why."""


def chunks(path: Path) -> Iterator[bytes]:
    """The dump in the file, for `StoreMachine.restore`. Its checksum is verified first. Raises SavedError, OSError."""
    size = path.stat().st_size - _DIGEST_BYTES
    if size <= 0 or size % _BLOCK:
        raise SavedError(
            f"{path} is no saved snapshot or an incomplete one; fetch it again with `etcdctl snapshot save`"
        )
    digest = hashlib.sha256()
    for chunk in _parts(path, size):
        digest.update(chunk)
    with path.open("rb") as file:
        file.seek(size)
        if file.read() != digest.digest():
            raise SavedError(f"{path} is damaged: its checksum does not fit; use another copy")
    return _parts(path, size)


def _parts(path: Path, size: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        while size > 0:
            chunk = file.read(min(_CHUNK, size))
            size -= len(chunk)
            yield chunk


@dataclass(frozen=True, slots=True)
class Saved:
    """What `etcdctl snapshot status` tells of etcd's own files; `hash` is what HashKV answered at that revision."""

    revision: int
    keys: int
    hash: int
    size: int

    @classmethod
    def read(cls, path: Path) -> Saved:
        machine = StoreMachine()
        try:
            machine.restore(chunks(path))
        except ValueError as problem:
            raise SavedError(f"{path} is no snapshot of this store: {problem}") from None
        *_, crc = hash_steps(machine.space, machine.space.revision)
        return cls(machine.space.revision, len(machine.space.live), crc, path.stat().st_size)


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("usage: python -m etcd_raft.saved FILE")
    try:
        found = Saved.read(Path(sys.argv[1]))
    except (SavedError, OSError) as problem:
        sys.exit(str(problem))
    sys.stdout.write(f"revision {found.revision}, {found.keys} keys, hash {found.hash}, {found.size} bytes\n")


if __name__ == "__main__":
    main()

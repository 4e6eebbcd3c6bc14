"""A directory whose files change all at once.

Files live in a timestamped folder; `..data` is a symlink to the current one, each visible name a symlink through
`..data`. An update writes a new folder, renames a new `..data` over the old, then removes what is stale: a reader
sees the old set or the new one, never a mixture.
"""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

DATA = "..data"
NEW_DATA = "..data_tmp"


class UnsafePath(ValueError):
    """A payload path that would leave the volume or collide with the writer's own names."""


@dataclass(frozen=True, slots=True)
class File:
    data: bytes
    mode: int = 0o644
    uid: int | None = None


def check_path(path: str) -> None:
    parts = path.split("/")
    if not path or path.startswith("/") or len(path) > 4096:
        raise UnsafePath(f"invalid path: {path!r} must be relative and not empty")
    if ".." in parts:
        raise UnsafePath(f"invalid path: {path!r} must not contain '..'")
    if parts[0].startswith(".."):
        raise UnsafePath(f"invalid path: {path!r} must not start with '..'")


def write_atomically(target: Path, payload: Mapping[str, File], *, fs_group: int | None = None) -> bool:
    """Makes `target` show exactly `payload`. Returns False when it already did."""
    for path in payload:
        check_path(path)
    target.mkdir(parents=True, exist_ok=True)
    current = _current(target)
    if current is not None and _same(current, payload):
        _link_visible(target, payload)
        return False
    folder = Path(tempfile.mkdtemp(prefix="..data-", dir=target))
    folder.chmod(0o755)
    for path, file in payload.items():
        _write(folder, path, file, fs_group)
    fresh = target / NEW_DATA
    with contextlib.suppress(FileNotFoundError):
        fresh.unlink()
    fresh.symlink_to(folder.name)
    os.replace(fresh, target / DATA)
    _link_visible(target, payload)
    _unlink_stale(target, payload)
    if current is not None and current != folder:
        shutil.rmtree(current, ignore_errors=True)
    return True


def _current(target: Path) -> Path | None:
    try:
        name = os.readlink(target / DATA)
    except OSError:
        return None
    folder = target / name
    return folder if folder.is_dir() else None


def _same(folder: Path, payload: Mapping[str, File]) -> bool:
    present = {str(p.relative_to(folder)) for p in folder.rglob("*") if not p.is_dir()}
    if present != set(payload):
        return False
    return all((folder / path).read_bytes() == file.data for path, file in payload.items())


def _write(folder: Path, path: str, file: File, fs_group: int | None) -> None:
    full = folder / path
    for parent in reversed(full.relative_to(folder).parents[:-1]):
        directory = folder / parent
        if not directory.exists():
            directory.mkdir()
            directory.chmod(0o755)
            if fs_group is not None:
                os.chown(directory, -1, fs_group)
    full.write_bytes(file.data)
    mode = file.mode | 0o440 if fs_group is not None else file.mode
    if file.uid is not None or fs_group is not None:
        os.chown(full, -1 if file.uid is None else file.uid, -1 if fs_group is None else fs_group)
    full.chmod(mode)


def _link_visible(target: Path, payload: Mapping[str, File]) -> None:
    for name in {path.split("/")[0] for path in payload}:
        link = target / name
        if not link.is_symlink():
            if link.exists():
                shutil.rmtree(link) if link.is_dir() else link.unlink()
            link.symlink_to(f"{DATA}/{name}")


def _unlink_stale(target: Path, payload: Mapping[str, File]) -> None:
    wanted = {path.split("/")[0] for path in payload}
    for entry in target.iterdir():
        if entry.is_symlink() and not entry.name.startswith("..") and entry.name not in wanted:
            entry.unlink()

"""subPath mounts that no symlink can lead out of the volume.

The path is opened component by component with O_NOFOLLOW below the volume's root, so a container that swaps a
directory for a symlink cannot redirect the mount; the open descriptor is what gets bind-mounted.
"""

import os
import stat
from pathlib import Path

from kubelet.volumes import mounts
from kubelet.volumes.payload import VolumeError


def _open_below(root: Path, relative: str, *, create_mode: int) -> int:
    parts = [p for p in relative.split("/") if p not in ("", ".")]
    if ".." in parts:
        raise VolumeError(f'subPath "{relative}" must not contain ".."')
    descriptor = os.open(root, os.O_PATH | os.O_DIRECTORY)
    try:
        for part in parts:
            descriptor = _step(descriptor, part, relative, create_mode)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _step(parent: int, part: str, relative: str, create_mode: int) -> int:
    flags = os.O_PATH | os.O_NOFOLLOW
    try:
        child = os.open(part, flags, dir_fd=parent)
    except FileNotFoundError:
        os.mkdir(part, dir_fd=parent)
        os.chmod(part, create_mode, dir_fd=parent, follow_symlinks=True)
        child = os.open(part, flags, dir_fd=parent)
    if stat.S_ISLNK(os.fstat(child).st_mode):
        os.close(child)
        raise VolumeError(f'subPath "{relative}" leads through a symbolic link')
    os.close(parent)
    return child


def resolve_inside(root: Path, relative: str) -> str:
    """Atomic volumes consist of symlinks; those that stay inside the volume are followed before the safe walk."""
    full = os.path.realpath(root / relative)
    base = os.path.realpath(root)
    if full != base and not full.startswith(base + os.sep):
        raise VolumeError(f'subPath "{relative}" is outside of its volume')
    return os.path.relpath(full, base) if os.path.exists(full) else relative


def bind_subpath(root: Path, relative: str, target: Path) -> None:
    """Bind-mounts root/relative onto `target`, creating either side as needed. Done twice it changes nothing."""
    mode = stat.S_IMODE(os.stat(root).st_mode) if root.is_dir() else 0o755
    descriptor = _open_below(root, resolve_inside(root, relative), create_mode=mode)
    try:
        wanted = os.fstat(descriptor)
        if target.exists():
            have = target.stat()
            if (have.st_dev, have.st_ino) == (wanted.st_dev, wanted.st_ino):
                return
            if str(target) in mounts.mount_points(target):
                mounts.unmount(str(target))
        target.parent.mkdir(parents=True, exist_ok=True)
        if stat.S_ISDIR(wanted.st_mode):
            target.mkdir(exist_ok=True)
        else:
            target.touch()
        mounts.bind(f"/proc/self/fd/{descriptor}", str(target))
    finally:
        os.close(descriptor)

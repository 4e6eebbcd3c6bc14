"""mount(2) and umount2(2), and the kernel's list of mounts. No shell and no mount(8) involved."""

import ctypes
import ctypes.util
import os
from pathlib import Path

MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_REMOUNT = 32
MS_BIND = 4096
MS_REC = 16384
MNT_DETACH = 2

_libc = ctypes.CDLL(ctypes.util.find_library("c"), use_errno=True)


def _check(result: int, path: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path)


def mount(source: str, target: str, kind: str, flags: int = 0, options: str = "") -> None:
    _check(_libc.mount(source.encode(), target.encode(), kind.encode(), flags, options.encode()), target)


def bind(source: str, target: str) -> None:
    mount(source, target, "", MS_BIND | MS_REC)


def tmpfs(target: str, size: int | None = None) -> None:
    mount("tmpfs", target, "tmpfs", 0, f"size={size}" if size else "")


def unmount(target: str) -> None:
    _check(_libc.umount2(target.encode(), MNT_DETACH), target)


def mount_points(below: Path) -> list[str]:
    """Mounts at or below a folder, deepest (latest) first."""
    prefix = str(below)
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        point = line.split(" ")[4].encode().decode("unicode_escape")
        if point == prefix or point.startswith(prefix + "/"):
            found.append(point)
    return found[::-1]

"""Reading a file of a root filesystem that is not mounted, by walking the layers of its snapshot.

Used for /etc/passwd and /etc/group, which decide whom a container runs as before there is a container.
"""

from __future__ import annotations

import os
import posixpath
import stat
from collections.abc import Sequence

from skiff_pb.containerd import mount_pb2

MAX_FILE = 4 << 20
MAX_LINKS = 16


def layer_directories(mounts: Sequence[mount_pb2.Mount]) -> list[str]:
    """Directories that make up the root, topmost first; empty for a mount kind we cannot look into."""
    if len(mounts) != 1:
        return []
    mount = mounts[0]
    if mount.type == "bind":
        return [mount.source]
    if mount.type != "overlay":
        return []
    upper: list[str] = []
    lower: list[str] = []
    for option in mount.options:
        name, _, value = option.partition("=")
        if name == "upperdir":
            upper = [value]
        elif name == "lowerdir":
            lower = value.split(":")
    return upper + lower


def read_file(layers: Sequence[str], path: str) -> str | None:
    """The file's text, or None if the root has no such file. Links are followed inside the root only."""
    parts = [part for part in path.split("/") if part]
    resolved = ""
    links = 0
    found: str | None = None
    while parts:
        part = parts.pop(0)
        if part in ("", "."):
            continue
        if part == "..":
            resolved = posixpath.dirname(resolved).rstrip("/")
            continue
        found = _locate(layers, f"{resolved}/{part}")
        if found is None:
            return None
        if os.path.islink(found):
            links += 1
            if links > MAX_LINKS:
                return None
            target = os.readlink(found)
            resolved = "" if target.startswith("/") else resolved
            parts = [piece for piece in target.split("/") if piece] + parts
            continue
        resolved = f"{resolved}/{part}"
    if found is None or not stat.S_ISREG(os.lstat(found).st_mode):
        return None
    with open(found, encoding="utf-8", errors="replace") as file:
        return file.read(MAX_FILE)


def _locate(layers: Sequence[str], path: str) -> str | None:
    """Topmost layer that has the path; a whiteout or an opaque parent hides the layers below."""
    for layer in layers:
        candidate = layer + path
        # Parents first: a link among them would lead out of the layer, onto the host.
        if _hidden_below(layer, path):
            return candidate if _plain_parents(layer, path) and os.path.lexists(candidate) else None
        try:
            info = os.lstat(candidate)
        except OSError:
            continue
        if stat.S_ISCHR(info.st_mode) and info.st_rdev == 0:
            return None
        return candidate
    return None


def _hidden_below(layer: str, path: str) -> bool:
    for parent in _parents(path):
        try:
            info = os.lstat(layer + parent)
            if not stat.S_ISDIR(info.st_mode):
                return True
            for name in ("trusted.overlay.opaque", "user.overlay.opaque"):
                try:
                    if os.getxattr(layer + parent, name, follow_symlinks=False) == b"y":
                        return True
                except OSError:
                    continue
        except OSError:
            pass
    return False


def _plain_parents(layer: str, path: str) -> bool:
    return all(os.path.isdir(layer + parent) and not os.path.islink(layer + parent) for parent in _parents(path))


def _parents(path: str) -> list[str]:
    """`/a/b/c` -> `/a/b`, `/a`."""
    found = []
    parent = posixpath.dirname(path)
    while parent.strip("/"):
        found.append(parent)
        parent = posixpath.dirname(parent)
    return found

"""What an earlier life of the shim left on disk for sandboxes, containers and exec'd processes that are no more."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Collection

from kubelet.cri_shim import image_mounts, linux_syscalls, sandbox_files
from kubelet.cri_shim.settings import Settings

logger = logging.getLogger(__name__)


def remove_leftovers(settings: Settings, sandboxes: Collection[str], containers: Collection[str]) -> list[str]:
    """Called once at start, before anything new is made: the paths that were removed."""
    removed: list[str] = []
    for base in (settings.root, settings.state):
        for identity in _names(os.path.join(base, "sandboxes")):
            if identity not in sandboxes:
                sandbox_files.remove(settings, identity)
                removed.append(os.path.join(base, "sandboxes", identity))
    known_networks = {os.path.basename(settings.netns(identity)) for identity in sandboxes}
    for name in _names(os.path.join(settings.state, "netns")):
        if name not in known_networks:
            path = os.path.join(settings.state, "netns", name)
            linux_syscalls.remove_netns(path)
            removed.append(path)
    for name in _names(os.path.join(settings.state, "image-mounts")):
        if name not in containers:
            image_mounts.unmount_all(os.path.join(settings.state, "image-mounts", name))
            removed.append(name)
    for folder, known in (
        (os.path.join(settings.state, "io"), containers),
        (os.path.join(settings.root, "containers"), containers),
        (os.path.join(settings.state, "exec"), ()),
    ):
        for name in _names(folder):
            if name not in known:
                shutil.rmtree(os.path.join(folder, name), ignore_errors=True)
                removed.append(os.path.join(folder, name))
    if removed:
        logger.info("removed %d folders of pods and processes that are no more", len(removed))
    return removed


def _names(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except FileNotFoundError:
        return []

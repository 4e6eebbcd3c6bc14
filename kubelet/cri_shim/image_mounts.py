"""Volumes whose content is an image: its root filesystem, mounted read-only where the container's spec can bind it.

Each such mount is a snapshot view of its own, named after the container, so that removing the container finds it again.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence

from kubelet.cri_shim import linux_syscalls
from kubelet.cri_shim.core import Core
from skiff_pb.containerd import mount_pb2
from skiff_pb.cri import runtime_pb2 as cri


def _folder(core: Core, container_id: str) -> str:
    return os.path.join(core.settings.state, "image-mounts", container_id)


def view_key(container_id: str, index: int) -> str:
    return f"{container_id}-image-{index}"


async def mount_images(core: Core, container_id: str, mounts: Sequence[cri.Mount], lease: str) -> dict[str, str]:
    """The host folder behind each image mount, by its place in the container. Raises ValueError, OSError, RpcError."""
    found: dict[str, str] = {}
    for index, mount in enumerate(mounts):
        if not mount.image.image:
            continue
        image = await core.catalog.find(mount.image.image)
        if image is None:
            raise ValueError(f"the image {mount.image.image} of the volume at {mount.container_path} is not here")
        layers = await core.containerd.view_snapshot(view_key(container_id, index), image.chain, lease=lease)
        target = os.path.join(_folder(core, container_id), str(index))
        await asyncio.to_thread(_mount, layers, target)
        found[mount.container_path] = await asyncio.to_thread(_inside, target, mount.image_sub_path)
    return found


async def release_images(core: Core, container_id: str, mounts: Sequence[cri.Mount]) -> None:
    indexes = [index for index, mount in enumerate(mounts) if mount.image.image]
    if indexes:
        await asyncio.to_thread(unmount_all, _folder(core, container_id))
    for index in indexes:
        await core.containerd.remove_snapshot(view_key(container_id, index))


def _mount(layers: Sequence[mount_pb2.Mount], target: str) -> None:
    os.makedirs(target, exist_ok=True)
    (layer,) = layers
    options = [option for option in layer.options if option not in ("ro", "rbind", "bind")]
    if layer.type == "bind":
        # A second step makes it read-only: the kernel takes that flag on a remount only.
        flags = linux_syscalls.MS_BIND | linux_syscalls.MS_REC
        linux_syscalls.mount(layer.source, target, "none", flags)
        linux_syscalls.mount("none", target, "none", flags | linux_syscalls.MS_REMOUNT | linux_syscalls.MS_RDONLY)
    else:
        linux_syscalls.mount(layer.source, target, layer.type, linux_syscalls.MS_RDONLY, ",".join(options))


def _inside(root: str, sub_path: str) -> str:
    path = os.path.realpath(os.path.join(root, sub_path.lstrip("/"))) if sub_path else root
    if path != root and not path.startswith(root + os.sep):
        raise ValueError(f"the path {sub_path!r} leads out of the image")
    if not os.path.exists(path):
        raise ValueError(f"the image has no path {sub_path!r}")
    return path


def unmount_all(folder: str) -> None:
    """Every image mounted below a container's folder, and the folder."""
    if not os.path.isdir(folder):
        return
    for name in os.listdir(folder):
        linux_syscalls.unmount(os.path.join(folder, name))
        os.rmdir(os.path.join(folder, name))
    os.rmdir(folder)

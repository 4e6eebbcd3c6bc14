"""The host's device files as a container's spec names them."""

from __future__ import annotations

import os
import stat

from kubelet.cri_shim.oci_spec import HostDevice
from skiff_pb.cri import runtime_pb2 as cri

# A container gets its own of these, whatever the host has.
OWN = {"/dev/pts", "/dev/shm", "/dev/fd", "/dev/mqueue", "/dev/console", "/dev/.lxc", "/dev/.lxd-mounts", "/dev/.udev"}


def host_device(path: str) -> HostDevice | None:
    """None when the path is no device."""
    info = os.stat(path)
    kind = "c" if stat.S_ISCHR(info.st_mode) else "b" if stat.S_ISBLK(info.st_mode) else ""
    if not kind:
        return None
    return HostDevice(
        path=path,
        kind=kind,
        major=os.major(info.st_rdev),
        minor=os.minor(info.st_rdev),
        mode=stat.S_IMODE(info.st_mode),
        uid=info.st_uid,
        gid=info.st_gid,
    )


def all_host_devices(root: str = "/dev") -> list[HostDevice]:
    """What a privileged container sees."""
    found: list[HostDevice] = []
    for entry in sorted(os.scandir(root), key=lambda each: each.name):
        if entry.path in OWN or entry.is_symlink():
            continue
        if entry.is_dir():
            found += all_host_devices(entry.path)
        elif device := host_device(entry.path):
            found.append(device)
    return found


def requested(devices: list[cri.Device]) -> list[tuple[HostDevice, str, str]]:
    """Each with its path in the container and its permissions; a folder stands for every device in it."""
    chosen: list[tuple[HostDevice, str, str]] = []
    for wanted in devices:
        if set(wanted.permissions) - set("rwm"):
            raise ValueError(f"device {wanted.host_path}: permissions {wanted.permissions!r} are not of r, w and m")
        try:
            path = os.path.realpath(wanted.host_path, strict=True)
            if os.path.isdir(path):
                for device in all_host_devices(path):
                    target = wanted.container_path.rstrip("/") + device.path[len(path) :]
                    chosen.append((device, target, wanted.permissions))
                continue
            found = host_device(path)
        except OSError as error:
            raise ValueError(f"device {wanted.host_path} cannot be read: {error.strerror}") from error
        if found is None:
            raise ValueError(f"{wanted.host_path} is not a device")
        chosen.append((found, wanted.container_path, wanted.permissions))
    return chosen

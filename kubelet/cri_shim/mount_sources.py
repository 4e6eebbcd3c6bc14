"""What stands behind a container's mounts on the host: checked and made before the spec names it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

from kubelet.cri_shim.oci_spec import BindMount
from kubelet.cri_shim.rootfs import layer_directories
from skiff_pb.containerd import mount_pb2
from skiff_pb.cri import runtime_pb2 as cri


def check(mounts: Sequence[cri.Mount]) -> None:
    """Make missing host folders, as other runtimes do, and refuse propagation that the host's mount cannot give."""
    for mount in mounts:
        if not mount.host_path:
            continue
        if not os.path.exists(mount.host_path):
            os.makedirs(mount.host_path, mode=0o755, exist_ok=True)
        if mount.propagation != cri.PROPAGATION_PRIVATE:
            _check_propagation(mount)


def _check_propagation(mount: cri.Mount) -> None:
    point, options = mount_of(os.path.realpath(mount.host_path), _mountinfo())
    shared = any(option.startswith("shared:") for option in options)
    if mount.propagation == cri.PROPAGATION_BIDIRECTIONAL and not shared:
        raise ValueError(f'path "{mount.host_path}" is mounted on "{point}" but it is not a shared mount')
    if not shared and not any(option.startswith("master:") for option in options):
        raise ValueError(f'path "{mount.host_path}" is mounted on "{point}" but it is not a shared or slave mount')


def mount_of(path: str, mountinfo: str) -> tuple[str, list[str]]:
    """The mount a path is on, and that mount's optional fields, from the text of /proc/self/mountinfo."""
    best, options = "", list[str]()
    for line in mountinfo.splitlines():
        fields = line.split()
        point = fields[4].encode().decode("unicode_escape")
        inside = path == point or point == "/" or path.startswith(point + "/")
        if inside and len(point) >= len(best):
            best, options = point, fields[6 : fields.index("-")]
    return best, options


def _mountinfo() -> str:
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        return file.read()


def image_volumes(
    root: str, process: Mapping[str, Any], config: cri.ContainerConfig, layers: Sequence[mount_pb2.Mount]
) -> list[BindMount]:
    """A folder of its own for each volume the image declares and the pod does not mount, filled from the image."""
    asked = {mount.container_path.rstrip("/") for mount in config.mounts}
    binds = []
    for index, target in enumerate(sorted(process.get("Volumes") or {})):
        clean = os.path.normpath("/" + target.lstrip("/"))
        if clean.rstrip("/") in asked or clean == "/":
            continue
        source = os.path.join(root, "volumes", str(index))
        os.makedirs(source, mode=0o755, exist_ok=True)
        for layer in reversed(layer_directories(layers)):
            inside = layer + clean
            if os.path.isdir(inside) and os.path.realpath(inside).startswith(layer + "/"):
                info = os.stat(inside)
                shutil.copytree(inside, source, symlinks=True, dirs_exist_ok=True)
                os.chown(source, info.st_uid, info.st_gid)
        binds.append(BindMount(source, clean))
    return binds

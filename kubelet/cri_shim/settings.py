"""The shim's settings, and what it finds out about the machine at start."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
from dataclasses import dataclass

from kubelet.cri_shim.oci_resources import HostTraits
from kubelet.cri_shim.oci_security import ALL_CAPABILITIES
from kubelet.cri_shim.pause_image import DEFAULT_PAUSE_IMAGE

NAMESPACE = "k8s.io"
CAP_SYS_RESOURCE = 24


@dataclass(frozen=True, slots=True)
class Settings:
    root: str = "/var/lib/skiff/cri"
    state: str = "/run/skiff/cri"
    cni_bin_dirs: tuple[str, ...] = ("/opt/cni/bin", "/usr/lib/cni")
    cni_conf_dir: str = "/etc/cni/net.d"
    pause_image: str = DEFAULT_PAUSE_IMAGE
    seccomp_root: str = "/var/lib/kubelet/seccomp"

    def sandbox_root(self, sandbox_id: str) -> str:
        """Files that outlive a reboot: hosts, resolv.conf, hostname."""
        return os.path.join(self.root, "sandboxes", sandbox_id)

    def sandbox_state(self, sandbox_id: str) -> str:
        return os.path.join(self.state, "sandboxes", sandbox_id)

    def container_root(self, container_id: str) -> str:
        """Volumes that a container's image declares."""
        return os.path.join(self.root, "containers", container_id)

    def netns(self, sandbox_id: str) -> str:
        return os.path.join(self.state, "netns", f"cni-{sandbox_id[:24]}")

    def io(self, container_id: str) -> str:
        return os.path.join(self.state, "io", container_id)


def detect_traits(*, systemd_cgroup: bool, proc: str = "/proc", cgroup: str = "/sys/fs/cgroup") -> HostTraits:
    effective, bounding = _capability_masks(os.path.join(proc, "self/status"))
    version = 2 if os.path.exists(os.path.join(cgroup, "cgroup.controllers")) else 1
    held = frozenset(name for number, name in enumerate(ALL_CAPABILITIES) if bounding >> number & 1)
    floor = None
    if not effective >> CAP_SYS_RESOURCE & 1:
        with open(os.path.join(proc, "self/oom_score_adj"), encoding="ascii") as file:
            floor = int(file.read())
    if version == 2:
        with open(os.path.join(cgroup, "cgroup.controllers"), encoding="ascii") as file:
            hugetlb = "hugetlb" in file.read().split()
        swap = os.path.exists("/proc/swaps")
    else:
        hugetlb = os.path.isdir(os.path.join(cgroup, "hugetlb"))
        swap = os.path.exists(os.path.join(cgroup, "memory/memory.memsw.limit_in_bytes"))
    return HostTraits(
        cgroup_version=version,
        systemd_cgroup=systemd_cgroup,
        architecture=platform.machine(),
        capabilities=held,
        oom_score_floor=floor,
        swap_accounting=swap,
        hugetlb=hugetlb,
        recursive_read_only=_runc_knows("rro"),
        seccomp=os.path.exists(os.path.join(proc, "sys/kernel/seccomp")),
    )


def _runc_knows(option: str) -> bool:
    """Whether the installed runc takes a mount option; one too old to be asked takes none of the newer ones."""
    runc = shutil.which("runc")
    if runc is None:
        return False
    answer = subprocess.run([runc, "features"], capture_output=True, check=False, timeout=10)
    try:
        return option in json.loads(answer.stdout).get("mountOptions", [])
    except ValueError:
        return False


def _capability_masks(path: str) -> tuple[int, int]:
    effective = bounding = 0
    with open(path, encoding="ascii", errors="replace") as file:
        for line in file:
            name, _, value = line.partition(":")
            if name == "CapEff":
                effective = int(value, 16)
            elif name == "CapBnd":
                bounding = int(value, 16)
    return effective, bounding

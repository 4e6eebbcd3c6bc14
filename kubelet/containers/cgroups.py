"""The kubepods cgroup tree, on cgroup v1 hierarchies and on v2.

Layout: kubepods / (burstable | besteffort) / pod<uid>; guaranteed pods sit directly under kubepods. The runtime puts
the containers below the pod's cgroup, whose path travels in the sandbox configuration. What to write is pure
(`cgroup_writes`); `CgroupTree` applies it below a root that tests may choose.
"""

import contextlib
import logging
import os
from dataclasses import dataclass
from pathlib import Path

from kubelet.containers.resources import PERIOD, PodCgroup, qos_class
from kubelet.pod import Pod

log = logging.getLogger(__name__)

V1_CONTROLLERS = (
    *("cpu", "cpuacct", "cpuset", "memory", "pids", "blkio", "devices", "freezer", "hugetlb", "systemd"),
    *("net_cls", "net_prio", "perf_event", "rdma", "misc", "unified"),
)
"""Where the runtime may have made a folder for the pod: what was not taken away would stay for ever."""


def pod_cgroup_path(pod: Pod, root: str = "kubepods") -> str:
    qos = qos_class(pod)
    middle = "" if qos == "Guaranteed" else f"/{qos.lower()}"
    return f"/{root}{middle}/pod{pod.uid}"


def cgroup_writes(version: int, limits: PodCgroup) -> list[tuple[str, str, str]]:
    """(controller, file, value) in the order they must be written."""
    if version == 1:
        writes = [("cpu", "cpu.shares", str(limits.shares))]
        if limits.quota is not None:
            writes += [("cpu", "cpu.cfs_period_us", str(PERIOD)), ("cpu", "cpu.cfs_quota_us", str(limits.quota))]
        if limits.memory is not None:
            writes.append(("memory", "memory.limit_in_bytes", str(limits.memory)))
        if limits.pids is not None:
            writes.append(("pids", "pids.max", str(limits.pids)))
        return writes
    weight = 1 + (limits.shares - 2) * 9999 // 262142
    writes = [("", "cpu.weight", str(weight))]
    if limits.quota is not None:
        writes.append(("", "cpu.max", f"{limits.quota} {PERIOD}"))
    if limits.memory is not None:
        writes.append(("", "memory.max", str(limits.memory)))
    if limits.pids is not None:
        writes.append(("", "pids.max", str(limits.pids)))
    return writes


@dataclass(frozen=True, slots=True)
class CgroupTree:
    mount: Path = Path("/sys/fs/cgroup")

    @property
    def version(self) -> int:
        return 2 if (self.mount / "cgroup.controllers").exists() else 1

    def _directories(self, path: str) -> list[tuple[str, Path]]:
        relative = path.strip("/")
        if self.version == 2:
            return [("", self.mount / relative)]
        found = [(c, self.mount / c) for c in V1_CONTROLLERS if (self.mount / c).is_dir()]
        return [(name, base / relative) for name, base in found]

    def ensure(self, path: str, limits: PodCgroup) -> None:
        """Creates the cgroup in each hierarchy. A limit that the kernel refuses is logged, never fatal."""
        for controller, directory in self._directories(path):
            self._make(controller, directory)
            for owner, name, value in cgroup_writes(self.version, limits):
                if owner == controller:
                    self._write(directory / name, value)

    def _make(self, controller: str, directory: Path) -> None:
        missing = [d for d in (directory, *directory.parents) if not d.exists()]
        for folder in reversed(missing):
            try:
                folder.mkdir()
            except FileExistsError:
                continue
            except OSError as error:
                log.warning("cannot create cgroup %s: %s", folder, error.strerror)
                return
            if controller == "cpuset":
                for name in ("cpuset.cpus", "cpuset.mems"):
                    with contextlib.suppress(OSError):
                        (folder / name).write_text((folder.parent / name).read_text())
            if self.version == 2:
                with contextlib.suppress(OSError):
                    available = (folder.parent / "cgroup.controllers").read_text().split()
                    (folder.parent / "cgroup.subtree_control").write_text(" ".join(f"+{c}" for c in available))

    @staticmethod
    def _write(file: Path, value: str) -> None:
        try:
            file.write_text(value)
        except OSError as error:
            log.debug("cannot write %s to %s: %s", value, file, error.strerror)

    def remove(self, path: str) -> None:
        for _, directory in self._directories(path):
            for folder, _, _ in os.walk(directory, topdown=False):
                with contextlib.suppress(OSError):
                    os.rmdir(folder)

    def pods(self, root: str = "kubepods") -> dict[str, str]:
        """uid -> path of every pod cgroup that exists, for the clean-up after a restart."""
        found: dict[str, str] = {}
        for middle in ("", "/burstable", "/besteffort"):
            for _, directory in self._directories(f"/{root}{middle}"):
                if not directory.is_dir():
                    continue
                for entry in directory.iterdir():
                    if entry.name.startswith("pod"):
                        found[entry.name[3:]] = f"/{root}{middle}/{entry.name}"
        return found

    def cpu_seconds(self, path: str) -> float | None:
        """CPU time used below a cgroup."""
        if self.version == 2:
            try:
                fields = dict(
                    line.split() for line in (self.mount / path.strip("/") / "cpu.stat").read_text().splitlines()
                )
            except OSError:
                return None
            return int(fields.get("usage_usec", "0")) / 1e6
        return _read_number(self.mount / "cpuacct" / path.strip("/") / "cpuacct.usage", 1e9)

    def memory_bytes(self, path: str) -> float | None:
        if self.version == 2:
            return _read_number(self.mount / path.strip("/") / "memory.current", 1)
        return _read_number(self.mount / "memory" / path.strip("/") / "memory.usage_in_bytes", 1)


def _read_number(file: Path, divisor: float) -> float | None:
    try:
        return int(file.read_text()) / divisor
    except (OSError, ValueError):
        return None

"""Reading cgroup trees of version 1 and 2: processor time, memory, processes, out-of-memory kills.

containerd could tell the same through its shims; reading the files costs a fraction of those calls and works while
containerd restarts.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from kubelet.cri_shim.oci_resources import HostTraits

USER_HZ_FREE_MAX = 1 << 62  # v1 writes "no limit" as a number just below 2^63


@dataclass(frozen=True, slots=True)
class CgroupUsage:
    """Bytes and counts; `limit` is 0 where there is none."""

    cpu_ns: int = 0
    memory: int = 0
    working_set: int = 0
    rss: int = 0
    page_faults: int = 0
    major_page_faults: int = 0
    limit: int = 0
    swap: int = 0
    swap_limit: int = 0
    processes: int = 0


class CgroupReader:
    def __init__(self, traits: HostTraits, mount: str = "/sys/fs/cgroup") -> None:
        self._traits = traits
        self._mount = mount

    def path(self, parent: str, container_id: str = "") -> str:
        """Relative to a hierarchy's root: a pod's group, or a container's in it."""
        if not self._traits.systemd_cgroup:
            base = parent.rstrip("/") or ("/k8s.io" if container_id else "/")
            return f"{base}/{container_id}" if container_id else base
        slices = expand_slice(parent.rstrip("/").rpartition("/")[2] or "system.slice")
        return f"{slices}/cri-skiff-{container_id}.scope" if container_id else slices

    def usage(self, path: str) -> CgroupUsage | None:
        """None when the group does not exist."""
        try:
            return self._version2(path) if self._traits.cgroup_version == 2 else self._version1(path)
        except FileNotFoundError:
            return None

    def oom_kills(self, parent: str, container_id: str) -> int:
        path = self.path(parent, container_id)
        try:
            if self._traits.cgroup_version == 2:
                return self._pairs("", path, "memory.events").get("oom_kill", 0)
            return self._pairs("memory", path, "memory.oom_control").get("oom_kill", 0)
        except FileNotFoundError:
            return 0

    def _version1(self, path: str) -> CgroupUsage:
        stat = self._pairs("memory", path, "memory.stat")
        usage = self._number("memory", path, "memory.usage_in_bytes")
        limit = self._number("memory", path, "memory.limit_in_bytes")
        swap_limit = self._number("memory", path, "memory.memsw.limit_in_bytes", missing=0)
        combined = self._number("memory", path, "memory.memsw.usage_in_bytes", missing=usage)
        return CgroupUsage(
            cpu_ns=self._number("cpuacct", path, "cpuacct.usage"),
            memory=usage,
            working_set=max(0, usage - stat.get("total_inactive_file", 0)),
            rss=stat.get("total_rss", 0),
            page_faults=stat.get("pgfault", 0),
            major_page_faults=stat.get("pgmajfault", 0),
            limit=limit if limit < USER_HZ_FREE_MAX else 0,
            swap=max(0, combined - usage),
            swap_limit=max(0, swap_limit - limit) if 0 < swap_limit < USER_HZ_FREE_MAX else 0,
            processes=self._number("pids", path, "pids.current", missing=0),
        )

    def _version2(self, path: str) -> CgroupUsage:
        stat = self._pairs("", path, "memory.stat")
        usage = self._number("", path, "memory.current")
        return CgroupUsage(
            cpu_ns=self._pairs("", path, "cpu.stat").get("usage_usec", 0) * 1000,
            memory=usage,
            working_set=max(0, usage - stat.get("inactive_file", 0)),
            rss=stat.get("anon", 0),
            page_faults=stat.get("pgfault", 0),
            major_page_faults=stat.get("pgmajfault", 0),
            limit=self._number("", path, "memory.max", missing=0),
            swap=self._number("", path, "memory.swap.current", missing=0),
            swap_limit=self._number("", path, "memory.swap.max", missing=0),
            processes=self._number("", path, "pids.current", missing=0),
        )

    def _read(self, hierarchy: str, path: str, name: str) -> str:
        with open(os.path.join(self._mount, hierarchy, path.lstrip("/"), name), encoding="ascii") as file:
            return file.read()

    def _number(self, hierarchy: str, path: str, name: str, missing: int | None = None) -> int:
        try:
            text = self._read(hierarchy, path, name).strip()
        except FileNotFoundError:
            if missing is None:
                raise
            return missing
        return 0 if text == "max" else int(text)

    def _pairs(self, hierarchy: str, path: str, name: str) -> dict[str, int]:
        pairs = (line.split() for line in self._read(hierarchy, path, name).splitlines())
        return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}


def expand_slice(name: str) -> str:
    """systemd's nesting: `a-b.slice` lives in `a.slice`."""
    stem = name.removesuffix(".slice")
    if stem in ("", "-"):
        return "/"
    parts = stem.split("-")
    return "/" + "/".join("-".join(parts[: depth + 1]) + ".slice" for depth in range(len(parts)))

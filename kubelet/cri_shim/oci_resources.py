"""CRI resource requests as the `linux.resources` of an OCI spec, for cgroup v1 and v2 alike (runc converts)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from skiff_pb.cri import runtime_pb2 as cri


@dataclass(frozen=True, slots=True)
class HostTraits:
    """What of the machine shapes a spec; read once at start, written down by tests."""

    cgroup_version: int = 1
    systemd_cgroup: bool = False
    architecture: str = "x86_64"
    capabilities: frozenset[str] = frozenset()
    oom_score_floor: int | None = None
    swap_accounting: bool = True
    hugetlb: bool = True
    seccomp: bool = True
    recursive_read_only: bool = False


def oom_score_adj(wanted: int, traits: HostTraits) -> int:
    """Without CAP_SYS_RESOURCE the kernel refuses to go below the caller's own value, so we do not ask."""
    return wanted if traits.oom_score_floor is None else max(wanted, traits.oom_score_floor)


def linux_resources(resources: cri.LinuxContainerResources, traits: HostTraits) -> dict[str, Any]:
    result: dict[str, Any] = {}
    cpu: dict[str, Any] = {}
    if resources.cpu_shares:
        cpu["shares"] = resources.cpu_shares
    if resources.cpu_quota:
        cpu["quota"] = resources.cpu_quota
    if resources.cpu_period:
        cpu["period"] = resources.cpu_period
    if resources.cpuset_cpus:
        cpu["cpus"] = resources.cpuset_cpus
    if resources.cpuset_mems:
        cpu["mems"] = resources.cpuset_mems
    if cpu:
        result["cpu"] = cpu
    memory: dict[str, Any] = {}
    if resources.memory_limit_in_bytes:
        memory["limit"] = resources.memory_limit_in_bytes
        if traits.swap_accounting:
            memory["swap"] = resources.memory_swap_limit_in_bytes or resources.memory_limit_in_bytes
    if memory:
        result["memory"] = memory
    if resources.hugepage_limits and traits.hugetlb:
        result["hugepageLimits"] = [
            {"pageSize": limit.page_size, "limit": limit.limit} for limit in resources.hugepage_limits
        ]
    if resources.unified and traits.cgroup_version == 2:
        result["unified"] = dict(resources.unified)
    return result


def cgroups_path(parent: str, container_id: str, traits: HostTraits) -> str:
    if traits.systemd_cgroup:
        slice_name = parent.rstrip("/").rpartition("/")[2] or "system.slice"
        return f"{slice_name}:cri-skiff:{container_id}"
    return f"{parent.rstrip('/') or '/k8s.io'}/{container_id}"

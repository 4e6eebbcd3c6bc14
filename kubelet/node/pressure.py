"""When the node runs short of memory or disk: say so, take no best-effort pods, and end the pod that uses most.

The choice is pure. Upstream ranks by usage above requests, then priority, then usage; so does this.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from kubelet.node.document import Health, threshold
from kubelet.node.machine import Disk
from kubelet.pod import Pod
from kubelet.sync.admit import SYSTEM_CRITICAL_PRIORITY, pod_requests


@dataclass(frozen=True, slots=True)
class Levels:
    memory_total: int
    memory_available: int
    disk: Disk
    processes: int
    process_limit: int


def judge(levels: Levels, thresholds: Mapping[str, str]) -> Health:
    memory = threshold(thresholds, "memory.available", levels.memory_total)
    disk = threshold(thresholds, "nodefs.available", levels.disk.total)
    inodes = threshold(thresholds, "nodefs.inodesFree", levels.disk.inodes)
    pids = threshold(thresholds, "pid.available", levels.process_limit)
    return Health(
        memory_pressure=levels.memory_available < memory,
        disk_pressure=levels.disk.free < disk or (levels.disk.inodes > 0 and levels.disk.inodes_free < inodes),
        pid_pressure=levels.process_limit - levels.processes < pids,
    )


def choose(pods: Iterable[Pod], usage: Mapping[str, int]) -> Pod | None:
    """The pod to end when memory is short. Critical and static pods are spared."""
    candidates = [pod for pod in pods if not pod.is_static and (pod.spec.priority or 0) < SYSTEM_CRITICAL_PRIORITY]

    def rank(pod: Pod) -> tuple[bool, int, int]:
        used = usage.get(pod.uid, 0)
        above = used - int(pod_requests(pod).get("memory", 0))
        return (above <= 0, pod.spec.priority or 0, -above)

    return min(candidates, key=rank, default=None)


def eviction_message(resource: str, limit: str, available: int) -> str:
    return f"The node was low on resource: {resource}. Threshold quantity: {limit}, available: {available // 1024}Ki. "

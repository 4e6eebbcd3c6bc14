"""QoS, CPU shares and quotas, memory limits, OOM scores: the arithmetic between requests/limits and the kernel."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from apimachinery.podspec.resources import together
from kubelet.containers.amounts import exact, millis, of, whole
from kubelet.pod import Amount, Container, Pod, Resources
from skiff_pb.cri import runtime_pb2 as cri

MIN_SHARES = 2
MAX_SHARES = 262144
PERIOD = 100_000
MIN_QUOTA = 1_000
SYSTEM_CRITICAL_PRIORITY = 2_000_000_000


def qos_class(pod: Pod) -> str:
    """What the server computed at creation; computed here for static pods."""
    known = pod.status.get("qosClass")
    if known:
        return str(known)
    containers = [*(pod.spec.init_containers or ()), *pod.spec.containers]
    tables = [(c.resources.requests or {}, c.resources.limits or {}) for c in containers]
    watched = ("cpu", "memory")
    if not any(_positive(t, r) for pair in tables for t in pair for r in watched):
        return "BestEffort"
    for requests, limits in tables:
        for resource in watched:
            if not _positive(limits, resource):
                return "Burstable"
            if resource in requests and exact(requests[resource]) != exact(limits[resource]):
                return "Burstable"
    return "Guaranteed"


def _positive(table: Mapping[str, Amount], resource: str) -> bool:
    amount = table.get(resource)
    return amount is not None and exact(amount) > 0


def cpu_shares(cpu_millis: int) -> int:
    return max(MIN_SHARES, min(MAX_SHARES, cpu_millis * 1024 // 1000))


def cpu_quota(cpu_millis: int) -> int:
    return max(MIN_QUOTA, cpu_millis * PERIOD // 1000) if cpu_millis else 0


def oom_score_adj(pod: Pod, container: Container, node_memory: int) -> int:
    if (pod.spec.priority or 0) >= SYSTEM_CRITICAL_PRIORITY:
        return -997
    qos = qos_class(pod)
    if qos == "Guaranteed":
        return -997
    if qos == "BestEffort":
        return 1000
    request = whole(of(container.resources.requests, "memory") or 0)
    return min(999, max(3, 1000 - 1000 * request // max(1, node_memory)))


def container_resources(pod: Pod, container: Container, node_memory: int) -> cri.LinuxContainerResources:
    limits, requests = container.resources.limits, container.resources.requests
    cpu_limit = of(limits, "cpu")
    cpu_request = of(requests, "cpu")
    if cpu_request is None:
        cpu_request = cpu_limit
    out = cri.LinuxContainerResources(
        cpu_shares=cpu_shares(millis(cpu_request or 0)),
        cpu_period=PERIOD,
        oom_score_adj=oom_score_adj(pod, container, node_memory),
    )
    if cpu_limit is not None:
        out.cpu_quota = cpu_quota(millis(cpu_limit))
    memory = of(limits, "memory")
    if memory is not None:
        out.memory_limit_in_bytes = whole(memory)
    return out


def resources_text(container: Container) -> str:
    """Requests and limits as one comparable text, which a container carries along."""
    tables = (container.resources.requests or {}, container.resources.limits or {})
    return json.dumps([{name: str(amount) for name, amount in sorted(table.items())} for table in tables])


@dataclass(frozen=True, slots=True)
class PodCgroup:
    """Limits of the pod's own cgroup; None leaves the kernel's default (no limit)."""

    shares: int
    quota: int | None = None
    memory: int | None = None
    pids: int | None = None


def pod_cgroup(pod: Pod, pids_limit: int | None = None) -> PodCgroup:
    """A limit counts only if the pod has one or every container does, else the pod is unlimited."""
    spec = pod.spec
    steps = spec.init_containers or ()

    def total(table: str, resource: str, number: Callable[[Amount], int]) -> int | None:
        def named(owner: Resources | None) -> Amount | None:
            return None if owner is None else of(getattr(owner, table), resource)

        def counted(container: Container) -> dict[str, int]:
            return {resource: number(named(container.resources) or 0)}

        whole_pod = named(spec.resources)
        if whole_pod is not None:
            found = number(whole_pod)
        elif table == "limits" and any(named(c.resources) is None for c in (*spec.containers, *steps)):
            return None
        else:
            sums = together([counted(c) for c in spec.containers], [(counted(c), c.is_sidecar) for c in steps])
            found = sums.get(resource, 0)
        return found + number(of(spec.overhead, resource) or 0)

    qos = qos_class(pod)
    requested = total("requests", "cpu", millis) or 0
    limit = total("limits", "cpu", millis)
    memory = total("limits", "memory", whole)
    shares = MIN_SHARES if qos == "BestEffort" else cpu_shares(requested or limit or 0)
    return PodCgroup(shares, cpu_quota(limit) if limit else None, memory or None, pids_limit)

"""Use of CPU, memory and disk, by container, pod and node: one sample, and the rates between two."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from component_base.clock import Clock
from kubelet import times
from kubelet.containers import config as keys
from kubelet.containers.cgroups import CgroupTree
from kubelet.cri.client import CriClient
from kubelet.node.machine import Disk, available_memory, read_disk
from skiff_pb.cri import runtime_pb2 as cri

JSON = dict[str, Any]
FIRST_GAP = 0.5
FRESH_SECONDS = 2.0
"""Questions within so short a time get the same sample."""


@dataclass(frozen=True, slots=True)
class ContainerUse:
    id: str
    name: str
    pod: str
    namespace: str
    uid: str
    started: float
    image: str
    cpu_seconds: float
    cpu_rate: float
    """Cores, over the time since the sample before."""
    memory: int
    working_set: int
    rss: int
    disk: int
    inodes: int


@dataclass(frozen=True, slots=True)
class Sample:
    at: float
    containers: tuple[ContainerUse, ...] = ()
    node_cpu_seconds: float = 0.0
    node_cpu_rate: float = 0.0
    node_memory: int = 0
    node_available: int = 0
    disk: Disk = field(default_factory=lambda: Disk(0, 0, 0, 0))
    images_disk: int = 0
    pod_memory: dict[str, int] = field(default_factory=dict)


class Stats:
    def __init__(
        self,
        runtime: CriClient,
        clock: Clock,
        cgroups: CgroupTree,
        root: Path,
        memory: int,
        starts: Callable[[], dict[str, float]],
    ) -> None:
        """`starts` gives the start of each running container by id."""
        self._runtime = runtime
        self._clock = clock
        self._cgroups = cgroups
        self._root = root
        self._memory = memory
        self._starts = starts
        self._last: Sample | None = None
        self._lock = asyncio.Lock()

    async def sample(self) -> Sample:
        async with self._lock:
            now = self._clock.now()
            if self._last is not None and now - self._last.at < FRESH_SECONDS:
                return self._last
            if self._last is None:
                # Rates need two looks; who asks for the first time waits for the second.
                self._last = await self._measure(now)
                await self._clock.sleep(FIRST_GAP)
                now = self._clock.now()
            self._last = await self._measure(now)
            return self._last

    async def _measure(self, now: float) -> Sample:
        before = self._last
        elapsed = now - before.at if before is not None else 0.0
        known = {c.id: c.cpu_seconds for c in before.containers} if before is not None else {}
        starts = self._starts()
        containers = []
        for stats in await self._runtime.container_stats():
            if stats.attributes.id in starts:
                containers.append(_use(stats, starts, known, elapsed))
        node_cpu = await asyncio.to_thread(self._cgroups.cpu_seconds, "/") or 0.0
        available = available_memory()
        rate = (node_cpu - before.node_cpu_seconds) / elapsed if before is not None and elapsed > 0 else 0.0
        memory: dict[str, int] = {}
        for container in containers:
            memory[container.uid] = memory.get(container.uid, 0) + container.working_set
        return Sample(
            at=now,
            containers=tuple(containers),
            node_cpu_seconds=node_cpu,
            node_cpu_rate=max(0.0, rate),
            node_memory=self._memory - available,
            node_available=available,
            disk=await asyncio.to_thread(read_disk, self._root),
            images_disk=sum(f.used_bytes.value for f in await self._runtime.filesystem()),
            pod_memory=memory,
        )


def _use(stats: cri.ContainerStats, starts: dict[str, float], known: dict[str, float], elapsed: float) -> ContainerUse:
    labels = stats.attributes.labels
    cpu = stats.cpu.usage_core_nano_seconds.value / 1e9
    identifier = stats.attributes.id
    rate = stats.cpu.usage_nano_cores.value / 1e9
    if not rate and identifier in known and elapsed > 0:
        rate = max(0.0, (cpu - known[identifier]) / elapsed)
    return ContainerUse(
        id=identifier,
        name=labels.get(keys.CONTAINER_NAME, stats.attributes.metadata.name),
        pod=labels.get(keys.POD_NAME, ""),
        namespace=labels.get(keys.POD_NAMESPACE, ""),
        uid=labels.get(keys.POD_UID, ""),
        started=starts[identifier],
        image="",
        cpu_seconds=cpu,
        cpu_rate=rate,
        memory=stats.memory.usage_bytes.value or stats.memory.working_set_bytes.value,
        working_set=stats.memory.working_set_bytes.value,
        rss=stats.memory.rss_bytes.value,
        disk=stats.writable_layer.used_bytes.value,
        inodes=stats.writable_layer.inodes_used.value,
    )


def summary(sample: Sample, node: str, started: float) -> JSON:
    """The answer of /stats/summary."""
    stamp = times.text(sample.at)
    disk = sample.disk
    fs = {
        "time": stamp,
        "availableBytes": disk.free,
        "capacityBytes": disk.total,
        "usedBytes": disk.total - disk.free,
        "inodesFree": disk.inodes_free,
        "inodes": disk.inodes,
        "inodesUsed": disk.inodes - disk.inodes_free,
    }
    pods: dict[str, JSON] = {}
    for use in sample.containers:
        pod = pods.setdefault(
            use.uid,
            {
                "podRef": {"name": use.pod, "namespace": use.namespace, "uid": use.uid},
                "startTime": times.text(use.started),
                "containers": [],
            },
        )
        pod["containers"].append(_container(use, stamp, fs))
    for pod in pods.values():
        pod["cpu"] = _cpu(
            stamp,
            sum(c["cpu"]["usageNanoCores"] for c in pod["containers"]) / 1e9,
            sum(c["cpu"]["usageCoreNanoSeconds"] for c in pod["containers"]) / 1e9,
        )
        pod["memory"] = {
            "time": stamp,
            **{
                key: sum(c["memory"][key] for c in pod["containers"])
                for key in ("usageBytes", "workingSetBytes", "rssBytes")
            },
        }
    return {
        "node": {
            "nodeName": node,
            "startTime": times.text(started),
            "cpu": _cpu(stamp, sample.node_cpu_rate, sample.node_cpu_seconds),
            "memory": {
                "time": stamp,
                "availableBytes": sample.node_available,
                "usageBytes": sample.node_memory,
                "workingSetBytes": sample.node_memory,
            },
            "fs": fs,
            "runtime": {"imageFs": {**fs, "usedBytes": sample.images_disk}},
        },
        "pods": list(pods.values()),
    }


def _cpu(stamp: str, rate: float, seconds: float) -> JSON:
    return {"time": stamp, "usageNanoCores": int(rate * 1e9), "usageCoreNanoSeconds": int(seconds * 1e9)}


def _container(use: ContainerUse, stamp: str, fs: JSON) -> JSON:
    return {
        "name": use.name,
        "startTime": times.text(use.started),
        "cpu": _cpu(stamp, use.cpu_rate, use.cpu_seconds),
        "memory": {
            "time": stamp,
            "usageBytes": use.memory,
            "workingSetBytes": use.working_set,
            "rssBytes": use.rss,
        },
        "rootfs": {**fs, "usedBytes": use.disk, "inodesUsed": use.inodes},
    }


def resource_metrics(sample: Sample) -> str:
    """The answer of /metrics/resource, which metrics-server reads."""
    stamp = int(sample.at * 1000)
    pods: dict[tuple[str, str], list[ContainerUse]] = {}
    for use in sample.containers:
        pods.setdefault((use.namespace, use.pod), []).append(use)
    own = [(f'{{container="{u.name}",namespace="{u.namespace}",pod="{u.pod}"}}', u) for u in sample.containers]
    shared = [(f'{{namespace="{ns}",pod="{name}"}}', uses) for (ns, name), uses in pods.items()]
    text = _family(
        "container_cpu_usage_seconds_total",
        "counter",
        "Cumulative cpu time consumed by the container in core-seconds",
        [(labels, use.cpu_seconds, stamp) for labels, use in own],
    )
    text += _family(
        "container_memory_working_set_bytes",
        "gauge",
        "Current working set of the container in bytes",
        [(labels, use.working_set, stamp) for labels, use in own],
    )
    text += _family(
        "container_start_time_seconds",
        "gauge",
        "Start time of the container since unix epoch in seconds",
        [(labels, use.started, None) for labels, use in own],
    )
    text += _family(
        "node_cpu_usage_seconds_total",
        "counter",
        "Cumulative cpu time consumed by the node in core-seconds",
        [("", sample.node_cpu_seconds, stamp)],
    )
    text += _family(
        "node_memory_working_set_bytes",
        "gauge",
        "Current working set of the node in bytes",
        [("", sample.node_memory, stamp)],
    )
    text += _family(
        "pod_cpu_usage_seconds_total",
        "counter",
        "Cumulative cpu time consumed by the pod in core-seconds",
        [(labels, sum(u.cpu_seconds for u in uses), stamp) for labels, uses in shared],
    )
    text += _family(
        "pod_memory_working_set_bytes",
        "gauge",
        "Current working set of the pod in bytes",
        [(labels, sum(u.working_set for u in uses), stamp) for labels, uses in shared],
    )
    return text + _family(
        "resource_scrape_error", "gauge", "1 if there was an error while getting container metrics", [("", 0, None)]
    )


def _family(name: str, kind: str, help: str, rows: list[tuple[str, float, int | None]]) -> str:
    lines = [f"# HELP {name} [STABLE] {help}", f"# TYPE {name} {kind}"]
    for labels, value, stamp in rows:
        lines.append(f"{name}{labels} {value:g}" if stamp is None else f"{name}{labels} {float(value)!r} {stamp}")
    return "\n".join(lines) + "\n"


def cadvisor_metrics(sample: Sample, cores: int, memory: int) -> str:
    """The part of /metrics/cadvisor that dashboards ask for."""
    stamp = int(sample.at * 1000)
    own = [
        (
            f'{{container="{u.name}",id="/{u.id}",image="{u.image}",name="{u.id}",namespace="{u.namespace}",pod="{u.pod}"}}',
            u,
        )
        for u in sample.containers
    ]
    text = _family("machine_cpu_cores", "gauge", "Number of logical CPU cores.", [("", cores, None)])
    text += _family("machine_memory_bytes", "gauge", "Amount of memory installed on the machine.", [("", memory, None)])
    families: tuple[tuple[str, str, Callable[[ContainerUse], float]], ...] = (
        ("container_cpu_usage_seconds_total", "counter", lambda u: u.cpu_seconds),
        ("container_memory_usage_bytes", "gauge", lambda u: u.memory),
        ("container_memory_working_set_bytes", "gauge", lambda u: u.working_set),
        ("container_memory_rss", "gauge", lambda u: u.rss),
        ("container_fs_usage_bytes", "gauge", lambda u: u.disk),
        ("container_start_time_seconds", "gauge", lambda u: u.started),
    )
    for name, kind, value in families:
        text += _family(name, kind, name.replace("_", " "), [(labels, value(use), stamp) for labels, use in own])
    return text

"""Resource usage of containers and pods as CRI reports it, from cgroups, snapshots and the pod's network namespace."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from component_base.rpc import Code, RpcError
from kubelet.cri_shim.cgroups import CgroupReader, CgroupUsage
from kubelet.cri_shim.core import Core
from kubelet.cri_shim.records import ContainerRecord, SandboxRecord
from kubelet.cri_shim.sandboxes import INTERFACE
from skiff_pb.cri import runtime_pb2 as cri

WRITABLE_LIFETIME = 10.0


def parse_network(text: str) -> list[tuple[str, int, int, int, int]]:
    """Name, received bytes and errors, sent bytes and errors of each interface in a /proc/<pid>/net/dev."""
    found = []
    for line in text.splitlines()[2:]:
        name, colon, rest = line.partition(":")
        fields = rest.split()
        if colon and len(fields) >= 11:
            found.append((name.strip(), int(fields[0]), int(fields[2]), int(fields[8]), int(fields[10])))
    return found


class Stats:
    def __init__(self, core: Core, cgroups: CgroupReader) -> None:
        self._core = core
        self._cgroups = cgroups
        self.image_root = ""
        """Where snapshots lie: what kubelets take the free space of."""
        self._last_cpu: dict[str, tuple[int, int, int]] = {}
        self._writable: dict[str, tuple[float, int, int]] = {}

    async def container(self, container_id: str) -> cri.ContainerStats:
        record = self._core.store.container(container_id)
        stats = await self._container(record)
        if stats is None:
            raise RpcError(Code.NOT_FOUND, f"container {record.id!r} has no cgroup: it is not running")
        return stats

    async def containers(self, chosen: cri.ContainerStatsFilter) -> list[cri.ContainerStats]:
        found = []
        for record in list(self._core.store.containers.values()):
            labels = record.container_config().labels
            if record.state != cri.CONTAINER_RUNNING:
                continue
            if chosen.id and not record.id.startswith(chosen.id):
                continue
            if chosen.pod_sandbox_id and not record.sandbox_id.startswith(chosen.pod_sandbox_id):
                continue
            if all(labels.get(name) == value for name, value in chosen.label_selector.items()):
                stats = await self._container(record)
                if stats is not None:
                    found.append(stats)
        self._forget_gone()
        return found

    def _forget_gone(self) -> None:
        known = self._core.store.containers.keys() | self._core.store.sandboxes.keys()
        for cache in (self._last_cpu, self._writable):
            for identity in cache.keys() - known:
                cache.pop(identity, None)

    async def _container(self, record: ContainerRecord) -> cri.ContainerStats | None:
        sandbox = self._core.store.sandboxes.get(record.sandbox_id)
        parent = sandbox.pod_config().linux.cgroup_parent if sandbox else ""
        usage = await asyncio.to_thread(self._cgroups.usage, self._cgroups.path(parent, record.id))
        if usage is None:
            return None
        config = record.container_config()
        stats = cri.ContainerStats()
        stats.attributes.id = record.id
        stats.attributes.metadata.CopyFrom(config.metadata)
        stats.attributes.labels.update(config.labels)
        stats.attributes.annotations.update(config.annotations)
        now = self._core.now_ns()
        self._fill_cpu(stats.cpu, record.id, usage, now)
        fill_memory(stats.memory, usage, now)
        stats.swap.timestamp = now
        stats.swap.swap_usage_bytes.value = usage.swap
        stats.swap.swap_available_bytes.value = max(0, usage.swap_limit - usage.swap)
        await self._fill_writable(stats.writable_layer, record.id, now)
        return stats

    def _fill_cpu(self, cpu: cri.CpuUsage, identity: str, usage: CgroupUsage, now: int) -> None:
        """The rate is over the time since the last look, at least a second."""
        cpu.timestamp = now
        cpu.usage_core_nano_seconds.value = usage.cpu_ns
        then, spent, rate = self._last_cpu.get(identity, (0, 0, 0))
        if then and now - then >= 1_000_000_000 and usage.cpu_ns >= spent:
            rate = (usage.cpu_ns - spent) * 1_000_000_000 // (now - then)
        if not then or now - then >= 1_000_000_000:
            self._last_cpu[identity] = (now, usage.cpu_ns, rate)
        if then:
            cpu.usage_nano_cores.value = rate

    async def _fill_writable(self, layer: cri.FilesystemUsage, container_id: str, now: int) -> None:
        """Walking a snapshot is costly for the disk, so an answer serves for a while."""
        kept = self._writable.get(container_id)
        if kept is None or self._core.clock.monotonic() - kept[0] > WRITABLE_LIFETIME:
            usage = await self._core.containerd.snapshot_usage(container_id)
            kept = (self._core.clock.monotonic(), usage.size if usage else 0, usage.inodes if usage else 0)
            self._writable[container_id] = kept
        layer.timestamp = now
        layer.fs_id.mountpoint = self.image_root
        layer.used_bytes.value, layer.inodes_used.value = kept[1], kept[2]

    async def sandbox(self, sandbox_id: str) -> cri.PodSandboxStats:
        return await self._sandbox(self._core.store.sandbox(sandbox_id))

    async def sandboxes(self, chosen: cri.PodSandboxStatsFilter) -> list[cri.PodSandboxStats]:
        found = []
        for record in list(self._core.store.sandboxes.values()):
            labels = record.pod_config().labels
            if record.id not in self._core.store.live_sandboxes:
                continue
            if chosen.id and not record.id.startswith(chosen.id):
                continue
            if all(labels.get(name) == value for name, value in chosen.label_selector.items()):
                found.append(await self._sandbox(record))
        return found

    async def _sandbox(self, record: SandboxRecord) -> cri.PodSandboxStats:
        config = record.pod_config()
        stats = cri.PodSandboxStats()
        stats.attributes.id = record.id
        stats.attributes.metadata.CopyFrom(config.metadata)
        stats.attributes.labels.update(config.labels)
        stats.attributes.annotations.update(config.annotations)
        now = self._core.now_ns()
        parent = config.linux.cgroup_parent
        own = parent or self._cgroups.path("", record.id)
        usage = await asyncio.to_thread(self._cgroups.usage, self._cgroups.path(own))
        if usage is not None:
            self._fill_cpu(stats.linux.cpu, record.id, usage, now)
            fill_memory(stats.linux.memory, usage, now)
            stats.linux.process.timestamp = now
            stats.linux.process.process_count.value = usage.processes
        if record.netns and record.pid:
            text = await asyncio.to_thread(_read_network, record.pid)
            fill_network(stats.linux.network, parse_network(text), now)
        members = cri.ContainerStatsFilter(pod_sandbox_id=record.id)
        stats.linux.containers.extend(await self.containers(members))
        return stats


def fill_memory(memory: cri.MemoryUsage, usage: CgroupUsage, now: int) -> None:
    memory.timestamp = now
    memory.usage_bytes.value = usage.memory
    memory.working_set_bytes.value = usage.working_set
    memory.rss_bytes.value = usage.rss
    memory.page_faults.value = usage.page_faults
    memory.major_page_faults.value = usage.major_page_faults
    if usage.limit:
        memory.available_bytes.value = max(0, usage.limit - usage.working_set)


def fill_network(network: cri.NetworkUsage, interfaces: Sequence[tuple[str, int, int, int, int]], now: int) -> None:
    network.timestamp = now
    for name, received, receive_errors, sent, send_errors in interfaces:
        if name == "lo":
            continue
        target = network.default_interface if name == INTERFACE else network.interfaces.add()
        target.name = name
        target.rx_bytes.value, target.rx_errors.value = received, receive_errors
        target.tx_bytes.value, target.tx_errors.value = sent, send_errors


def _read_network(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/net/dev", encoding="ascii", errors="replace") as file:
            return file.read()
    except OSError:
        return ""

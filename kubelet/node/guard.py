"""Watches the node's memory, disk and process count, and ends a pod when memory runs out."""

import asyncio
import logging

from component_base.clock import Clock
from kubelet.agent import Agent
from kubelet.cri.runtime import RuntimeFailure
from kubelet.events import WARNING, pod_reference
from kubelet.node.document import Health
from kubelet.node.machine import available_memory, process_count, read_disk
from kubelet.node.pressure import Levels, choose, eviction_message, judge
from kubelet.server.stats import Stats
from kubelet.sync.worker import Verdict

log = logging.getLogger(__name__)
PERIOD = 10.0
CALM_SECONDS = 300.0
"""Pressure is reported for so long after it was last seen, so that the node's condition does not flap."""
EVICTION_GRACE = 0


class NodeGuard:
    def __init__(self, agent: Agent, stats: Stats, clock: Clock) -> None:
        self._agent = agent
        self._stats = stats
        self._clock = clock
        self._seen: dict[str, float] = {}
        self.health = Health()

    async def run(self) -> None:
        while True:
            try:
                await self._round()
            except (RuntimeFailure, OSError) as error:
                log.warning("cannot measure the node: %s", error)
            await self._clock.sleep(PERIOD)

    async def _round(self) -> None:
        agent = self._agent
        levels = await asyncio.to_thread(self._levels)
        now = self._clock.monotonic()
        verdict = judge(levels, agent.settings.eviction_hard)
        for name in ("memory_pressure", "disk_pressure", "pid_pressure"):
            if getattr(verdict, name):
                self._seen[name] = now
        lasting = {name for name, at in self._seen.items() if now - at < CALM_SECONDS}
        self.health = Health(
            memory_pressure="memory_pressure" in lasting,
            disk_pressure="disk_pressure" in lasting,
            pid_pressure="pid_pressure" in lasting,
        )
        if verdict.memory_pressure:
            await self._evict(levels.memory_available)

    def _levels(self) -> Levels:
        processes, limit = process_count()
        return Levels(
            memory_total=self._agent.machine.memory_bytes,
            memory_available=available_memory(),
            disk=read_disk(self._agent.settings.root),
            processes=processes,
            process_limit=limit,
        )

    async def _evict(self, available: int) -> None:
        agent = self._agent
        sample = await self._stats.sample()
        pod = choose(agent.fleet.counted(), sample.pod_memory)
        if pod is None:
            return
        message = eviction_message("memory", agent.settings.eviction_hard.get("memory.available", ""), available)
        log.warning("evicting %s: %s", pod.full_name, message)
        agent.events.event(pod_reference(pod), WARNING, "Evicted", message)
        agent.fleet.workers[pod.uid].end(Verdict("Evicted", message, EVICTION_GRACE))

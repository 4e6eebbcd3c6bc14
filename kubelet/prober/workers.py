"""One task for each probe of each running container. Plan and status read the verdicts as `Probed`.

A probe belongs to one container id: a restarted container begins afresh. Liveness and readiness wait for the startup
probe. The tasks sleep on the clock between probes, so tests run them on virtual time.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from component_base.clock import Clock
from component_base.tasks import spawn
from kubelet.events import WARNING, Events, pod_reference
from kubelet.pod import Container, Pod, Probe
from kubelet.prober.check import Outcome, Target
from kubelet.prober.state import Kind, ProbeState, first_probe_at
from kubelet.sync.observed import ContainerSeen, PodSeen, Probed, State

Check = Callable[[Probe, Target], Awaitable[Outcome]]


@dataclass(slots=True)
class _Probing:
    state: ProbeState
    started: asyncio.Event
    task: asyncio.Task[None] | None = None


@dataclass(slots=True)
class _PodProbes:
    by_container: dict[str, dict[Kind, _Probing]] = field(default_factory=dict)


class Prober:
    def __init__(self, check: Check, events: Events, clock: Clock, changed: Callable[[str], None]) -> None:
        self._check = check
        self._events = events
        self._clock = clock
        self._changed = changed
        self._pods: dict[str, _PodProbes] = {}
        self.totals: dict[tuple[str, str], int] = {}
        """(probe kind, successful | failed) -> count, for /metrics/probes."""

    def sync(self, pod: Pod, seen: PodSeen) -> None:
        """Probes exactly the pod's running containers."""
        mine = self._pods.setdefault(pod.uid, _PodProbes())
        running = {c.id: c for c in seen.containers if c.state == State.RUNNING}
        for container_id in [i for i in mine.by_container if i not in running]:
            self._stop(mine, container_id)
        watched = [c for c in pod.spec.init_containers or () if c.is_sidecar] + pod.spec.containers
        for container in watched:
            last = seen.latest(container.name)
            if last is None or last.state != State.RUNNING or last.id in mine.by_container:
                continue
            mine.by_container[last.id] = self._start(pod, container, last, _ip(pod, seen))

    def stop_pod(self, uid: str, *, liveness_only: bool = False) -> None:
        mine = self._pods.get(uid)
        if mine is None:
            return
        for container_id, probes in list(mine.by_container.items()):
            if not liveness_only:
                self._stop(mine, container_id)
                continue
            for kind in (Kind.LIVENESS, Kind.STARTUP):
                probing = probes.pop(kind, None)
                if probing is not None and probing.task is not None:
                    probing.task.cancel()
        if not liveness_only:
            del self._pods[uid]

    def probed(self, uid: str) -> Probed:
        started: set[str] = set()
        ready: set[str] = set()
        dead: set[str] = set()
        never: set[str] = set()
        mine = self._pods.get(uid)
        for container_id, probes in mine.by_container.items() if mine else ():
            for kind, probing in probes.items():
                verdict = probing.state.verdict
                if kind == Kind.STARTUP and verdict is True:
                    started.add(container_id)
                elif kind == Kind.STARTUP and verdict is False:
                    never.add(container_id)
                elif kind == Kind.LIVENESS and verdict is False:
                    dead.add(container_id)
                elif kind == Kind.READINESS and verdict is True:
                    ready.add(container_id)
        return Probed(frozenset(started), frozenset(ready), frozenset(dead), frozenset(never))

    def _stop(self, mine: _PodProbes, container_id: str) -> None:
        for probing in mine.by_container.pop(container_id).values():
            if probing.task is not None:
                probing.task.cancel()

    def _start(self, pod: Pod, container: Container, seen: ContainerSeen, ip: str) -> dict[Kind, _Probing]:
        started = asyncio.Event()
        if container.startup_probe is None:
            started.set()
        probes = (
            (Kind.STARTUP, container.startup_probe),
            (Kind.LIVENESS, container.liveness_probe),
            (Kind.READINESS, container.readiness_probe),
        )
        out: dict[Kind, _Probing] = {}
        for kind, probe in probes:
            if probe is None:
                continue
            probing = _Probing(ProbeState(kind, probe), started)
            if _known(pod, seen, kind):
                probing.state.recall()
                if kind == Kind.STARTUP:
                    started.set()
            work = self._run(pod, container, seen, Target(seen.id, container, ip), probing)
            probing.task = spawn(work, f"{kind.lower()} probe of {pod.metadata.name}/{container.name}")
            out[kind] = probing
        return out

    async def _run(
        self, pod: Pod, container: Container, seen: ContainerSeen, target: Target, probing: _Probing
    ) -> None:
        state = probing.state
        if state.kind != Kind.STARTUP:
            await probing.started.wait()
        await self._clock.sleep(first_probe_at(state.probe, seen.started_at) - self._clock.now())
        while not state.settled:
            outcome = await self._check(state.probe, target)
            label = (state.kind.value, "successful" if outcome.ok else "failed")
            self.totals[label] = self.totals.get(label, 0) + 1
            if not outcome.ok:
                text = f"{state.kind} probe failed: {outcome.output}"
                self._events.event(pod_reference(pod, container), WARNING, "Unhealthy", text)
            if state.observe(outcome.ok):
                if state.kind == Kind.STARTUP and outcome.ok:
                    probing.started.set()
                self._changed(pod.uid)
            if not state.settled:
                await self._clock.sleep(float(state.probe.period_seconds or 10))


def _known(pod: Pod, seen: ContainerSeen, kind: Kind) -> bool:
    """Whether the API says already that this very container has started, or is ready: a new kubelet believes it."""
    if kind == Kind.LIVENESS:
        return False
    field = "started" if kind == Kind.STARTUP else "ready"
    for key in ("containerStatuses", "initContainerStatuses"):
        for status in pod.status.get(key) or ():
            if str(status.get("containerID", "")).endswith(f"://{seen.id}"):
                return bool(status.get(field))
    return False


def _ip(pod: Pod, seen: PodSeen) -> str:
    if pod.spec.host_network:
        return str(pod.status.get("hostIP") or "127.0.0.1")
    sandbox = seen.sandbox
    return sandbox.ips[0] if sandbox is not None and sandbox.ips else "127.0.0.1"

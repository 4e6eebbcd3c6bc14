"""Stopping containers and whole pods: preStop, the grace period, sidecars after the containers they serve."""

import asyncio
import logging

from component_base.clock import Clock
from kubelet.cri.runtime import Containers, RuntimeFailure
from kubelet.events import NORMAL, WARNING, Events, pod_reference
from kubelet.pod import Container, Pod
from kubelet.sync.hooks import HookError, run_hook
from kubelet.sync.observed import ContainerSeen, PodSeen, State

log = logging.getLogger(__name__)

MINIMUM_GRACE = 2
"""Seconds that every container gets, even one that is deleted by force: runtimes need a moment to say goodbye."""


def grace_period(pod: Pod, container: Container | None, cause: str = "", override: int | None = None) -> int:
    """Seconds between SIGTERM and SIGKILL: the caller's wish, then the deletion's, then the probe's, then the pod's."""
    if override is not None:
        return override
    if pod.metadata.deletion_grace_period_seconds is not None:
        return pod.metadata.deletion_grace_period_seconds
    if container is not None and cause in ("liveness", "startup"):
        probe = container.liveness_probe if cause == "liveness" else container.startup_probe
        if probe is not None and probe.termination_grace_period_seconds is not None:
            return probe.termination_grace_period_seconds
    return pod.spec.termination_grace_period_seconds


class Stopper:
    def __init__(self, runtime: Containers, events: Events, clock: Clock) -> None:
        self._runtime = runtime
        self._events = events
        self._clock = clock

    async def stop_container(
        self,
        pod: Pod,
        seen: ContainerSeen,
        *,
        message: str = "",
        cause: str = "",
        override: int | None = None,
        pod_ip: str = "",
    ) -> None:
        """Returns when the container has ended. RuntimeFailure when the runtime could not end it."""
        container = pod.container(seen.name)
        grace = grace_period(pod, container, cause, override)
        reference = pod_reference(pod, container) if container is not None else pod_reference(pod)
        self._events.event(reference, NORMAL, "Killing", message or f"Stopping container {seen.name}")
        began = self._clock.monotonic()
        if container is not None and grace > 0:
            await self._pre_stop(pod, container, seen, grace, pod_ip)
        left = max(MINIMUM_GRACE, round(grace - (self._clock.monotonic() - began)))
        await self._runtime.stop_container(seen.id, left)

    async def _pre_stop(self, pod: Pod, container: Container, seen: ContainerSeen, grace: int, pod_ip: str) -> None:
        handler = container.lifecycle.pre_stop if container.lifecycle is not None else None
        if handler is None or seen.state != State.RUNNING:
            return
        try:
            async with asyncio.timeout(grace):
                await run_hook(self._runtime, self._clock, pod, container, handler, seen.id, pod_ip)
        except HookError as error:
            log.warning("preStop of %s in %s: %s", container.name, pod.full_name, error)
            self._events.event(pod_reference(pod, container), WARNING, "FailedPreStopHook", "PreStopHook failed")
        except TimeoutError:
            log.warning("preStop of %s in %s did not end within %d s", container.name, pod.full_name, grace)

    async def stop_pod(self, pod: Pod, seen: PodSeen, override: int | None = None) -> None:
        """All containers, then all sandboxes. Sidecars go last, in the reverse order of their start."""
        pod_ip = seen.sandbox.ips[0] if seen.sandbox is not None and seen.sandbox.ips else ""
        sidecars = [c.name for c in pod.spec.init_containers or () if c.is_sidecar]
        running = list(seen.running)
        began = self._clock.monotonic()

        async def stop(targets: list[ContainerSeen], override: int | None) -> None:
            async with asyncio.TaskGroup() as group:
                for target in targets:
                    group.create_task(self._stop_logged(pod, target, override, pod_ip))

        await stop([c for c in running if c.name not in sidecars], override)
        whole = grace_period(pod, None, override=override)
        for name in reversed(sidecars):
            left = max(MINIMUM_GRACE, round(whole - (self._clock.monotonic() - began)))
            await stop([c for c in running if c.name == name], left)
        for sandbox in seen.sandboxes:
            await self._runtime.stop_sandbox(sandbox.id)

    async def _stop_logged(self, pod: Pod, target: ContainerSeen, override: int | None, pod_ip: str) -> None:
        try:
            await self.stop_container(pod, target, override=override, pod_ip=pod_ip)
        except RuntimeFailure as failure:
            log.warning("cannot stop %s of %s: %s", target.name, pod.full_name, failure)
            text = (
                f'error killing pod: failed to "KillContainer" for "{target.name}" with KillContainerError: "{failure}"'
            )
            self._events.event(pod_reference(pod), WARNING, "FailedKillPod", text)

"""Carries out a PodActions value over CRI: kills, sandbox, then containers in the plan's order.

Nothing is decided here that the plan has decided already. What cannot be done now comes back as the waiting reasons of
the containers concerned; the worker shows them in the status and plans again when they are due.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from apimachinery.errors import StatusError
from component_base.clock import Clock
from kubelet.api import Api
from kubelet.containers.cgroups import pod_cgroup_path
from kubelet.containers.config import log_directory, sandbox_config
from kubelet.containers.dns import ClusterDNS, Resolver, host_name_and_domain, pod_resolver
from kubelet.cri.runtime import Containers, RuntimeFailure
from kubelet.events import NORMAL, WARNING, Events, pod_reference
from kubelet.pod import Container, Pod
from kubelet.sync.backoff import Backoff
from kubelet.sync.launch import Launcher, LaunchError, Site
from kubelet.sync.observed import PodSeen, State, Waiting
from kubelet.sync.plan import PodActions, Start, backoff_key
from kubelet.sync.stop import Stopper
from skiff_pb.cri import runtime_pb2 as cri

log = logging.getLogger(__name__)
SANDBOX_RETRY = 5.0


@dataclass(slots=True)
class Progress:
    """What came of it. `waiting` covers the containers that could not start; `retry_at` the pod as a whole."""

    waiting: dict[str, Waiting] = field(default_factory=dict)
    retry_at: float = 0.0
    changed: bool = False


@dataclass(frozen=True, slots=True)
class NodeNetwork:
    """What sandboxes are told about names, and whether the runtime's network is up ("" when it is)."""

    dns: Callable[[], ClusterDNS]
    host_resolver: Callable[[], Resolver]
    not_ready: Callable[[], str]


class Executor:
    def __init__(
        self,
        *,
        runtime: Containers,
        launcher: Launcher,
        stopper: Stopper,
        api: Api,
        events: Events,
        clock: Clock,
        network: NodeNetwork,
        pod_logs: str,
        cgroup_root: str = "kubepods",
    ) -> None:
        self._runtime = runtime
        self._launcher = launcher
        self._stopper = stopper
        self._api = api
        self._events = events
        self._clock = clock
        self._network = network
        self._pod_logs = pod_logs
        self._cgroup_root = cgroup_root

    async def carry_out(self, pod: Pod, seen: PodSeen, actions: PodActions, backoff: Backoff) -> Progress:
        progress = Progress(waiting=dict(actions.waiting))
        if not pod.spec.host_network and (complaint := self._network.not_ready()):
            self._events.event(pod_reference(pod), WARNING, "NetworkNotReady", f"network is not ready: {complaint}")
            progress.retry_at = self._clock.now() + SANDBOX_RETRY
            return progress
        if actions.kill_pod:
            if actions.create_sandbox and seen.sandboxes:
                text = "Pod sandbox changed, it will be killed and re-created."
                self._events.event(pod_reference(pod), NORMAL, "SandboxChanged", text)
            await self._stopper.stop_pod(pod, seen)
            progress.changed = True
            if not actions.create_sandbox:
                return progress
        await self._kill(pod, seen, actions, progress)
        self._note_waiting(pod, actions)
        if not (actions.create_sandbox or actions.starts):
            return progress
        config = self.sandbox_config(pod, actions.sandbox_attempt)
        sandbox_id, ips = actions.sandbox_id, (seen.sandbox.ips if seen.sandbox is not None else ())
        if actions.create_sandbox:
            try:
                sandbox_id = await self._runtime.run_sandbox(config, await self._handler(pod))
                ips = await self._addresses(sandbox_id)
                progress.changed = True
            except (RuntimeFailure, StatusError) as error:
                text = f"Failed to create pod sandbox: {error}"
                self._events.event(pod_reference(pod), WARNING, "FailedCreatePodSandBox", text)
                progress.retry_at = self._clock.now() + SANDBOX_RETRY
                return progress
        await self._start_all(pod, seen, actions, Site(sandbox_id, config, ips), backoff, progress)
        return progress

    async def _kill(self, pod: Pod, seen: PodSeen, actions: PodActions, progress: Progress) -> None:
        by_id = {c.id: c for c in seen.containers}
        for kill in actions.kills:
            target = by_id.get(kill.container_id)
            if target is None:
                continue
            ip = seen.sandbox.ips[0] if seen.sandbox is not None and seen.sandbox.ips else ""
            try:
                await self._stopper.stop_container(pod, target, message=kill.message, cause=kill.cause, pod_ip=ip)
                progress.changed = True
            except RuntimeFailure as failure:
                log.warning("cannot stop %s of %s: %s", kill.name, pod.full_name, failure)
                progress.retry_at = self._clock.now() + SANDBOX_RETRY

    def _note_waiting(self, pod: Pod, actions: PodActions) -> None:
        for name, waiting in actions.waiting.items():
            if waiting.reason == "CrashLoopBackOff":
                text = f"Back-off restarting failed container {name} in pod {pod.full_name}"
                self._events.event(pod_reference(pod, pod.container(name)), WARNING, "BackOff", text)

    async def _start_all(
        self, pod: Pod, seen: PodSeen, actions: PodActions, site: Site, backoff: Backoff, progress: Progress
    ) -> None:
        killed = {kill.container_id for kill in actions.kills}
        for start in actions.starts:
            container = pod.container(start.name)
            if container is None:
                continue
            last = seen.latest(start.name)
            if last is not None and last.state == State.EXITED:
                backoff.next(backoff_key(container), last.finished_at, self._clock.now())
            elif last is not None and last.id in killed:  # its exit was not seen: we ended it a moment ago
                backoff.next(backoff_key(container), self._clock.now(), self._clock.now())
            try:
                await self._launcher.launch(pod, container, start.attempt, self._site(container, start, seen, site))
                progress.changed = True
            except LaunchError as error:
                log.info("container %s of %s: %s: %s", start.name, pod.full_name, error.reason, error.message)
                progress.waiting[start.name] = Waiting(error.reason, error.message, error.retry_at)
                progress.changed = progress.changed or error.reason in ("RunContainerError", "PostStartHookError")

    @staticmethod
    def _site(container: Container, start: Start, seen: PodSeen, site: Site) -> Site:
        if start.kind != "ephemeral" or not container.target_container_name:
            return site
        target = seen.latest(container.target_container_name)
        return Site(site.sandbox_id, site.sandbox, site.pod_ips, target.id if target is not None else "")

    def sandbox_config(self, pod: Pod, attempt: int) -> cri.PodSandboxConfig:
        dns = self._network.dns()
        hostname, _ = host_name_and_domain(pod, dns.domain)
        return sandbox_config(
            pod,
            attempt=attempt,
            hostname=hostname,
            resolver=pod_resolver(pod, dns, self._network.host_resolver()),
            log_dir=log_directory(self._pod_logs, pod),
            cgroup_parent=pod_cgroup_path(pod, self._cgroup_root),
        )

    async def _handler(self, pod: Pod) -> str:
        name = pod.spec.runtime_class_name
        if not name:
            return ""
        answer = await self._api.get(f"/apis/node.k8s.io/v1/runtimeclasses/{name}")
        return str(answer.get("handler") or "")

    async def _addresses(self, sandbox_id: str) -> tuple[str, ...]:
        status = await self._runtime.sandbox_status(sandbox_id)
        ips = [status.network.ip, *(extra.ip for extra in status.network.additional_ips)]
        return tuple(ip for ip in ips if ip)

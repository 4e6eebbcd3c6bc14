"""The service: identity first, then the runtime, then everything at once until it is told to stop.

Pods outlive the kubelet: stopping it leaves them as they are, and its successor takes them over.
"""

import asyncio
import logging
import socket
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from component_base.clock import Clock, SystemClock
from component_base.http2.channel import Http2Channel
from component_base.rng import system_rng
from kubeclient.events import EventRecorder
from kubeclient.kubeconfig import KubeConfig
from kubeclient.rest import RestClient
from kubelet.agent import Agent
from kubelet.credentials.bootstrap import ServingCertificate, ensure_identity, rotate_client
from kubelet.cri.client import CriClient
from kubelet.node.document import Health
from kubelet.node.guard import NodeGuard
from kubelet.node.keeper import NodeKeeper
from kubelet.node.lease import NodeLease
from kubelet.node.machine import outward_address, read_machine
from kubelet.server.front import Guard, HealthApp, Pages
from kubelet.server.stats import Stats
from kubelet.settings import Settings
from kubelet.storage import Storekeeper
from kubelet.sync.observed import State
from kubelet.sync.static import StaticPods
from serving.delegated import DelegatedAuth
from serving.host import HttpServer, HttpsServer

log = logging.getLogger(__name__)
IDLE_CONNECTIONS = 16
"""Kept to the apiserver: enough for a burst of pods; each request looks through all of them."""


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Until `stop`. Raises KubeConfigError and OSError with a sentence for the user before anything is started."""
    clock = SystemClock()
    client = RestClient(await ensure_identity(settings, clock), "kubelet", clock, max_connections=IDLE_CONNECTIONS)
    images = Http2Channel(settings.image_endpoint) if settings.image_endpoint else None
    runtime = CriClient(Http2Channel(settings.runtime_endpoint), images)
    events = EventRecorder(client, "kubelet", settings.hostname, clock)
    agent = Agent(settings, client, runtime, events, clock, await asyncio.to_thread(read_machine))
    agent.state.ips = (settings.node_ip or outward_address(),)
    service = Service(settings, client, runtime, events, agent, clock)
    try:
        await service.run(stop)
    finally:
        await agent.fleet.stop()
        agent.objects.close()
        await runtime.close()
        await client.close()


def hide_pods(root: Path) -> None:
    """Tokens and Secrets lie below, readable for whomever containers run as: on the host that is root's business."""
    pods = root / "pods"
    pods.mkdir(parents=True, exist_ok=True)
    pods.chmod(0o750)


class Service:
    """All long-running parts, started together and cancelled together."""

    def __init__(
        self,
        settings: Settings,
        client: RestClient,
        runtime: CriClient,
        events: EventRecorder,
        agent: Agent,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._client = client
        self._runtime = runtime
        self._events = events
        self._agent = agent
        self._clock = clock
        self._certificate = ServingCertificate(settings, clock)
        self._stats = Stats(runtime, clock, agent.cgroups, settings.root, agent.machine.memory_bytes, starts_of(agent))
        self._guard = NodeGuard(agent, self._stats, clock)
        self._https: HttpsServer | None = None
        self._keeper = NodeKeeper(
            settings=settings,
            api=client,
            runtime=runtime,
            images=runtime,
            events=events,
            clock=clock,
            machine=agent.machine,
            state=agent.state,
            pressures=self._pressures,
            pleg_complaint=self._pleg_complaint,
            port=lambda: self._https.port if self._https is not None else settings.port,
            network_ready=agent.fleet.wake_all,
        )

    def _pressures(self) -> Health:
        return self._guard.health

    def _pleg_complaint(self) -> str:
        pleg = self._agent.pleg
        if pleg.healthy:
            return ""
        return f"PLEG is not healthy: pleg was last seen active {pleg.silent_for:.0f}s ago; threshold is 3m0s"

    async def run(self, stop: asyncio.Event) -> None:
        settings, agent = self._settings, self._agent
        await asyncio.to_thread(hide_pods, settings.root)
        await asyncio.to_thread(self._certificate.prepare, agent.state.ips)
        servers = [self._serve_https(), *self._serve_health()]
        for server in servers:
            await server.start()
        log.info("kubelet of node %s is ready on %s:%d", settings.hostname, settings.address, servers[0].port)
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(work()) for work in self._work()]
                await stop.wait()
                for task in tasks:
                    task.cancel()
        finally:
            for server in servers:
                await server.stop()

    def _serve_https(self) -> HttpsServer:
        settings = self._settings
        auth = DelegatedAuth(self._client, self._clock, settings.anonymous_auth, settings.takes_tokens)
        app = Pages(self._agent, self._stats, self._clock)
        self._https = HttpsServer(
            Guard(app, auth, settings.hostname),
            settings.address,
            settings.port,
            self._certificate.certificate,
            self._certificate.key,
            client_ca_files=(settings.client_ca_file,) if settings.client_ca_file is not None else (),
        )
        return self._https

    def _serve_health(self) -> list[HttpServer]:
        settings = self._settings
        if not settings.healthz_port:
            return []
        return [HttpServer(HealthApp(self._agent), settings.healthz_address, settings.healthz_port)]

    def _work(self) -> list[Callable[[], Coroutine[Any, Any, None]]]:
        agent, settings, clock = self._agent, self._settings, self._clock
        rng = system_rng()
        lease = NodeLease(self._client, clock, settings.hostname, settings.lease_seconds)
        storekeeper = Storekeeper(agent, clock)

        async def renew_lease() -> None:
            await self._keeper.registered.wait()
            await lease.run(lambda: self._keeper.uid)

        static = self._static_pods()

        async def follow_pods() -> None:
            await self._keeper.registered.wait()
            if static is not None:
                # Else the housekeeping would take their containers for forgotten ones.
                await static.loaded.wait()
            await agent.follow_pods()

        async def renew_serving() -> None:
            # The approver compares the names asked for with the Node's addresses.
            await self._keeper.registered.wait()
            await self._certificate.rotate(self._client, rng, lambda: agent.state.ips)

        async def renewed(config: KubeConfig) -> None:
            await self._client.use(config)
            log.info("the client certificate was renewed")

        works: list[Callable[[], Coroutine[Any, Any, None]]] = [
            self._events.run,
            self._keeper.run,
            self._keeper.follow_node,
            renew_lease,
            agent.services.run,
            follow_pods,
            agent.pleg.run,
            agent.fleet.housekeep,
            self._guard.run,
            storekeeper.collect_images,
            storekeeper.rotate_logs,
            renew_serving,
        ]
        if static is not None:
            works.append(static.run)
        if settings.bootstrap_kubeconfig is not None and settings.rotate_certificates:
            works.append(lambda: rotate_client(settings, self._client, clock, rng, renewed))
        return works

    def _static_pods(self) -> StaticPods | None:
        settings, fleet = self._settings, self._agent.fleet
        if settings.manifests is None:
            return None
        static = StaticPods(
            folder=settings.manifests,
            node=settings.hostname,
            api=self._client,
            clock=self._clock,
            changed=fleet.on_change,
            mirrors=lambda: list(fleet.mirrors.values()),
            node_uid=lambda: self._keeper.uid,
        )
        fleet.mirrors_changed = static.mirrors_changed
        return static


def starts_of(agent: Agent) -> Callable[[], dict[str, float]]:
    """Start of each running container of a pod of this node."""

    def starts() -> dict[str, float]:
        return {
            seen.id: seen.started_at
            for worker in agent.fleet.workers.values()
            for seen in worker.seen.containers
            if seen.state is State.RUNNING
        }

    return starts


def host_name() -> str:
    return socket.gethostname()

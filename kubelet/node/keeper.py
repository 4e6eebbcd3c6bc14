"""Speaks for the node: registers it, reports its status, heeds what the API says of it (podCIDR, labels, taints)."""

import asyncio
import json
import logging
import socket
from collections.abc import Callable, Sequence
from typing import Any

import httpx

from apimachinery.errors import StatusError
from component_base.clock import Clock
from kubelet.agent import NodeState
from kubelet.api import Api, node_path
from kubelet.cri.runtime import Containers, Images, RuntimeFailure
from kubelet.events import NORMAL, Events, node_reference
from kubelet.follow import follow
from kubelet.node import document, network
from kubelet.node.document import Health, NodeReport
from kubelet.node.machine import Machine, read_disk
from kubelet.settings import Settings

log = logging.getLogger(__name__)
JSON = dict[str, Any]
UNREADY_POLL = 0.2
"""Seconds between looks at a runtime or network that is not ready: a node should be Ready as soon as it is."""
IMAGES_SECONDS = 60.0
RUNTIME_PATIENCE = 30.0
"""How long a runtime that worked before may be silent, e.g. while it is restarted, before the node is not Ready."""


class NodeKeeper:
    def __init__(
        self,
        *,
        settings: Settings,
        api: Api,
        runtime: Containers,
        images: Images,
        events: Events,
        clock: Clock,
        machine: Machine,
        state: NodeState,
        pressures: Callable[[], Health],
        pleg_complaint: Callable[[], str],
        port: Callable[[], int],
        network_ready: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._api = api
        self._runtime = runtime
        self._images = images
        self._events = events
        self._clock = clock
        self._machine = machine
        self._state = state
        self._pressures = pressures
        self._pleg_complaint = pleg_complaint
        self._port = port
        self._network_ready = network_ready
        self._version = ""
        self._image_list: list[JSON] = []
        self._images_at = -IMAGES_SECONDS
        self._status: JSON = {}
        self._reported_at = -settings.node_report_seconds
        self._answered_at: float | None = None
        self._cidrs: tuple[str, ...] = ()
        self._prepared: tuple[str, ...] = ()
        self._wake = asyncio.Event()
        self.uid = ""
        self.registered = asyncio.Event()
        state.network_complaint = "the runtime has not been asked yet"

    async def run(self) -> None:
        """For ever: register, then report."""
        self._event("Starting", "Starting kubelet.")
        if self._settings.pod_cidr:
            await self._set_network([self._settings.pod_cidr])
        await self._look()
        await self._register()
        while True:
            await self._look()
            if self.uid:
                await self._report()
            ready = not (self._state.network_complaint or self._state.runtime_complaint)
            await self._pause(self._settings.node_status_seconds if ready else UNREADY_POLL)

    async def _pause(self, seconds: float) -> None:
        self._wake.clear()
        sleep = asyncio.ensure_future(self._clock.sleep(seconds))
        woken = asyncio.ensure_future(self._wake.wait())
        try:
            await asyncio.wait((sleep, woken), return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleep.cancel()
            woken.cancel()

    async def follow_node(self) -> None:
        name = self._settings.hostname
        await self.registered.wait()
        await follow(
            self._api,
            self._clock,
            "/api/v1/nodes",
            {"fieldSelector": f"metadata.name={name}"},
            decode=json.loads,
            on_change=self._changed,
            on_synced=lambda present: None,
        )

    def _changed(self, uid: str, node: JSON | None) -> None:
        if node is None:
            # As upstream: who deletes a node does not want it back by itself.
            log.warning("the Node object %s was deleted; restart the kubelet to register it again", uid)
            self.uid = ""
            return
        self._adopt(node)
        cidrs = node["spec"].get("podCIDRs") or ([node["spec"]["podCIDR"]] if node["spec"].get("podCIDR") else [])
        if cidrs and tuple(cidrs) != self._cidrs and not self._settings.pod_cidr:
            self._cidrs = tuple(cidrs)
            self._wake.set()

    def _adopt(self, node: JSON) -> None:
        self.uid = node["metadata"]["uid"]
        self._state.labels = dict(node["metadata"].get("labels") or {})
        self._state.taints = list(node["spec"].get("taints") or ())

    async def _set_network(self, cidrs: Sequence[str]) -> None:
        settings = self._settings
        cluster = [c for c in settings.cluster_cidr.split(",") if c]
        await network.prepare(cidrs, settings.cni_conf_dir, settings.root / "cni", cluster)
        self._prepared = tuple(cidrs)
        try:
            await self._runtime.set_pod_cidr(",".join(cidrs))
        except RuntimeFailure as failure:
            log.debug("the runtime takes no podCIDR: %s", failure)

    async def _look(self) -> None:
        """Asks the runtime how it is, and brings the network up once the podCIDR is known."""
        if self._cidrs and self._cidrs != self._prepared:
            await self._set_network(self._cidrs)
        state = self._state
        try:
            if not self._version or state.runtime_complaint:
                version = await self._runtime.version()
                self._version = f"{version.name}://{version.version.partition('~')[0]}"
                state.runtime_name = version.name
            conditions = await self._runtime.conditions()
        except RuntimeFailure as failure:
            now = self._clock.monotonic()
            if self._answered_at is None or now - self._answered_at > RUNTIME_PATIENCE:
                state.runtime_complaint = f"container runtime is down: {failure}"
            return
        self._answered_at = self._clock.monotonic()
        runtime, net = conditions.get("RuntimeReady"), conditions.get("NetworkReady")
        state.runtime_complaint = (
            "" if runtime is not None and runtime.ok else "container runtime status check may not have completed yet"
        )
        before = state.network_complaint
        if net is not None and not net.ok:
            state.network_complaint = (
                f"container runtime network not ready: NetworkReady=false reason:{net.reason} message:{net.message}"
            )
        else:
            state.network_complaint = ""
        if before and not state.network_complaint:
            self._network_ready()

    async def _report_now(self) -> NodeReport:
        complaints = [c for c in (self._state.runtime_complaint, self._state.network_complaint) if c]
        if pleg := self._pleg_complaint():
            complaints.append(pleg)
        pressures = self._pressures()
        health = Health(tuple(complaints), pressures.memory_pressure, pressures.disk_pressure, pressures.pid_pressure)
        if self._clock.monotonic() - self._images_at >= IMAGES_SECONDS and not self._state.runtime_complaint:
            listed = await self._images.list_images()
            self._images_at = self._clock.monotonic()
            self._image_list = document.image_list(([*i.repo_digests, *i.repo_tags], i.size) for i in listed)
        return NodeReport(
            settings=self._settings,
            machine=self._machine,
            disk=await asyncio.to_thread(read_disk, self._settings.root),
            ips=self._state.ips,
            host_name=self._settings.hostname or socket.gethostname(),
            runtime=self._version,
            health=health,
            images=self._image_list,
            port=self._port(),
        )

    async def _register(self) -> None:
        delay = 0.1
        while True:
            try:
                await self._register_once()
                self.registered.set()
                return
            except (StatusError, httpx.HTTPError, OSError, RuntimeFailure) as error:
                log.warning("cannot register the node, retrying in %.1f s: %s", delay, error)
                await self._clock.sleep(delay)
                delay = min(delay * 2, 7.0)

    async def _register_once(self) -> None:
        body = document.new_node(await self._report_now(), self._clock.now())
        try:
            if self._settings.register:
                created = await self._api.create("/api/v1/nodes", body)
                self._accept(created, body["status"])
                log.info("registered node %s", self._settings.hostname)
                return
        except StatusError as error:
            if error.code != 409:
                raise
        found = await self._api.get(node_path(self._settings.hostname))
        await self._reconcile(found, body)
        self._accept(found, found.get("status") or {})

    async def _reconcile(self, found: JSON, body: JSON) -> None:
        """A node that exists keeps what others put on it; our own labels and annotations are brought up to date."""
        wanted = {
            key: {k: v for k, v in body["metadata"][key].items() if (found["metadata"].get(key) or {}).get(k) != v}
            for key in ("labels", "annotations")
        }
        change = {key: value for key, value in wanted.items() if value}
        if change:
            await self._api.patch(node_path(self._settings.hostname), {"metadata": change})

    def _accept(self, node: JSON, status: JSON) -> None:
        self._status = status
        self._changed(node["metadata"]["uid"], node)
        self._state.allocatable = dict(status.get("allocatable") or {})
        self._announce(status, {})

    async def _report(self) -> None:
        try:
            report = await self._report_now()
            now = self._clock.now()
            status = document.node_status(report, self._status, now)
            due = self._clock.monotonic() - self._reported_at >= self._settings.node_report_seconds
            if document.same_status(status, self._status) and not due:
                return
            patch = document.status_patch(status, self._status)
            await self._api.patch(node_path(self._settings.hostname, "status"), patch)
        except (StatusError, httpx.HTTPError, OSError, RuntimeFailure) as error:
            log.warning("cannot report the node's status: %s", error)
            return
        self._announce(status, self._status)
        self._state.allocatable = dict(status["allocatable"])
        self._status, self._reported_at = status, self._clock.monotonic()

    def _announce(self, status: JSON, before: JSON) -> None:
        for reason in document.transitions(status, before) if status.get("conditions") else ():
            self._event(reason, f"Node {self._settings.hostname} status is now: {reason}")

    def _event(self, reason: str, message: str) -> None:
        self._events.event(node_reference(self._settings.hostname), NORMAL, reason, message)

"""Following what happens to containers: containerd's events, and after a gap the tasks themselves.

Killing the shim leaves containers running; `reconcile` takes them over again: their output, exits and sandboxes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

from google.protobuf.timestamp_pb2 import Timestamp

from component_base import tasks as background
from component_base.rpc import Code, RpcError
from kubelet.cri_shim import views
from kubelet.cri_shim.cgroups import CgroupReader
from kubelet.cri_shim.containerd_client import MARK_TOPIC
from kubelet.cri_shim.containers import Containers
from kubelet.cri_shim.core import Core
from kubelet.cri_shim.records import ContainerRecord, SandboxRecord
from skiff_pb.containerd import event_pb2, task_events_pb2, task_pb2
from skiff_pb.cri import runtime_pb2 as cri

logger = logging.getLogger(__name__)

DRAIN_SECONDS = 2.0
RETRY_SECONDS = 0.5
MAX_RETRY_SECONDS = 10.0
UNKNOWN_EXIT = 255


class Lifecycle:
    def __init__(self, core: Core, containers: Containers, cgroups: CgroupReader) -> None:
        self._core = core
        self._containers = containers
        self._cgroups = cgroups
        self.connected = asyncio.Event()

    async def follow(self) -> None:
        """For ever. A broken stream is taken up again, and what was missed is found by looking at the tasks."""
        delay = RETRY_SECONDS
        while True:
            try:
                async for envelope in self._subscription():
                    if envelope.topic == MARK_TOPIC:
                        await self.reconcile()
                        self.connected.set()
                        delay = RETRY_SECONDS
                    else:
                        self._dispatch(envelope)
            except RpcError as error:
                logger.warning("containerd's events broke off (%s); trying again in %.1f s", error.message, delay)
            await self._core.clock.sleep(delay)
            delay = min(delay * 2, MAX_RETRY_SECONDS)

    async def _subscription(self) -> AsyncIterator[event_pb2.Envelope]:
        """Events, after our own mark has come back: from then on none can be missed."""
        marker = f"{self._core.rng.getrandbits(64):016x}"
        marked = False
        marking = background.spawn(self._mark(marker), "mark the event stream")
        try:
            async for envelope in self._core.containerd.events():
                if envelope.topic == MARK_TOPIC:
                    if envelope.event.value != marker.encode() or marked:
                        continue
                    marked = True
                    marking.cancel()
                yield envelope
        finally:
            marking.cancel()

    async def _mark(self, marker: str) -> None:
        """Say it until it is heard: there is no telling when the subscription is in place."""
        while True:
            try:
                await self._core.containerd.mark(marker)
            except RpcError as error:
                logger.debug("containerd does not take events yet: %s", error.message)
            await self._core.clock.sleep(0.05)

    def _dispatch(self, envelope: event_pb2.Envelope) -> None:
        if envelope.topic == "/tasks/oom":
            oom = task_events_pb2.TaskOOM.FromString(envelope.event.value)
            if record := self._core.store.containers.get(oom.container_id):
                record.oom_killed = True
            return
        exit_event = task_events_pb2.TaskExit.FromString(envelope.event.value)
        if exit_event.id != exit_event.container_id:
            return
        if exit_event.container_id in self._core.store.containers:
            work = self.container_exited(exit_event.container_id, exit_event.exit_status, exit_event.exited_at)
        elif exit_event.container_id in self._core.store.sandboxes:
            work = self.sandbox_exited(exit_event.container_id)
        else:
            return
        background.spawn(work, f"exit of {exit_event.container_id[:12]}")

    async def container_exited(self, container_id: str, status: int, at: Timestamp) -> None:
        core = self._core
        running = core.store.running(container_id)
        async with running.lock:
            record = core.store.containers.get(container_id)
            if record is None or record.finished_at or not record.started_at:
                return
            record.oom_killed = record.oom_killed or await asyncio.to_thread(self._oom_killed, record)
            await self._delete_task(container_id)
            if running.io is not None:
                await running.io.wait_drained(DRAIN_SECONDS)
                running.io.close(remove=True)
                running.io = None
            finished = at.seconds * 1_000_000_000 + at.nanos if at.seconds else core.now_ns()
            await self._finish(record, status, finished)

    async def _finish(self, record: ContainerRecord, status: int, at_ns: int, reason: str = "") -> None:
        core = self._core
        record.pid, record.exit_code, record.finished_at = 0, status, max(at_ns, record.started_at)
        record.reason = reason
        try:
            await core.store.save(record)
        except RpcError as error:
            # What we know stays right while we live; after a restart the missing task tells of the end.
            logger.warning("the end of container %s could not be saved: %s", record.id, error.message)
        core.store.running(record.id).exited.set()
        self.announce(record.id, record.sandbox_id, cri.CONTAINER_STOPPED_EVENT)

    async def sandbox_exited(self, sandbox_id: str) -> None:
        core = self._core
        if sandbox_id in core.store.live_sandboxes:
            logger.warning("sandbox %s ended by itself", sandbox_id)
            core.store.live_sandboxes.discard(sandbox_id)
            await self._delete_task(sandbox_id)
        self.announce(sandbox_id, sandbox_id, cri.CONTAINER_STOPPED_EVENT)

    async def _delete_task(self, identity: str) -> None:
        delay = RETRY_SECONDS
        for _ in range(5):
            try:
                await self._core.containerd.delete_task(identity)
                return
            except RpcError as error:
                logger.warning("the ended task %s cannot be deleted yet: %s", identity, error.message)
            await self._core.clock.sleep(delay)
            delay *= 2

    def _oom_killed(self, record: ContainerRecord) -> bool:
        sandbox = self._core.store.sandboxes.get(record.sandbox_id)
        parent = sandbox.pod_config().linux.cgroup_parent if sandbox else ""
        return self._cgroups.oom_kills(parent, record.id) > 0

    async def reconcile(self) -> None:
        """Make our picture agree with the tasks that exist."""
        tasks = await self._core.containerd.tasks()
        for sandbox in list(self._core.store.sandboxes.values()):
            await self._reconcile_sandbox(sandbox, tasks.get(sandbox.id))
        for record in list(self._core.store.containers.values()):
            await self._reconcile_container(record, tasks.get(record.id))

    async def _reconcile_sandbox(self, record: SandboxRecord, task: task_pb2.Process | None) -> None:
        core = self._core
        running = task is not None and task.status in (task_pb2.RUNNING, task_pb2.PAUSED)
        if running and record.pid and not record.stopped:
            core.store.live_sandboxes.add(record.id)
            return
        core.store.live_sandboxes.discard(record.id)
        if task is not None and task.status == task_pb2.STOPPED:
            await self._delete_task(record.id)

    async def _reconcile_container(self, record: ContainerRecord, task: task_pb2.Process | None) -> None:
        core = self._core
        running = core.store.running(record.id)
        if record.finished_at:
            running.exited.set()
            return
        if running.lock.locked():
            # Being started or stopped right now by a request of this very process.
            return
        if task is not None and not record.started_at:
            # We died between making the task and writing down that it runs.
            record.started_at, record.pid = core.now_ns(), task.pid
        if task is not None and task.status == task_pb2.STOPPED:
            await self.container_exited(record.id, task.exit_status, task.exited_at)
        elif task is not None and task.status == task_pb2.CREATED:
            await core.containerd.kill(record.id, 9)
            await self._delete_task(record.id)
            record.started_at = record.pid = 0
        elif task is None and record.started_at:
            async with running.lock:
                await self._finish(record, UNKNOWN_EXIT, core.now_ns(), "Unknown")
        elif task is not None and running.io is None:
            running.io = self._containers.container_io(record)
            await asyncio.to_thread(running.io.prepare)
            running.io.open()
            logger.info("container %s goes on running; its output is followed again", record.id)

    def announce(self, container_id: str, sandbox_id: str, kind: cri.ContainerEventType) -> None:
        """Tell those who listen, with the pod's whole state, as the kubelet's event-driven mode wants it."""
        core = self._core
        if not core.feed.wanted:
            return
        event = cri.ContainerEventResponse(
            container_id=container_id, container_event_type=kind, created_at=core.now_ns()
        )
        sandbox = core.store.sandboxes.get(sandbox_id)
        if sandbox is not None:
            event.pod_sandbox_status.CopyFrom(views.sandbox_status(sandbox, sandbox_id in core.store.live_sandboxes))
        event.containers_statuses.extend(views.container_status(each) for each in core.store.containers_of(sandbox_id))
        core.feed.publish(event)


async def wait_for_containerd(core: Core, seconds: float) -> None:
    """Until containerd answers; raises the last refusal after `seconds`."""
    deadline = core.clock.monotonic() + seconds
    while True:
        try:
            await core.containerd.version()
            return
        except RpcError as error:
            if error.code not in (Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED) or core.clock.monotonic() > deadline:
                raise
        await core.clock.sleep(0.1)

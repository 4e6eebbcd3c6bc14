"""containerd's gRPC services as the shim uses them: one namespace, plain Python arguments, RpcError on failure."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.descriptor import FileDescriptor, ServiceDescriptor
from google.protobuf.empty_pb2 import Empty
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from component_base.clock import Clock
from component_base.http2.channel import Http2Channel
from component_base.rng import Rng
from component_base.rpc import Code, RpcError
from kubelet.cri_shim.log_format import timestamp
from skiff_pb.containerd import (
    containers_pb2,
    events_pb2,
    leases_pb2,
    metrics_pb2,
    namespace_pb2,
    runc_options_pb2,
    snapshots_pb2,
    task_pb2,
    tasks_pb2,
    version_pb2,
)
from skiff_pb.containerd import event_pb2 as envelope_pb2
from skiff_pb.containerd import mount_pb2 as mounts

SPEC_TYPE = "types.containerd.io/opencontainers/runtime-spec/1/Spec"
PROCESS_TYPE = "types.containerd.io/opencontainers/runtime-spec/1/Process"
RESOURCES_TYPE = "types.containerd.io/opencontainers/runtime-spec/1/LinuxResources"
RUNC_OPTIONS_TYPE = "containerd.runc.v1.Options"
MARK_TYPE = "skiff.dev/mark"
MARK_TOPIC = "/skiff/mark"
LEASE_SECONDS = 24 * 3600
RUNTIME = "io.containerd.runc.v2"

M = TypeVar("M", bound=Message)
T = TypeVar("T")


def service(descriptor: FileDescriptor, name: str) -> ServiceDescriptor:
    return descriptor.services_by_name[name]


CONTAINERS = service(containers_pb2.DESCRIPTOR, "Containers")
TASKS = service(tasks_pb2.DESCRIPTOR, "Tasks")
SNAPSHOTS = service(snapshots_pb2.DESCRIPTOR, "Snapshots")
LEASES = service(leases_pb2.DESCRIPTOR, "Leases")
EVENTS = service(events_pb2.DESCRIPTOR, "Events")
NAMESPACES = service(namespace_pb2.DESCRIPTOR, "Namespaces")
VERSION = service(version_pb2.DESCRIPTOR, "Version")


def any_json(type_url: str, value: Mapping[str, Any]) -> AnyMessage:
    return AnyMessage(type_url=type_url, value=json.dumps(value, separators=(",", ":")).encode())


class Containerd:
    """`lease_prefix` names whose leases are whose: the shim clears its own after a crash, and nobody else's."""

    def __init__(
        self, channel: Http2Channel, namespace: str, snapshotter: str = "overlayfs", lease_prefix: str = "skiff"
    ) -> None:
        self.lease_prefix = lease_prefix
        self._channel = channel
        self.namespace = namespace
        self.snapshotter = snapshotter

    def _metadata(self, lease: str | None) -> dict[str, str]:
        metadata = {"containerd-namespace": self.namespace}
        if lease:
            metadata["containerd-lease"] = lease
        return metadata

    async def call(
        self,
        where: ServiceDescriptor,
        method: str,
        request: Message,
        answer: type[M],
        *,
        timeout: float | None = 60.0,
        lease: str | None = None,
    ) -> M:
        response = await self._channel.unary(where, method, request, timeout=timeout, metadata=self._metadata(lease))
        if not isinstance(response, answer):
            raise RpcError(Code.INTERNAL, f"{method} answered with {type(response).__name__}")
        return response

    def stream(
        self,
        where: ServiceDescriptor,
        method: str,
        requests: AsyncIterator[Message] | Message,
        lease: str | None = None,
    ) -> AsyncIterator[Message]:
        return self._channel.stream(where, method, requests, metadata=self._metadata(lease))

    async def version(self) -> version_pb2.VersionResponse:
        return await self.call(VERSION, "Version", Empty(), version_pb2.VersionResponse, timeout=10.0)

    async def ensure_namespace(self) -> None:
        request = namespace_pb2.CreateNamespaceRequest()
        request.namespace.name = self.namespace
        try:
            await self.call(NAMESPACES, "Create", request, namespace_pb2.CreateNamespaceResponse)
        except RpcError as error:
            if error.code != Code.ALREADY_EXISTS:
                raise

    # containers

    async def containers(self, *filters: str) -> Sequence[containers_pb2.Container]:
        request = containers_pb2.ListContainersRequest(filters=filters)
        return (await self.call(CONTAINERS, "List", request, containers_pb2.ListContainersResponse)).containers

    async def container(self, container_id: str) -> containers_pb2.Container:
        request = containers_pb2.GetContainerRequest(id=container_id)
        return (await self.call(CONTAINERS, "Get", request, containers_pb2.GetContainerResponse)).container

    async def create_container(
        self,
        container_id: str,
        *,
        image: str,
        labels: Mapping[str, str],
        spec: Mapping[str, Any],
        snapshot_key: str,
        extensions: Mapping[str, AnyMessage],
        systemd_cgroup: bool,
    ) -> None:
        container = containers_pb2.Container(
            id=container_id,
            labels=dict(labels),
            image=image,
            snapshotter=self.snapshotter,
            snapshot_key=snapshot_key,
            spec=any_json(SPEC_TYPE, spec),
        )
        container.runtime.name = RUNTIME
        options = runc_options_pb2.Options(systemd_cgroup=systemd_cgroup)
        container.runtime.options.CopyFrom(AnyMessage(type_url=RUNC_OPTIONS_TYPE, value=options.SerializeToString()))
        for name, value in extensions.items():
            container.extensions[name].CopyFrom(value)
        request = containers_pb2.CreateContainerRequest(container=container)
        await self.call(CONTAINERS, "Create", request, containers_pb2.CreateContainerResponse)

    async def update_extension(self, container_id: str, name: str, value: AnyMessage) -> None:
        container = containers_pb2.Container(id=container_id)
        container.extensions[name].CopyFrom(value)
        request = containers_pb2.UpdateContainerRequest(
            container=container, update_mask=FieldMask(paths=[f"extensions.{name}"])
        )
        await self.call(CONTAINERS, "Update", request, containers_pb2.UpdateContainerResponse)

    async def update_spec(self, container_id: str, spec: Mapping[str, Any]) -> None:
        container = containers_pb2.Container(id=container_id, spec=any_json(SPEC_TYPE, spec))
        request = containers_pb2.UpdateContainerRequest(container=container, update_mask=FieldMask(paths=["spec"]))
        await self.call(CONTAINERS, "Update", request, containers_pb2.UpdateContainerResponse)

    async def spec(self, container_id: str) -> dict[str, Any]:
        """The OCI spec as it was last written."""
        loaded: dict[str, Any] = json.loads((await self.container(container_id)).spec.value)
        return loaded

    async def delete_container(self, container_id: str) -> None:
        request = containers_pb2.DeleteContainerRequest(id=container_id)
        await ignore_missing(self.call(CONTAINERS, "Delete", request, Empty))

    # tasks

    async def create_task(
        self,
        container_id: str,
        rootfs: Sequence[mounts.Mount],
        *,
        stdin: str = "",
        stdout: str = "",
        stderr: str = "",
        terminal: bool = False,
    ) -> int:
        request = tasks_pb2.CreateTaskRequest(
            container_id=container_id, rootfs=rootfs, stdin=stdin, stdout=stdout, stderr=stderr, terminal=terminal
        )
        return (await self.call(TASKS, "Create", request, tasks_pb2.CreateTaskResponse, timeout=120.0)).pid

    async def start(self, container_id: str, exec_id: str = "") -> int:
        request = tasks_pb2.StartRequest(container_id=container_id, exec_id=exec_id)
        return (await self.call(TASKS, "Start", request, tasks_pb2.StartResponse, timeout=120.0)).pid

    async def kill(self, container_id: str, signal: int, *, exec_id: str = "", everyone: bool = False) -> None:
        request = tasks_pb2.KillRequest(container_id=container_id, exec_id=exec_id, signal=signal, all=everyone)
        await ignore_missing(self.call(TASKS, "Kill", request, Empty))

    async def wait(self, container_id: str, exec_id: str = "") -> tasks_pb2.WaitResponse:
        request = tasks_pb2.WaitRequest(container_id=container_id, exec_id=exec_id)
        return await self.call(TASKS, "Wait", request, tasks_pb2.WaitResponse, timeout=None)

    async def delete_task(self, container_id: str) -> tasks_pb2.DeleteResponse | None:
        request = tasks_pb2.DeleteTaskRequest(container_id=container_id)
        return await ignore_missing(self.call(TASKS, "Delete", request, tasks_pb2.DeleteResponse))

    async def tasks(self) -> dict[str, task_pb2.Process]:
        answer = await self.call(TASKS, "List", tasks_pb2.ListTasksRequest(), tasks_pb2.ListTasksResponse)
        return {task.id or task.container_id: task for task in answer.tasks}

    async def task(self, container_id: str) -> task_pb2.Process | None:
        request = tasks_pb2.GetRequest(container_id=container_id)
        found = await ignore_missing(self.call(TASKS, "Get", request, tasks_pb2.GetResponse))
        return found.process if found is not None else None

    async def exec(
        self,
        container_id: str,
        exec_id: str,
        process: Mapping[str, Any],
        *,
        stdin: str,
        stdout: str,
        stderr: str,
        terminal: bool,
    ) -> None:
        request = tasks_pb2.ExecProcessRequest(
            container_id=container_id,
            exec_id=exec_id,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            terminal=terminal,
            spec=any_json(PROCESS_TYPE, process),
        )
        await self.call(TASKS, "Exec", request, Empty)

    async def delete_process(self, container_id: str, exec_id: str) -> None:
        request = tasks_pb2.DeleteProcessRequest(container_id=container_id, exec_id=exec_id)
        await ignore_missing(self.call(TASKS, "DeleteProcess", request, tasks_pb2.DeleteResponse))

    async def close_stdin(self, container_id: str, exec_id: str = "") -> None:
        request = tasks_pb2.CloseIORequest(container_id=container_id, exec_id=exec_id, stdin=True)
        await ignore_missing(self.call(TASKS, "CloseIO", request, Empty))

    async def resize(self, container_id: str, exec_id: str, width: int, height: int) -> None:
        request = tasks_pb2.ResizePtyRequest(container_id=container_id, exec_id=exec_id, width=width, height=height)
        await ignore_missing(self.call(TASKS, "ResizePty", request, Empty))

    async def update_task(self, container_id: str, resources: Mapping[str, Any]) -> None:
        request = tasks_pb2.UpdateTaskRequest(container_id=container_id, resources=any_json(RESOURCES_TYPE, resources))
        await self.call(TASKS, "Update", request, Empty)

    async def metrics(self, *filters: str) -> Sequence[metrics_pb2.Metric]:
        request = tasks_pb2.MetricsRequest(filters=filters)
        return (await self.call(TASKS, "Metrics", request, tasks_pb2.MetricsResponse)).metrics

    # snapshots

    async def prepare_snapshot(
        self, key: str, parent: str, labels: Mapping[str, str] | None = None, lease: str | None = None
    ) -> Sequence[mounts.Mount]:
        request = snapshots_pb2.PrepareSnapshotRequest(
            snapshotter=self.snapshotter, key=key, parent=parent, labels=dict(labels or {})
        )
        answer = await self.call(SNAPSHOTS, "Prepare", request, snapshots_pb2.PrepareSnapshotResponse, lease=lease)
        return answer.mounts

    async def view_snapshot(self, key: str, parent: str, lease: str | None = None) -> Sequence[mounts.Mount]:
        """A read-only look at a committed snapshot."""
        request = snapshots_pb2.ViewSnapshotRequest(
            # Nothing refers to a view but its name, so it must say itself that it is wanted.
            snapshotter=self.snapshotter,
            key=key,
            parent=parent,
            labels={"containerd.io/gc.root": "container"},
        )
        answer = await self.call(SNAPSHOTS, "View", request, snapshots_pb2.ViewSnapshotResponse, lease=lease)
        return answer.mounts

    async def commit_snapshot(self, name: str, key: str, labels: Mapping[str, str], lease: str | None) -> None:
        request = snapshots_pb2.CommitSnapshotRequest(
            snapshotter=self.snapshotter, name=name, key=key, labels=dict(labels)
        )
        await self.call(SNAPSHOTS, "Commit", request, Empty, lease=lease)

    async def snapshot_mounts(self, key: str) -> Sequence[mounts.Mount]:
        request = snapshots_pb2.MountsRequest(snapshotter=self.snapshotter, key=key)
        return (await self.call(SNAPSHOTS, "Mounts", request, snapshots_pb2.MountsResponse)).mounts

    async def has_snapshot(self, key: str) -> bool:
        request = snapshots_pb2.StatSnapshotRequest(snapshotter=self.snapshotter, key=key)
        return (
            await ignore_missing(self.call(SNAPSHOTS, "Stat", request, snapshots_pb2.StatSnapshotResponse)) is not None
        )

    async def snapshot_root(self, probe: str) -> str:
        """The snapshotter's folder on disk, read off the mounts of an empty snapshot."""
        mounts = await self.prepare_snapshot(probe, "")
        await self.remove_snapshot(probe)
        source = mounts[0].source if mounts else ""
        return source.partition("/snapshots/")[0]

    async def snapshot_usage(self, key: str) -> snapshots_pb2.UsageResponse | None:
        request = snapshots_pb2.UsageRequest(snapshotter=self.snapshotter, key=key)
        return await ignore_missing(self.call(SNAPSHOTS, "Usage", request, snapshots_pb2.UsageResponse))

    async def snapshot_keys(self) -> list[str]:
        request = snapshots_pb2.ListSnapshotsRequest(snapshotter=self.snapshotter)
        keys: list[str] = []
        async for answer in self.stream(SNAPSHOTS, "List", request):
            if isinstance(answer, snapshots_pb2.ListSnapshotsResponse):
                keys += [info.name for info in answer.info]
        return keys

    async def remove_snapshot(self, key: str) -> None:
        request = snapshots_pb2.RemoveSnapshotRequest(snapshotter=self.snapshotter, key=key)
        await ignore_missing(self.call(SNAPSHOTS, "Remove", request, Empty))

    # leases and events

    async def create_lease(self, lease_id: str, expires_rfc3339: str) -> None:
        request = leases_pb2.CreateRequest(id=lease_id, labels={"containerd.io/gc.expire": expires_rfc3339})
        await self.call(LEASES, "Create", request, leases_pb2.CreateResponse)

    async def protect(self, lease_id: str, digest: str) -> None:
        """Hold content that was already there under a lease of ours."""
        resource = leases_pb2.Resource(id=digest, type="content")
        request = leases_pb2.AddResourceRequest(id=lease_id, resource=resource)
        await self.call(LEASES, "AddResource", request, Empty)

    async def delete_lease(self, lease_id: str) -> None:
        await ignore_missing(self.call(LEASES, "Delete", leases_pb2.DeleteRequest(id=lease_id), Empty))

    async def drop_leases(self, prefix: str) -> int:
        """End leases that an earlier life left; what they alone held is collected."""
        answer = await self.call(LEASES, "List", leases_pb2.ListRequest(), leases_pb2.ListResponse)
        left = [lease.id for lease in answer.leases if lease.id.startswith(f"{prefix}-")]
        for lease in left:
            await self.delete_lease(lease)
        return len(left)

    async def events(self) -> AsyncIterator[envelope_pb2.Envelope]:
        """Exits and out-of-memory kills in our namespace, and the marks that `mark` makes."""
        filters = [f'namespace=={self.namespace},topic~="^/(tasks/(exit|oom)|skiff/mark)$"']
        request = events_pb2.SubscribeRequest(filters=filters)
        async for envelope in self.stream(EVENTS, "Subscribe", request):
            if isinstance(envelope, envelope_pb2.Envelope):
                yield envelope

    async def mark(self, value: str) -> None:
        """Publish an event that a subscriber recognises: it proves that the subscription is in place."""
        event = AnyMessage(type_url=MARK_TYPE, value=value.encode())
        await self.call(EVENTS, "Publish", events_pb2.PublishRequest(topic=MARK_TOPIC, event=event), Empty)


@asynccontextmanager
async def temporary_lease(containerd: Containerd, clock: Clock, rng: Rng) -> AsyncIterator[str]:
    """Protects what is made inside from garbage collection; ends by itself should we not live to delete it."""
    lease = f"{containerd.lease_prefix}-{rng.getrandbits(64):016x}"
    await containerd.create_lease(lease, timestamp(int((clock.now() + LEASE_SECONDS) * 1e9)).decode())
    try:
        yield lease
    finally:
        await asyncio.shield(containerd.delete_lease(lease))


async def ignore_missing(call: Awaitable[T]) -> T | None:
    """The call's answer, or None when what it was about no longer exists."""
    try:
        return await call
    except RpcError as error:
        if error.code != Code.NOT_FOUND:
            raise
        return None

"""The life of a container: made from an image, started, stopped, removed, its resources changed while it runs."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
from collections.abc import Mapping, Sequence

from component_base.rpc import Code, RpcError
from kubelet.cri_shim import devices, mount_sources, records, sandbox_files
from kubelet.cri_shim.container_io import ContainerIO
from kubelet.cri_shim.containerd_client import temporary_lease
from kubelet.cri_shim.core import Core
from kubelet.cri_shim.image_catalog import ImageInfo
from kubelet.cri_shim.image_mounts import mount_images, release_images
from kubelet.cri_shim.oci_resources import linux_resources
from kubelet.cri_shim.oci_spec import ContainerInputs, ResolvedUser, container_spec
from kubelet.cri_shim.records import ContainerRecord, SandboxRecord
from kubelet.cri_shim.rootfs import layer_directories, read_file
from kubelet.cri_shim.store import extension_of
from kubelet.cri_shim.users import resolve_user
from kubelet.cri_shim.views import signal_number
from skiff_pb.containerd import mount_pb2
from skiff_pb.cri import runtime_pb2 as cri

logger = logging.getLogger(__name__)

SIGKILL = 9
KILL_WAIT = 60.0
START_FAILED = 128
START_ERROR = "StartError"


class Containers:
    def __init__(self, core: Core) -> None:
        self._core = core
        self._reserved: set[str] = set()

    async def create(self, sandbox_id: str, config: cri.ContainerConfig, sandbox_config: cri.PodSandboxConfig) -> str:
        core = self._core
        sandbox = core.store.sandbox(sandbox_id)
        if sandbox.id not in core.store.live_sandboxes:
            raise RpcError(Code.FAILED_PRECONDITION, f"sandbox container {sandbox.id!r} is not running")
        if config.linux.security_context.privileged and not sandbox.pod_config().linux.security_context.privileged:
            raise RpcError(Code.INVALID_ARGUMENT, "no privileged container allowed in sandbox")
        name = _unique_name(sandbox.id, config)
        taken = [
            r.id for r in core.store.containers_of(sandbox.id) if _unique_name(sandbox.id, r.container_config()) == name
        ]
        if taken or name in self._reserved:
            raise RpcError(Code.ALREADY_EXISTS, f'failed to reserve container name "{name}": it is reserved')
        image = await core.catalog.find(config.image.image)
        if image is None:
            raise RpcError(Code.NOT_FOUND, f'failed to resolve image "{config.image.image}": not found')
        self._reserved.add(name)
        try:
            return await self._create(sandbox, config, sandbox_config, image)
        finally:
            self._reserved.discard(name)

    async def _create(
        self,
        sandbox: SandboxRecord,
        config: cri.ContainerConfig,
        sandbox_config: cri.PodSandboxConfig,
        image: ImageInfo,
    ) -> str:
        core = self._core
        container_id = core.new_id()
        try:
            async with temporary_lease(core.containerd, core.clock, core.rng) as lease:
                mounts = await core.containerd.prepare_snapshot(container_id, image.chain, lease=lease)
                images = await mount_images(core, container_id, config.mounts, lease)
                record = await self._prepare(container_id, sandbox, config, sandbox_config, image, mounts, images)
        except (RpcError, ValueError, OSError, asyncio.CancelledError) as error:
            await asyncio.shield(self._discard(container_id, config))
            if isinstance(error, RpcError | asyncio.CancelledError):
                raise
            raise RpcError(Code.INVALID_ARGUMENT, f"failed to create container: {error}") from error
        core.store.containers[container_id] = record
        return container_id

    async def _prepare(
        self,
        container_id: str,
        sandbox: SandboxRecord,
        config: cri.ContainerConfig,
        sandbox_config: cri.PodSandboxConfig,
        image: ImageInfo,
        mounts: Sequence[mount_pb2.Mount],
        images: Mapping[str, str],
    ) -> ContainerRecord:
        core = self._core
        user = await asyncio.to_thread(_user, config, image, mounts)
        inputs = await self._inputs(container_id, sandbox, config, sandbox_config, image, user, mounts, images)
        spec = container_spec(inputs, core.traits, core.read_profile)
        stop_signal = _stop_signal(config, image)
        record = ContainerRecord(
            id=container_id,
            sandbox_id=sandbox.id,
            config=config.SerializeToString(),
            image_ref=image.reference,
            image_id=image.id,
            log_path=os.path.join(sandbox_config.log_directory, config.log_path) if config.log_path else "",
            stop_signal=stop_signal,
            uid=user.uid,
            gid=user.gid,
            groups=list(user.groups),
            created_at=core.now_ns(),
        )
        await core.containerd.create_container(
            container_id,
            image=image.names[0],
            labels={records.KIND_LABEL: "container", records.SANDBOX_LABEL: sandbox.id},
            spec=spec,
            snapshot_key=container_id,
            extensions={records.EXTENSION: extension_of(record)},
            systemd_cgroup=core.traits.systemd_cgroup,
        )
        return record

    async def _inputs(
        self,
        container_id: str,
        sandbox: SandboxRecord,
        config: cri.ContainerConfig,
        sandbox_config: cri.PodSandboxConfig,
        image: ImageInfo,
        user: ResolvedUser,
        mounts: Sequence[mount_pb2.Mount],
        images: Mapping[str, str],
    ) -> ContainerInputs:
        core = self._core
        context = config.linux.security_context
        target_pid = 0
        if context.namespace_options.pid == cri.TARGET:
            target = core.store.container(context.namespace_options.target_id)
            if target.state != cri.CONTAINER_RUNNING:
                raise ValueError(f"the target container {target.id} is not running")
            target_pid = target.pid
        pod = sandbox.pod_config()
        own = sandbox_files.binds(core.settings, sandbox.id, pod, readonly=context.readonly_rootfs)
        own += await asyncio.to_thread(
            mount_sources.image_volumes, core.settings.container_root(container_id), image.process, config, mounts
        )
        await asyncio.to_thread(mount_sources.check, config.mounts)
        return ContainerInputs(
            container_id=container_id,
            sandbox_id=sandbox.id,
            config=config,
            sandbox_config=sandbox_config if sandbox_config.HasField("metadata") else pod,
            image_config=image.process,
            user=user,
            sandbox_pid=sandbox.pid,
            netns_path=sandbox.netns,
            target_pid=target_pid,
            binds=own,
            image_mounts=images,
            devices=await asyncio.to_thread(devices.requested, list(config.devices)),
            host_devices=await asyncio.to_thread(devices.all_host_devices) if context.privileged else [],
        )

    async def _discard(self, container_id: str, config: cri.ContainerConfig) -> None:
        await self._core.containerd.delete_container(container_id)
        await release_images(self._core, container_id, config.mounts)
        await self._core.containerd.remove_snapshot(container_id)
        await asyncio.to_thread(_remove_tree, self._core.settings.container_root(container_id))

    async def start(self, container_id: str) -> None:
        core = self._core
        record = core.store.container(container_id)
        running = core.store.running(record.id)
        async with running.lock:
            if record.state != cri.CONTAINER_CREATED:
                name = cri.ContainerState.Name(record.state)
                raise RpcError(Code.FAILED_PRECONDITION, f'container "{record.id}" is in {name} state')
            if record.sandbox_id not in core.store.live_sandboxes:
                raise RpcError(Code.FAILED_PRECONDITION, f'sandbox container "{record.sandbox_id}" is not running')
            running.io = self.container_io(record)
            try:
                await self._start(record, running.io)
            except (RpcError, OSError) as error:
                await self._start_failed(record, str(error.message if isinstance(error, RpcError) else error))
                running.io.close(remove=True)
                running.io = None
                running.exited.set()
                if isinstance(error, RpcError):
                    raise
                raise RpcError(Code.UNKNOWN, f"failed to start container: {error}") from error

    def container_io(self, record: ContainerRecord) -> ContainerIO:
        config = record.container_config()
        directory = self._core.settings.io(record.id)
        return ContainerIO(
            directory,
            self._core.clock,
            stdin=config.stdin,
            tty=config.tty,
            log_path=record.log_path,
            greet=config.stdin_once,
        )

    async def _start(self, record: ContainerRecord, io: ContainerIO) -> None:
        core = self._core
        config = record.container_config()
        await asyncio.to_thread(io.prepare)
        io.open()
        mounts = await core.containerd.snapshot_mounts(record.id)
        try:
            pid = await core.containerd.create_task(
                record.id,
                mounts,
                stdin=io.stdin_path,
                stdout=io.stdout_path,
                stderr=io.stderr_path,
                terminal=config.tty,
            )
        except RpcError as error:
            raise RpcError(error.code, f"failed to create containerd task: {error.message}") from error
        await core.containerd.start(record.id)
        record.pid, record.started_at = pid, core.now_ns()
        await core.store.save(record)

    async def _start_failed(self, record: ContainerRecord, message: str) -> None:
        core = self._core
        record.pid, record.finished_at = 0, core.now_ns()
        record.exit_code, record.reason, record.message = START_FAILED, START_ERROR, message
        try:
            await core.containerd.kill(record.id, SIGKILL)
            await core.containerd.delete_task(record.id)
            await core.store.save(record)
        except RpcError as error:
            logger.warning("container %s did not start and could not be cleaned up: %s", record.id, error.message)

    async def stop(self, container_id: str, timeout: float) -> None:
        """The stop signal, `timeout` seconds of grace, then SIGKILL. Returns once the container has ended."""
        core = self._core
        record = core.store.container(container_id)
        if record.state != cri.CONTAINER_RUNNING:
            return
        exited = core.store.running(record.id).exited
        if timeout > 0:
            await self._signal(record.id, signal_number(record.stop_signal or "SIGTERM"))
            try:
                async with asyncio.timeout(timeout):
                    await exited.wait()
                return
            except TimeoutError:
                logger.info("container %s did not end within %g s of its stop signal", record.id, timeout)
        await self._signal(record.id, SIGKILL)
        try:
            async with asyncio.timeout(KILL_WAIT):
                await exited.wait()
        except TimeoutError:
            raise RpcError(Code.DEADLINE_EXCEEDED, f"container {record.id} does not end after SIGKILL") from None

    async def _signal(self, container_id: str, number: int) -> None:
        try:
            await self._core.containerd.kill(container_id, number)
        except RpcError as error:
            # It has just ended: its exit event is on the way.
            if "process already finished" not in error.message:
                raise

    async def remove(self, container_id: str) -> None:
        core = self._core
        record = core.store.container(container_id)
        await self.stop(record.id, 0)
        running = core.store.running(record.id)
        async with running.lock:
            if running.io is not None:
                running.io.close()
            await asyncio.to_thread(_remove_tree, core.settings.io(record.id))
            await core.containerd.delete_task(record.id)
            await self._discard(record.id, record.container_config())
            core.store.forget(record.id)

    async def update_resources(self, container_id: str, wanted: cri.LinuxContainerResources) -> None:
        core = self._core
        record = core.store.container(container_id)
        async with core.store.running(record.id).lock:
            if record.state == cri.CONTAINER_EXITED:
                raise RpcError(Code.FAILED_PRECONDITION, f'container "{record.id}" has exited')
            config = record.container_config()
            merged = config.linux.resources
            merged.MergeFrom(wanted)
            resources = linux_resources(merged, core.traits)
            spec = await core.containerd.spec(record.id)
            resources["devices"] = spec["linux"]["resources"].get("devices", [])
            spec["linux"]["resources"] = resources
            await core.containerd.update_spec(record.id, spec)
            if record.state == cri.CONTAINER_RUNNING:
                await core.containerd.update_task(
                    record.id, {name: value for name, value in resources.items() if name != "devices"}
                )
            record.config = config.SerializeToString()
            await core.store.save(record)

    async def reopen_log(self, container_id: str) -> None:
        record = self._core.store.container(container_id)
        io = self._core.store.running(record.id).io
        if record.state != cri.CONTAINER_RUNNING or io is None:
            raise RpcError(Code.FAILED_PRECONDITION, "container is not running")
        io.reopen_log()


def _user(config: cri.ContainerConfig, image: ImageInfo, mounts: Sequence[mount_pb2.Mount]) -> ResolvedUser:
    layers = layer_directories(mounts)
    passwd, group = read_file(layers, "/etc/passwd"), read_file(layers, "/etc/group")
    return resolve_user(config.linux.security_context, image.user, passwd, group)


def _stop_signal(config: cri.ContainerConfig, image: ImageInfo) -> str:
    if config.stop_signal != cri.RUNTIME_DEFAULT:
        return cri.Signal.Name(config.stop_signal)
    name = str(image.process.get("StopSignal") or "SIGTERM")
    signal_number(name)
    return name


def _remove_tree(path: str) -> None:
    shutil.rmtree(path, ignore_errors=True)


def _unique_name(sandbox_id: str, config: cri.ContainerConfig) -> str:
    return "_".join([config.metadata.name, sandbox_id, str(config.metadata.attempt)])

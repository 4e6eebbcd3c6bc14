"""Further processes in containers: exec, attach to the first one, and connections into a pod for port-forward."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import signal
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from component_base.rpc import Code, RpcError
from kubelet.cri_shim import linux_syscalls
from kubelet.cri_shim.container_io import ContainerIO
from kubelet.cri_shim.core import Core
from kubelet.cri_shim.fifos import FifoReader, FifoWriter, make_fifo
from kubelet.cri_shim.groups import task_group
from kubelet.cri_shim.records import ContainerRecord
from kubelet.cri_shim.streaming.channels import CommandChannels
from kubelet.cri_shim.streaming.server import Ticket
from skiff_pb.cri import runtime_pb2 as cri

logger = logging.getLogger(__name__)

MAX_SYNC_OUTPUT = 16 << 20
DRAIN_SECONDS = 10.0

Sink = Callable[[bytes], Awaitable[None]]


@dataclass(slots=True)
class Collected:
    """Output up to a limit; what is over is read and thrown away, so that the process does not block."""

    data: bytearray = field(default_factory=bytearray)

    async def write(self, data: bytes) -> None:
        self.data += data[: max(0, MAX_SYNC_OUTPUT - len(self.data))]


@dataclass(slots=True)
class ExecStreams:
    """FIFOs of one exec'd process."""

    directory: str
    stdin: str = ""
    stdout: str = ""
    stderr: str = ""

    def make(self) -> None:
        os.makedirs(self.directory, mode=0o700)
        for path in (self.stdin, self.stdout, self.stderr):
            if path:
                make_fifo(path)

    def remove(self) -> None:
        shutil.rmtree(self.directory, ignore_errors=True)


class Processes:
    """The streaming server's backend, and ExecSync."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def running_container(self, container_id: str) -> ContainerRecord:
        record = self._core.store.container(container_id)
        if record.state != cri.CONTAINER_RUNNING:
            name = cri.ContainerState.Name(record.state)
            raise RpcError(Code.FAILED_PRECONDITION, f"container is in {name} state")
        return record

    async def exec_sync(self, container_id: str, command: Sequence[str], timeout: float) -> tuple[int, bytes, bytes]:
        """Exit code, output, errors. `timeout` 0 waits for ever; past it the process is killed."""
        record = self.running_container(container_id)
        failed = "failed to exec in container"
        output, errors = Collected(), Collected()
        try:
            async with asyncio.timeout(timeout or None):
                code = await self._exec(record, command, tty=False, stdout=output.write, stderr=errors.write)
        except TimeoutError:
            raise RpcError(
                Code.DEADLINE_EXCEEDED,
                f"{failed}: timeout {_go_seconds(timeout)} exceeded: context deadline exceeded",
            ) from None
        except RpcError as error:
            raise RpcError(error.code, f"{failed}: {error.message}") from error
        return code, bytes(output.data), bytes(errors.data)

    async def exec(self, ticket: Ticket, channels: CommandChannels) -> int:
        try:
            record = self.running_container(ticket.target)
            return await self._exec(
                record,
                ticket.command,
                tty=ticket.wanted.tty,
                stdout=channels.stdout,
                stderr=channels.stderr,
                channels=channels,
            )
        except RpcError as error:
            raise RuntimeError(f"failed to exec in container: {error.message}") from error

    async def _exec(
        self,
        record: ContainerRecord,
        command: Sequence[str],
        *,
        tty: bool,
        stdout: Sink | None,
        stderr: Sink | None,
        channels: CommandChannels | None = None,
    ) -> int:
        core = self._core
        exec_id = f"{core.rng.getrandbits(128):032x}"
        directory = os.path.join(core.settings.state, "exec", exec_id)
        streams = ExecStreams(directory)
        if channels is not None and channels.stdin is not None:
            streams.stdin = os.path.join(directory, "stdin")
        if stdout is not None or tty:
            streams.stdout = os.path.join(directory, "stdout")
        if stderr is not None and not tty:
            streams.stderr = os.path.join(directory, "stderr")
        process = await self._process(record.id, command, tty)
        await asyncio.to_thread(streams.make)
        sinks = [(path, sink) for path, sink in ((streams.stdout, stdout), (streams.stderr, stderr)) if path]
        readers = [(FifoReader(path), sink or _discard) for path, sink in sinks]
        try:
            await core.containerd.exec(
                record.id,
                exec_id,
                process,
                stdin=streams.stdin,
                stdout=streams.stdout,
                stderr=streams.stderr,
                terminal=tty,
            )
            return await self._run(record.id, exec_id, streams, readers, channels, tty)
        finally:
            for reader, _ in readers:
                reader.close()
            await asyncio.shield(self._cleanup(record.id, exec_id, streams))

    async def _run(
        self,
        container_id: str,
        exec_id: str,
        streams: ExecStreams,
        readers: Sequence[tuple[FifoReader, Sink]],
        channels: CommandChannels | None,
        tty: bool,
    ) -> int:
        containerd = self._core.containerd
        async with task_group() as group:
            pumps = [group.create_task(_pump(reader, sink)) for reader, sink in readers]
            await containerd.start(container_id, exec_id)
            feeders: list[asyncio.Task[None]] = []
            if channels is not None:
                feeders = self._feed(group, container_id, exec_id, streams.stdin, channels, tty)
            answer = await containerd.wait(container_id, exec_id)
            # A process left behind may hold the output open: it gets a while, then we stop listening.
            if pumps:
                await asyncio.wait(pumps, timeout=DRAIN_SECONDS)
            for task in (*pumps, *feeders):
                task.cancel()
        return answer.exit_status

    def _feed(
        self,
        group: asyncio.TaskGroup,
        container_id: str,
        exec_id: str,
        stdin_path: str,
        channels: CommandChannels,
        tty: bool,
    ) -> list[asyncio.Task[None]]:
        containerd = self._core.containerd

        async def close_stdin() -> None:
            await containerd.close_stdin(container_id, exec_id)

        feeders = []
        if stdin_path and channels.stdin is not None:
            feeders.append(group.create_task(_feed_stdin(FifoWriter(stdin_path), channels.stdin, close_stdin)))
        if tty:
            feeders.append(group.create_task(self._resize(container_id, exec_id, channels)))
            feeders.append(group.create_task(self._hang_up(container_id, exec_id, channels)))
        return feeders

    async def _resize(self, container_id: str, exec_id: str, channels: CommandChannels) -> None:
        while True:
            width, height = await channels.resizes.get()
            with contextlib.suppress(RpcError):
                await self._core.containerd.resize(container_id, exec_id, width, height)

    async def _hang_up(self, container_id: str, exec_id: str, channels: CommandChannels) -> None:
        """A terminal whose user is gone hangs up, so that shells of dropped connections do not pile up."""
        await channels.disconnected.wait()
        with contextlib.suppress(RpcError):
            await self._core.containerd.kill(container_id, signal.SIGHUP, exec_id=exec_id)

    async def _cleanup(self, container_id: str, exec_id: str, streams: ExecStreams) -> None:
        containerd = self._core.containerd
        try:
            await containerd.delete_process(container_id, exec_id)
        except RpcError:
            # Still running (a timeout, a cancelled call): end it, then delete it.
            with contextlib.suppress(RpcError, TimeoutError):
                await containerd.kill(container_id, signal.SIGKILL, exec_id=exec_id)
                async with asyncio.timeout(DRAIN_SECONDS):
                    await containerd.wait(container_id, exec_id)
                await containerd.delete_process(container_id, exec_id)
        await asyncio.to_thread(streams.remove)

    async def _process(self, container_id: str, command: Sequence[str], tty: bool) -> dict[str, Any]:
        """The container's own process with another command: same user, limits, capabilities and environment."""
        running = self._core.store.running(container_id)
        if running.process is None:
            running.process = (await self._core.containerd.spec(container_id))["process"]
        process = dict(running.process)
        process["args"], process["terminal"] = list(command), tty
        if tty and not any(entry.startswith("TERM=") for entry in process.get("env", [])):
            process["env"] = [*process.get("env", []), "TERM=xterm"]
        return process

    async def attach(self, ticket: Ticket, channels: CommandChannels) -> int:
        record = self._core.store.container(ticket.target)
        io = self._core.store.running(record.id).io
        if record.state != cri.CONTAINER_RUNNING or io is None:
            raise RuntimeError(f"container {record.id} is not running")
        config = record.container_config()
        async with task_group() as group:
            feeders = [group.create_task(self._attach_stdin(record.id, io, config, channels))]
            if config.tty:
                feeders.append(group.create_task(self._resize(record.id, "", channels)))
            watching = group.create_task(channels.disconnected.wait())
            copying = group.create_task(_copy_output(io, channels))
            await asyncio.wait([watching, copying], return_when=asyncio.FIRST_COMPLETED)
            for task in (watching, copying, *feeders):
                task.cancel()
        return 0

    async def _attach_stdin(
        self, container_id: str, io: ContainerIO, config: cri.ContainerConfig, channels: CommandChannels
    ) -> None:
        if channels.stdin is None or not config.stdin:
            return
        while data := await channels.stdin():
            await io.write_stdin(data)
        if config.stdin_once and not config.tty:
            io.close_stdin()
            await self._core.containerd.close_stdin(container_id)

    async def connect(self, sandbox_id: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """To localhost inside the pod: what listens on 127.0.0.1 only is reached too. IPv4 first, then IPv6."""
        record = self._core.store.sandbox(sandbox_id)
        if record.id not in self._core.store.live_sandboxes:
            raise OSError(f"sandbox {record.id} is not running")
        refused = []
        for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
            try:
                return await self._connect(record.netns, family, address, port)
            except OSError as error:
                refused.append(os.strerror(error.errno).lower() if error.errno else str(error))
        raise OSError(
            f"failed to connect to localhost:{port} inside namespace {record.id!r}, "
            f"IPv4: {refused[0]}, IPv6: {refused[1]}"
        )

    async def _connect(
        self, netns: str, family: socket.AddressFamily, address: str, port: int
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if not netns:
            return await asyncio.open_connection(address, port)
        connection = await linux_syscalls.socket_in_netns(netns, family)
        try:
            await asyncio.get_running_loop().sock_connect(connection, (address, port))
            return await asyncio.open_connection(sock=connection)
        except OSError:
            connection.close()
            raise


async def _pump(reader: FifoReader, sink: Sink) -> None:
    while data := await reader.read():
        await sink(data)


async def _discard(data: bytes) -> None:
    del data


async def _feed_stdin(
    writer: FifoWriter, source: Callable[[], Awaitable[bytes]], close: Callable[[], Awaitable[None]]
) -> None:
    try:
        while data := await source():
            await writer.write(data)
    finally:
        writer.close()
    with contextlib.suppress(RpcError):
        await close()


async def _copy_output(io: ContainerIO, channels: CommandChannels) -> None:
    subscriber = io.subscribe()
    try:
        while (item := await subscriber.queue.get()) is not None:
            name, data = item
            sink = channels.stdout if name == "stdout" else channels.stderr
            if sink is not None:
                await sink(data)
    finally:
        io.unsubscribe(subscriber)


def _go_seconds(seconds: float) -> str:
    return f"{seconds:g}s"

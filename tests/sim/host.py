"""Hosts and the processes on them: a member's life from its start to a kill, a power cut or a failing disk.

A `Life` is what `python -m etcd_raft` would be: node, state machine and services, over a disk that survives it. A kill
leaves its tasks to run out as ghosts, which can no longer reach disk or network.
"""

from __future__ import annotations

import asyncio
import contextvars
import errno
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from etcd_raft.logdisk import DiskPace, StoppedError
from etcd_raft.machine import StoreMachine
from etcd_raft.node import NodeOptions, RaftNode
from etcd_raft.ports import Member
from etcd_raft.raft import LostEntriesError, Message, RaftConfig, Ready, SnapshotMeta
from etcd_raft.replica import Answer, Replica
from etcd_raft.server import Limits, services
from etcd_raft.snapshotting import SnapshotPolicy
from etcd_raft.storage import Restart, Storage
from etcd_raft.transport.receiving import PeerHandler
from etcd_raft.wal import CorruptionError, Identity, SnapshotWriter
from tests.history.operations import Violation
from tests.sim.disk import SimulatedDisk, SimulatedFile
from tests.sim.loop import PROCESS
from tests.sim.wires import SimTransport
from tests.sim.world import PowerCut

if TYPE_CHECKING:
    from tests.sim.stack import Stack

CLUSTER = 0xC
TICK = 0.1
EPOCH = 1_700_000_000.0


class LifeDisk:
    """wal.FileSystem of one life: once it is cut off, changes go nowhere."""

    def __init__(self, disk: SimulatedDisk) -> None:
        self._disk = disk
        self.is_cut_off = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._disk, name)

    def create(self, path: str, preallocate: int = 0) -> LifeFile:
        return LifeFile(self._disk.create(path, preallocate), self)

    def open(self, path: str) -> LifeFile:
        return LifeFile(self._disk.open(path), self)

    def rename(self, old: str, new: str) -> None:
        if not self.is_cut_off:
            self._disk.rename(old, new)

    def remove(self, path: str) -> None:
        if not self.is_cut_off:
            self._disk.remove(path)


class LifeFile:
    def __init__(self, file: SimulatedFile, disk: LifeDisk) -> None:
        self._file = file
        self._disk = disk

    def write_at(self, offset: int, data: bytes) -> None:
        if not self._disk.is_cut_off:
            self._file.write_at(offset, data)

    def sync(self) -> None:
        if not self._disk.is_cut_off:
            self._file.sync()

    def truncate(self, size: int) -> None:
        if not self._disk.is_cut_off:
            self._file.truncate(size)

    def close(self) -> None:
        self._file.close()


class HostClock:
    """Its monotonic time runs at the host's own rate; its wall time jumps as the nemesis likes."""

    def __init__(self, host: Host, stack: Stack) -> None:
        self._host = host
        self._stack = stack

    def now(self) -> float:
        return EPOCH + self._stack.now + self._host.wall_offset

    def monotonic(self) -> float:
        return self._stack.now * self._host.rate

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds) / self._host.rate)


class Observed(Replica):
    """A replica whose every step is held against the invariants."""

    stack: Stack

    def persist(self, ready: Ready) -> None:
        life = self.stack.hosts[self.member_id].life
        if life is None or life.is_in_thread:
            super().persist(ready)
            return
        try:
            life.with_faults(lambda: super(Observed, self).persist(ready), is_log=True)
        except PowerCut:
            self.stack.crash(life.host, power_cut=True)
            raise asyncio.CancelledError from None

    def apply(self, ready: Ready) -> list[Answer]:
        self.stack.invariants.applied(self.member_id, self.raw.raft.term, ready.committed)
        return super().apply(ready)

    def finish(self, ready: Ready) -> None:
        super().finish(ready)
        self.stack.check_invariants()


class Recorded(StoreMachine):
    """A state machine whose every revision goes into the chronicle."""

    def __init__(self, life: Life) -> None:
        super().__init__()
        self._life = life
        self._listen()

    def become(self, loaded: object) -> None:
        super().become(loaded)
        first = max(self.space.log_start, 2)
        for revision in range(first, self.space.revision + 1):
            self._life.tell(revision, self.space.history(revision, revision)[0])
        self._listen()

    def _listen(self) -> None:
        space, commit = self.space, self.space.commit

        def committed(changes: Any) -> None:
            commit(changes)
            self._life.tell(space.revision, changes)

        space.commit = committed  # type: ignore[method-assign]


class _NoMetrics:
    def wal_synced(self, seconds: float) -> None: ...
    def proposal_failed(self) -> None: ...
    def leader_changed(self) -> None: ...
    def applied(self, seconds: float) -> None: ...
    def read_failed(self) -> None: ...


class _Pace(DiskPace):
    def __init__(self, is_quick: bool) -> None:
        self._is_quick = is_quick

    def took(self, seconds: float) -> None:
        pass

    @property
    def is_quick(self) -> bool:
        return self._is_quick


class _Files:
    """transport.receiving.SnapshotSink."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def create(self, meta: SnapshotMeta, membership: bytes) -> SnapshotWriter:
        return self._storage.create_snapshot(meta, membership, "received")


@dataclass
class Host:
    """A machine: what is on its disk outlives what runs on it."""

    member: int
    disk: SimulatedDisk = field(default_factory=SimulatedDisk)
    rate: float = 1.0
    wall_offset: float = 0.0
    disk_pace: float = 1.0
    disk_error: int = 0
    """An errno: the next write to the log fails so, once."""
    waits_for_disk: bool = False
    """Its log is written in the loop itself, as that of a member with a quick disk; else by a thread."""
    joins: tuple[Member, ...] | None = None
    """The members at the time of its joining; None: a founder."""
    is_gone: bool = False
    """Removed from the cluster for good."""
    life: Life | None = None


class Life:
    """loop.Process."""

    def __init__(self, host: Host, stack: Stack, restart: Restart, storage: Storage, disk: LifeDisk) -> None:
        self.host = host
        self._disk = disk
        self.stack = stack
        self.is_stopped = False
        self.is_alive = True
        self.is_in_thread = False
        self.parked: list[asyncio.Handle] = []
        self.tasks: dict[asyncio.Task[Any], None] = {}
        self.at_death: dict[Callable[[], None], None] = {}
        self.handlers: dict[str, Any] = {}
        self._busy: dict[int, float] = {}
        self.context = contextvars.Context()
        self.context.run(PROCESS.set, self)
        config = RaftConfig(
            member_id=host.member, catch_up_entries=stack.catch_up, max_append_bytes=2000, max_inflight=8
        )
        self.machine = Recorded(self)
        self.storage = storage
        self.replica = Observed(config, stack.rng, storage, restart, self.machine)
        self.replica.stack = stack
        self.clock = HostClock(host, stack)
        self.transport = SimTransport(stack, self)
        options = NodeOptions(
            tick_seconds=TICK,
            request_seconds=4.0,
            name=f"m{host.member:x}",
            client_urls=(f"http://m{host.member:x}:2",),
            snapshots=SnapshotPolicy(entries=stack.snapshot_every, log_bytes=1 << 30, patience=1),
            seeds=host.joins or (),
        )
        self.node = RaftNode(self.replica, self.transport, self.clock, stack.rng, options, _NoMetrics())
        self.node._disk.pace = _Pace(host.waits_for_disk)
        self.peer_handler = PeerHandler(self.node, _Files(storage), self.clock)

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        return self.stack.loop.create_task(work, context=self.context)

    def tell(self, revision: int, records: Any) -> None:
        self.stack.told(self, revision, records)

    async def run(self) -> None:
        limits = Limits(quota_bytes=-1, watch_progress_seconds=1.5)
        hosted = services(self.node, self.machine, self.clock, self.stack.rng, limits)
        self.handlers = {service.descriptor.name: service.handler for service in hosted}
        try:
            await self.node.run()
        except StoppedError as reason:
            if isinstance(reason.__cause__, LostEntriesError):  # disks lose nothing here that was synced
                self.stack.problem = self.stack.problem or Violation(f"m{self.host.member:x}: {reason}")
            if self.is_alive:
                self.stack.has_stopped(self, str(reason))

    # Threads, whose only work is the disk

    def in_thread(self, executor: object, work: Callable[[], Any], done: asyncio.Future[Any]) -> None:
        loop, rng, host = self.stack.loop, self.stack.rng, self.host
        takes = self.stack.weather.disk * rng.random() * host.disk_pace
        start = loop.time() if executor is None else max(loop.time(), self._busy.get(id(executor), 0.0))
        self._busy[id(executor)] = start + takes
        loop.call_at(start + takes, self._finish_work, executor is not None, work, done, context=self.context)

    def _finish_work(self, is_log: bool, work: Callable[[], Any], done: asyncio.Future[Any]) -> None:
        if not self.is_alive or done.cancelled():
            return
        try:
            self.is_in_thread = True
            result = self.with_faults(work, is_log)
        except PowerCut:
            self.stack.crash(self.host, power_cut=True)
        except (OSError, CorruptionError) as problem:
            done.set_exception(problem)
        else:
            done.set_result(result)
        finally:
            self.is_in_thread = False

    def with_faults(self, work: Callable[[], Any], is_log: bool) -> Any:
        """Raises PowerCut or OSError somewhere within the work, as the weather is."""
        host, rng = self.host, self.stack.rng
        try:
            if is_log and host.disk_error:
                problem, host.disk_error = host.disk_error, 0
                self._fail_disk_after(rng.randrange(1, 4), OSError(problem, errno.errorcode[problem]))
            elif rng.random() < self.stack.weather.cut_during_write:
                self._fail_disk_after(rng.randrange(1, 4), PowerCut())
            return work()
        finally:
            host.disk.before = None

    def _fail_disk_after(self, changes: int, problem: BaseException) -> None:
        left = changes

        def fail(kind: str) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                raise problem

        self.host.disk.before = fail

    # Ends

    def end(self) -> None:
        """From now on what still runs of it are ghosts."""
        self.is_alive = False
        self._disk.is_cut_off = True
        self.host.life = None
        if self.is_stopped:
            self.is_stopped = False
            self.stack.loop.resume(self)
        for notice in list(self.at_death):
            notice()
        for task in list(self.tasks):
            task.cancel()

    def receive(self, message: Message) -> None:
        if self.is_alive:
            self.node.deliver([message])


def boot(host: Host, stack: Stack) -> Life | None:
    """None if the power went again while starting."""
    disk = LifeDisk(host.disk)
    storage = Storage(disk, "/data", 8 * 1024)
    founders = stack.founders if host.joins is None else ()
    try:
        if storage.exists():
            restart = storage.open(founders)
        else:
            restart = storage.create(Identity(CLUSTER, host.member), founders)
    except PowerCut:
        host.disk.crash(stack.rng)
        return None
    return Life(host, stack, restart, storage, disk)

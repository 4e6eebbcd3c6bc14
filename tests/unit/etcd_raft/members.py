"""Whole members (node, replica, storage on a simulated disk) in one event loop, joined by a transport in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence

from component_base.clock import ManualClock
from component_base.rng import seeded
from etcd_raft.node import NodeOptions, RaftNode
from etcd_raft.ports import AppliedEntry, Member
from etcd_raft.raft import Message, RaftConfig
from etcd_raft.replica import Replica
from etcd_raft.snapshotting import SnapshotPolicy
from etcd_raft.storage import Storage
from etcd_raft.wal import Identity
from tests.sim.disk import SimulatedDisk

CLUSTER = 0xC


class Journal:
    """The trivial state machine: remembers what was applied, answers with its length."""

    def __init__(self) -> None:
        self.applied_index = 0
        self.lines: list[bytes] = []

    def apply(self, entries: Sequence[AppliedEntry]) -> list[object]:
        results: list[object] = []
        for entry in entries:
            assert entry.index > self.applied_index, "entries arrive once and in order"
            self.applied_index = entry.index
            self.lines.append(entry.data)
            results.append(len(self.lines))
        return results

    def snapshot(self) -> Iterator[bytes]:
        lines = list(self.lines)
        yield b"%d" % self.applied_index
        for start in range(0, len(lines), 10):
            yield b"\n".join(lines[start : start + 10])

    def load(self, chunks: Iterable[bytes]) -> object:
        return list(chunks)

    def become(self, loaded: object) -> None:
        assert isinstance(loaded, list)
        head, *rest = loaded
        self.applied_index = int(head)
        self.lines = [line for chunk in rest for line in chunk.split(b"\n")]


class NoMetrics:
    def __init__(self) -> None:
        self.syncs = 0

    def wal_synced(self, seconds: float) -> None:
        self.syncs += 1

    def proposal_failed(self) -> None: ...
    def leader_changed(self) -> None: ...
    def applied(self, seconds: float) -> None: ...
    def read_failed(self) -> None: ...


class Wires:
    """Delivers at once; `cut` members hear and say nothing."""

    def __init__(self) -> None:
        self.nodes: dict[int, RaftNode] = {}
        self.cut: set[int] = set()

    def carry(self, messages: Iterable[Message]) -> None:
        for message in messages:
            if {message.to, message.sender} & self.cut or message.to not in self.nodes:
                continue
            asyncio.get_running_loop().call_soon(self.nodes[message.to].deliver, [message])


class Wire:
    def __init__(self, wires: Wires) -> None:
        self._wires = wires
        self.peers: list[Member] = []

    def send(self, messages: Iterable[Message]) -> None:
        self._wires.carry(messages)

    def set_peers(self, members: Sequence[Member]) -> None:
        self.peers = list(members)

    async def promote(self, leader: int, member_id: int) -> None:
        await self._wires.nodes[leader].promote_member(member_id)


class Crew:
    """Use as an async context manager; `pass_time` moves the clock and lets everybody work."""

    def __init__(self, size: int, policy: SnapshotPolicy | None = None) -> None:
        self.clock = ManualClock(1_700_000_000.0)
        self.wires = Wires()
        self.size = size
        self.policy = policy or SnapshotPolicy()
        self.machines: dict[int, Journal] = {}
        self.disks: dict[int, SimulatedDisk] = {}
        self.tasks: dict[int, asyncio.Task[None]] = {}
        self.metrics: dict[int, NoMetrics] = {}
        self.founders = [Member(n, "", (f"http://m{n}:1",), ()) for n in range(1, size + 1)]

    def start(self, member: int, join: bool = False) -> RaftNode:
        disk = self.disks.setdefault(member, SimulatedDisk())
        storage = Storage(disk, "/data", 64 * 1024)
        if storage.exists():
            restart = storage.open()
        else:
            restart = storage.create(Identity(CLUSTER, member), () if join else self.founders)
        machine = self.machines[member] = Journal()
        rng = seeded(member * 1000 + len(self.tasks))
        replica = Replica(RaftConfig(member_id=member, catch_up_entries=5), rng, storage, restart, machine)
        options = NodeOptions(name=f"m{member}", client_urls=(f"http://m{member}:2",), snapshots=self.policy)
        metrics = self.metrics[member] = NoMetrics()
        node = RaftNode(replica, Wire(self.wires), self.clock, rng, options, metrics)
        self.wires.nodes[member] = node
        self.tasks[member] = asyncio.ensure_future(node.run())
        return node

    async def stop(self, member: int) -> None:
        self.wires.nodes.pop(member, None)
        task = self.tasks.pop(member)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def __aenter__(self) -> Crew:
        for member in range(1, self.size + 1):
            self.start(member)
        await self.pass_time(3.0)
        return self

    async def __aexit__(self, *_: object) -> None:
        for member in list(self.tasks):
            await self.stop(member)

    async def pass_time(self, seconds: float) -> None:
        for _ in range(round(seconds / 0.1)):
            self.clock.advance(0.1)
            await self.settle()

    async def settle(self) -> None:
        """Until nobody has work; threads are waited for."""
        quiet = 0
        while quiet < 8:
            busy = any(self._is_busy(node) for node in self.wires.nodes.values())
            quiet = 0 if busy else quiet + 1
            await asyncio.sleep(0.0002 if busy else 0)

    def _is_busy(self, node: RaftNode) -> bool:
        if self.tasks[node.member_id].done():
            return False
        raw = node._raw
        return raw.has_ready() or raw._outstanding is not None or node._snapshotter.is_running

    @property
    def leader(self) -> RaftNode:
        return max((n for n in self.wires.nodes.values() if n.is_leader), key=lambda n: n.term)

    def follower(self) -> RaftNode:
        return next(n for n in self.wires.nodes.values() if not n.is_leader)

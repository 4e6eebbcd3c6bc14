"""The whole store in one thread: real nodes, state machines and services on virtual time, wires and disks.

`world.py` drives the replica alone and is fast; here everything above it runs too, as it does in production, for
clients that write down what they see. In the end their histories are judged by the checkers of `tests/history`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

from component_base.rng import Rng, seeded
from etcd_raft.mvcc.hashing import hash_steps
from etcd_raft.mvcc.wire import decode_kv
from etcd_raft.ports import Member
from etcd_raft.raft import Role
from tests.history import serializable, watching
from tests.history.operations import Change, Chronicle, Operation, Violation, WatchRecord
from tests.sim.host import CLUSTER, Host, Life, boot
from tests.sim.invariants import Invariants
from tests.sim.loop import PROCESS, Process, VirtualLoop

__all__ = ["CLUSTER", "Conditions", "Stack"]

#: A lease must not end before this part of its time, whatever a member's clock says: the rates differ by 10 %.
LEASE_TOLERANCE = 0.85


@dataclass
class Conditions:
    """How bad things are; drawn once per seed, mended at the end of a run."""

    loss: float = 0.0
    duplication: float = 0.0
    delay: float = 0.002
    spread: float = 0.005
    disk: float = 0.004
    cut_during_write: float = 0.0
    client_delay: float = 0.005

    @classmethod
    def drawn(cls, rng: Rng) -> Conditions:
        return cls(
            loss=rng.choice([0.0, 0.02, 0.1, 0.25]),
            duplication=rng.choice([0.0, 0.05, 0.2]),
            delay=rng.choice([0.001, 0.02]),
            spread=rng.choice([0.005, 0.05, 0.3]),
            disk=rng.choice([0.001, 0.02, 0.15]),
            cut_during_write=rng.choice([0.0, 0.005, 0.02]),
            client_delay=rng.choice([0.001, 0.02, 0.1]),
        )


class Stack:
    def __init__(self, seed: int, size: int = 3) -> None:
        self.rng = seeded(seed)
        self.loop = VirtualLoop()
        self.loop.set_task_factory(_keep)
        self.loop.set_exception_handler(self._failed)
        self.weather = Conditions.drawn(self.rng)
        self.invariants = Invariants()
        self.chronicle = Chronicle()
        self.operations: list[Operation] = []
        self.watches: list[WatchRecord] = []
        self.compactions: set[int] = set()
        self.leases_until: dict[int, float] = {}
        """By lease: it must not end by itself before this moment."""
        self.blocked: set[tuple[int, int]] = set()
        self.trace: list[str] = []
        self.problem: BaseException | None = None
        self.clients: list[asyncio.Task[Any]] = []
        self.catch_up = self.rng.choice([1, 10, 1000])
        self.snapshot_every = self.rng.choice([8, 30, 10_000])
        self.founders = [Member(m, "", (f"http://m{m}:1",), ()) for m in range(1, size + 1)]
        self.hosts = {
            m.id: Host(m.id, rate=self.rng.choice([1.0, 1.0, 0.9, 1.1]), waits_for_disk=self.rng.random() < 0.4)
            for m in self.founders
        }

    @property
    def now(self) -> float:
        return self.loop.time()

    def note(self, text: str) -> None:
        self.trace.append(f"{self.now:8.3f} {text}")

    def _failed(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """A callback or a task died of an error: that is a bug, whatever the cause."""
        problem = context.get("exception")
        if problem is not None and self.problem is None:
            self.problem = problem

    # Lives

    def boot(self, host: Host) -> None:
        if host.life is not None or host.is_gone:
            return
        life = host.life = boot(host, self)
        if life is None:
            return
        self.note(f"m{host.member:x} boots with entries up to {life.replica.raw.log.last_index}")
        self.invariants.booted(host.member, life.replica)
        life.spawn(life.run())

    def crash(self, host: Host, power_cut: bool) -> None:
        if host.life is None:
            return
        self.note(f"m{host.member:x} {'loses its power' if power_cut else 'is killed'}")
        host.life.end()
        if power_cut:
            host.disk.crash(self.rng)

    def has_stopped(self, life: Life, reason: str) -> None:
        """Its own decision: it was removed, or its disk failed."""
        self.note(f"m{life.host.member:x} stops: {reason}")
        life.host.is_gone = "removed" in reason
        life.end()
        life.host.disk.crash(self.rng)

    def stop(self, host: Host) -> None:
        if host.life is not None and not host.life.is_stopped:
            self.note(f"m{host.member:x} stands still")
            host.life.is_stopped = True

    def go_on(self, host: Host) -> None:
        if host.life is not None and host.life.is_stopped:
            self.note(f"m{host.member:x} goes on")
            host.life.is_stopped = False
            self.loop.resume(host.life)

    def lives(self) -> list[Life]:
        return [host.life for host in self.hosts.values() if host.life is not None]

    def leader(self) -> Life | None:
        leaders = [life for life in self.lives() if life.replica.role is Role.LEADER]
        return max(leaders, key=lambda life: life.node.term) if leaders else None

    def reached(self, sender: int, receiver: int) -> Life | None:
        host = self.hosts.get(receiver)
        return None if host is None or (sender, receiver) in self.blocked else host.life

    # What is seen

    def check_invariants(self) -> None:
        self.invariants.check(self.now, {host.member: host.life.replica for host in self.hosts.values() if host.life})

    def told(self, life: Life, revision: int, records: Any) -> None:
        changes = [Change.of(decode_kv(record.field)) for record in records]
        self.chronicle.tell(f"m{life.host.member:x}", revision, changes, self.now)

    def lease_ended(self, revision: int, lease: int) -> str:
        until, ended = self.leases_until.get(lease, 0.0), self.chronicle.told_at(revision)
        return f"at {ended:.3f}, but it was promised until {until:.3f}" if ended < until else ""

    # Running

    def client(self, work: Coroutine[Any, Any, None]) -> None:
        self.clients.append(self.loop.create_task(work))

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """The story of this run; in the end whatever still runs is swept away."""
        try:
            self.loop.run_until_complete(work)
        finally:
            for life in self.lives():
                life.end()
            for task in asyncio.all_tasks(self.loop):
                task.cancel()
            self.loop.run_until_complete(asyncio.sleep(10.0))
            self.loop.close()

    def raise_problem(self) -> None:
        if self.problem is not None:
            raise self.problem
        for task in self.clients:
            if task.done() and not task.cancelled() and (problem := task.exception()) is not None:
                raise problem

    # The verdict

    def judge(self) -> None:
        self.raise_problem()
        serializable.check(self.operations, self.chronicle, self.lease_ended)
        watching.check(self.watches, self.chronicle, self.compactions)
        self._check_agreement()

    def _check_agreement(self) -> None:
        leader = self.leader()
        assert leader is not None, "there is a leader at rest"
        members = {member.id for member in leader.node.members()}
        states = {life.host.member: _state(life) for life in self.lives() if life.host.member in members}
        first = states[leader.host.member]
        for member, state in states.items():
            for name, value in state.items():
                if value != first[name]:
                    raise Violation(f"m{member:x} has other {name}: {value} instead of {first[name]}")
        if missing := members - set(states):
            raise Violation(f"members {missing} do not run")


def _state(life: Life) -> dict[str, Any]:
    space, machine = life.machine.space, life.machine
    return {
        "revision": space.revision,
        "compaction": space.compacted,
        "keys": list(hash_steps(space, space.revision))[-1],
        "leases": [(row, sorted(machine.leases.find(row.id).keys)) for row in machine.leases.rows()],
        "accounts": machine.accounts.dump(),
        "alarms": sorted(machine.alarms),
        "members": life.node.members(),
    }


def _keep(loop: asyncio.AbstractEventLoop, coro: Any, context: Any = None) -> asyncio.Task[Any]:
    """Tasks of a process are known to it, so that killing it finds them all, in their order."""
    task: asyncio.Task[Any] = asyncio.Task(coro, loop=loop, context=context)
    process: Process | None = context.get(PROCESS) if context is not None else PROCESS.get()
    if process is not None:
        process.tasks[task] = None
        task.add_done_callback(lambda done: process.tasks.pop(done, None))
    return task

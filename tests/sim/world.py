"""A store cluster in one thread, on virtual time, with a network and disks that misbehave as one seed says.

The same `Replica` runs here as in production; this file is the shell instead of `node`. Everything that happens is an
event in one heap. A Ready is worked on in two events, so that messages, ticks and crashes fall in between; a crash
keeps of the disk what `SimulatedDisk.crash` draws.
"""

from __future__ import annotations

import heapq
import inspect
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

from component_base.rng import Rng, seeded
from etcd_raft.ports import AppliedEntry, Member
from etcd_raft.raft import Change, ChangeKind, EntryKind, Kind, Message, RaftConfig, Ready, SnapshotMeta
from etcd_raft.replica import Answer, Replica
from etcd_raft.roster import MemberWords, encode_words
from etcd_raft.storage import Storage
from etcd_raft.wal import Identity, SnapshotWriter
from tests.sim.disk import SimulatedDisk
from tests.sim.invariants import Invariants

CLUSTER = 0xC
TICK = 0.1


class PowerCut(BaseException):
    """Raised inside a disk operation: the member is gone in the middle of it."""


class Ledger:
    """The replicated state: the proposals' numbers in the order of their application."""

    def __init__(self) -> None:
        self.applied_index = 0
        self.lines: list[bytes] = []

    def apply(self, entries: Sequence[AppliedEntry]) -> list[object]:
        results: list[object] = []
        for entry in entries:
            assert entry.index > self.applied_index, "entries arrive once and in order"
            self.applied_index = entry.index
            self.lines.append(entry.data)
            results.append((entry.index, len(self.lines)))
        return results

    def snapshot(self) -> Iterator[bytes]:
        index, lines = self.applied_index, list(self.lines)
        yield b"%d" % index
        for start in range(0, len(lines), 16):
            yield b"\n".join(lines[start : start + 16])

    def load(self, chunks: Iterable[bytes]) -> object:
        return list(chunks)

    def become(self, loaded: object) -> None:
        assert isinstance(loaded, list)
        head, *rest = loaded
        self.applied_index = int(head)
        self.lines = [line for chunk in rest for line in chunk.split(b"\n")]


@dataclass
class Weather:
    """How bad things are; drawn once per seed, mended at the end of a run."""

    loss: float = 0.0
    duplication: float = 0.0
    delay: float = 0.005
    spread: float = 0.02
    disk: float = 0.005
    cut_during_write: float = 0.0

    @classmethod
    def drawn(cls, rng: Rng) -> Weather:
        return cls(
            loss=rng.choice([0.0, 0.02, 0.1, 0.3]),
            duplication=rng.choice([0.0, 0.05, 0.2]),
            delay=rng.choice([0.001, 0.02]),
            spread=rng.choice([0.005, 0.05, 0.4]),
            disk=rng.choice([0.001, 0.02, 0.15]),
            cut_during_write=rng.choice([0.0, 0.01, 0.04]),
        )


@dataclass
class Machine:
    """A host: its disk survives, what runs on it does not."""

    member: int
    disk: SimulatedDisk = field(default_factory=SimulatedDisk)
    replica: Replica | None = None
    life: int = 0
    ready: Ready | None = None
    is_gone: bool = False
    """Removed from the cluster for good."""
    snapshot: Generator[None, None, None] | None = None
    pace: float = 1.0
    """How slowly its clock runs: a leader whose clock stands nearly still believes in its lead for long."""


class World:
    def __init__(self, seed: int, size: int = 3) -> None:
        self.rng = seeded(seed)
        self.now = 0.0
        self.weather = Weather.drawn(self.rng)
        self.invariants = Invariants()
        self.machines = {member: Machine(member) for member in range(1, size + 1)}
        self.founders = [Member(m, "", (f"http://m{m}:1",), ()) for m in self.machines]
        self.blocked: set[tuple[int, int]] = set()
        self.trace: list[str] = []
        self._events: list[tuple[float, int, Callable[[], object]]] = []
        self._sequence = 0
        self._request = 0
        self._waiting: dict[tuple[int, int], tuple[str, int]] = {}
        self._reads: dict[bytes, tuple[int, int]] = {}
        self.catch_up = self.rng.choice([1, 10, 1000])
        self.snapshot_every = self.rng.choice([5, 20, 10_000])
        for member, machine in self.machines.items():
            machine.pace = self.rng.choice([1.0, 1.0, 1.0, 0.7, 4.0])
            self.boot(member)

    # Events

    def after(self, seconds: float, what: Callable[[], object]) -> None:
        self._sequence += 1
        heapq.heappush(self._events, (self.now + seconds, self._sequence, what))

    def run(self, seconds: float) -> None:
        until = self.now + seconds
        while self._events and self._events[0][0] <= until:
            self.now, _, what = heapq.heappop(self._events)
            what()
        self.now = until

    def note(self, text: str) -> None:
        self.trace.append(f"{self.now:8.3f} {text}")

    # Lives of members

    def boot(self, member: int, joins: bool = False) -> None:
        machine = self.machines[member]
        assert machine.replica is None
        storage = Storage(machine.disk, "/data", 8 * 1024)
        try:
            if storage.exists():
                restart = storage.open(() if joins else self.founders)
            else:
                restart = storage.create(Identity(CLUSTER, member), () if joins else self.founders)
        except PowerCut:
            machine.disk.crash(self.rng)
            return
        machine.life += 1
        config = RaftConfig(member_id=member, catch_up_entries=self.catch_up, max_append_bytes=400, max_inflight=8)
        machine.replica = Replica(config, self.rng, storage, restart, Ledger())
        machine.ready = None
        machine.snapshot = None
        self.note(f"m{member} boots with entries up to {machine.replica.raw.log.last_index}")
        self.invariants.booted(member, machine.replica)
        self._later_tick(machine, machine.life)
        self._work(machine)

    def add_machine(self, member: int) -> None:
        """A new host, empty and running, that waits to be a member."""
        self.machines[member] = Machine(member)
        self.boot(member, joins=True)

    def crash(self, member: int) -> None:
        machine = self.machines[member]
        if machine.replica is None:
            return
        self.note(f"m{member} crashes")
        machine.replica = None
        machine.ready = None
        machine.snapshot = None
        machine.disk.crash(self.rng)

    def up(self) -> list[int]:
        return [m for m, machine in self.machines.items() if machine.replica is not None]

    def _later_tick(self, machine: Machine, life: int) -> None:
        def tick() -> None:
            if machine.replica is None or machine.life != life:
                return
            machine.replica.raw.tick()
            self._flush(machine)
            self._work(machine)
            self._later_tick(machine, life)

        self.after(TICK * machine.pace * (0.9 + 0.2 * self.rng.random()), tick)

    # Work

    def _flush(self, machine: Machine) -> None:
        assert machine.replica is not None
        self._send(machine.replica.raw.take_messages())

    def _work(self, machine: Machine) -> None:
        """Begin the next Ready, if none is being worked on."""
        replica = machine.replica
        if replica is None or machine.ready is not None:
            return
        ready = machine.ready = replica.begin()
        if ready is None:
            return
        self._send(ready.messages)
        life = machine.life
        if replica.applies_first(ready):
            self._apply(machine, ready)
        delay = self.weather.disk * self.rng.random() if ready.must_sync else 0.0
        self.after(delay, lambda: self._complete(machine, ready, life))

    def _complete(self, machine: Machine, ready: Ready, life: int) -> None:
        replica = machine.replica
        if replica is None or machine.life != life:
            return
        if ready.must_sync and not self._on_disk(machine, lambda: replica.persist(ready)):
            return
        if not replica.applies_first(ready):
            self._apply(machine, ready)
        self._send(ready.messages_after_persist)
        replica.finish(ready)
        machine.ready = None
        self._confirm(machine, ready)
        self.invariants.check(self.now, {m: c.replica for m, c in self.machines.items() if c.replica is not None})
        if replica.is_removed:
            self.note(f"m{machine.member} has been removed")
            machine.replica, machine.is_gone = None, True
            return
        self._maybe_snapshot(machine, life)
        self._work(machine)

    def _on_disk(self, machine: Machine, work: Callable[[], object]) -> bool:
        """False if the power went in the middle."""
        if self.rng.random() < self.weather.cut_during_write:
            left = self.rng.randrange(1, 4)

            def cut(kind: str) -> None:
                nonlocal left
                left -= 1
                if left == 0:
                    raise PowerCut

            machine.disk.before = cut
        try:
            work()
        except PowerCut:
            self.crash(machine.member)
            return False
        machine.disk.before = None
        return True

    def _apply(self, machine: Machine, ready: Ready) -> None:
        replica = machine.replica
        assert replica is not None
        self.invariants.applied(machine.member, replica.raw.raft.term, ready.committed)
        self._answer(machine.member, replica.apply(ready))

    def _answer(self, member: int, answers: Iterable[Answer]) -> None:
        for answer in answers:
            waiting = self._waiting.pop((member, answer.request), None)
            if waiting is not None and isinstance(answer.result, tuple):
                self.invariants.acknowledged(waiting[0].encode(), answer.result[0])

    def _confirm(self, machine: Machine, ready: Ready) -> None:
        assert machine.replica is not None
        for state in (*ready.read_states, *machine.replica.raw.take_read_states()):
            asked = self._reads.pop(state.context, None)
            if asked is not None:
                self.invariants.read(state.index, asked[1])

    # Network

    def _send(self, messages: Iterable[Message]) -> None:
        for message in messages:
            self.invariants.sent(message)
            copies = 1 + (self.rng.random() < self.weather.duplication)
            if self.rng.random() < self.weather.loss:
                copies -= 1
            for _ in range(copies):
                delay = self.weather.delay + self.weather.spread * self.rng.random()
                if message.kind is Kind.SNAPSHOT:
                    self._carry_snapshot(message, delay)
                else:
                    self.after(delay, partial(self._deliver, message))
            if not copies and message.kind is Kind.SNAPSHOT:
                self.after(1.0, partial(self._report, message, arrived=False))

    def _deliver(self, message: Message) -> bool:
        machine = self.machines.get(message.to)
        if machine is None or machine.replica is None or (message.sender, message.to) in self.blocked:
            return False
        machine.replica.step(message)
        self._flush(machine)
        self._work(machine)
        return True

    def _carry_snapshot(self, message: Message, delay: float) -> None:
        replica = self.machines[message.sender].replica
        assert replica is not None
        assert message.snapshot is not None
        file = replica.storage.find_snapshot(message.snapshot)
        content = list(replica.storage.chunks(file)) if file is not None else []
        membership = file.header.membership if file is not None else b""

        def arrive() -> None:
            arrived = file is not None and self._receive(message, membership, content) and self._deliver(message)
            self.after(0.01, lambda: self._report(message, arrived))

        self.after(delay + 0.05, arrive)

    def _receive(self, message: Message, membership: bytes, content: list[bytes]) -> bool:
        machine = self.machines.get(message.to)
        meta = message.snapshot
        if machine is None or machine.replica is None or meta is None or (message.sender, message.to) in self.blocked:
            return False
        storage, log = machine.replica.storage, machine.replica.raw.log
        if message.term < machine.replica.raw.raft.term or meta.index <= log.committed:
            return True
        return self._on_disk(machine, lambda: _write(storage.create_snapshot(meta, membership, "received"), content))

    def _report(self, message: Message, arrived: bool) -> None:
        machine = self.machines[message.sender]
        if machine.replica is not None:
            machine.replica.raw.report_snapshot(message.to, arrived)
            self._flush(machine)
            self._work(machine)

    # Snapshots of a member's own, in slices

    def _maybe_snapshot(self, machine: Machine, life: int) -> None:
        replica = machine.replica
        assert replica is not None
        if machine.snapshot is None and replica.applied_index - replica.snapshot_index >= self.snapshot_every:
            machine.snapshot = self._snapshot(machine, replica)
            self._slice(machine, life)

    def _slice(self, machine: Machine, life: int) -> None:
        if machine.replica is None or machine.life != life or machine.snapshot is None:
            return
        if machine.ready is not None and machine.ready.must_sync:
            self.after(0.01, lambda: self._slice(machine, life))  # The log's thread is busy.
            return
        slices = machine.snapshot
        if not self._on_disk(machine, lambda: next(slices, None)):
            return
        if inspect.getgeneratorstate(slices) == inspect.GEN_CLOSED:
            machine.snapshot = None
        else:
            self.after(0.02 * self.rng.random(), lambda: self._slice(machine, life))

    @staticmethod
    def _snapshot(machine: Machine, replica: Replica) -> Generator[None, None, None]:
        meta: SnapshotMeta = replica.snapshot_meta()
        chunks = replica.state_machine.snapshot()
        chunk = next(chunks, None)
        writer = replica.storage.create_snapshot(meta, replica.roster.encode())
        while chunk is not None:
            writer.write(chunk)
            yield
            chunk = next(chunks, None)
        writer.finish()
        if meta.index > replica.snapshot_index:
            replica.storage.mark_snapshot(meta)
            replica.snapshot_is_durable(meta)

    # Clients

    def propose(self, member: int) -> None:
        machine = self.machines[member]
        if machine.replica is None:
            return
        self._request += 1
        text = f"p{self._request}"
        if machine.replica.propose([(self._request, text.encode())]):
            self._waiting[(member, self._request)] = (text, member)
        self._work(machine)

    def read(self, member: int) -> None:
        machine = self.machines[member]
        if machine.replica is None:
            return
        self._request += 1
        context = b"r%d" % self._request
        self._reads[context] = (member, self.invariants.highest_acknowledged)
        machine.replica.raw.read_index(context)
        self._flush(machine)
        self._work(machine)

    def change(self, member: int, kind: ChangeKind, target: int) -> None:
        replica = self.machines[member].replica
        if replica is None:
            return
        self._request += 1
        known = replica.roster.get(target)
        urls = () if known is not None else (f"http://m{target}:1",)
        words = encode_words(MemberWords(member, self._request, "", urls))
        entry_kind = EntryKind.ATTRIBUTES if kind is ChangeKind.UPDATE else EntryKind.MEMBERSHIP
        if replica.raw.propose_change(Change(kind, target, words), entry_kind):
            self.note(f"m{member} proposes {kind.name} m{target}")
        self._work(self.machines[member])

    def leader(self) -> Replica | None:
        leaders = [m.replica for m in self.machines.values() if m.replica and m.replica.role.value == "leader"]
        return max(leaders, key=lambda r: r.raw.raft.term) if leaders else None


def _write(writer: SnapshotWriter, content: Iterable[bytes]) -> None:
    for chunk in content:
        writer.write(chunk)
    writer.finish()

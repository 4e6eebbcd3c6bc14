"""A handful of Raft cores joined by a list of messages: no disk, no clock, everything durable at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from component_base.rng import seeded
from etcd_raft.raft import (
    Change,
    Configuration,
    Entry,
    EntryKind,
    HardState,
    Kind,
    Message,
    RaftConfig,
    RawNode,
    ReadState,
    Role,
    SnapshotMeta,
)
from etcd_raft.raft.membership import decode_change


def founded(
    member: int,
    voters: Iterable[int],
    entries: Iterable[Entry] = (),
    hard_state: HardState | None = None,
    learners: Iterable[int] = (),
    config: RaftConfig | None = None,
) -> RawNode:
    """A member that starts from a snapshot at index 1, term 1 with these voters; `entries` follow from index 2."""
    meta = SnapshotMeta(1, 1, Configuration(frozenset(voters), frozenset(learners)))
    config = config or RaftConfig(member_id=member)
    return RawNode(config, seeded(member), meta, hard_state or HardState(1, 0, 1), tuple(entries))


class Network:
    def __init__(self, *nodes: RawNode) -> None:
        self.nodes = {node.raft.id: node for node in nodes}
        self.applied: dict[int, list[Entry]] = {member: [] for member in self.nodes}
        self.reads: dict[int, list[ReadState]] = {member: [] for member in self.nodes}
        self.queue: list[Message] = []
        self.drop: Callable[[Message], bool] = lambda message: False
        self.sent: list[Message] = []

    def work(self, member: int) -> None:
        """Do what one member owes, until it owes nothing."""
        node = self.nodes[member]
        while (ready := node.ready()) is not None:
            self.queue += ready.messages
            self.queue += ready.messages_after_persist
            for entry in ready.committed:
                self.applied[member].append(entry)
                if entry.kind is EntryKind.MEMBERSHIP:
                    node.apply_change(decode_change(entry.data))
            self.reads[member] += ready.read_states
            node.advance(ready)

    def settle(self) -> None:
        """Deliver until silence."""
        for member in self.nodes:
            self.work(member)
        while self.queue:
            message = self.queue.pop(0)
            self.sent.append(message)
            if message.to in self.nodes and not self.drop(message):
                self.nodes[message.to].step(message)
                self.work(message.to)

    def isolate(self, *members: int) -> None:
        self.drop = lambda message: message.to in members or message.sender in members

    def heal(self) -> None:
        self.drop = lambda message: False

    def tick(self, count: int = 1, *members: int) -> None:
        for _ in range(count):
            for member in members or tuple(self.nodes):
                self.nodes[member].tick()
            self.settle()

    def elect(self, member: int) -> None:
        self.nodes[member].campaign()
        self.settle()
        assert self.leader() == member

    def leader(self) -> int:
        """The leader of the highest term; 0 if there is none."""
        leaders = [n.raft for n in self.nodes.values() if n.raft.role is Role.LEADER]
        return max(leaders, key=lambda r: r.term).id if leaders else 0

    def propose(self, member: int, *datas: bytes) -> bool:
        accepted = self.nodes[member].propose(list(datas))
        self.settle()
        return accepted

    def change(self, member: int, change: Change) -> bool:
        accepted = self.nodes[member].propose_change(change)
        self.settle()
        return accepted

    def data(self, member: int) -> list[bytes]:
        return [e.data for e in self.applied[member] if e.kind is EntryKind.NORMAL and e.data]

    def count(self, kind: Kind) -> int:
        return sum(1 for message in self.sent if message.kind is kind)


def trio() -> Network:
    return Network(*(founded(member, (1, 2, 3)) for member in (1, 2, 3)))

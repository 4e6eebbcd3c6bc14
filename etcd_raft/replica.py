"""One member without its event loop: the Raft core, its storage and the state machine, joined in the right order.

Both the asyncio shell (`node`) and the simulator drive this class, so what is simulated is what runs:

    ready = replica.begin()          what is owed; send ready.messages
    replica.prepare(ready.snapshot)  if there is one: reads it, blocks (another thread may run it)
    replica.persist(ready)           blocks on the disk (another thread may run it)
    replica.apply(ready)             results for those who wait; see `applies_first` for the order of these two
    replica.finish(ready)            send ready.messages_after_persist before or after; they are due now

Proposals carry 16 bytes in front: member id and request number, by which the proposer finds its answer.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

import msgspec

from etcd_raft.ports import AppliedEntry, StateMachine
from etcd_raft.raft import EntryKind, Message, RaftConfig, RawNode, Ready, Role, SnapshotMeta
from etcd_raft.raft.core import RandomSource
from etcd_raft.raft.membership import MembershipError, decode_change
from etcd_raft.roster import Roster, decode_words
from etcd_raft.storage import Restart, Storage
from etcd_raft.wal import CorruptionError

_TICKET = struct.Struct("<QQ")
TICKET_SIZE = _TICKET.size


class Answer(msgspec.Struct, frozen=True, gc=False):
    """A proposal of this member was applied; `result` is the state machine's."""

    request: int
    result: object


class Replica:
    def __init__(
        self,
        config: RaftConfig,
        rng: RandomSource,
        storage: Storage,
        restart: Restart,
        state_machine: StateMachine,
    ) -> None:
        self.storage = storage
        self.state_machine = state_machine
        self.cluster_id = restart.identity.cluster_id
        self.member_id = restart.identity.member_id
        self.roster = Roster()
        self.roster_version = 0
        if restart.snapshot is not None:
            self.roster = Roster.decode(restart.snapshot.header.membership)
            state_machine.become(state_machine.load(storage.chunks(restart.snapshot)))
        self.raw = RawNode(config, rng, restart.meta, restart.hard_state, restart.entries)
        self.applied_index = restart.meta.index
        self.applied_term = restart.meta.term
        self.snapshot_index = restart.meta.index
        self.bytes_since_snapshot = 0
        self._prepared: tuple[SnapshotMeta, Roster, object] | None = None
        self._own = struct.pack("<Q", self.member_id)
        assert config.member_id == self.member_id

    # What the shell asks about

    @property
    def role(self) -> Role:
        return self.raw.raft.role

    @property
    def is_removed(self) -> bool:
        return self.member_id in self.roster.removed

    @property
    def leads_with_all_applied(self) -> bool:
        """Leader, and nothing of an earlier term is left to apply."""
        return self.role is Role.LEADER and self.applied_term == self.raw.raft.term

    def ticket(self, request: int) -> bytes:
        return self._own + request.to_bytes(8, "little")

    # Work on a Ready

    def begin(self) -> Ready | None:
        return self.raw.ready()

    @staticmethod
    def applies_first(ready: Ready) -> bool:
        """Whether `apply` may run before or beside `persist`."""
        return ready.snapshot is None and all(entry.kind is not EntryKind.MEMBERSHIP for entry in ready.committed)

    def persist(self, ready: Ready) -> None:
        if ready.must_sync:
            self.storage.persist(ready)

    def apply(self, ready: Ready) -> list[Answer]:
        if ready.snapshot is not None:
            self._install(ready.snapshot)
        answers: list[Answer] = []
        batch: list[AppliedEntry] = []
        requests: list[int] = []
        own, append = self._own, batch.append
        for entry in ready.committed:
            data = entry.data
            self.bytes_since_snapshot += len(data) + 24
            if entry.kind is EntryKind.NORMAL:
                if data:
                    requests.append(int.from_bytes(data[8:16], "little") if data.startswith(own) else -1)
                    append(AppliedEntry(entry.index, entry.term, data[TICKET_SIZE:]))
                continue
            self._apply_batch(batch, requests, answers)
            self._apply_change(data, entry.kind, answers)
        self._apply_batch(batch, requests, answers)
        if ready.committed:
            self.applied_index, self.applied_term = ready.committed[-1].index, ready.committed[-1].term
        return answers

    def _apply_batch(self, batch: list[AppliedEntry], requests: list[int], answers: list[Answer]) -> None:
        if not batch:
            return
        results = self.state_machine.apply(batch)
        assert len(results) == len(batch), "one result for each entry"
        answers.extend(
            Answer(request, result) for request, result in zip(requests, results, strict=True) if request >= 0
        )
        batch.clear()
        requests.clear()

    def _apply_change(self, data: bytes, kind: EntryKind, answers: list[Answer]) -> None:
        change = decode_change(data)
        words = decode_words(change.context)
        result: object = None
        try:
            self.roster.check(change)
            if kind is EntryKind.MEMBERSHIP:
                self.raw.apply_change(change)
            self.roster.apply(change)
            self.roster_version += 1
        except MembershipError as problem:
            result = problem
        if words.proposer == self.member_id:
            answers.append(Answer(words.request, result))

    def prepare(self, meta: SnapshotMeta) -> None:
        """Read the state of a received snapshot, for the `apply` that follows. Blocks; may run in another thread."""
        file = self.storage.find_snapshot(meta)
        if file is None:
            raise CorruptionError(f"the snapshot of entry {meta.index} has vanished before it was installed")
        loaded = self.state_machine.load(self.storage.chunks(file))
        self._prepared = (meta, Roster.decode(file.header.membership), loaded)

    def _install(self, meta: SnapshotMeta) -> None:
        if self._prepared is None or self._prepared[0] != meta:
            self.prepare(meta)
        assert self._prepared is not None
        _, self.roster, loaded = self._prepared
        self._prepared = None
        self.state_machine.become(loaded)
        self.roster_version += 1
        self.applied_index, self.applied_term = meta.index, meta.term
        self.snapshot_index = meta.index
        self.bytes_since_snapshot = 0

    def finish(self, ready: Ready) -> None:
        self.raw.advance(ready)

    # Snapshots of our own

    def snapshot_meta(self) -> SnapshotMeta:
        return SnapshotMeta(self.applied_index, self.applied_term, self.raw.raft.configuration)

    def snapshot_is_durable(self, meta: SnapshotMeta) -> None:
        """Called once `Storage.mark_snapshot` returned."""
        self.raw.compact(meta)
        self.snapshot_index = max(self.snapshot_index, meta.index)

    def propose(self, requests: Sequence[tuple[int, bytes]], forwarded: Sequence[bytes] = ()) -> bool:
        """`forwarded` carry their tickets already. False if nobody takes them now."""
        datas = [self.ticket(request) + data for request, data in requests]
        return not (datas or forwarded) or self.raw.propose([*datas, *forwarded])

    def step(self, message: Message) -> None:
        self.raw.step(message)

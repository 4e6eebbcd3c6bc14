"""The handle by which a caller drives one member: inputs, `ready()`, the caller's work, `advance()`.

step / tick / propose / read_index / …    at any time
ready() -> Ready | None                   what has to be done now; None if nothing
… the caller does it, in the order of Ready's fields …
advance(ready)                            it is done
"""

from __future__ import annotations

from collections.abc import Sequence

from etcd_raft.raft import leading, voting
from etcd_raft.raft.core import Raft, RaftConfig, RandomSource, Role
from etcd_raft.raft.log import RaftLog
from etcd_raft.raft.membership import Change, Configuration, encode_change
from etcd_raft.raft.messages import Entry, EntryKind, HardState, Message, ReadState, Ready, SnapshotMeta


class RawNode:
    """`snapshot`, `hard_state` and `entries` are what the caller recovered from its disk; all empty at birth."""

    def __init__(
        self,
        config: RaftConfig,
        rng: RandomSource,
        snapshot: SnapshotMeta | None = None,
        hard_state: HardState | None = None,
        entries: Sequence[Entry] = (),
    ) -> None:
        hard_state = hard_state or HardState()
        self.log = RaftLog(snapshot or SnapshotMeta(), entries, hard_state.commit)
        self.raft = Raft(config, rng, self.log, hard_state)
        self._outstanding: Ready | None = None

    # Inputs

    def step(self, message: Message) -> None:
        self.raft.step(message)

    def tick(self) -> None:
        self.raft.tick()

    def campaign(self) -> None:
        """Do not wait for the election timeout."""
        if self.raft.role is not Role.LEADER and self.raft.is_promotable():
            pre_vote = self.raft.config.pre_vote
            voting.campaign(self.raft, voting.Campaign.PRE_VOTE if pre_vote else voting.Campaign.VOTE)

    def propose(self, datas: Sequence[bytes]) -> bool:
        """False if there is no leader to take them now; they were not taken then."""
        return self.raft.propose([(data, EntryKind.NORMAL) for data in datas])

    def propose_change(self, change: Change, kind: EntryKind = EntryKind.MEMBERSHIP) -> bool:
        return self.raft.propose([(encode_change(change), kind)])

    def read_index(self, context: bytes) -> bool:
        return self.raft.read_index(context)

    def transfer_leader(self, to: int) -> None:
        self.raft.transfer_leader(to)

    def apply_change(self, change: Change) -> Configuration:
        """A MEMBERSHIP entry out of `Ready.committed` takes effect."""
        return self.raft.apply_change(change)

    def report_unreachable(self, member: int) -> None:
        leading.report_unreachable(self.raft, member)
        self.raft.lose_sight_of(member)

    def report_snapshot(self, member: int, arrived: bool) -> None:
        leading.report_snapshot(self.raft, member, arrived)

    def compact(self, snapshot: SnapshotMeta) -> None:
        """A snapshot of our own is durable."""
        self.log.compact(snapshot, self.raft.config.catch_up_entries)

    # Outputs

    def take_messages(self) -> tuple[Message, ...]:
        """What may be sent although a Ready is being worked on: a slow disk must not silence a leader."""
        leading.broadcast_if_due(self.raft)
        messages = tuple(self.raft.messages)
        self.raft.messages.clear()
        return messages

    def take_read_states(self) -> tuple[ReadState, ...]:
        """Confirmed reads, although a Ready is being worked on: a read must not wait for somebody else's fdatasync."""
        states = tuple(self.raft.read_states)
        self.raft.read_states.clear()
        return states

    def has_ready(self) -> bool:
        raft, log = self.raft, self.log
        return bool(
            raft.messages
            or raft.is_broadcast_due
            or raft.dependent_messages
            or raft.read_states
            or log.stable < log.last_index
            or log.pending_snapshot is not None
            or (raft.term, raft.vote) != (raft.persisted.term, raft.persisted.vote)
            or log.has_committed_to_apply()
        )

    def ready(self) -> Ready | None:
        assert self._outstanding is None, "advance() first"
        if not self.has_ready():
            return None
        raft, log = self.raft, self.log
        leading.broadcast_if_due(raft)
        entries = log.unstable()
        committed = log.next_committed(raft.config.max_apply_bytes)
        # A configuration must not be forgotten once it was acted upon: its commit index becomes durable first.
        alters_membership = any(entry.kind is EntryKind.MEMBERSHIP for entry in committed)
        has_new_vote = (raft.term, raft.vote) != (raft.persisted.term, raft.persisted.vote)
        must_sync = bool(entries) or has_new_vote or alters_membership or log.pending_snapshot is not None
        ready = Ready(
            messages=tuple(raft.messages),
            snapshot=log.pending_snapshot,
            # A commit index alone is not worth a write: whoever restarts learns it again from the leader.
            hard_state=HardState(raft.term, raft.vote, log.committed) if must_sync else None,
            entries=entries,
            must_sync=must_sync,
            messages_after_persist=tuple(raft.dependent_messages),
            committed=committed,
            read_states=tuple(raft.read_states),
        )
        raft.messages.clear()
        raft.dependent_messages.clear()
        raft.read_states.clear()
        if committed:
            log.applying = committed[-1].index
        self._outstanding = ready
        return ready

    def advance(self, ready: Ready) -> None:
        assert self._outstanding is ready, "advance() takes the Ready that ready() returned"
        self._outstanding = None
        raft, log = self.raft, self.log
        if ready.hard_state is not None:
            raft.persisted = ready.hard_state
        if ready.snapshot is not None:
            if log.pending_snapshot is ready.snapshot:
                log.pending_snapshot = None
            log.applied = max(log.applied, ready.snapshot.index)
        if ready.committed:
            log.applied = max(log.applied, ready.committed[-1].index)
        if ready.entries:
            log.stable_to(ready.entries[-1].index, ready.entries[-1].term)
        if raft.role is Role.LEADER:
            leading.own_log_is_stable(raft)

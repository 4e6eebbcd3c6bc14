"""One member's Raft state: its role, its term, and what each kind of input does to it (thesis chapters 3, 4, 6).

`Raft` holds the state and the transitions between roles; what a role does with a message lives in `voting`, `leading`
and `following`, entered through the table `HANDLERS`. Outgoing messages collect in two lists: those that depend on
state not yet durable wait for the caller to persist it (`Ready.messages_after_persist`).

    FOLLOWER --timeout--> PRE_CANDIDATE --majority would vote--> CANDIDATE --majority votes--> LEADER
        ^------------------- higher term, a living leader, or a lost majority -------------------+
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from etcd_raft.raft import following, leading, voting
from etcd_raft.raft.log import RaftLog
from etcd_raft.raft.membership import Change, Configuration, changed
from etcd_raft.raft.messages import NOBODY, Entry, EntryKind, HardState, Kind, Message, ReadState, SnapshotMeta
from etcd_raft.raft.progress import Progress
from etcd_raft.raft.reading import ReadQueue


class RandomSource(Protocol):
    def randrange(self, n: int, /) -> int: ...


class Role(Enum):
    FOLLOWER = "follower"
    PRE_CANDIDATE = "pre-candidate"
    CANDIDATE = "candidate"
    LEADER = "leader"


@dataclass(frozen=True, slots=True)
class RaftConfig:
    member_id: int
    election_ticks: int = 10
    heartbeat_ticks: int = 1
    max_append_bytes: int = 1 << 20
    max_inflight: int = 256
    max_apply_bytes: int = 8 << 20
    pre_vote: bool = True
    check_quorum: bool = True
    catch_up_entries: int = 5000
    """Entries kept in front of a snapshot, so that a follower a little behind needs no snapshot."""

    def __post_init__(self) -> None:
        assert self.member_id != NOBODY
        assert self.election_ticks > self.heartbeat_ticks > 0


#: What tells others about state that must be durable first. Heartbeat answers join them while the term is not durable.
_DEPENDENT = frozenset({Kind.APPEND_RESPONSE, Kind.VOTE, Kind.VOTE_RESPONSE, Kind.PRE_VOTE_RESPONSE})
#: Forwarded client requests belong to no term.
_TERMLESS = frozenset({Kind.PROPOSE, Kind.READ_INDEX})
_FROM_LEADER = frozenset({Kind.APPEND, Kind.HEARTBEAT, Kind.SNAPSHOT})


class Raft:
    def __init__(self, config: RaftConfig, rng: RandomSource, log: RaftLog, hard_state: HardState) -> None:
        self.config = config
        self.id = config.member_id
        self.rng = rng
        self.log = log
        self.term = hard_state.term
        self.vote = hard_state.vote
        self.persisted = hard_state
        self.leader = NOBODY
        self.role = Role.FOLLOWER
        self.configuration = log.snapshot.configuration
        self.progress: dict[int, Progress] = {}
        self.votes: dict[int, bool] = {}
        self.transferee = NOBODY
        self.pending_change_index = 0
        self.reads = ReadQueue()
        self.read_states: list[ReadState] = []
        self.messages: list[Message] = []
        self.dependent_messages: list[Message] = []
        self.is_broadcast_due = False
        self.election_elapsed = 0
        self.heartbeat_elapsed = 0
        self.election_timeout = 0
        self._reset(self.term)

    # Transitions between roles

    def _reset(self, term: int) -> None:
        if term != self.term:
            assert term > self.term, "terms only grow"
            self.term = term
            self.vote = NOBODY
        self.leader = NOBODY
        self.votes = {}
        self.election_elapsed = 0
        self.heartbeat_elapsed = 0
        self.election_timeout = self.config.election_ticks + self.rng.randrange(self.config.election_ticks)
        self.transferee = NOBODY
        self.pending_change_index = 0
        self.progress = {}
        self.reads = ReadQueue()
        self.is_broadcast_due = False

    def become_follower(self, term: int, leader: int) -> None:
        self._reset(term)
        self.leader = leader
        self.role = Role.FOLLOWER

    def become_pre_candidate(self) -> None:
        assert self.role is not Role.LEADER, "a leader never campaigns"
        # Asking costs nothing: neither term nor vote changes, so a failed attempt disturbs nobody.
        self.votes = {}
        self.leader = NOBODY
        self.role = Role.PRE_CANDIDATE

    def become_candidate(self) -> None:
        assert self.role is not Role.LEADER, "a leader never campaigns"
        self._reset(self.term + 1)
        self.vote = self.id
        self.role = Role.CANDIDATE

    def become_leader(self) -> None:
        assert self.role is Role.CANDIDATE, "only a candidate with a majority becomes leader"
        self._reset(self.term)
        self.leader = self.id
        self.role = Role.LEADER
        self._rebuild_progress()
        # Changes of earlier terms may lie unapplied in the log: none of our own before they are through.
        self.pending_change_index = self.log.last_index
        self.append_own([(b"", EntryKind.NORMAL)])

    def _rebuild_progress(self) -> None:
        old = self.progress
        self.progress = {}
        for member in self.configuration.members():
            known = old.get(member)
            if known is None:
                known = Progress(self.log.last_index + 1, self.config.max_inflight)
                known.recently_active = True
            known.is_learner = member in self.configuration.learners
            self.progress[member] = known
        mine = self.progress.get(self.id)
        if mine is not None:
            mine.match = self.log.stable

    # Time

    def tick(self) -> None:
        if self.role is Role.LEADER:
            leading.tick(self)
            return
        self.election_elapsed += 1
        if self.election_elapsed >= self.election_timeout and self.is_promotable():
            self.election_elapsed = 0
            voting.campaign(self, voting.Campaign.PRE_VOTE if self.config.pre_vote else voting.Campaign.VOTE)

    def lose_sight_of(self, member: int) -> None:
        """The connection to a member broke. If it leads, its process is likely gone and the wait for it becomes short;
        what would be forwarded to it waits for the next leader.

        Should it live, its next heartbeat makes all as before, and whoever else hears it refuses the pre-vote.
        """
        if member == self.leader and self.role is Role.FOLLOWER and self.config.pre_vote:
            self.leader = NOBODY
            soon = self.election_elapsed + 1 + self.rng.randrange(max(1, self.config.election_ticks // 2))
            self.election_timeout = min(self.election_timeout, soon)

    def is_promotable(self) -> bool:
        return self.id in self.configuration.voters and self.log.pending_snapshot is None

    # Messages

    def send(self, message: Message) -> None:
        """Queue a message; one that rests on a term or vote not yet durable waits for the disk."""
        assert message.to != self.id
        is_durable = (self.term, self.vote) == (self.persisted.term, self.persisted.vote)
        if message.kind in _DEPENDENT or not is_durable:
            self.dependent_messages.append(message)
        else:
            self.messages.append(message)

    def step(self, message: Message) -> None:
        if message.to != self.id:
            return
        if message.kind not in _TERMLESS:
            if message.term < self.term:
                self._answer_stale(message)
                return
            if message.term > self.term and not self._meet_higher_term(message):
                return
        if message.kind is Kind.VOTE or message.kind is Kind.PRE_VOTE:
            voting.handle_request(self, message)
            return
        handler = HANDLERS[self.role].get(message.kind)
        if handler is not None:
            handler(self, message)

    def _meet_higher_term(self, message: Message) -> bool:
        """Adopt the term; False if the message is to be ignored."""
        if message.kind is Kind.VOTE or message.kind is Kind.PRE_VOTE:
            hears_a_leader = self.leader != NOBODY and self.election_elapsed < self.config.election_ticks
            if self.config.check_quorum and hears_a_leader and message.context != voting.TRANSFER:
                return False  # A member that was cut off or removed must not depose a working leader (section 4.2.3).
        if message.kind is Kind.PRE_VOTE or (message.kind is Kind.PRE_VOTE_RESPONSE and not message.reject):
            return True  # These speak of a term that nobody has entered yet.
        self.become_follower(message.term, message.sender if message.kind in _FROM_LEADER else NOBODY)
        return True

    def _answer_stale(self, message: Message) -> None:
        if message.kind in (Kind.APPEND, Kind.HEARTBEAT):
            # The answer's higher term deposes the stale leader, which otherwise might never hear of it: this member
            # gets no votes (it may be behind), and with PreVote and CheckQuorum no one else asks for any.
            self.send(Message(Kind.APPEND_RESPONSE, message.sender, self.id, self.term))
        elif message.kind is Kind.PRE_VOTE:
            self.send(Message(Kind.PRE_VOTE_RESPONSE, message.sender, self.id, self.term, reject=True))

    # What clients ask for

    def propose(self, entries: Sequence[tuple[bytes, EntryKind]]) -> bool:
        """Append (leader) or forward (follower); False if there is nobody to do it now."""
        if self.role is Role.LEADER:
            return leading.propose(self, entries)
        if self.role is not Role.FOLLOWER or self.leader == NOBODY:
            return False
        carried = tuple(Entry(0, 0, data, kind) for data, kind in entries)
        self.send(Message(Kind.PROPOSE, self.leader, self.id, entries=carried))
        return True

    def read_index(self, context: bytes) -> bool:
        """Ask for a linearizable point; a ReadState with `context` follows. False if no leader is known now."""
        if self.role is Role.LEADER:
            leading.read_index(self, self.id, context)
            return True
        if self.role is not Role.FOLLOWER or self.leader == NOBODY:
            return False
        self.send(Message(Kind.READ_INDEX, self.leader, self.id, context=context))
        return True

    def transfer_leader(self, to: int) -> None:
        if self.role is Role.LEADER:
            leading.transfer(self, to)
        elif self.leader != NOBODY:
            self.send(Message(Kind.TRANSFER_LEADER, self.leader, to, self.term))

    # The log

    def append_own(self, entries: Sequence[tuple[bytes, EntryKind]]) -> None:
        assert self.role is Role.LEADER
        index, term = self.log.last_index, self.term
        self.log.append([Entry(index + n, term, data, kind) for n, (data, kind) in enumerate(entries, 1)])

    def is_committed_in_term(self) -> bool:
        return self.log.term(self.log.committed) == self.term

    def apply_change(self, change: Change) -> Configuration:
        """A committed membership change takes effect."""
        self._adopt(changed(self.configuration, change))
        return self.configuration

    def adopt_snapshot_configuration(self, snapshot: SnapshotMeta) -> None:
        self._adopt(snapshot.configuration)

    def _adopt(self, configuration: Configuration) -> None:
        self.configuration = configuration
        if self.role is not Role.LEADER:
            return
        if self.id not in configuration.voters:
            self.become_follower(self.term, NOBODY)
            return
        self._rebuild_progress()
        if self.transferee not in configuration.voters:
            self.transferee = NOBODY
        # A smaller configuration may commit what the larger one could not.
        leading.commit_and_broadcast(self)
        for member in sorted(self.progress):
            if member != self.id:
                leading.send_append(self, member, even_if_empty=True)


Handler = Callable[[Raft, Message], None]

HANDLERS: dict[Role, dict[Kind, Handler]] = {
    Role.FOLLOWER: {
        Kind.PROPOSE: following.forward_proposal,
        Kind.APPEND: following.handle_append,
        Kind.HEARTBEAT: following.handle_heartbeat,
        Kind.SNAPSHOT: following.handle_snapshot,
        Kind.TRANSFER_LEADER: following.forward_transfer,
        Kind.TIMEOUT_NOW: following.handle_timeout_now,
        Kind.READ_INDEX: following.forward_read,
        Kind.READ_INDEX_RESPONSE: following.handle_read_response,
    },
    Role.PRE_CANDIDATE: {
        Kind.APPEND: following.handle_append,
        Kind.HEARTBEAT: following.handle_heartbeat,
        Kind.SNAPSHOT: following.handle_snapshot,
        Kind.PRE_VOTE_RESPONSE: voting.handle_response,
    },
    Role.CANDIDATE: {
        Kind.APPEND: following.handle_append,
        Kind.HEARTBEAT: following.handle_heartbeat,
        Kind.SNAPSHOT: following.handle_snapshot,
        Kind.VOTE_RESPONSE: voting.handle_response,
    },
    Role.LEADER: {
        Kind.PROPOSE: leading.handle_proposal,
        Kind.APPEND_RESPONSE: leading.handle_append_response,
        Kind.HEARTBEAT_RESPONSE: leading.handle_heartbeat_response,
        Kind.READ_INDEX: leading.handle_read_index,
        Kind.TRANSFER_LEADER: leading.handle_transfer,
    },
}

"""Where the replicated log meets the rest of the store: what it applies to, and what the servicers may ask of it.

Downwards, `StateMachine` is what committed entries are applied to. Upwards, `Node` is what the gRPC servicers hold:
they propose bytes and get back the object that applying those bytes returned, they wait for a linearizable read, and
they read the membership. A `Refusal` is the only kind of failure a servicer has to expect from a Node; it carries the
gRPC status code and the text that etcd's clients match on, so translating it is one line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec


class AppliedEntry(msgspec.Struct, frozen=True, gc=False):
    """One committed proposal, in log order. `data` is what `Node.propose` was given, byte for byte."""

    index: int
    term: int
    data: bytes


class StateMachine(Protocol):
    """The deterministic state behind the log. All methods but `load` run in the loop's thread and never block on I/O.

    Entries arrive once each and in order, but indexes have gaps: elections and membership changes take indexes too.
    After a restart the state machine is restored from the newest snapshot and the later entries are applied again.
    """

    @property
    def applied_index(self) -> int:
        """Index of the last entry applied or restored; 0 at birth."""
        ...

    def apply(self, entries: Sequence[AppliedEntry]) -> list[object]:
        """Apply in order; one result for each entry, handed to the proposer if it waits at this member.

        It must be deterministic: the same entries give the same state on every member. A request that is refused
        (a failed quota check, a compacted revision, …) is a result too, never an exception: an exception here stops
        the member, since it could no longer claim to be a replica.
        """
        ...

    def snapshot(self) -> Iterator[bytes]:
        """The state as of this call, in chunks. Each `next()` takes at most ~5 ms; `apply` is called in between."""
        ...

    def load(self, chunks: Iterable[bytes]) -> object:
        """The state that `snapshot` described, for `become`. It may run in another thread and alters nothing here."""
        ...

    def become(self, loaded: object) -> None:
        """Take over what `load` returned; what was there before is dropped."""
        ...


@dataclass(frozen=True, slots=True)
class Member:
    """A member of the cluster. `name` and `client_urls` are empty until the member has started and published them."""

    id: int
    name: str
    peer_urls: tuple[str, ...]
    client_urls: tuple[str, ...]
    is_learner: bool = False


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """What Maintenance.Status and the metrics report about the log."""

    cluster_id: int
    member_id: int
    leader_id: int
    term: int
    committed_index: int
    applied_index: int
    is_learner: bool
    has_failed: bool
    pending_proposals: int
    snapshot_index: int


class StatusCode:
    """The gRPC status codes that refusals use (numbers of the gRPC specification)."""

    UNKNOWN = 2
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    UNAVAILABLE = 14
    INVALID_ARGUMENT = 3


class Refusal(Exception):
    """The Node cannot do it; `code` is a gRPC status code, `message` a text that etcd's clients know.

    A refused proposal may still be applied later when `message` says it timed out: the entry may be in a log already.
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def unavailable(message: str) -> Refusal:
    """A refusal that a client may retry elsewhere or later."""
    return Refusal(StatusCode.UNAVAILABLE, "etcdserver: " + message)


def precondition(message: str) -> Refusal:
    """A refusal that stays until the cluster's state changes."""
    return Refusal(StatusCode.FAILED_PRECONDITION, "etcdserver: " + message)


LeadershipCallback = Callable[[bool, int], None]
"""Called as (is_leader, term), in the loop's thread, when this member becomes leader or ceases to be it.

On becoming leader it is called once everything of earlier terms is applied, so a lease table may be read then.
"""


class Waiter(Protocol):
    """Who waits for what becomes of a proposal: told once, in the turn in which it is known."""

    def cancelled(self) -> bool:
        """Nobody wants to know any more: a proposal that has not gone out yet may be dropped."""
        ...

    def applied(self, result: object) -> None: ...
    def failed(self, refusal: Refusal) -> None: ...


class Node(Protocol):
    """One member of the replicated log, as the servicers see it."""

    async def propose(self, data: bytes) -> object:
        """Replicate and apply; returns the object that `StateMachine.apply` returned here. Raises Refusal.

        Any member may propose: a follower forwards to the leader. All proposals that wait at the same moment share
        one append and one fdatasync.
        """
        ...

    def begin(self, data: bytes, waiter: Waiter) -> None:
        """As `propose`, for who needs no task: `waiter` is told in a later turn of the loop. Raises Refusal."""
        ...

    async def read_index(self) -> None:
        """Return once this member has applied everything that was committed when the call was made. Raises Refusal.

        Concurrent calls share one round of heartbeats.
        """
        ...

    @property
    def cluster_id(self) -> int: ...
    @property
    def member_id(self) -> int: ...
    @property
    def leader_id(self) -> int:
        """0 while no leader is known."""
        ...

    @property
    def term(self) -> int: ...
    @property
    def is_leader(self) -> bool: ...
    @property
    def is_learner(self) -> bool: ...
    @property
    def raft_index(self) -> int:
        """The commit index."""
        ...

    @property
    def applied_index(self) -> int: ...

    def members(self) -> list[Member]:
        """The applied membership, ordered by id."""
        ...

    def status(self) -> NodeStatus: ...

    async def add_member(self, peer_urls: Sequence[str], is_learner: bool = False) -> Member: ...
    async def remove_member(self, member_id: int) -> None: ...
    async def promote_member(self, member_id: int) -> None: ...
    async def update_member(self, member_id: int, peer_urls: Sequence[str]) -> None: ...
    async def transfer_leader(self, to: int) -> None: ...

    def on_leadership(self, callback: LeadershipCallback) -> None: ...

"""The values that cross the border of the Raft core: entries, messages between members, and `Ready`.

All are immutable and free of behaviour. `Ready` is the contract with the caller: its fields are listed in the order in
which they have to be dealt with.
"""

from __future__ import annotations

from enum import IntEnum

import msgspec

from etcd_raft.raft.membership import Configuration

NOBODY = 0
"""The member id that no member has: "no leader known", "no vote given"."""


class EntryKind(IntEnum):
    NORMAL = 0
    """Bytes for the state machine; empty data is the entry a new leader opens its term with."""
    MEMBERSHIP = 1
    """A `membership.Change`, which alters who votes."""
    ATTRIBUTES = 2
    """A `membership.Change` that alters a member's names and addresses only, so that it needs no serialising."""


class Entry(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    index: int
    term: int
    data: bytes = b""
    kind: EntryKind = EntryKind.NORMAL


class HardState(msgspec.Struct, frozen=True, gc=False):
    """What must survive a crash besides the log (thesis figure 3.1); `commit` only speeds up a restart."""

    term: int = 0
    vote: int = NOBODY
    commit: int = 0


class SnapshotMeta(msgspec.Struct, frozen=True, gc=False):
    """Names a snapshot: the last entry it covers and the configuration in force after that entry."""

    index: int = 0
    term: int = 0
    configuration: Configuration = Configuration()


class Kind(IntEnum):
    """What a message says. Requests carry the sender's term; forwarded client requests carry term 0."""

    PROPOSE = 0
    APPEND = 1
    APPEND_RESPONSE = 2
    HEARTBEAT = 3
    HEARTBEAT_RESPONSE = 4
    SNAPSHOT = 5
    VOTE = 6
    VOTE_RESPONSE = 7
    PRE_VOTE = 8
    PRE_VOTE_RESPONSE = 9
    READ_INDEX = 10
    READ_INDEX_RESPONSE = 11
    TRANSFER_LEADER = 12
    TIMEOUT_NOW = 13


class Message(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    kind: Kind
    to: int
    sender: int = NOBODY
    term: int = 0
    log_term: int = 0
    """APPEND: term of the entry before `entries`. VOTE: term of the last entry. Rejections: term at `reject_hint`."""
    index: int = 0
    """APPEND: index of the entry before `entries`. Responses: the index that matches (or was rejected)."""
    entries: tuple[Entry, ...] = ()
    commit: int = 0
    reject: bool = False
    reject_hint: int = 0
    context: bytes = b""
    snapshot: SnapshotMeta | None = None


class ReadState(msgspec.Struct, frozen=True, gc=False):
    """The read `context` is linearizable once the state machine has applied `index`."""

    index: int
    context: bytes


class Ready(msgspec.Struct, frozen=True):
    """What the caller owes the core, in this order; then `advance(ready)`.

    Steps, ticks and proposals are allowed between `ready()` and `advance()`; a second `ready()` is not.
    """

    messages: tuple[Message, ...]
    """1. Send at once: they promise nothing that is not durable yet."""

    snapshot: SnapshotMeta | None
    """2. A snapshot received from the leader: make it durable, then restore the state machine from it."""

    hard_state: HardState | None
    """3. Append to the WAL, together with ..."""

    entries: tuple[Entry, ...]
    """... these entries; what the WAL holds at the same or higher indexes is thereby void."""

    must_sync: bool
    """4. fdatasync the WAL before going on to 5."""

    messages_after_persist: tuple[Message, ...]
    """5. Send: they tell others that the above is durable here."""

    committed: tuple[Entry, ...]
    """Apply in order. They are durable here already, so this may run beside steps 3 to 5, unless they alter the
    membership: then `must_sync` is set and the WAL comes first."""

    read_states: tuple[ReadState, ...]
    """Reads to release once applied."""

"""The Raft consensus algorithm as a pure state machine: messages and ticks go in, obligations (`Ready`) come out.

Nothing in here reads a clock, a socket, a disk or global randomness; the caller does what `Ready` asks, in its order.
Terms are those of Ongaro's thesis ("Consensus: Bridging Theory and Practice"), which `docs/raft.md` maps to the files.
"""

from etcd_raft.raft.core import Raft, RaftConfig, Role
from etcd_raft.raft.log import LostEntriesError
from etcd_raft.raft.membership import Change, ChangeKind, Configuration
from etcd_raft.raft.messages import (
    Entry,
    EntryKind,
    HardState,
    Kind,
    Message,
    ReadState,
    Ready,
    SnapshotMeta,
)
from etcd_raft.raft.rawnode import RawNode

__all__ = [
    "Change",
    "ChangeKind",
    "Configuration",
    "Entry",
    "EntryKind",
    "HardState",
    "Kind",
    "LostEntriesError",
    "Message",
    "Raft",
    "RaftConfig",
    "RawNode",
    "ReadState",
    "Ready",
    "Role",
    "SnapshotMeta",
]

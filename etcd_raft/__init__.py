"""A Raft-replicated key-value store that speaks etcd's v3 protocol.

`raft/` (consensus) and `mvcc/` (revisions, watches, leases) are pure; `wal/`, `transport` and `server/` perform what
they ask.
"""

"""The leases that exist and the keys attached to them: the part that is replicated. Time is the leader's affair."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from etcd_raft.mvcc import refusals

MAX_TTL: Final = 9_000_000_000


class Lease:
    """`remaining` is what the leader last recorded of the TTL, 0 if nothing: a new leader starts from there.

    `renewals` counts those that went through the log, not those that the leader grants on its own.
    """

    __slots__ = ("id", "keys", "remaining", "renewals", "ttl")

    def __init__(self, lease_id: int, ttl: int, remaining: int = 0, renewals: int = 0) -> None:
        self.id = lease_id
        self.ttl = ttl
        self.remaining = remaining
        self.renewals = renewals
        self.keys: dict[bytes, None] = {}


class LeaseRow(msgspec.Struct, frozen=True, array_like=True):
    """A lease in a snapshot; its keys are found again in the key space."""

    id: int
    ttl: int
    remaining: int
    renewals: int = 0


class Watcher:
    """Who is told of leases coming and going at this member, after the change; by default nobody."""

    def granted(self, lease: Lease) -> None: ...

    def renewed(self, lease: Lease) -> None: ...

    def revoked(self, lease_id: int) -> None: ...

    def restored(self) -> None:
        """Everything may be different."""


class LeaseTable:
    def __init__(self) -> None:
        self.leases: dict[int, Lease] = {}
        self.watcher = Watcher()
        #: For the metrics: since this member started.
        self.granted = self.revoked = 0

    def grant(self, lease_id: int, ttl: int) -> Lease:
        if lease_id == 0:
            raise refusals.lease_not_found()
        if ttl > MAX_TTL:
            raise refusals.lease_ttl_too_large()
        if lease_id in self.leases:
            raise refusals.lease_exists()
        lease = self.leases[lease_id] = Lease(lease_id, ttl)
        self.granted += 1
        self.watcher.granted(lease)
        return lease

    def find(self, lease_id: int) -> Lease:
        lease = self.leases.get(lease_id)
        if lease is None:
            raise refusals.lease_not_found()
        return lease

    def drop(self, lease: Lease) -> None:
        """Its keys have been deleted."""
        del self.leases[lease.id]
        self.revoked += 1
        self.watcher.revoked(lease.id)

    def renew(self, lease: Lease) -> None:
        lease.remaining = 0
        lease.renewals += 1
        self.watcher.renewed(lease)

    def checkpoint(self, lease_id: int, remaining: int) -> None:
        lease = self.leases.get(lease_id)
        if lease is not None:
            lease.remaining = remaining

    # As transactions see it (mvcc.transaction.Leases)

    def exists(self, lease_id: int) -> bool:
        return lease_id in self.leases

    def move(self, key: bytes, before: int, after: int) -> None:
        if before and (lease := self.leases.get(before)) is not None:
            lease.keys.pop(key, None)
        if after:
            self.leases[after].keys[key] = None

    # Snapshots

    def rows(self) -> list[LeaseRow]:
        return [LeaseRow(lease.id, lease.ttl, lease.remaining, lease.renewals) for lease in self.leases.values()]

    def restore(self, rows: Iterable[LeaseRow], attached: Iterable[tuple[bytes, int]]) -> None:
        self.leases = {row.id: Lease(row.id, row.ttl, row.remaining, row.renewals) for row in rows}
        for key, lease_id in attached:
            if (lease := self.leases.get(lease_id)) is not None:
                lease.keys[key] = None
        self.watcher.restored()

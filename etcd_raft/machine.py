"""The state machine behind the log: what every member computes from the same entries.

Results are `Reply` objects (a response's body and the revision for its header) or a `Refusal`. Besides the keys it
holds the leases and the alarms. Watchers and lease clocks of this member hang on it and are told after each batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from component_base import rpc
from etcd_raft import requests
from etcd_raft.auth import access
from etcd_raft.auth.accounts import Accounts, Caller
from etcd_raft.auth.accounts import Dump as AccountsDump
from etcd_raft.auth.refusals import refused
from etcd_raft.lease.table import LeaseRow, LeaseTable
from etcd_raft.mvcc import dump, refusals, transaction
from etcd_raft.mvcc.keyspace import Keyspace
from etcd_raft.mvcc.transaction import Reply
from etcd_raft.mvcc.watching import WatchTable
from etcd_raft.mvcc.wire import number, sized
from etcd_raft.ports import AppliedEntry, Refusal
from skiff_pb.etcd import rpc_pb2

NOSPACE: Final = int(rpc_pb2.NOSPACE)
CORRUPT: Final = int(rpc_pb2.CORRUPT)
_FORMAT: Final = 2
_AUTH: Final = rpc_pb2.DESCRIPTOR.services_by_name["Auth"]
#: Revisions whose hidden history is dropped after each batch of entries; a thousand take about a millisecond.
_PRUNE_REVISIONS: Final = 500


#: What nobody may ask of a cluster that is known to be corrupt.
_CHANGES: Final = frozenset(
    kind[0] for kind in (requests.PUT, requests.DELETE_RANGE, requests.TXN, requests.COMPACT, requests.LEASE_GRANT)
)


class _Meta(msgspec.Struct, frozen=True, array_like=True):
    """The first item of a snapshot."""

    format: int
    applied_index: int
    leases: list[LeaseRow]
    alarms: list[tuple[int, int]]
    accounts: AccountsDump


@dataclass(frozen=True, slots=True)
class Loaded:
    """A whole state, read but not taken over yet."""

    space: Keyspace
    applied_index: int
    leases: list[LeaseRow]
    alarms: set[tuple[int, int]]
    accounts: AccountsDump


class StoreMachine:
    """Give it to the log, and the servicers read from it."""

    def __init__(self) -> None:
        self.space = Keyspace()
        self.leases = LeaseTable()
        self.watches = WatchTable(self.space)
        self.alarms: set[tuple[int, int]] = set()
        self.accounts = Accounts()
        self._applied_index = 0
        self.txns = 0
        self._handlers: dict[int, Callable[[bytes, int, Caller | None], Reply]] = {
            requests.PUT[0]: self._put,
            requests.DELETE_RANGE[0]: self._delete_range,
            requests.TXN[0]: self._txn,
            requests.COMPACT[0]: self._compact,
            requests.LEASE_GRANT[0]: self._lease_grant,
            requests.LEASE_REVOKE[0]: self._lease_revoke,
            requests.LEASE_RENEW[0]: self._lease_renew,
            requests.LEASE_CHECKPOINT[0]: self._lease_checkpoint,
            requests.ALARM[0]: self._alarm,
            requests.AUTH_CHANGE[0]: self._auth_change,
            requests.AUTH_TOKEN[0]: self._auth_token,
            requests.AS_USER[0]: self._as_user,
        }

    @property
    def applied_index(self) -> int:
        return self._applied_index

    def apply(self, entries: Sequence[AppliedEntry]) -> list[object]:
        results: list[object] = []
        for entry in entries:
            assert entry.index > self._applied_index, "entries arrive once and in order"
            self._applied_index = entry.index
            try:
                if self.alarms and entry.data[0] in _CHANGES and self.has_alarm(CORRUPT):
                    raise refusals.corrupt()
                results.append(self._handlers[entry.data[0]](entry.data[1:], entry.term, None))
            except Refusal as refusal:
                results.append(refusal)
        self.watches.publish()
        self.space.prune(_PRUNE_REVISIONS)
        return results

    def has_alarm(self, alarm: int) -> bool:
        return any(kind == alarm for _, kind in self.alarms)

    # Snapshots

    def snapshot(self) -> Iterator[bytes]:
        meta = _Meta(_FORMAT, self._applied_index, self.leases.rows(), sorted(self.alarms), self.accounts.dump())
        return dump.dump(self.space, msgspec.msgpack.encode(meta))

    def load(self, chunks: Iterable[bytes]) -> Loaded:
        """Raises ValueError for what is no snapshot of this store."""
        stream = dump.items(chunks)
        meta = msgspec.msgpack.decode(next(stream), type=_Meta)
        if meta.format != _FORMAT:
            raise ValueError(f"the snapshot has format {meta.format}; this version reads format {_FORMAT}")
        return Loaded(dump.load(stream), meta.applied_index, meta.leases, set(meta.alarms), meta.accounts)

    def become(self, loaded: object) -> None:
        assert isinstance(loaded, Loaded)
        space = self.space = loaded.space
        self._applied_index = loaded.applied_index
        self.alarms = loaded.alarms
        self.accounts.restore(loaded.accounts)
        attached = ((record.key, record.lease) for record in space.live.values() if record.lease)
        self.leases.restore(loaded.leases, attached)
        self.watches.reset(space)

    def restore(self, chunks: Iterable[bytes]) -> None:
        self.become(self.load(chunks))

    # Requests

    def _put(self, data: bytes, term: int, caller: Caller | None) -> Reply:
        if self.alarms:
            self._refuse_growth()
        request = rpc_pb2.PutRequest.FromString(data)
        if self.accounts.is_enabled:
            access.check_put(self.accounts, self.leases, caller, request)
        return transaction.put(self.space, self.leases, request)

    def _delete_range(self, data: bytes, term: int, caller: Caller | None) -> Reply:
        request = rpc_pb2.DeleteRangeRequest.FromString(data)
        if self.accounts.is_enabled:
            access.check_delete(self.accounts, caller, request)
        return transaction.delete_range(self.space, self.leases, request)

    def _txn(self, data: bytes, term: int, caller: Caller | None) -> Reply:
        self.txns += 1
        request = rpc_pb2.TxnRequest.FromString(data)
        if self.alarms and transaction.has_puts(request):
            self._refuse_growth()
        if self.accounts.is_enabled:
            access.check_txn(self.accounts, self.leases, caller, request)
        return transaction.transact(self.space, self.leases, request)

    def _compact(self, data: bytes, term: int, caller: Caller | None) -> Reply:
        # As in etcd every user may, an apiserver's too; compaction by time has no user at all.
        revision = rpc_pb2.CompactionRequest.FromString(data).revision
        if revision <= self.space.compacted:
            raise refusals.compacted()
        if revision > self.space.revision:
            raise refusals.future_revision()
        self.space.compact(revision)
        return Reply(self.space.revision, b"")

    def _lease_grant(self, data: bytes, term: int, caller: Caller | None) -> Reply:
        request = msgspec.msgpack.decode(data, type=requests.LeaseGrant)
        if self.alarms:
            self._refuse_growth()
        lease = self.leases.grant(request.id, request.ttl)
        return Reply(self.space.revision, number(b"\x10", lease.id) + number(b"\x18", lease.ttl))

    def _lease_revoke(self, data: bytes, term: int, caller: Caller | None) -> Reply:
        request = msgspec.msgpack.decode(data, type=requests.LeaseRevoke)
        lease = self.leases.find(request.id)
        if request.term == 0:
            access.check_lease(self.accounts, caller, lease)
        if request.term == 0 or (request.term == term and request.renewals == lease.renewals):
            write = transaction.Write(self.space, self.leases)
            # Every member must give the same events in the same order.
            write.delete([self.space.live[key] for key in sorted(lease.keys)])
            write.finish()
            self.leases.drop(lease)
        return Reply(self.space.revision, b"")

    def _lease_renew(self, data: bytes, term: int, caller: Caller | None) -> Reply:
        lease = self.leases.find(msgspec.msgpack.decode(data, type=requests.LeaseRenew).id)
        self.leases.renew(lease)
        return Reply(self.space.revision, number(b"\x10", lease.id) + number(b"\x18", lease.ttl))

    def _lease_checkpoint(self, data: bytes, term: int, caller: Caller | None) -> Reply:
        request = msgspec.msgpack.decode(data, type=requests.LeaseCheckpoint)
        if request.term == term:
            for lease_id, remaining in request.remaining:
                self.leases.checkpoint(lease_id, remaining)
        return Reply(self.space.revision, b"")

    def _alarm(self, data: bytes, term: int, caller: Caller | None) -> Reply:
        request = msgspec.msgpack.decode(data, type=requests.Alarm)
        alarm = (request.member_id, request.alarm)
        if request.active:
            self.alarms.add(alarm)
        else:
            self.alarms.discard(alarm)
        return Reply(self.space.revision, b"")

    def _auth_change(self, data: bytes, term: int, caller: Caller | None) -> Reply:
        change = msgspec.msgpack.decode(data, type=requests.AuthChange)
        self.accounts.check_admin(caller)
        method = _AUTH.methods_by_name[change.name]
        self.accounts.change(change.name, rpc.request_class(method).FromString(change.request))
        return Reply(self.space.revision, b"")

    def _auth_token(self, data: bytes, term: int, caller: Caller | None) -> Reply:
        request = msgspec.msgpack.decode(data, type=requests.AuthToken)
        if not self.accounts.is_enabled:
            raise refused("authentication is not enabled")
        if request.auth_revision != self.accounts.revision:
            raise refused("revision of auth store is old")
        self.accounts.on_assigned(request.user, request.token)
        return Reply(self.space.revision, sized(b"\x12", request.token.encode()))

    def _as_user(self, data: bytes, term: int, caller: Caller | None) -> Reply:
        request = msgspec.msgpack.decode(data, type=requests.AsUser)
        caller = Caller(request.user, request.auth_revision)
        if self.accounts.is_enabled:
            self.accounts.check_caller(caller)
        if self.alarms and request.request[0] in _CHANGES and self.has_alarm(CORRUPT):
            raise refusals.corrupt()
        return self._handlers[request.request[0]](request.request[1:], term, caller)

    def _refuse_growth(self) -> None:
        if self.has_alarm(NOSPACE):
            raise refusals.no_space()

"""Executing writes and transactions: everything is checked before the first change, so nothing needs undoing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Protocol, TypeVar

import msgspec

from etcd_raft.mvcc import refusals
from etcd_raft.mvcc.keyspace import Keyspace, Record, range_bounds
from etcd_raft.mvcc.reading import check_revision, range_body
from etcd_raft.mvcc.wire import as_field_3, decode_kv, number, revision_header, sized
from skiff_pb.etcd import rpc_pb2

_EQUAL: Final = rpc_pb2.Compare.EQUAL
_GREATER: Final = rpc_pb2.Compare.GREATER
_LESS: Final = rpc_pb2.Compare.LESS
_VERSION: Final = rpc_pb2.Compare.VERSION
_CREATE: Final = rpc_pb2.Compare.CREATE
_MOD: Final = rpc_pb2.Compare.MOD
_VALUE: Final = rpc_pb2.Compare.VALUE
_LEASE: Final = rpc_pb2.Compare.LEASE


T = TypeVar("T", int, bytes)


class Leases(Protocol):
    """The leases as a transaction sees them."""

    def exists(self, lease_id: int) -> bool: ...

    def move(self, key: bytes, before: int, after: int) -> None:
        """The key's lease is now another one; 0 stands for none."""
        ...


class Reply(msgspec.Struct, frozen=True, gc=False):
    """A response without its header, and the revision for that header."""

    revision: int
    body: bytes


class Write:
    """One transaction: operations change the key space at once, `finish` makes them a revision."""

    __slots__ = ("_leases", "_space", "changes", "revision")

    def __init__(self, space: Keyspace, leases: Leases) -> None:
        self._space = space
        self._leases = leases
        self.changes: list[Record] = []
        self.revision = space.revision + 1

    def finish(self) -> int:
        """The store's revision from now on."""
        if self.changes:
            self._space.commit(self.changes)
        return self._space.revision

    @property
    def seen_revision(self) -> int:
        return self.revision if self.changes else self.revision - 1

    def put(self, request: rpc_pb2.PutRequest) -> bytes:
        key, value, lease = request.key, request.value, request.lease
        if request.ignore_value or request.ignore_lease:
            present = self._space.live[key]
            if request.ignore_value:
                value = decode_kv(present.field).value
            if request.ignore_lease:
                lease = present.lease
        record, old = self._space.put(key, value, lease, self.revision)
        self.changes.append(record)
        before = old.lease if old is not None else 0
        if before != lease:
            self._leases.move(record.key, before, lease)
        return old.field if request.prev_kv and old is not None else b""

    def delete_range(self, request: rpc_pb2.DeleteRangeRequest) -> bytes:
        records = self._space.records(request.key, range_bounds(request.range_end))
        self.delete(records)
        body = number(b"\x10", len(records))
        if request.prev_kv:
            body += b"".join([as_field_3(record.field) for record in records])
        return body

    def delete(self, records: list[Record]) -> None:
        for record in records:
            self.changes.append(self._space.delete(record, self.revision))
            if record.lease:
                self._leases.move(record.key, record.lease, 0)

    def run(self, request: rpc_pb2.TxnRequest, path: Iterator[bool]) -> bytes:
        """`path` says of this transaction and those inside it, in order, whether their comparisons hold."""
        succeeded = next(path)
        parts = [b"\x10\x01"] if succeeded else []
        for operation in request.success if succeeded else request.failure:
            parts.append(sized(b"\x1a", self._operation(operation, path)))
        return b"".join(parts)

    def _operation(self, operation: rpc_pb2.RequestOp, path: Iterator[bool]) -> bytes:
        kind = operation.WhichOneof("request")
        if kind == "request_put":
            body = self.put(operation.request_put)
            return sized(b"\x12", revision_header(self.seen_revision) + body)
        if kind == "request_range":
            body = range_body(self._space, operation.request_range, self.changes)
            return sized(b"\x0a", revision_header(self.seen_revision) + body)
        if kind == "request_delete_range":
            body = self.delete_range(operation.request_delete_range)
            return sized(b"\x1a", revision_header(self.seen_revision) + body)
        if kind == "request_txn":
            body = self.run(operation.request_txn, path)
            return sized(b"\x22", revision_header(self.seen_revision) + body)
        return b""


def put(space: Keyspace, leases: Leases, request: rpc_pb2.PutRequest) -> Reply:
    _check_put(space, leases, request)
    write = Write(space, leases)
    body = write.put(request)
    return Reply(write.finish(), body)


def delete_range(space: Keyspace, leases: Leases, request: rpc_pb2.DeleteRangeRequest) -> Reply:
    write = Write(space, leases)
    body = write.delete_range(request)
    return Reply(write.finish(), body)


def transact(space: Keyspace, leases: Leases, request: rpc_pb2.TxnRequest) -> Reply:
    path = list(_path(space, request))
    _check(space, leases, request, iter(path))
    write = Write(space, leases)
    body = write.run(request, iter(path))
    return Reply(write.finish(), body)


def is_read_only(request: rpc_pb2.TxnRequest) -> bool:
    """Whether neither branch can change anything."""
    for operations in (request.success, request.failure):
        for operation in operations:
            kind = operation.WhichOneof("request")
            if kind in ("request_put", "request_delete_range"):
                return False
            if kind == "request_txn" and not is_read_only(operation.request_txn):
                return False
    return True


def has_puts(request: rpc_pb2.TxnRequest) -> bool:
    """Whether either branch may make the store grow."""
    return any(
        operation.HasField("request_put") or (operation.HasField("request_txn") and has_puts(operation.request_txn))
        for operations in (request.success, request.failure)
        for operation in operations
    )


def is_serializable(request: rpc_pb2.TxnRequest) -> bool:
    """Whether all its reads accept a member's own, perhaps older, state."""
    return all(
        operation.request_range.serializable
        for operations in (request.success, request.failure)
        for operation in operations
        if operation.HasField("request_range")
    )


def _path(space: Keyspace, request: rpc_pb2.TxnRequest) -> Iterator[bool]:
    """All comparisons are made on the state before the outermost transaction."""
    succeeded = all(_holds(space, comparison) for comparison in request.compare)
    yield succeeded
    for operation in request.success if succeeded else request.failure:
        if operation.HasField("request_txn"):
            yield from _path(space, operation.request_txn)


def _check(space: Keyspace, leases: Leases, request: rpc_pb2.TxnRequest, path: Iterator[bool]) -> None:
    for operation in request.success if next(path) else request.failure:
        kind = operation.WhichOneof("request")
        if kind == "request_put":
            _check_put(space, leases, operation.request_put)
        elif kind == "request_range":
            check_revision(space, operation.request_range.revision)
        elif kind == "request_txn":
            _check(space, leases, operation.request_txn, path)


def _check_put(space: Keyspace, leases: Leases, request: rpc_pb2.PutRequest) -> None:
    if request.lease and not leases.exists(request.lease):
        raise refusals.lease_not_found()
    if (request.ignore_value or request.ignore_lease) and request.key not in space.live:
        raise refusals.key_not_found()


def _holds(space: Keyspace, comparison: rpc_pb2.Compare) -> bool:
    end = range_bounds(comparison.range_end)
    if end is None:
        return _compare(comparison, space.live.get(comparison.key))
    records = space.records(comparison.key, end)
    if not records:
        # A range without keys is compared like a key that does not exist, except that it has no value.
        return comparison.target != _VALUE and _compare(comparison, None)
    return all(_compare(comparison, record) for record in records)


def _compare(comparison: rpc_pb2.Compare, record: Record | None) -> bool:
    target = comparison.target
    if target == _VALUE:
        if record is None:
            return False
        return _result(comparison.result, decode_kv(record.field).value, comparison.value)
    if target == _MOD:
        return _result(comparison.result, record.mod if record else 0, comparison.mod_revision)
    if target == _CREATE:
        return _result(comparison.result, record.create if record else 0, comparison.create_revision)
    if target == _VERSION:
        return _result(comparison.result, record.version if record else 0, comparison.version)
    if target == _LEASE:
        return _result(comparison.result, record.lease if record else 0, comparison.lease)
    return _result(comparison.result, 0, 0)


def _result(operator: int, have: T, want: T) -> bool:
    if operator == _EQUAL:
        return have == want
    if operator == _GREATER:
        return have > want
    if operator == _LESS:
        return have < want
    return have != want

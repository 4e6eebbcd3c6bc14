"""The KV service: ranges, writes, transactions, compaction."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable

from component_base.rpc import CallContext, Code, DirectCall, RpcError
from etcd_raft import requests
from etcd_raft.auth.access import check_range as check_range_access
from etcd_raft.auth.access import check_txn as check_txn_access
from etcd_raft.mvcc import refusals
from etcd_raft.mvcc.keyspace import in_range, range_bounds
from etcd_raft.mvcc.reading import check_range, check_revision, range_body
from etcd_raft.mvcc.transaction import has_puts, is_read_only, is_serializable, transact
from etcd_raft.ports import Refusal
from etcd_raft.server.access import Access, check_member, rpc_error, unary
from skiff_pb.etcd import rpc_pb2

#: Keys of one message of RangeStream.
_STREAM_KEYS = 500


class KvService:
    def __init__(self, access: Access) -> None:
        self.access = access

    @unary
    async def range(self, request: rpc_pb2.RangeRequest, context: CallContext) -> bytes:
        check_range(request)
        if not request.serializable:
            await self.access.node.read_index()
        store = self.access.store
        if store.accounts.is_enabled:
            check_range_access(store.accounts, self.access.caller(context), request)
        self.access.refuse_if_corrupt()
        check_revision(store.space, request.revision)
        return self.access.header() + range_body(store.space, request)

    async def range_stream(
        self, request: rpc_pb2.RangeRequest, context: CallContext
    ) -> AsyncIterator[rpc_pb2.RangeStreamResponse]:
        """A range in parts of one revision; the last part carries the count."""
        try:
            check_member(self.access, request, context)
            check_range(request)
            if request.sort_target != rpc_pb2.RangeRequest.KEY or request.sort_order == rpc_pb2.RangeRequest.DESCEND:
                raise RpcError(Code.UNIMPLEMENTED, "RangeStream does not support custom sort orders")
            if not request.serializable:
                await self.access.node.read_index()
            check_range_access(self.access.store.accounts, self.access.caller(context), request)
            part = rpc_pb2.RangeRequest()
            part.CopyFrom(request)
            part.revision = request.revision or self.access.store.space.revision
            left = request.limit
            while True:
                part.limit = min(left, _STREAM_KEYS) if left else _STREAM_KEYS
                space = self.access.store.space
                check_revision(space, part.revision)
                answer = rpc_pb2.RangeResponse.FromString(self.access.header() + range_body(space, part))
                left -= len(answer.kvs) if left else 0
                ends = not answer.more or (request.limit and not left)
                yield rpc_pb2.RangeStreamResponse(range_response=answer)
                if ends:
                    return
                part.key = answer.kvs[-1].key + b"\0"
        except Refusal as refusal:
            raise rpc_error(refusal) from None

    @unary
    async def put(self, request: rpc_pb2.PutRequest, context: CallContext) -> bytes:
        _check_put(request)
        await self.access.refuse_beyond_quota(len(request.key) + len(request.value))
        return await self.access.answer(requests.put(request), context)

    def begin_put(self, request: rpc_pb2.PutRequest, message: bytes, call: DirectCall) -> bool:
        """What `put` does in the plain case."""
        if not self.access.is_plain(len(message)):
            return False
        try:
            _check_put(request)
            self.access.begin(requests.PUT + message, call)
        except Refusal as refusal:
            raise rpc_error(refusal) from None
        return True

    @unary
    async def delete_range(self, request: rpc_pb2.DeleteRangeRequest, context: CallContext) -> bytes:
        if not request.key:
            raise refusals.empty_key()
        return await self.access.answer(requests.delete_range(request), context)

    @unary
    async def txn(self, request: rpc_pb2.TxnRequest, context: CallContext) -> bytes:
        self._check_txn(request)
        if is_read_only(request):
            if not is_serializable(request):
                await self.access.node.read_index()
            self.access.refuse_if_corrupt()
            store = self.access.store
            if store.accounts.is_enabled:
                check_txn_access(store.accounts, store.leases, self.access.caller(context), request)
            reply = transact(store.space, store.leases, request)
            return self.access.header(reply.revision) + reply.body
        if has_puts(request):
            await self.access.refuse_beyond_quota(request.ByteSize())
        return await self.access.answer(requests.txn(request), context)

    def _check_txn(self, request: rpc_pb2.TxnRequest) -> None:
        _check_txn(request, self.access.limits.max_txn_ops)
        _Intervals.of(request.success)
        _Intervals.of(request.failure)

    def begin_txn(self, request: rpc_pb2.TxnRequest, message: bytes, call: DirectCall) -> bool:
        """What `txn` does in the plain case of one that writes."""
        if is_read_only(request) or not self.access.is_plain(len(message)):
            return False
        try:
            self._check_txn(request)
            self.access.begin(requests.TXN + message, call)
        except Refusal as refusal:
            raise rpc_error(refusal) from None
        return True

    @unary
    async def compact(self, request: rpc_pb2.CompactionRequest, context: CallContext) -> bytes:
        """With `physical` set it answers when the hidden history is gone from memory."""
        answer = await self.access.answer(requests.compact(request), context)
        if request.physical:
            self.access.store.space.prune(self.access.store.space.revision)
        return answer


def _check_put(request: rpc_pb2.PutRequest) -> None:
    if not request.key:
        raise refusals.empty_key()
    if request.ignore_value and request.value:
        raise refusals.value_provided()
    if request.ignore_lease and request.lease:
        raise refusals.lease_provided()


def _check_txn(request: rpc_pb2.TxnRequest, budget: int) -> None:
    operations = max(len(request.compare), len(request.success), len(request.failure))
    if operations > budget:
        raise refusals.too_many_operations()
    for comparison in request.compare:
        if not comparison.key:
            raise refusals.empty_key()
    for branch in (request.success, request.failure):
        for operation in branch:
            _check_operation(operation, budget - operations)


def _check_operation(operation: rpc_pb2.RequestOp, budget: int) -> None:
    kind = operation.WhichOneof("request")
    if kind == "request_put":
        _check_put(operation.request_put)
    elif kind == "request_range":
        check_range(operation.request_range)
    elif kind == "request_delete_range":
        if not operation.request_delete_range.key:
            raise refusals.empty_key()
    elif kind == "request_txn":
        _check_txn(operation.request_txn, budget)
    else:
        raise refusals.key_not_found()


class _Intervals:
    """What a branch writes. A key may be put once, and not be deleted by the same transaction."""

    def __init__(self) -> None:
        self.puts: set[bytes] = set()
        self.deletes: list[tuple[bytes, bytes | None]] = []

    @classmethod
    def of(cls, operations: Iterable[rpc_pb2.RequestOp]) -> _Intervals:
        found = cls()
        own_puts: list[bytes] = []
        inner: list[rpc_pb2.TxnRequest] = []
        for operation in operations:
            kind = operation.WhichOneof("request")
            if kind == "request_put":
                own_puts.append(operation.request_put.key)
            elif kind == "request_delete_range":
                delete = operation.request_delete_range
                found.deletes.append((delete.key, range_bounds(delete.range_end)))
            elif kind == "request_txn":
                inner.append(operation.request_txn)
        for txn in inner:
            found._add_either(cls.of(txn.success), cls.of(txn.failure))
        for key in own_puts:
            found._add_put(key)
        return found

    def _add_either(self, success: _Intervals, failure: _Intervals) -> None:
        """Only one of them will run: they may overlap each other, but not what else is written."""
        for key in success.puts | failure.puts:
            self._add_put(key)
        self.deletes += success.deletes + failure.deletes

    def _add_put(self, key: bytes) -> None:
        if key in self.puts or any(in_range(key, start, end) for start, end in self.deletes):
            raise refusals.duplicate_key()
        self.puts.add(key)

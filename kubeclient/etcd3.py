"""An asyncio client of etcd's v3 API, and of anything that speaks it.

    client = EtcdClient(["https://127.0.0.1:2379"], tls)
    result = await client.txn([mod_revision_is(key, 0)], [put_op(key, value)], [range_op(key)])

Every refusal is a `component_base.rpc.RpcError` with etcd's own text. Calls move to the next endpoint when the present
one cannot be reached; a write is repeated there only if it certainly never left this process.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, TypeVar

import msgspec

from component_base.clock import Clock, SystemClock
from component_base.http2.channel import Http2Channel
from component_base.rpc import ClientTls, Code, RpcError
from kubeclient.etcd3_values import KeyValue, key_value
from kubeclient.etcd3_watch import WatchHub, WatchResponse, prefix_end
from skiff_pb.etcd import rpc_pb2

__all__ = [
    "EtcdClient",
    "KeyValue",
    "WatchResponse",
    "delete_op",
    "mod_revision_is",
    "prefix_end",
    "put_op",
    "range_op",
]

_SERVICES = rpc_pb2.DESCRIPTOR.services_by_name
_KV = _SERVICES["KV"]
_LEASE = _SERVICES["Lease"]
_MAINTENANCE = _SERVICES["Maintenance"]

#: What grpcio says when a call failed before any of it was sent.
_NEVER_SENT = ("failed to connect to all addresses", "name resolution failed", "dns resolution failed")

#: A read of no key: only its header is of interest.
_NOTHING = rpc_pb2.RangeRequest(key=b"\0", count_only=True)

T = TypeVar("T")


class RangeResult(msgspec.Struct, frozen=True):
    """`count` is the number of keys in the range, whatever `limit`; `revision` is the store's at the time."""

    kvs: list[KeyValue]
    count: int
    more: bool
    revision: int


class PutResult(msgspec.Struct, frozen=True):
    revision: int
    prev_kv: KeyValue | None = None


class DeleteResult(msgspec.Struct, frozen=True):
    deleted: int
    revision: int
    prev_kvs: list[KeyValue] = []


class TxnResult(msgspec.Struct, frozen=True):
    """`responses` answers the branch that ran, in its order; after a write `revision` is the revision written."""

    succeeded: bool
    revision: int
    responses: list[RangeResult | PutResult | DeleteResult | TxnResult]


class Swap(msgspec.Struct, frozen=True):
    """`revision` of the write if it took place; else what the key holds now (None: nothing)."""

    revision: int
    current: KeyValue | None = None

    @property
    def done(self) -> bool:
        return self.revision > 0


class LeaseGrant(msgspec.Struct, frozen=True):
    id: int
    ttl: int


class MemberStatus(msgspec.Struct, frozen=True):
    version: str
    db_size: int
    db_size_in_use: int
    leader: int
    member_id: int
    raft_term: int
    raft_index: int
    revision: int
    is_learner: bool
    errors: list[str]


def mod_revision_is(key: bytes, revision: int) -> rpc_pb2.Compare:
    """The key was last written by `revision`; 0 means that it does not exist."""
    return rpc_pb2.Compare(result=rpc_pb2.Compare.EQUAL, target=rpc_pb2.Compare.MOD, key=key, mod_revision=revision)


def compare(key: bytes, target: str, operator: str, value: int | bytes, range_end: bytes = b"") -> rpc_pb2.Compare:
    """Any comparison: target is version, create_revision, mod_revision, value or lease; operator is =, !=, < or >."""
    built = rpc_pb2.Compare(result=_OPERATORS[operator], target=_TARGETS[target], key=key, range_end=range_end)
    setattr(built, target, value)
    return built


_OPERATORS = {
    "=": rpc_pb2.Compare.EQUAL,
    "!=": rpc_pb2.Compare.NOT_EQUAL,
    "<": rpc_pb2.Compare.LESS,
    ">": rpc_pb2.Compare.GREATER,
}
_TARGETS = {
    "version": rpc_pb2.Compare.VERSION,
    "create_revision": rpc_pb2.Compare.CREATE,
    "mod_revision": rpc_pb2.Compare.MOD,
    "value": rpc_pb2.Compare.VALUE,
    "lease": rpc_pb2.Compare.LEASE,
}


def put_op(key: bytes, value: bytes, lease: int = 0, prev_kv: bool = False) -> rpc_pb2.RequestOp:
    return rpc_pb2.RequestOp(request_put=rpc_pb2.PutRequest(key=key, value=value, lease=lease, prev_kv=prev_kv))


def range_op(key: bytes, range_end: bytes = b"", limit: int = 0, revision: int = 0) -> rpc_pb2.RequestOp:
    return rpc_pb2.RequestOp(
        request_range=rpc_pb2.RangeRequest(key=key, range_end=range_end, limit=limit, revision=revision)
    )


def delete_op(key: bytes, range_end: bytes = b"", prev_kv: bool = False) -> rpc_pb2.RequestOp:
    return rpc_pb2.RequestOp(
        request_delete_range=rpc_pb2.DeleteRangeRequest(key=key, range_end=range_end, prev_kv=prev_kv)
    )


def txn_op(
    compares: Sequence[rpc_pb2.Compare],
    success: Sequence[rpc_pb2.RequestOp],
    failure: Sequence[rpc_pb2.RequestOp] = (),
) -> rpc_pb2.RequestOp:
    return rpc_pb2.RequestOp(request_txn=rpc_pb2.TxnRequest(compare=compares, success=success, failure=failure))


def _target(endpoint: str) -> str:
    scheme, found, rest = endpoint.partition("://")
    if not found or scheme in ("unix", "dns"):
        return endpoint
    return rest.rstrip("/")


class EtcdClient:
    """One per process is enough: calls share a connection per endpoint, and all watches share one stream.

    `endpoints` are URLs or `host:port`; with `tls` all of them are called over TLS. `timeout` bounds each attempt of
    each call, in seconds.
    """

    def __init__(
        self,
        endpoints: Sequence[str],
        tls: ClientTls | None = None,
        clock: Clock | None = None,
        timeout: float = 10.0,
    ) -> None:
        assert endpoints, "at least one endpoint"
        self._channels = [Http2Channel(_target(endpoint), tls) for endpoint in endpoints]
        self._present = 0
        self._timeout = timeout
        self._watches = WatchHub(lambda: self._channels[self._present], self._leave, clock or SystemClock())

    async def close(self) -> None:
        await self._watches.close()
        for channel in self._channels:
            await channel.close()

    # Keys

    async def get(self, key: bytes, revision: int = 0) -> KeyValue | None:
        found = await self._call(_KV, "Range", rpc_pb2.RangeRequest(key=key, revision=revision), repeatable=True)
        return key_value(found.kvs[0]) if found.kvs else None

    async def range(
        self,
        key: bytes,
        range_end: bytes = b"",
        limit: int = 0,
        revision: int = 0,
        keys_only: bool = False,
        count_only: bool = False,
        serializable: bool = False,
    ) -> RangeResult:
        """Keys in [key, range_end), in order. Ask for the next page from the last key + b"\\0" on, at `revision`."""
        request = rpc_pb2.RangeRequest(
            key=key,
            range_end=range_end,
            limit=limit,
            revision=revision,
            keys_only=keys_only,
            count_only=count_only,
            serializable=serializable,
        )
        return _range_result(await self._call(_KV, "Range", request, repeatable=True))

    async def put(self, key: bytes, value: bytes, lease: int = 0, prev_kv: bool = False) -> PutResult:
        request = rpc_pb2.PutRequest(key=key, value=value, lease=lease, prev_kv=prev_kv)
        return _put_result(await self._call(_KV, "Put", request))

    async def delete(self, key: bytes, range_end: bytes = b"", prev_kv: bool = False) -> DeleteResult:
        request = rpc_pb2.DeleteRangeRequest(key=key, range_end=range_end, prev_kv=prev_kv)
        return _delete_result(await self._call(_KV, "DeleteRange", request))

    async def txn(
        self,
        compares: Sequence[rpc_pb2.Compare],
        success: Sequence[rpc_pb2.RequestOp],
        failure: Sequence[rpc_pb2.RequestOp] = (),
    ) -> TxnResult:
        """Build the arguments with `mod_revision_is`/`compare` and `put_op`, `range_op`, `delete_op`, `txn_op`."""
        request = rpc_pb2.TxnRequest(compare=compares, success=success, failure=failure)
        return _txn_result(await self._call(_KV, "Txn", request), 0)

    async def swap(self, key: bytes, value: bytes | None, expected: int, lease: int = 0) -> Swap:
        """Put `value` (None: delete the key) if the key was last written by `expected`; 0: if it does not exist.

        The transaction behind every write of an object, built without the detours of `txn`.
        """
        request = rpc_pb2.TxnRequest()
        compare = request.compare.add()
        compare.target, compare.key, compare.mod_revision = rpc_pb2.Compare.MOD, key, expected
        if value is None:
            request.success.add().request_delete_range.key = key
        else:
            put = request.success.add().request_put
            put.key, put.value, put.lease = key, value, lease
        request.failure.add().request_range.key = key
        found = await self._call(_KV, "Txn", request)
        if found.succeeded:
            return Swap(found.header.revision)
        present = found.responses[0].response_range.kvs
        return Swap(0, key_value(present[0]) if present else None)

    async def revision(self) -> int:
        """The store's, linearizable: of no earlier moment than the call."""
        found = await self._call(_KV, "Range", _NOTHING, repeatable=True)
        revision: int = found.header.revision
        return revision

    async def compact(self, revision: int, physical: bool = False) -> None:
        await self._call(_KV, "Compact", rpc_pb2.CompactionRequest(revision=revision, physical=physical))

    # Watches

    def watch(
        self,
        key: bytes,
        range_end: bytes = b"",
        start_revision: int = 0,
        prev_kv: bool = False,
        progress_notify: bool = False,
    ) -> AsyncGenerator[WatchResponse, None]:
        """Events from `start_revision` on (0: from now on), for ever: it reconnects and misses nothing.

        A response without events is a progress notice: everything up to its revision has been delivered. It ends by
        `RpcError` only: OUT_OF_RANGE "…has been compacted" when it must start again from a list, or another text of
        the server's if it refuses the watch. Close the iterator (or cancel its reader) to end the watch.
        """
        request = rpc_pb2.WatchCreateRequest(
            key=key,
            range_end=range_end,
            start_revision=start_revision,
            prev_kv=prev_kv,
            progress_notify=progress_notify,
            fragment=True,
        )
        return self._watches.watch(request)

    async def request_progress(self) -> None:
        """Ask for a progress notice on all watches: it comes once they have everything up to now."""
        await self._watches.request_progress()

    # Leases

    async def lease_grant(self, ttl: int, lease_id: int = 0) -> LeaseGrant:
        granted = await self._call(_LEASE, "LeaseGrant", rpc_pb2.LeaseGrantRequest(TTL=ttl, ID=lease_id))
        return LeaseGrant(granted.ID, granted.TTL)

    async def lease_keepalive(self, lease_id: int) -> int:
        """Renew once; the new TTL, or 0 if the lease is gone."""

        async def renew(channel: Http2Channel) -> int:
            async def requests() -> AsyncIterator[rpc_pb2.LeaseKeepAliveRequest]:
                yield rpc_pb2.LeaseKeepAliveRequest(ID=lease_id)

            answers = channel.stream(_LEASE, "LeaseKeepAlive", requests(), timeout=self._timeout)
            ttl = 0
            async for answer in answers:
                ttl = answer.TTL
            return ttl

        return await self._attempt(renew, repeatable=True)

    async def lease_revoke(self, lease_id: int) -> None:
        await self._call(_LEASE, "LeaseRevoke", rpc_pb2.LeaseRevokeRequest(ID=lease_id))

    async def lease_ttl(self, lease_id: int) -> int:
        """Seconds left; -1 if there is no such lease."""
        request = rpc_pb2.LeaseTimeToLiveRequest(ID=lease_id)
        return int((await self._call(_LEASE, "LeaseTimeToLive", request, repeatable=True)).TTL)

    # Maintenance

    async def status(self) -> MemberStatus:
        """Of the member that is called at present."""
        found = await self._call(_MAINTENANCE, "Status", rpc_pb2.StatusRequest(), repeatable=True)
        return MemberStatus(
            version=found.version,
            db_size=found.dbSize,
            db_size_in_use=found.dbSizeInUse,
            leader=found.leader,
            member_id=found.header.member_id,
            raft_term=found.raftTerm,
            raft_index=found.raftIndex,
            revision=found.header.revision,
            is_learner=found.isLearner,
            errors=list(found.errors),
        )

    # Endpoints

    async def _call(self, service: Any, name: str, request: Any, repeatable: bool = False) -> Any:
        channel = self._channels[self._present]
        try:
            return await channel.unary(service, name, request, timeout=self._timeout)
        except RpcError as error:
            if not self._moves_on(error, channel, repeatable):
                raise
        return await self._attempt(
            lambda channel: channel.unary(service, name, request, timeout=self._timeout), repeatable
        )

    async def _attempt(self, call: Callable[[Http2Channel], Awaitable[T]], repeatable: bool) -> T:
        """Call each endpoint at most once, from the present one on."""
        for left in range(len(self._channels) - 1, -1, -1):
            channel = self._channels[self._present]
            try:
                return await call(channel)
            except RpcError as error:
                if not self._moves_on(error, channel, repeatable) or left == 0:
                    raise
        raise AssertionError("the loop returns or raises")

    def _moves_on(self, error: RpcError, channel: Http2Channel, repeatable: bool) -> bool:
        """Leave a member that does not serve; whether the call may be made again."""
        if error.code not in (Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED):
            return False
        self._leave(channel)
        if error.code is Code.DEADLINE_EXCEEDED:
            return False
        return repeatable or any(text in error.message.lower() for text in _NEVER_SENT)

    def _leave(self, channel: Http2Channel) -> None:
        """Many calls may find out at once that a member is down: only the first of them changes the present one."""
        if channel is self._channels[self._present]:
            self._present = (self._present + 1) % len(self._channels)


def _range_result(found: Any, revision: int = 0) -> RangeResult:
    return RangeResult([key_value(kv) for kv in found.kvs], found.count, found.more, found.header.revision or revision)


def _put_result(found: Any, revision: int = 0) -> PutResult:
    previous = key_value(found.prev_kv) if found.HasField("prev_kv") else None
    return PutResult(found.header.revision or revision, previous)


def _delete_result(found: Any, revision: int = 0) -> DeleteResult:
    return DeleteResult(found.deleted, found.header.revision or revision, [key_value(kv) for kv in found.prev_kvs])


def _txn_result(found: Any, revision: int) -> TxnResult:
    """Inner headers carry a revision from etcd only in part; the outer one's stands in."""
    revision = found.header.revision or revision
    responses: list[RangeResult | PutResult | DeleteResult | TxnResult] = []
    for response in found.responses:
        kind = response.WhichOneof("response")
        responses.append(_RESULTS[kind](getattr(response, kind), revision))
    return TxnResult(found.succeeded, revision, responses)


_RESULTS: dict[str, Callable[[Any, int], Any]] = {
    "response_range": _range_result,
    "response_put": _put_result,
    "response_delete_range": _delete_result,
    "response_txn": _txn_result,
}

"""What locks and elections share: contenders write keys under one prefix, and who wrote first has won.

A contender's key is `<name>/<lease in hexadecimal>`, so that it goes with its lease; the order is that of the keys'
create revisions. etcd's client library does the same from outside, so both kinds of contenders meet.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from component_base.rng import Rng
from component_base.rpc import CallContext, Code, RpcError
from component_base.tasks import spawn
from etcd_raft import requests
from etcd_raft.auth.access import check_range
from etcd_raft.mvcc.keyspace import Record
from etcd_raft.mvcc.watching import Watcher
from etcd_raft.ports import Refusal
from etcd_raft.server.access import Access
from skiff_pb.etcd import rpc_pb2

#: Of the lease that is granted to contenders who bring none; nobody renews it.
SESSION_SECONDS: Final = 60


@dataclass(frozen=True, slots=True)
class Place:
    """A contender: its key, and the revision that created it."""

    name: bytes
    key: bytes
    created: int
    lease: int
    value: bytes

    @property
    def prefix(self) -> bytes:
        return self.name + b"/"


def prefix_end(prefix: bytes) -> bytes:
    return prefix[:-1] + bytes([prefix[-1] + 1])


class Bell:
    """Rings when something in a range changes (a watching.Sink)."""

    def __init__(self, access: Access, prefix: bytes) -> None:
        self._store = access.store
        self._rung = asyncio.Event()
        self._watcher = Watcher(self, 0, prefix, prefix_end(prefix), 0)
        self._listen()

    def _listen(self) -> None:
        self._watcher.needs = self._store.space.revision + 1
        self._store.watches.add(self._watcher)

    def offer(self, watcher: Watcher, events: bytes, revision: int) -> bool:
        self._rung.set()
        return True

    def fall_behind(self, watcher: Watcher) -> None:
        """A snapshot is about to replace the state."""
        self._rung.set()

    async def wait(self) -> None:
        await self._rung.wait()
        self._rung.clear()
        if not self._watcher.current:
            self._listen()

    def close(self) -> None:
        self._store.watches.remove(self._watcher)


class Contest:
    def __init__(self, access: Access, rng: Rng) -> None:
        self.access = access
        self._rng = rng

    async def enter(self, name: bytes, lease: int, value: bytes, context: CallContext) -> Place:
        """Take a place, or find the one that the same lease took before. Raises Refusal."""
        if not lease:
            lease = self._rng.getrandbits(63) or 1
            await self.access.propose(requests.own(requests.LeaseGrant(lease, SESSION_SECONDS)), context)
        key = b"%b/%x" % (name, lease)
        put = rpc_pb2.PutRequest(key=key, value=value, lease=lease)
        answer = await self._if_created(key, 0, put, context)
        if answer.succeeded:
            return Place(name, key, answer.header.revision, lease, value)
        mine = answer.responses[0].response_range.kvs[0]
        return Place(name, key, mine.create_revision, lease, mine.value)

    async def _if_created(
        self, key: bytes, revision: int, put: rpc_pb2.PutRequest, context: CallContext
    ) -> rpc_pb2.TxnResponse:
        """Put if the key was created at that revision, read it otherwise."""
        compare = rpc_pb2.Compare(key=key, target=rpc_pb2.Compare.CREATE, create_revision=revision)
        read = rpc_pb2.RequestOp(request_range=rpc_pb2.RangeRequest(key=key))
        request = rpc_pb2.TxnRequest(compare=[compare], success=[rpc_pb2.RequestOp(request_put=put)], failure=[read])
        return rpc_pb2.TxnResponse.FromString(await self.access.answer(requests.txn(request), context))

    async def proclaim(self, place: Place, value: bytes, context: CallContext) -> bool:
        """A new value for a place that is still held; False if it is not."""
        put = rpc_pb2.PutRequest(key=place.key, value=value, lease=place.lease)
        return (await self._if_created(place.key, place.created, put, context)).succeeded

    async def leave(self, place: Place, context: CallContext) -> None:
        """Give the place up, if it is still held."""
        compare = rpc_pb2.Compare(key=place.key, target=rpc_pb2.Compare.CREATE, create_revision=place.created)
        delete = rpc_pb2.RequestOp(request_delete_range=rpc_pb2.DeleteRangeRequest(key=place.key))
        request = rpc_pb2.TxnRequest(compare=[compare], success=[delete])
        await self.access.propose(requests.txn(request), context)

    async def win(self, place: Place, context: CallContext) -> None:
        """Wait until nobody came earlier. Who stops waiting gives the place up. Raises Refusal, RpcError."""
        bell = Bell(self.access, place.prefix)
        try:
            while (first := self.first(place.prefix)) is not None and first.create < place.created:
                await bell.wait()
            await self.access.node.read_index()
        except asyncio.CancelledError:
            spawn(self._abandon(place, context), "giving up a place")
            raise
        finally:
            bell.close()
        mine = self.access.store.space.live.get(place.key)
        if mine is None or mine.create != place.created:
            raise RpcError(Code.UNKNOWN, "mutex: session is expired")

    async def _abandon(self, place: Place, context: CallContext) -> None:
        try:
            await self.leave(place, context)
        except Refusal:
            return  # The key goes with its lease.

    def first(self, prefix: bytes) -> Record | None:
        records = self.access.store.space.records(prefix, prefix_end(prefix))
        return min(records, key=lambda record: record.create, default=None)

    async def check_readable(self, prefix: bytes, context: CallContext) -> None:
        """A linearizable point from which `first` may be told to the caller. Raises Refusal."""
        await self.access.node.read_index()
        accounts = self.access.store.accounts
        if accounts.is_enabled:
            request = rpc_pb2.RangeRequest(key=prefix, range_end=prefix_end(prefix))
            check_range(accounts, self.access.caller(context), request)

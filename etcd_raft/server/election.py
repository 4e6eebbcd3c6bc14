"""The Election service (v3election): the leader is whoever's key under the election's name is the oldest."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

from component_base.rpc import CallContext, Code, RpcError
from etcd_raft.mvcc.keyspace import Record
from etcd_raft.mvcc.wire import decode_kv
from etcd_raft.ports import Refusal
from etcd_raft.server.access import Access, rpc_error, unary
from etcd_raft.server.contest import Bell, Contest, Place
from skiff_pb.etcd import election_pb2

_NOT_LEADER: Final = "election: not leader"
_NO_LEADER: Final = "election: no leader"
_MISSING: Final = '"leader" field must be provided'


class ElectionService:
    def __init__(self, access: Access, contest: Contest) -> None:
        self.access = access
        self._contest = contest

    @unary
    async def campaign(
        self, request: election_pb2.CampaignRequest, context: CallContext
    ) -> election_pb2.CampaignResponse:
        """Answers when elected. Campaigning again with the same lease proclaims the new value."""
        place = await self._contest.enter(request.name, request.lease, request.value, context)
        if place.value != request.value:
            await self._contest.proclaim(place, request.value, context)
        await self._contest.win(place, context)
        leader = election_pb2.LeaderKey(name=place.name, key=place.key, rev=place.created, lease=place.lease)
        return election_pb2.CampaignResponse(header=self.access.header_message(), leader=leader)

    @unary
    async def proclaim(
        self, request: election_pb2.ProclaimRequest, context: CallContext
    ) -> election_pb2.ProclaimResponse:
        if not await self._contest.proclaim(_place(request), request.value, context):
            raise RpcError(Code.UNKNOWN, _NOT_LEADER)
        return election_pb2.ProclaimResponse(header=self.access.header_message())

    @unary
    async def leader(self, request: election_pb2.LeaderRequest, context: CallContext) -> election_pb2.LeaderResponse:
        prefix = request.name + b"/"
        await self._contest.check_readable(prefix, context)
        first = self._contest.first(prefix)
        if first is None:
            raise RpcError(Code.UNKNOWN, _NO_LEADER)
        return self._told(first)

    async def observe(
        self, request: election_pb2.LeaderRequest, context: CallContext
    ) -> AsyncIterator[election_pb2.LeaderResponse]:
        """Each leader there is from now on, and all that it proclaims."""
        prefix = request.name + b"/"
        try:
            await self._contest.check_readable(prefix, context)
        except Refusal as refusal:
            raise rpc_error(refusal) from None
        bell = Bell(self.access, prefix)
        told: Record | None = None
        try:
            while True:
                for record in self._news(prefix, told):
                    told = record
                    yield self._told(record)
                await bell.wait()
        finally:
            bell.close()

    def _news(self, prefix: bytes, told: Record | None) -> list[Record]:
        first, space = self._contest.first(prefix), self.access.store.space
        if first is None or (told is not None and first.mod == told.mod):
            return []
        if told is None or first.create != told.create or told.mod < space.compacted:
            return [first]
        history = space.history(told.mod + 1, space.revision)
        return [record for changes in history for record in changes if record.key == first.key]

    @unary
    async def resign(self, request: election_pb2.ResignRequest, context: CallContext) -> election_pb2.ResignResponse:
        await self._contest.leave(_place(request), context)
        return election_pb2.ResignResponse(header=self.access.header_message())

    def _told(self, record: Record) -> election_pb2.LeaderResponse:
        return election_pb2.LeaderResponse(header=self.access.header_message(), kv=decode_kv(record.field))


def _place(request: election_pb2.ProclaimRequest | election_pb2.ResignRequest) -> Place:
    if not request.HasField("leader"):
        raise RpcError(Code.UNKNOWN, _MISSING)
    leader = request.leader
    return Place(leader.name, leader.key, leader.rev, leader.lease, b"")

"""What members ask each other about the state, beside Raft: hashes to compare, and how long a lease still lives."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from component_base.http2.channel import Http2Channel
from component_base.rpc import CallContext, ClientTls, Code, RpcError, Service
from etcd_raft.ports import Member, Node, Refusal, unavailable
from etcd_raft.transport.addresses import parse_url
from skiff_pb.raft import peer_pb2

PEER_STORE: Final = peer_pb2.DESCRIPTOR.services_by_name["PeerStore"]
HASH_SECONDS: Final = 60.0
LEASE_SECONDS: Final = 5.0

HashAnswer = Callable[[int], Awaitable[peer_pb2.HashReply]]
LeaseAnswer = Callable[[int], float]


class PeerQuestions:
    """Both ends: the handler of the PeerStore service, and the one who asks it of others.

    `hash_answer` and `lease_answer` are set by whoever knows; until then nothing is answered.
    """

    def __init__(self, node: Node, tls: ClientTls | None) -> None:
        self._node = node
        self._tls = tls
        self.hash_answer: HashAnswer | None = None
        self.lease_answer: LeaseAnswer | None = None

    def service(self) -> Service:
        return Service(PEER_STORE, self)

    # Answering

    async def hash_kv(self, request: peer_pb2.HashRequest, context: CallContext) -> peer_pb2.HashReply:
        """Once this member has reached the revision."""
        if self.hash_answer is None:
            raise RpcError(Code.UNAVAILABLE, "the member is starting")
        try:
            await self._node.read_index()
            return await self.hash_answer(request.revision)
        except Refusal as refusal:
            raise RpcError(Code(refusal.code), refusal.message) from None

    async def lease_remaining(self, request: peer_pb2.LeaseRequest, context: CallContext) -> peer_pb2.LeaseReply:
        """Only the leader's clock counts."""
        if self.lease_answer is None or not self._node.is_leader:
            raise RpcError(Code.UNAVAILABLE, "etcdserver: not leader")
        return peer_pb2.LeaseReply(remaining=self.lease_answer(request.id))

    # Asking

    async def hash_of(self, member: Member, revision: int) -> peer_pb2.HashReply:
        """Raises RpcError."""
        reply: peer_pb2.HashReply = await self._ask(
            member, "HashKv", peer_pb2.HashRequest(revision=revision), HASH_SECONDS
        )
        return reply

    async def lease_at_leader(self, lease_id: int) -> float:
        """Seconds, negative if there is no such lease. Raises Refusal."""
        leader = next((m for m in self._node.members() if m.id == self._node.leader_id), None)
        if leader is None:
            raise unavailable("no leader")
        try:
            reply = await self._ask(leader, "LeaseRemaining", peer_pb2.LeaseRequest(id=lease_id), LEASE_SECONDS)
        except RpcError as problem:
            raise unavailable(f"request timed out: the leader was asked in vain: {problem.message}") from None
        return float(reply.remaining)

    async def _ask(self, member: Member, name: str, request: Any, timeout: float) -> Any:
        address = parse_url(member.peer_urls[0])
        channel = Http2Channel(address.target, self._tls if address.is_tls else None)
        try:
            return await channel.unary(PEER_STORE, name, request, timeout=timeout)
        finally:
            await channel.close()

"""The receiving half: the gRPC service that peers call. It checks who talks to whom before anything reaches the core.

A stream that is meant for another cluster or another member is refused in words that name both, since that is how a
wrong address or a wiped data directory shows.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Protocol

from component_base.clock import Clock
from component_base.rpc import CallContext, Code, RpcError, Service
from etcd_raft.ports import Member, Refusal
from etcd_raft.raft import Message, SnapshotMeta
from etcd_raft.transport import wire
from etcd_raft.transport.outgoing import PEER, REMOVED
from etcd_raft.wal import SnapshotWriter
from skiff_pb.raft import peer_pb2

log = logging.getLogger(__name__)

RECEIPT_SECONDS = 0.5


class Receiver(Protocol):
    """The node, as the peers see it."""

    @property
    def cluster_id(self) -> int: ...
    @property
    def member_id(self) -> int: ...
    def deliver(self, messages: Iterable[Message]) -> None: ...
    def wants_snapshot(self, message: Message) -> bool: ...
    def is_removed_member(self, member: int) -> bool: ...
    def meet(self, member: int, urls: Sequence[str]) -> None:
        """Somebody of this cluster introduces itself."""
        ...

    def members(self) -> list[Member]: ...
    async def promote_member(self, member_id: int) -> None: ...


class SnapshotSink(Protocol):
    """Blocks; touches nothing but the file it makes."""

    def create(self, meta: SnapshotMeta, membership: bytes) -> SnapshotWriter: ...


class PeerHandler:
    """`count` is told of the bytes that came from a member."""

    def __init__(
        self,
        node: Receiver,
        sink: SnapshotSink,
        clock: Clock,
        count: Callable[[int, int], None] = lambda sender, size: None,
    ) -> None:
        self._count = count
        self._node = node
        self._sink = sink
        self._clock = clock
        self._receives_snapshot = False

    def _check(self, cluster_id: int, sender: int, receiver: int) -> None:
        node = self._node
        if cluster_id != node.cluster_id:
            raise RpcError(
                Code.FAILED_PRECONDITION,
                f"cluster ID mismatch: this member is of cluster {node.cluster_id:x}, the sender of {cluster_id:x}",
            )
        if receiver != node.member_id:
            raise RpcError(
                Code.FAILED_PRECONDITION,
                f"member ID mismatch: {receiver:x} is looked for at the address of {node.member_id:x}",
            )
        if node.is_removed_member(sender):
            raise RpcError(Code.FAILED_PRECONDITION, REMOVED)

    async def exchange(
        self, requests: AsyncIterator[peer_pb2.Envelope], context: CallContext
    ) -> AsyncIterator[peer_pb2.Receipt]:
        sender, due = 0, float("-inf")
        async for envelope in requests:
            if envelope.sequence == 1:
                sender = envelope.sender
                self._check(envelope.cluster_id, sender, envelope.receiver)
                self._node.meet(sender, tuple(envelope.sender_urls))
            self._count(sender, sum(map(len, envelope.messages)))
            messages = self._decoded(envelope.messages, sender)
            if self._node.is_removed_member(sender):
                raise RpcError(Code.FAILED_PRECONDITION, REMOVED)
            self._node.deliver(messages)
            now = self._clock.monotonic()
            if now >= due:
                due = now + RECEIPT_SECONDS
                yield peer_pb2.Receipt(sequence=envelope.sequence)

    @staticmethod
    def _decoded(encoded: Iterable[bytes], sender: int) -> list[Message]:
        try:
            messages = [wire.decode(data) for data in encoded]
        except ValueError as problem:
            raise RpcError(Code.INVALID_ARGUMENT, f"a message does not decode: {problem}") from None
        if any(message.sender == 0 for message in messages) or not sender:
            raise RpcError(Code.INVALID_ARGUMENT, "a message does not say who sent it")
        return messages

    async def install_snapshot(
        self, requests: AsyncIterator[peer_pb2.SnapshotPart], context: CallContext
    ) -> peer_pb2.SnapshotReceipt:
        first = await anext(aiter(requests))
        self._check(first.cluster_id, first.sender, first.receiver)
        message = self._decoded([first.message], first.sender)[0]
        if message.snapshot is None:
            raise RpcError(Code.INVALID_ARGUMENT, "the message names no snapshot")
        if self._receives_snapshot:
            raise RpcError(Code.RESOURCE_EXHAUSTED, "another snapshot is being received")
        if self._node.wants_snapshot(message):
            self._receives_snapshot = True
            try:
                await self._receive(requests, message.snapshot, first.membership)
            except OSError as problem:
                raise RpcError(Code.UNAVAILABLE, f"cannot write the snapshot: {problem}") from None
            finally:
                self._receives_snapshot = False
        self._node.deliver([message])
        return peer_pb2.SnapshotReceipt()

    async def _receive(
        self, requests: AsyncIterator[peer_pb2.SnapshotPart], meta: SnapshotMeta, membership: bytes
    ) -> None:
        writer = await asyncio.to_thread(self._sink.create, meta, membership)
        try:
            async for part in requests:
                await asyncio.to_thread(writer.write, part.chunk)
            file = await asyncio.to_thread(writer.finish)
        except BaseException:
            writer.abort()
            raise
        log.info("received a snapshot of %d bytes up to entry %d", file.size, meta.index)

    async def members(self, request: peer_pb2.MembersRequest, context: CallContext) -> peer_pb2.MembersReply:
        node = self._node
        return peer_pb2.MembersReply(
            cluster_id=node.cluster_id,
            member_id=node.member_id,
            members=[
                peer_pb2.PeerMember(
                    id=member.id,
                    name=member.name,
                    peer_urls=member.peer_urls,
                    client_urls=member.client_urls,
                    is_learner=member.is_learner,
                )
                for member in node.members()
            ],
        )

    async def promote(self, request: peer_pb2.PromoteRequest, context: CallContext) -> peer_pb2.PromoteReply:
        try:
            await self._node.promote_member(request.member_id)
        except Refusal as refusal:
            raise RpcError(Code(refusal.code), refusal.message) from None
        return peer_pb2.PromoteReply()


def peer_service(handler: PeerHandler) -> Service:
    return Service(PEER, handler)

"""The Cluster service: who the members are, and changing that."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from component_base.rpc import CallContext
from etcd_raft.ports import Member, Refusal, StatusCode
from etcd_raft.server.access import Access, unary
from skiff_pb.etcd import rpc_pb2


class ClusterService:
    def __init__(self, access: Access) -> None:
        self.access = access

    @unary
    async def member_list(self, request: rpc_pb2.MemberListRequest, context: CallContext) -> rpc_pb2.MemberListResponse:
        if request.linearizable:
            await self.access.node.read_index()
        return rpc_pb2.MemberListResponse(header=self._header(), members=self._members())

    @unary
    async def member_add(self, request: rpc_pb2.MemberAddRequest, context: CallContext) -> rpc_pb2.MemberAddResponse:
        self.access.check_admin(context)
        added = await self.access.node.add_member(_checked(request.peerURLs), request.isLearner)
        return rpc_pb2.MemberAddResponse(header=self._header(), member=_message(added), members=self._members())

    @unary
    async def member_remove(
        self, request: rpc_pb2.MemberRemoveRequest, context: CallContext
    ) -> rpc_pb2.MemberRemoveResponse:
        self.access.check_admin(context)
        await self.access.node.remove_member(request.ID)
        return rpc_pb2.MemberRemoveResponse(header=self._header(), members=self._members())

    @unary
    async def member_update(
        self, request: rpc_pb2.MemberUpdateRequest, context: CallContext
    ) -> rpc_pb2.MemberUpdateResponse:
        self.access.check_admin(context)
        await self.access.node.update_member(request.ID, _checked(request.peerURLs))
        return rpc_pb2.MemberUpdateResponse(header=self._header(), members=self._members())

    @unary
    async def member_promote(
        self, request: rpc_pb2.MemberPromoteRequest, context: CallContext
    ) -> rpc_pb2.MemberPromoteResponse:
        self.access.check_admin(context)
        await self.access.node.promote_member(request.ID)
        return rpc_pb2.MemberPromoteResponse(header=self._header(), members=self._members())

    def _header(self) -> rpc_pb2.ResponseHeader:
        """As etcd's it names no revision: members are not keys."""
        node = self.access.node
        return rpc_pb2.ResponseHeader(cluster_id=node.cluster_id, member_id=node.member_id, raft_term=node.term)

    def _members(self) -> list[rpc_pb2.Member]:
        return [_message(member) for member in self.access.node.members()]


def _message(member: Member) -> rpc_pb2.Member:
    return rpc_pb2.Member(
        ID=member.id,
        name=member.name,
        peerURLs=member.peer_urls,
        clientURLs=member.client_urls,
        isLearner=member.is_learner,
    )


def _checked(urls: Iterable[str]) -> list[str]:
    found = sorted(urls)
    if not found or not all(_is_url(url) for url in found):
        raise Refusal(StatusCode.INVALID_ARGUMENT, "etcdserver: given member URLs are invalid")
    return found


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and bool(parts.port) and not parts.path
    except ValueError:
        return False

"""The Lock service (v3lock): a lock is held by whoever's key under its name is the oldest."""

from __future__ import annotations

from component_base.rpc import CallContext
from etcd_raft import requests
from etcd_raft.server.access import Access, unary
from etcd_raft.server.contest import Contest
from skiff_pb.etcd import lock_pb2, rpc_pb2


class LockService:
    def __init__(self, access: Access, contest: Contest) -> None:
        self.access = access
        self._contest = contest

    @unary
    async def lock(self, request: lock_pb2.LockRequest, context: CallContext) -> lock_pb2.LockResponse:
        """Answers when the lock is held; it lasts until `unlock` or the end of the lease."""
        place = await self._contest.enter(request.name, request.lease, b"", context)
        await self._contest.win(place, context)
        return lock_pb2.LockResponse(header=self.access.header_message(), key=place.key)

    @unary
    async def unlock(self, request: lock_pb2.UnlockRequest, context: CallContext) -> lock_pb2.UnlockResponse:
        await self.access.propose(requests.delete_range(rpc_pb2.DeleteRangeRequest(key=request.key)), context)
        return lock_pb2.UnlockResponse(header=self.access.header_message())

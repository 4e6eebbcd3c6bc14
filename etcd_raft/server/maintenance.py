"""The Maintenance service: status, alarms, hashes, snapshots, moving the leadership."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator
from typing import Final

from component_base.rpc import CallContext
from etcd_raft import requests
from etcd_raft.auth.refusals import refused
from etcd_raft.backup.contents import Image
from etcd_raft.corruption import hashed
from etcd_raft.ports import Refusal, StatusCode, precondition
from etcd_raft.server.access import Access, check_member, rpc_error, unary
from skiff_pb.etcd import rpc_pb2

#: The release of etcd whose API this is; clients enable features by it.
API_VERSION: Final = "3.6.6"
STORAGE_VERSION: Final = "3.6.0"
_VERSION: Final = re.compile(r"\d+\.\d+(\.\d+)?")
_ALARM_NAMES: Final[dict[int, str]] = {rpc_pb2.NOSPACE: "NOSPACE", rpc_pb2.CORRUPT: "CORRUPT"}


class MaintenanceService:
    def __init__(self, access: Access) -> None:
        self.access = access

    @unary
    async def status(self, request: rpc_pb2.StatusRequest, context: CallContext) -> rpc_pb2.StatusResponse:
        self._check_known(context)
        status, store = self.access.node.status(), self.access.store
        errors = [] if status.leader_id else ["etcdserver: no leader"]
        errors += [f"memberID:{member} alarm:{_ALARM_NAMES[alarm]}" for member, alarm in sorted(store.alarms)]
        quota = self.access.limits.quota
        return rpc_pb2.StatusResponse(
            header=self._header(),
            version=API_VERSION,
            dbSize=store.space.size,
            dbSizeInUse=store.space.size,
            leader=status.leader_id,
            raftIndex=status.committed_index,
            raftTerm=status.term,
            raftAppliedIndex=status.applied_index,
            errors=errors,
            isLearner=status.is_learner,
            storageVersion=STORAGE_VERSION,
            dbSizeQuota=0 if quota == float("inf") else int(quota),
        )

    @unary
    async def alarm(self, request: rpc_pb2.AlarmRequest, context: CallContext) -> rpc_pb2.AlarmResponse:
        """ACTIVATE and DEACTIVATE answer with the alarms they changed, GET with those there are."""
        store = self.access.store
        if request.action == rpc_pb2.AlarmRequest.GET:
            self._check_known(context)
            await self.access.node.read_index()
            found = {(member, kind) for member, kind in store.alarms if request.alarm in (rpc_pb2.NONE, kind)}
        else:
            self.access.check_admin(context)
            active = request.action == rpc_pb2.AlarmRequest.ACTIVATE
            if request.alarm == rpc_pb2.NONE and (active or request.memberID):
                return rpc_pb2.AlarmResponse(header=self._header())
            asked = {(request.memberID, int(request.alarm))}
            found = asked if active else asked & store.alarms
            for member, kind in sorted(found):
                await self.access.propose(requests.own(requests.Alarm(member, kind, active)))
        alarms = [
            rpc_pb2.AlarmMember(memberID=member, alarm=rpc_pb2.AlarmType.Name(kind)) for member, kind in sorted(found)
        ]
        return rpc_pb2.AlarmResponse(header=self._header(), alarms=alarms)

    @unary
    async def defragment(self, request: rpc_pb2.DefragmentRequest, context: CallContext) -> rpc_pb2.DefragmentResponse:
        """There is no file to shrink: it drops what compaction has hidden and not dropped yet."""
        self.access.check_admin(context)
        while self.access.store.space.must_prune:
            self.access.store.space.prune(1000)
            await asyncio.sleep(0)
        return rpc_pb2.DefragmentResponse()

    @unary
    async def hash(self, request: rpc_pb2.HashRequest, context: CallContext) -> rpc_pb2.HashResponse:
        self.access.check_admin(context)
        found = await hashed(self.access.store)
        return rpc_pb2.HashResponse(header=self._header(), hash=found.hash)

    @unary
    async def hash_kv(self, request: rpc_pb2.HashKVRequest, context: CallContext) -> rpc_pb2.HashKVResponse:
        self.access.check_admin(context)
        found = await hashed(self.access.store, request.revision)
        return rpc_pb2.HashKVResponse(
            header=self._header(),
            hash=found.hash,
            compact_revision=found.compact_revision or -1,
            hash_revision=found.revision,
        )

    async def snapshot(
        self, request: rpc_pb2.SnapshotRequest, context: CallContext
    ) -> AsyncIterator[rpc_pb2.SnapshotResponse]:
        """A database in etcd's format and its SHA-256, by which etcdctl knows that it got all."""
        try:
            check_member(self.access, request, context)
            self.access.check_admin(context)
        except Refusal as refusal:
            raise rpc_error(refusal) from None
        image = Image(self.access.store)
        try:
            for _ in image.prepare():
                await asyncio.sleep(0)
            digest, left = hashlib.sha256(), image.size
            for chunk in image.chunks():
                digest.update(chunk)
                left -= len(chunk)
                yield self._part(chunk, left + digest.digest_size)
        finally:
            image.close()
        yield self._part(digest.digest(), 0)

    def _part(self, blob: bytes, left: int) -> rpc_pb2.SnapshotResponse:
        return rpc_pb2.SnapshotResponse(header=self._header(), remaining_bytes=left, blob=blob, version=STORAGE_VERSION)

    @unary
    async def move_leader(self, request: rpc_pb2.MoveLeaderRequest, context: CallContext) -> rpc_pb2.MoveLeaderResponse:
        self.access.check_admin(context)
        node = self.access.node
        if not node.is_leader:
            raise precondition("not leader")
        if not any(member.id == request.targetID and not member.is_learner for member in node.members()):
            raise precondition("bad leader transferee")
        await node.transfer_leader(request.targetID)
        return rpc_pb2.MoveLeaderResponse(header=self._header())

    @unary
    async def downgrade(self, request: rpc_pb2.DowngradeRequest, context: CallContext) -> rpc_pb2.DowngradeResponse:
        """No older version reads this store's log: the way back is a saved snapshot."""
        self.access.check_admin(context)
        if request.action == rpc_pb2.DowngradeRequest.CANCEL:
            raise precondition("no inflight downgrade job")
        if not _VERSION.fullmatch(request.version):
            raise Refusal(StatusCode.INVALID_ARGUMENT, "etcdserver: wrong downgrade target version format")
        raise Refusal(StatusCode.INVALID_ARGUMENT, "etcdserver: invalid downgrade target version")

    def _check_known(self, context: CallContext) -> None:
        """Any user may ask, but it has to be one."""
        if self.access.store.accounts.is_enabled and self.access.caller(context) is None:
            raise refused("user name is empty")

    def _header(self) -> rpc_pb2.ResponseHeader:
        return self.access.header_message()

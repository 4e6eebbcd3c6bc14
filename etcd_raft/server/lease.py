"""The Lease service, and the leader's work on leases in the background."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Final

from component_base.clock import Clock
from component_base.rng import Rng
from component_base.rpc import CallContext
from component_base.tasks import spawn
from etcd_raft import requests
from etcd_raft.auth.access import check_lease_read
from etcd_raft.auth.refusals import refused
from etcd_raft.lease.expiry import CHECKPOINT_SECONDS, LeaseClock
from etcd_raft.lease.table import Lease
from etcd_raft.mvcc import refusals
from etcd_raft.ports import Refusal
from etcd_raft.questions import PeerQuestions
from etcd_raft.server.access import Access, rpc_error, unary
from skiff_pb.etcd import rpc_pb2

log = logging.getLogger(__name__)

_EXPIRY_SECONDS: Final = 0.5
_EXPIRED_AT_ONCE: Final = 500
#: What a new leader adds to every lease: the time in which there was no leader to renew it.
_ELECTION_SECONDS: Final = 1.0
_NOT_FOUND: Final = 5


class LeaseService:
    """`peers` lets a follower ask the leader, whose clock is the one that counts."""

    def __init__(self, access: Access, leases: LeaseClock, rng: Rng, peers: PeerQuestions | None = None) -> None:
        self.access = access
        self._peers = peers
        self._clock = leases
        self._rng = rng

    @unary
    async def lease_grant(self, request: rpc_pb2.LeaseGrantRequest, context: CallContext) -> bytes:
        lease_id = request.ID
        while not lease_id:
            lease_id = self._rng.getrandbits(63)
        await self.access.refuse_beyond_quota(0)
        ttl = max(request.TTL, self.access.limits.min_lease_seconds)
        return await self.access.answer(requests.own(requests.LeaseGrant(lease_id, ttl)), context)

    @unary
    async def lease_revoke(self, request: rpc_pb2.LeaseRevokeRequest, context: CallContext) -> bytes:
        return await self.access.answer(requests.own(requests.LeaseRevoke(request.ID)), context)

    async def lease_keep_alive(
        self, incoming: AsyncIterator[rpc_pb2.LeaseKeepAliveRequest], context: CallContext
    ) -> AsyncIterator[rpc_pb2.LeaseKeepAliveResponse]:
        """A lease that does not exist is answered with TTL 0, which is how clients learn of its end."""
        async for request in incoming:
            try:
                ttl = await self._renew(request.ID)
            except Refusal as refusal:
                if refusal.code != _NOT_FOUND:
                    raise rpc_error(refusal) from None
                ttl = 0
            header = self.access.header_message()
            yield rpc_pb2.LeaseKeepAliveResponse(header=header, ID=request.ID, TTL=ttl)

    async def _renew(self, lease_id: int) -> int:
        node, table = self.access.node, self.access.store.leases
        if not node.is_leader:
            await self.access.propose(requests.own(requests.LeaseRenew(lease_id)))
            return table.find(lease_id).ttl
        # A leader that was deposed and does not know it yet must not promise anything.
        await node.read_index()
        lease = table.find(lease_id)
        if self._clock.remaining(lease) <= 0:
            # Its end may be in the log already; who is told of a renewal now would be deceived.
            raise refusals.lease_not_found()
        if lease.remaining or not node.is_leader:
            await self.access.propose(requests.own(requests.LeaseRenew(lease_id)))
        else:
            self._clock.renewed(lease)
        return lease.ttl

    @unary
    async def lease_time_to_live(
        self, request: rpc_pb2.LeaseTimeToLiveRequest, context: CallContext
    ) -> rpc_pb2.LeaseTimeToLiveResponse:
        await self.access.node.read_index()
        lease = self.access.store.leases.leases.get(request.ID)
        if lease is None:
            return rpc_pb2.LeaseTimeToLiveResponse(header=self.access.header_message(), ID=request.ID, TTL=-1)
        accounts = self.access.store.accounts
        if accounts.is_enabled:
            check_lease_read(accounts, self.access.caller(context), lease)
        left = self._clock.remaining(lease)
        if self._peers is not None and not self.access.node.is_leader:
            left = await self._peers.lease_at_leader(lease.id)
        return rpc_pb2.LeaseTimeToLiveResponse(
            header=self.access.header_message(),
            ID=lease.id,
            TTL=max(0, int(left)),
            grantedTTL=lease.ttl,
            keys=sorted(lease.keys) if request.keys else (),
        )

    @unary
    async def lease_leases(
        self, request: rpc_pb2.LeaseLeasesRequest, context: CallContext
    ) -> rpc_pb2.LeaseLeasesResponse:
        await self.access.node.read_index()
        accounts = self.access.store.accounts
        if accounts.is_enabled:
            caller = self.access.caller(context)
            if caller is None:
                raise refused("user name is empty")
            for lease in self.access.store.leases.leases.values():
                check_lease_read(accounts, caller, lease)

        def left(lease: Lease) -> float:
            return self._clock.remaining(lease)

        ordered = sorted(self.access.store.leases.leases.values(), key=left)
        return rpc_pb2.LeaseLeasesResponse(
            header=self.access.header_message(), leases=[rpc_pb2.LeaseStatus(ID=lease.id) for lease in ordered]
        )


class Lessor:
    """While this member leads: revokes what has expired and records what is left of long leases."""

    def __init__(self, access: Access, leases: LeaseClock, clock: Clock) -> None:
        self._access = access
        self._leases = leases
        self._clock = clock
        self._term = 0
        self._task: asyncio.Task[None] | None = None
        access.node.on_leadership(self._on_leadership)

    def _on_leadership(self, is_leader: bool, term: int) -> None:
        if self._task is not None:
            self._task.cancel()
            self._task = None
        if is_leader:
            self._leases.restart(_ELECTION_SECONDS)
            self._task = spawn(self._lead(term), "lease expiry")

    async def _lead(self, term: int) -> None:
        checkpointed = self._clock.monotonic()
        while True:
            await self._clock.sleep(_EXPIRY_SECONDS)
            try:
                for lease_id in self._leases.expired(_EXPIRED_AT_ONCE):
                    await self._revoke(lease_id, term)
                if self._clock.monotonic() - checkpointed >= CHECKPOINT_SECONDS:
                    checkpointed = self._clock.monotonic()
                    await self._record_remaining(term)
            except Refusal as refusal:
                log.warning("leases that have expired wait for the log: %s", refusal.message)

    async def _revoke(self, lease_id: int, term: int) -> None:
        lease = self._access.store.leases.leases.get(lease_id)
        if lease is None or self._leases.remaining(lease) > 0:
            return  # Revoked or renewed while the ones before it were on their way.
        try:
            await self._access.propose(requests.own(requests.LeaseRevoke(lease_id, term, lease.renewals)))
        except Refusal as refusal:
            if refusal.code != _NOT_FOUND:
                raise

    async def _record_remaining(self, term: int) -> None:
        while found := self._leases.checkpoints(1000):
            await self._access.propose(requests.own(requests.LeaseCheckpoint(term, found)))
            if len(found) < 1000:
                return

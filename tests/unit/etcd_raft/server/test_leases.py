"""Leases: granted, renewed, ended by the leader's clock, and surviving a change of leader."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from component_base.clock import ManualClock
from component_base.rng import seeded
from etcd_raft import requests
from etcd_raft.auth.credentials import Tokens
from etcd_raft.lease.expiry import LeaseClock
from etcd_raft.machine import StoreMachine
from etcd_raft.ports import AppliedEntry, Refusal
from etcd_raft.server.access import Access, Limits
from etcd_raft.server.lease import LeaseService, Lessor
from skiff_pb.etcd import rpc_pb2
from tests.unit.etcd_raft.mvcc.store_client import StoreClient
from tests.unit.etcd_raft.server.single_node import Caller, SingleNode


class Member:
    def __init__(self, store: StoreMachine | None = None) -> None:
        self.store = store or StoreMachine()
        self.clock = ManualClock()
        self.node = SingleNode(self.store)
        access = Access(self.node, self.store, Limits(), Tokens(self.store.accounts, self.clock, seeded(1)))
        self.leases = LeaseClock(self.store.leases, self.clock)
        self.service = LeaseService(access, self.leases, seeded(1))
        self.lessor = Lessor(access, self.leases, self.clock)
        self.client = StoreClient(self.store)

    async def grant(self, ttl: int, lease_id: int = 0) -> rpc_pb2.LeaseGrantResponse:
        request = rpc_pb2.LeaseGrantRequest(TTL=ttl, ID=lease_id)
        return rpc_pb2.LeaseGrantResponse.FromString(await self.service.lease_grant(request, Caller()))

    async def keep_alive(self, lease_id: int) -> int:
        async def requests() -> AsyncIterator[rpc_pb2.LeaseKeepAliveRequest]:
            yield rpc_pb2.LeaseKeepAliveRequest(ID=lease_id)

        return (await anext(self.service.lease_keep_alive(requests(), Caller()))).TTL

    async def left(self, lease_id: int) -> int:
        request = rpc_pb2.LeaseTimeToLiveRequest(ID=lease_id)
        return (await self.service.lease_time_to_live(request, Caller())).TTL

    async def passes(self, seconds: float) -> None:
        for _ in range(int(seconds * 2)):
            self.clock.advance(0.5)
            for _ in range(4):
                await asyncio.sleep(0)

    def lead(self) -> None:
        self.node.lead()


@pytest.fixture
async def member() -> AsyncIterator[Member]:
    made = Member()
    made.lead()
    await asyncio.sleep(0)
    yield made
    made.node.follow()
    await asyncio.sleep(0)


async def test_a_lease_ends_with_its_keys_unless_it_is_kept_alive(member: Member) -> None:
    lease, other = (await member.grant(10)).ID, (await member.grant(10)).ID
    member.client.put(b"a", lease=lease)
    member.client.put(b"b", lease=lease)
    member.client.put(b"b", lease=other)
    await member.passes(6)
    assert await member.keep_alive(other) == 10
    await member.passes(5)
    assert member.client.get(b"a") is None
    assert member.client.get(b"b") == b""
    assert await member.left(lease) == -1
    assert await member.keep_alive(lease) == 0
    assert await member.left(other) == 5


async def test_all_keys_of_a_lease_go_in_one_revision(member: Member) -> None:
    lease = (await member.grant(10)).ID
    for key in (b"c", b"a", b"b"):
        member.client.put(key, lease=lease)
    revision = member.client.revision
    await member.service.lease_revoke(rpc_pb2.LeaseRevokeRequest(ID=lease), Caller())
    assert member.client.revision == revision + 1
    assert [record.key for record in member.store.space.log[-1]] == [b"a", b"b", b"c"]


async def test_grants_are_checked(member: Member) -> None:
    assert (await member.grant(1)).TTL == 2
    await member.grant(10, 7)
    request = rpc_pb2.LeaseGrantRequest(TTL=10, ID=7)
    with pytest.raises(Exception, match="etcdserver: lease already exists"):
        await member.service.lease_grant(request, Caller())
    with pytest.raises(Exception, match="etcdserver: too large lease TTL"):
        await member.grant(9_000_000_001)
    with pytest.raises(Exception, match="etcdserver: requested lease not found"):
        await member.service.lease_revoke(rpc_pb2.LeaseRevokeRequest(ID=8), Caller())


async def test_a_new_leader_gives_every_lease_its_time_again(member: Member) -> None:
    lease = (await member.grant(60)).ID
    await member.passes(50)
    successor = Member()
    successor.store.restore(member.store.snapshot())
    assert await successor.left(lease) == 60
    successor.clock.advance(55)
    successor.lead()
    assert await successor.left(lease) == 61
    successor.node.follow()


async def test_long_leases_are_not_started_afresh_by_a_new_leader(member: Member) -> None:
    lease = (await member.grant(3600)).ID
    await member.passes(301)
    successor = Member()
    successor.store.restore(member.store.snapshot())
    assert 3290 < await successor.left(lease) <= 3300
    assert await member.keep_alive(lease) == 3600
    assert member.store.leases.find(lease).remaining == 0


async def test_a_deposed_leader_ends_no_lease(member: Member) -> None:
    """etcd issue 15247: a leader that was cut off revoked what had been kept alive elsewhere."""
    lease = (await member.grant(10)).ID
    member.client.put(b"k", lease=lease)
    index = member.store.applied_index + 1
    stale = requests.own(requests.LeaseRevoke(lease, term=member.node.term - 1))
    assert not isinstance(member.store.apply([AppliedEntry(index, member.node.term, stale)])[0], Refusal)
    assert member.client.get(b"k") == b""
    assert await member.keep_alive(lease) == 10
    assert member.node.reads > 0


async def test_a_follower_hands_renewals_to_the_log(member: Member) -> None:
    lease = (await member.grant(10)).ID
    member.node.follow()
    before = member.store.applied_index
    await member.passes(6)
    assert await member.keep_alive(lease) == 10
    assert member.store.applied_index == before + 1
    assert await member.left(lease) == 10


async def test_a_lease_whose_end_is_in_the_log_already_is_not_renewed(member: Member) -> None:
    """Found by simulation: the leader promised another whole time to live, then its own revocation was applied."""
    lease = (await member.grant(10)).ID
    member.clock.advance(10.1)
    assert await member.keep_alive(lease) == 0


async def test_a_renewal_that_came_before_the_revocation_in_the_log_wins(member: Member) -> None:
    """Found by simulation: a follower's renewal was answered, and the revocation behind it took the keys."""
    lease, term = (await member.grant(10)).ID, member.node.term
    member.client.put(b"k", lease=lease)
    index = member.store.applied_index + 1
    renewal = AppliedEntry(index, term, requests.own(requests.LeaseRenew(lease)))
    late = AppliedEntry(index + 1, term, requests.own(requests.LeaseRevoke(lease, term, renewals=0)))
    member.store.apply([renewal, late])
    assert member.client.get(b"k") == b""
    other = StoreMachine()
    other.restore(member.store.snapshot())
    for store in (member.store, other):
        due = requests.own(requests.LeaseRevoke(lease, term, renewals=1))
        store.apply([AppliedEntry(index + 2, term, due)])
        assert StoreClient(store).get(b"k") is None

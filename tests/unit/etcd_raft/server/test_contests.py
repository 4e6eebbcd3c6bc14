"""Locks and elections as gRPC services, over a connection, on a node without a log."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from component_base.clock import ManualClock
from component_base.http2.channel import Http2Channel
from component_base.http2.host import Http2Host
from component_base.rng import seeded
from component_base.rpc import Code, RpcError
from etcd_raft.machine import StoreMachine
from etcd_raft.server import services
from skiff_pb.etcd import election_pb2, lock_pb2, rpc_pb2
from tests.unit.etcd_raft.server.single_node import SingleNode

LOCK = lock_pb2.DESCRIPTOR.services_by_name["Lock"]
ELECTION = election_pb2.DESCRIPTOR.services_by_name["Election"]
KV = rpc_pb2.DESCRIPTOR.services_by_name["KV"]
LEASE = rpc_pb2.DESCRIPTOR.services_by_name["Lease"]


@pytest.fixture
def machine() -> StoreMachine:
    return StoreMachine()


@pytest.fixture
async def channel(machine: StoreMachine) -> AsyncIterator[Http2Channel]:
    clock = ManualClock()
    host = Http2Host(services(SingleNode(machine), machine, clock, seeded(1)))
    port = host.add_listener("127.0.0.1:0")
    await host.start()
    channel = Http2Channel(f"127.0.0.1:{port}")
    yield channel
    await channel.close()
    await host.stop(0)


async def lock(channel: Http2Channel, lease: int = 0) -> Any:
    return await channel.unary(LOCK, "Lock", lock_pb2.LockRequest(name=b"l", lease=lease))


async def campaign(channel: Http2Channel, value: bytes, lease: int = 0) -> Any:
    request = election_pb2.CampaignRequest(name=b"e", value=value, lease=lease)
    return (await channel.unary(ELECTION, "Campaign", request)).leader


async def waiting(channel: Http2Channel, prefix: bytes, count: int) -> None:
    """Until so many contenders have written their keys."""
    request = rpc_pb2.RangeRequest(key=prefix, range_end=prefix + b"\xff", count_only=True)
    async with asyncio.timeout(30):
        while (await channel.unary(KV, "Range", request)).count != count:
            pass


async def grant(channel: Http2Channel) -> int:
    return int((await channel.unary(LEASE, "LeaseGrant", rpc_pb2.LeaseGrantRequest(TTL=60))).ID)


async def test_one_holds_the_lock_and_the_others_follow_in_order(channel: Http2Channel) -> None:
    first = await lock(channel)
    second = asyncio.ensure_future(lock(channel))
    await waiting(channel, b"l/", 2)
    third = asyncio.ensure_future(lock(channel))
    await waiting(channel, b"l/", 3)
    await channel.unary(LOCK, "Unlock", lock_pb2.UnlockRequest(key=first.key))
    held = await second
    assert not third.done()
    await channel.unary(LOCK, "Unlock", lock_pb2.UnlockRequest(key=held.key))
    assert (await third).key.startswith(b"l/")


async def test_a_lock_is_held_once_by_a_lease_and_goes_with_it(channel: Http2Channel) -> None:
    lease = await grant(channel)
    assert (await lock(channel, lease)).key == b"l/%x" % lease
    assert (await lock(channel, lease)).key == b"l/%x" % lease
    other = asyncio.ensure_future(lock(channel))
    await waiting(channel, b"l/", 2)
    await channel.unary(LEASE, "LeaseRevoke", rpc_pb2.LeaseRevokeRequest(ID=lease))
    assert (await other).key


async def test_who_stops_waiting_gives_up_the_place(channel: Http2Channel) -> None:
    await lock(channel)
    other = asyncio.ensure_future(lock(channel))
    await waiting(channel, b"l/", 2)
    other.cancel()
    await waiting(channel, b"l/", 1)


async def test_who_waits_without_a_lease_any_more_does_not_get_the_lock(channel: Http2Channel) -> None:
    first, lease = await lock(channel), await grant(channel)
    other = asyncio.ensure_future(lock(channel, lease))
    await waiting(channel, b"l/", 2)
    await channel.unary(LEASE, "LeaseRevoke", rpc_pb2.LeaseRevokeRequest(ID=lease))
    await channel.unary(LOCK, "Unlock", lock_pb2.UnlockRequest(key=first.key))
    with pytest.raises(RpcError, match="session is expired"):
        await other


async def test_elections(channel: Http2Channel) -> None:
    with pytest.raises(RpcError) as caught:
        await channel.unary(ELECTION, "Leader", election_pb2.LeaderRequest(name=b"e"))
    assert (caught.value.code, caught.value.message) == (Code.UNKNOWN, "election: no leader")
    seen = channel.stream(ELECTION, "Observe", election_pb2.LeaderRequest(name=b"e"))
    one = await campaign(channel, b"one")
    assert (await anext(seen)).kv.value == b"one"
    other = asyncio.ensure_future(campaign(channel, b"two"))
    await waiting(channel, b"e/", 2)
    for value in (b"more", b"and more"):
        await channel.unary(ELECTION, "Proclaim", election_pb2.ProclaimRequest(leader=one, value=value))
    assert [(await anext(seen)).kv.value for _ in range(2)] == [b"more", b"and more"]
    leader = await channel.unary(ELECTION, "Leader", election_pb2.LeaderRequest(name=b"e"))
    assert (leader.kv.key, leader.kv.value) == (one.key, b"and more")
    await channel.unary(ELECTION, "Resign", election_pb2.ResignRequest(leader=one))
    two = await other
    assert (await anext(seen)).kv.key == two.key
    with pytest.raises(RpcError, match="election: not leader"):
        await channel.unary(ELECTION, "Proclaim", election_pb2.ProclaimRequest(leader=one, value=b"late"))
    with pytest.raises(RpcError, match="must be provided"):
        await channel.unary(ELECTION, "Resign", election_pb2.ResignRequest())
    await seen.aclose()


async def test_contenders_hear_of_a_snapshot_that_replaced_everything(
    channel: Http2Channel, machine: StoreMachine
) -> None:
    first = await lock(channel)
    other = asyncio.ensure_future(lock(channel))
    await waiting(channel, b"l/", 2)
    machine.restore(list(machine.snapshot()))
    await channel.unary(LOCK, "Unlock", lock_pb2.UnlockRequest(key=first.key))
    assert (await other).key


async def test_campaigning_again_changes_the_value(channel: Http2Channel) -> None:
    lease = await grant(channel)
    one = await campaign(channel, b"one", lease)
    assert await campaign(channel, b"two", lease) == one
    leader = await channel.unary(ELECTION, "Leader", election_pb2.LeaderRequest(name=b"e"))
    assert leader.kv.value == b"two"

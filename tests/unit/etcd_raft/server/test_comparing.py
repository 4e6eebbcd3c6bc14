"""Members compare what they hold, and followers ask the leader for the time of leases, over a connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from component_base.clock import ManualClock
from component_base.http2.channel import Http2Channel
from component_base.http2.host import Http2Host
from component_base.rng import seeded
from component_base.rpc import Code, RpcError
from etcd_raft import requests
from etcd_raft.corruption import CorruptionWatch, hashed
from etcd_raft.machine import CORRUPT, StoreMachine
from etcd_raft.ports import Member
from etcd_raft.questions import PeerQuestions
from etcd_raft.server import services
from skiff_pb.etcd import rpc_pb2
from tests.unit.etcd_raft.server.single_node import SingleNode

SERVICES = rpc_pb2.DESCRIPTOR.services_by_name


class Half(SingleNode):
    """One of two members, whose stores are written to by the test."""

    def __init__(self, number: int, members: list[Member]) -> None:
        super().__init__(StoreMachine())
        self.member_id = number
        self.leader_id = 1
        self.is_leader = number == 1
        self.known = members

    def members(self) -> list[Member]:
        return self.known


class Pair:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.members: list[Member] = []
        self.nodes = [Half(1, self.members), Half(2, self.members)]
        self.peers = [PeerQuestions(node, None) for node in self.nodes]
        self.hosts: list[Http2Host] = []
        self.channels: list[Http2Channel] = []

    async def start(self) -> None:
        for node, peers in zip(self.nodes, self.peers, strict=True):
            hosted = services(node, node.store, self.clock, seeded(1), None, peers)
            host = Http2Host([*hosted, peers.service()])
            port = host.add_listener("127.0.0.1:0")
            await host.start()
            self.hosts.append(host)
            self.channels.append(Http2Channel(f"127.0.0.1:{port}"))
            self.members.append(Member(node.member_id, f"m{node.member_id}", (f"http://127.0.0.1:{port}",), ()))

    async def both(self, data: bytes) -> None:
        for node in self.nodes:
            await node.propose(data)

    async def stop(self) -> None:
        for channel in self.channels:
            await channel.close()
        for host in self.hosts:
            await host.stop(0)


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    found = Pair()
    await found.start()
    yield found
    await found.stop()


def put(key: bytes, value: bytes) -> bytes:
    return requests.put(rpc_pb2.PutRequest(key=key, value=value))


async def test_a_member_that_differs_is_named_and_the_cluster_stops(pair: Pair) -> None:
    watch = CorruptionWatch(pair.nodes[0], pair.nodes[0].store, pair.peers[0], pair.clock, 10.0)
    await pair.both(put(b"k", b"v"))
    assert await watch.differing() == []
    await pair.nodes[0].propose(put(b"k", b"right"))
    await pair.nodes[1].propose(put(b"k", b"wrong"))
    watching = asyncio.ensure_future(watch.run())
    async with asyncio.timeout(30):
        while not pair.nodes[0].store.alarms:
            pair.clock.advance(10.0)
            await asyncio.sleep(0.001)
    assert pair.nodes[0].store.alarms == {(2, CORRUPT)}
    watching.cancel()
    for name, request in (
        ("Put", rpc_pb2.PutRequest(key=b"k")),
        ("Range", rpc_pb2.RangeRequest(key=b"k")),
        ("DeleteRange", rpc_pb2.DeleteRangeRequest(key=b"k")),
    ):
        with pytest.raises(RpcError) as caught:
            await pair.channels[0].unary(SERVICES["KV"], name, request)
        assert (caught.value.code, caught.value.message) == (Code.DATA_LOSS, "etcdserver: corrupt cluster")
    disarm = rpc_pb2.AlarmRequest(action="DEACTIVATE", memberID=2, alarm="CORRUPT")
    await pair.channels[0].unary(SERVICES["Maintenance"], "Alarm", disarm)
    await pair.channels[0].unary(SERVICES["KV"], "Range", rpc_pb2.RangeRequest(key=b"k"))


async def test_members_that_were_compacted_differently_are_not_compared(pair: Pair) -> None:
    watch = CorruptionWatch(pair.nodes[0], pair.nodes[0].store, pair.peers[0], pair.clock, 10.0)
    for value in (b"1", b"2", b"3"):
        await pair.both(put(b"k", value))
    await pair.nodes[0].propose(requests.compact(rpc_pb2.CompactionRequest(revision=3)))
    assert await watch.differing() == []
    pair.members[1] = Member(2, "m2", ("http://127.0.0.1:1",), ())
    assert await watch.differing() == [], "who does not answer is not accused"


async def test_hashes_do_not_depend_on_what_came_later_nor_on_the_way_a_state_came_about(pair: Pair) -> None:
    store = pair.nodes[0].store
    for number in range(20):
        await pair.both(put(b"k%d" % (number % 7), b"%d" % number))
    await pair.both(requests.delete_range(rpc_pb2.DeleteRangeRequest(key=b"k3")))
    revision, before = store.space.revision, await hashed(store)
    restored = StoreMachine()
    restored.restore(list(store.snapshot()))
    assert await hashed(restored) == before
    await pair.nodes[0].propose(requests.delete_range(rpc_pb2.DeleteRangeRequest(key=b"k", range_end=b"k6")))
    await pair.nodes[0].propose(put(b"k3", b"again"))
    await pair.nodes[0].propose(put(b"k6", b"other"))
    assert await hashed(store, revision) == before
    assert await hashed(pair.nodes[1].store, revision) == before
    assert (await hashed(store, revision - 1)).hash != before.hash


async def test_a_follower_asks_the_leader_how_long_a_lease_lives(pair: Pair) -> None:
    await pair.both(requests.own(requests.LeaseGrant(7, 100)))
    pair.clock.advance(40.0)
    await pair.channels[0].unary(SERVICES["Lease"], "LeaseTimeToLive", rpc_pb2.LeaseTimeToLiveRequest(ID=7))
    renewed = pair.channels[0].stream(SERVICES["Lease"], "LeaseKeepAlive", _once(7))
    assert (await anext(renewed)).TTL == 100
    await renewed.aclose()
    answer = await pair.channels[1].unary(SERVICES["Lease"], "LeaseTimeToLive", rpc_pb2.LeaseTimeToLiveRequest(ID=7))
    assert answer.TTL == 100, "the follower's own clock would say 60"
    pair.nodes[1].leader_id = 0
    with pytest.raises(RpcError, match="no leader"):
        await pair.channels[1].unary(SERVICES["Lease"], "LeaseTimeToLive", rpc_pb2.LeaseTimeToLiveRequest(ID=7))


async def _once(lease: int) -> AsyncIterator[rpc_pb2.LeaseKeepAliveRequest]:
    yield rpc_pb2.LeaseKeepAliveRequest(ID=lease)

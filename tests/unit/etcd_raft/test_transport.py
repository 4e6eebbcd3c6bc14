"""Peers over real connections on the loopback: who may talk to whom, order, reconnection, snapshots."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence

from component_base.clock import SystemClock
from component_base.http2.host import Http2Host
from etcd_raft.ports import Member
from etcd_raft.raft import Configuration, Entry, Kind, Message, SnapshotMeta
from etcd_raft.transport import PeerHandler, PeerTransport, peer_service
from etcd_raft.wal import Identity, SnapshotFile, SnapshotHeader, SnapshotStore, SnapshotWriter
from tests.sim.disk import SimulatedDisk

CLUSTER = 7


class FakeNode:
    """What the transport and the handler see of a node."""

    def __init__(self, member_id: int, cluster_id: int = CLUSTER) -> None:
        self.cluster_id, self.member_id = cluster_id, member_id
        self.received: list[Message] = []
        self.unreachable: list[int] = []
        self.snapshots: list[tuple[int, bool]] = []
        self.removed: set[int] = set()
        self.was_removed = False
        self.promoted: list[int] = []
        self.met: dict[int, tuple[str, ...]] = {}

    def deliver(self, messages: Iterable[Message]) -> None:
        self.received += messages

    def wants_snapshot(self, message: Message) -> bool:
        return True

    def is_removed_member(self, member: int) -> bool:
        return member in self.removed

    def members(self) -> list[Member]:
        return [Member(1, "a", ("http://a:1",), ())]

    async def promote_member(self, member_id: int) -> None:
        self.promoted.append(member_id)

    def peer_unreachable(self, member: int) -> None:
        self.unreachable.append(member)

    def snapshot_sent(self, member: int, arrived: bool) -> None:
        self.snapshots.append((member, arrived))

    def removed_elsewhere(self) -> None:
        self.was_removed = True

    @property
    def peer_urls(self) -> Sequence[str]:
        return (f"http://m{self.member_id}:1",)

    def meet(self, member: int, urls: Sequence[str]) -> None:
        self.met[member] = tuple(urls)


class Files:
    """SnapshotSource and SnapshotSink on a simulated disk."""

    def __init__(self) -> None:
        self.store = SnapshotStore(SimulatedDisk(), "/snap")

    def find(self, message: Message) -> SnapshotFile | None:
        return next((self.store.open(path) for _, _, path in self.store.files()), None)

    def chunks(self, file: SnapshotFile) -> Iterator[bytes]:
        return self.store.chunks(file)

    def create(self, meta: SnapshotMeta, membership: bytes) -> SnapshotWriter:
        return self.store.create(SnapshotHeader(Identity(CLUSTER, 2), meta, membership), "received")


class NoTraffic:
    def sent(self, peer: int, size: int) -> None: ...
    def send_failed(self, peer: int) -> None: ...
    def answered(self, peer: int, seconds: float) -> None: ...


class Pair:
    """Member 1 sends, member 2 receives."""

    def __init__(self, cluster_of_receiver: int = CLUSTER, silence: float = 3.0) -> None:
        self.sender, self.receiver = FakeNode(1), FakeNode(2, cluster_of_receiver)
        self.from_files, self.to_files = Files(), Files()
        self.transport = PeerTransport(CLUSTER, 1, None, self.from_files, SystemClock(), NoTraffic(), silence)
        self.transport.listener = self.sender
        self.port = 0
        self.host: Http2Host | None = None

    async def listen(self) -> None:
        self.host = Http2Host([peer_service(PeerHandler(self.receiver, self.to_files, SystemClock()))])
        self.port = self.host.add_listener(f"127.0.0.1:{self.port}")
        await self.host.start()

    async def __aenter__(self) -> Pair:
        await self.listen()
        self.transport.set_peers([Member(2, "b", (f"http://127.0.0.1:{self.port}",), ())])
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.transport.close()
        if self.host is not None:
            await self.host.stop(0)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - the other side gives no sign
            await asyncio.sleep(0.01)


def heartbeat(commit: int) -> Message:
    return Message(Kind.HEARTBEAT, 2, 1, 3, commit=commit)


async def test_messages_arrive_whole_and_in_order() -> None:
    async with Pair() as pair:
        append = Message(Kind.APPEND, 2, 1, 3, 2, 9, (Entry(10, 3, bytes(300_000)), Entry(11, 3)), 9)
        sent = [append, *(heartbeat(n) for n in range(500))]
        pair.transport.send(sent)
        await until(lambda: len(pair.receiver.received) == len(sent))
        assert pair.receiver.received == sent
        await until(lambda: pair.transport.is_connected(2))


async def test_who_connects_says_where_it_is_reached_before_it_has_anything_else_to_say() -> None:
    async with Pair() as pair:
        await until(lambda: pair.receiver.met)
        assert pair.receiver.met == {1: ("http://m1:1",)}
        assert not pair.receiver.received


async def test_a_removed_member_that_has_nothing_to_say_learns_of_it() -> None:
    """A learner never speaks first."""
    async with Pair() as pair:
        pair.receiver.removed.add(1)
        await until(lambda: pair.sender.was_removed)


async def test_a_peer_that_comes_back_is_reached_again() -> None:
    async with Pair() as pair:
        pair.transport.send([heartbeat(1)])
        await until(lambda: pair.receiver.received)
        assert pair.host is not None
        await pair.host.stop(0)
        await until(lambda: pair.sender.unreachable)
        await pair.listen()
        count = len(pair.receiver.received)

        def again() -> bool:
            pair.transport.send([heartbeat(2)])
            return len(pair.receiver.received) > count

        await until(again)


async def test_members_of_another_cluster_are_refused() -> None:
    async with Pair(cluster_of_receiver=99) as pair:
        pair.transport.send([heartbeat(1)])
        await until(lambda: pair.sender.unreachable)
        assert pair.receiver.received == []


async def test_a_removed_member_is_told() -> None:
    async with Pair() as pair:
        pair.receiver.removed.add(1)
        pair.transport.send([heartbeat(1)])
        await until(lambda: pair.sender.was_removed)
        assert pair.receiver.received == []


async def test_a_snapshot_travels_beside_the_stream() -> None:
    async with Pair() as pair:
        meta = SnapshotMeta(50, 3, Configuration(frozenset({1, 2})))
        writer = pair.from_files.store.create(SnapshotHeader(Identity(CLUSTER, 1), meta, b"roster"))
        chunks = [b"head", bytes(200_000), b"tail"]
        for chunk in chunks:
            writer.write(chunk)
        writer.finish()
        message = Message(Kind.SNAPSHOT, 2, 1, 3, snapshot=meta)
        pair.transport.send([message])
        await until(lambda: pair.sender.snapshots)
        assert pair.sender.snapshots == [(2, True)]
        assert pair.receiver.received == [message]
        file = pair.to_files.find(message)
        assert file is not None
        assert file.header == SnapshotHeader(Identity(CLUSTER, 2), meta, b"roster")
        assert list(pair.to_files.chunks(file)) == chunks


async def test_a_snapshot_that_is_gone_is_reported() -> None:
    async with Pair() as pair:
        pair.transport.send([Message(Kind.SNAPSHOT, 2, 1, 3, snapshot=SnapshotMeta(50, 3))])
        await until(lambda: pair.sender.snapshots)
        assert pair.sender.snapshots == [(2, False)]


async def test_promotions_reach_the_leader() -> None:
    async with Pair() as pair:
        await pair.transport.promote(2, 0xABC)
        assert pair.receiver.promoted == [0xABC]

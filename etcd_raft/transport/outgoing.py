"""The sending half: one stream to each peer, kept up in the background; snapshots go beside it in calls of their own.

Nothing here is reliable, as Raft expects: when a stream breaks, what waited for it is dropped and the core is told.
A peer that takes bytes but answers nothing is given up after a while, so that a healed partition is noticed soon.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from typing import Protocol

from component_base.clock import Clock
from component_base.http2.channel import Http2Channel
from component_base.rpc import ClientTls, Code, RpcError
from component_base.tasks import spawn
from etcd_raft.ports import Member, Refusal
from etcd_raft.raft import Kind, Message
from etcd_raft.transport import wire
from etcd_raft.transport.addresses import parse_url
from etcd_raft.wal import CorruptionError, SnapshotFile
from skiff_pb.raft import peer_pb2

log = logging.getLogger(__name__)

PEER = peer_pb2.DESCRIPTOR.services_by_name["Peer"]
OUTBOX_BYTES = 64 << 20
OUTBOX_MESSAGES = 8192
MAX_COMPLAINTS = 8
REMOVED = "the member has been permanently removed from the cluster"
SNAPSHOT_SECONDS = 600.0


class Listener(Protocol):
    """The node, as the transport sees it."""

    @property
    def peer_urls(self) -> Sequence[str]:
        """Its own, as far as it knows."""
        ...

    def peer_unreachable(self, member: int) -> None: ...
    def snapshot_sent(self, member: int, arrived: bool) -> None: ...
    def removed_elsewhere(self) -> None: ...


class SnapshotSource(Protocol):
    """Where the files to send come from; all of it blocks."""

    def find(self, message: Message) -> SnapshotFile | None: ...
    def chunks(self, file: SnapshotFile) -> Iterator[bytes]: ...


class TrafficMetrics(Protocol):
    def sent(self, peer: int, size: int) -> None: ...
    def send_failed(self, peer: int) -> None: ...
    def answered(self, peer: int, seconds: float) -> None: ...


class _Outbox:
    """What waits for one peer, bounded."""

    def __init__(self) -> None:
        self._messages: list[bytes] = []
        self._size = 0
        self.filled = asyncio.Event()

    def put(self, data: bytes) -> bool:
        if self._size + len(data) > OUTBOX_BYTES or len(self._messages) >= OUTBOX_MESSAGES:
            return False
        self._messages.append(data)
        self._size += len(data)
        self.filled.set()
        return True

    def take(self) -> list[bytes]:
        taken, size = 0, 0
        for data in self._messages:
            if taken and size + len(data) > wire.MAX_ENVELOPE_BYTES:
                break
            taken, size = taken + 1, size + len(data)
        first = self._messages[:taken]
        del self._messages[:taken]
        self._size -= size
        if not self._messages:
            self.filled.clear()
        return first

    def nudge(self) -> None:
        """Send an empty envelope, to be answered."""
        self.filled.set()

    def clear(self) -> None:
        self._messages.clear()
        self._size = 0
        self.filled.clear()


class PeerTransport:
    """`listener` is set before the first `send`: the node and its transport need each other."""

    listener: Listener

    def __init__(
        self,
        cluster_id: int,
        member_id: int,
        tls: ClientTls | None,
        source: SnapshotSource,
        clock: Clock,
        metrics: TrafficMetrics,
        silence_seconds: float = 3.0,
    ) -> None:
        self.cluster_id = cluster_id
        self.member_id = member_id
        self.tls = tls
        self.source = source
        self.clock = clock
        self.metrics = metrics
        self.silence_seconds = silence_seconds
        self._peers: dict[int, _Peer] = {}

    def send(self, messages: Iterable[Message]) -> None:
        for message in messages:
            peer = self._peers.get(message.to)
            if peer is not None:
                peer.send(message)
            elif message.kind is Kind.SNAPSHOT:
                self.listener.snapshot_sent(message.to, arrived=False)

    def set_peers(self, members: Sequence[Member]) -> None:
        wanted = {member.id: member.peer_urls for member in members}
        for member in list(self._peers):
            if wanted.get(member) != self._peers[member].urls:
                self._peers.pop(member).stop()
        for member, urls in wanted.items():
            if member not in self._peers and urls:
                self._peers[member] = _Peer(self, member, urls)

    async def promote(self, leader: int, member_id: int) -> None:
        peer = self._peers.get(leader)
        if peer is None:
            raise Refusal(int(Code.UNAVAILABLE), "etcdserver: no leader")
        channel = peer.connect(peer.urls[0])
        try:
            await channel.unary(PEER, "Promote", peer_pb2.PromoteRequest(member_id=member_id), timeout=7.0)
        except RpcError as problem:
            raise Refusal(int(problem.code), problem.message) from None
        finally:
            await channel.close()

    def is_connected(self, member: int) -> bool:
        peer = self._peers.get(member)
        return peer is not None and peer.is_connected

    async def close(self) -> None:
        peers = list(self._peers.values())
        self._peers.clear()
        for peer in peers:
            peer.stop()
        await asyncio.gather(*(peer.task for peer in peers), return_exceptions=True)


class _Peer:
    def __init__(self, transport: PeerTransport, member: int, urls: tuple[str, ...]) -> None:
        self.urls = urls
        self.is_connected = False
        self._transport = transport
        self._member = member
        self._outbox = _Outbox()
        self._sequence = 0
        self._receipt = 0
        self._answered_at = 0.0
        #: When the newest envelopes went out; those before are not worth remembering.
        self._sent_at: deque[tuple[int, float]] = deque(maxlen=4096)
        #: What was told since the connection was last up: each thing once.
        self._complaints: set[str] = set()
        self._snapshots: set[asyncio.Task[None]] = set()
        self.task = spawn(self._run(), f"peer-{member:x}")

    def send(self, message: Message) -> None:
        if message.kind is Kind.SNAPSHOT:
            task = spawn(self._send_snapshot(message), f"snapshot-to-{self._member:x}")
            self._snapshots.add(task)
            task.add_done_callback(self._snapshots.discard)
        elif not self._outbox.put(wire.encode(message)):
            self._transport.metrics.send_failed(self._member)
            self._transport.listener.peer_unreachable(self._member)

    def stop(self) -> None:
        self.task.cancel()
        for task in self._snapshots:
            task.cancel()

    def connect(self, url: str) -> Http2Channel:
        address = parse_url(url)
        return Http2Channel(address.target, self._transport.tls if address.is_tls else None, connect_retry_seconds=1.0)

    async def _run(self) -> None:
        attempt = 0
        while True:
            url = self.urls[attempt % len(self.urls)]
            attempt += 1
            try:
                await self._stream(url)
            except (RpcError, OSError, ValueError) as problem:
                self._complain(url, problem)
            self.is_connected = False
            self._outbox.clear()
            self._transport.metrics.send_failed(self._member)
            self._transport.listener.peer_unreachable(self._member)
            await self._transport.clock.sleep(0.1 if attempt < 3 else 0.5)

    def _complain(self, url: str, problem: Exception) -> None:
        if isinstance(problem, RpcError) and problem.message == REMOVED:
            self._transport.listener.removed_elsewhere()
        complaint = str(problem)
        if complaint not in self._complaints and len(self._complaints) < MAX_COMPLAINTS:
            log.warning("the connection to member %x at %s is down: %s", self._member, url, complaint)
            self._complaints.add(complaint)

    async def _stream(self, url: str) -> None:
        channel = self.connect(url)
        now = self._transport.clock.monotonic
        self._sequence = self._receipt = 0
        self._sent_at.clear()
        self._answered_at = now()
        # Who has nothing to say learns at once too that it was removed, or that it talks to the wrong cluster.
        self._outbox.nudge()
        watchdog = None
        try:
            async with asyncio.timeout(None) as limit:
                watchdog = spawn(self._watch(limit), "peer-watchdog")
                async for receipt in channel.stream(PEER, "Exchange", self._envelopes()):
                    self._receipt, self._answered_at = receipt.sequence, now()
                    self._measure(receipt.sequence)
                    if not self.is_connected:
                        self.is_connected = True
                        self._complaints.clear()
                        log.info("connected to member %x at %s", self._member, url)
        except TimeoutError:
            raise OSError(f"no answer for {self._transport.silence_seconds:g} seconds") from None
        finally:
            if watchdog is not None:
                watchdog.cancel()
            await channel.close()

    def _measure(self, sequence: int) -> None:
        while self._sent_at and self._sent_at[0][0] <= sequence:
            number, sent_at = self._sent_at.popleft()
            if number == sequence:
                self._transport.metrics.answered(self._member, self._answered_at - sent_at)

    async def _watch(self, stream: asyncio.Timeout) -> None:
        """End the stream when the peer answers nothing although it was sent something."""
        clock, limit = self._transport.clock, self._transport.silence_seconds
        while True:
            await clock.sleep(limit / 3)
            if self._sequence == self._receipt:
                self._answered_at = clock.monotonic()
            elif clock.monotonic() - self._answered_at > limit:
                stream.reschedule(asyncio.get_running_loop().time())
                return
            else:
                self._outbox.nudge()

    async def _envelopes(self) -> AsyncIterator[peer_pb2.Envelope]:
        transport, outbox = self._transport, self._outbox
        while True:
            await outbox.filled.wait()
            messages = outbox.take()
            self._sequence += 1
            envelope = peer_pb2.Envelope(messages=messages, sequence=self._sequence)
            if self._sequence == 1:
                envelope.cluster_id = transport.cluster_id
                envelope.sender, envelope.receiver = transport.member_id, self._member
                envelope.sender_urls.extend(transport.listener.peer_urls)
            self._sent_at.append((self._sequence, transport.clock.monotonic()))
            transport.metrics.sent(self._member, sum(map(len, messages)))
            yield envelope

    # Snapshots

    async def _send_snapshot(self, message: Message) -> None:
        arrived = False
        channel = self.connect(self.urls[0])
        try:
            file = await asyncio.to_thread(self._transport.source.find, message)
            if file is None:
                log.warning("the snapshot that member %x needs is gone; a newer one follows", self._member)
                return
            parts = self._parts(message, file)
            await channel.unary(PEER, "InstallSnapshot", parts, timeout=SNAPSHOT_SECONDS)
            arrived = True
            log.info("member %x has taken a snapshot of %d bytes", self._member, file.size)
        except (RpcError, OSError, CorruptionError) as problem:
            log.warning("cannot send a snapshot to member %x: %s", self._member, problem)
        finally:
            self._transport.listener.snapshot_sent(self._member, arrived)
            await channel.close()

    async def _parts(self, message: Message, file: SnapshotFile) -> AsyncIterator[peer_pb2.SnapshotPart]:
        transport = self._transport
        yield peer_pb2.SnapshotPart(
            cluster_id=transport.cluster_id,
            sender=transport.member_id,
            receiver=self._member,
            message=wire.encode(message),
            membership=file.header.membership,
        )
        chunks: Callable[[], bytes | None] = _next_of(transport.source.chunks(file))
        while (chunk := await asyncio.to_thread(chunks)) is not None:
            yield peer_pb2.SnapshotPart(chunk=chunk)


def _next_of(chunks: Iterator[bytes]) -> Callable[[], bytes | None]:
    return lambda: next(chunks, None)

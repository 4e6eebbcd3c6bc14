"""A member put together from its settings: storage, state machine, node, transport and listeners, in starting order.

The joint with the API is small: `StoreMachine` is what the log applies to, `server.services` are the gRPC services
over a node. Everything that can fail is opened before the member says anything to others.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import socket
import ssl
from collections.abc import Callable, Iterator, Sequence

from component_base import metrics
from component_base.clock import Clock
from component_base.http2.host import Http2Host
from component_base.rng import Rng
from component_base.rpc import MAX_MESSAGE_BYTES, ServerTls, Service
from etcd_raft.call_metrics import CallCollector
from etcd_raft.founding import FoundingError, Origin, establish
from etcd_raft.metrics import MemberMetrics
from etcd_raft.monitoring import Monitoring
from etcd_raft.node import NodeOptions, RaftNode
from etcd_raft.ports import StateMachine
from etcd_raft.questions import PeerQuestions
from etcd_raft.raft import Message, RaftConfig, SnapshotMeta
from etcd_raft.replica import Replica
from etcd_raft.settings import Settings
from etcd_raft.snapshotting import SnapshotPolicy
from etcd_raft.storage import Storage
from etcd_raft.transport import PeerHandler, PeerTransport, peer_service
from etcd_raft.transport.addresses import Address
from etcd_raft.wal import CorruptionError, DiskFileSystem, SnapshotFile, SnapshotWriter

log = logging.getLogger(__name__)

GRPC_OVERHEAD_BYTES = 512 * 1024


class StartError(Exception):
    """The member cannot start; one sentence says why and what to do."""


def _check_free(address: Address) -> None:
    """So that the sentence names the address as the flag does."""
    family, kind, protocol, _, where = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(where)
        except OSError as problem:
            raise OSError(f"cannot listen on {address}: {problem.strerror}") from None


def _check_tls(tls: ServerTls) -> None:
    """So that a wrong file is named, before anything listens."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(tls.certificate_file, tls.key_file)
    except (ssl.SSLError, OSError) as problem:
        raise StartError(
            f"{tls.certificate_file} and {tls.key_file} are no certificate and its key in PEM: {_reason(problem)}"
        ) from None
    if tls.client_ca_file is not None:
        try:
            context.load_verify_locations(tls.client_ca_file)
        except (ssl.SSLError, OSError) as problem:
            raise StartError(f"{tls.client_ca_file} holds no certificate in PEM: {_reason(problem)}") from None


def _reason(problem: OSError) -> str:
    return str(problem.strerror or problem)


class SnapshotFiles:
    """outgoing.SnapshotSource and receiving.SnapshotSink over a Storage."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def find(self, message: Message) -> SnapshotFile | None:
        assert message.snapshot is not None
        return self._storage.find_snapshot(message.snapshot)

    def chunks(self, file: SnapshotFile) -> Iterator[bytes]:
        return self._storage.chunks(file)

    def create(self, meta: SnapshotMeta, membership: bytes) -> SnapshotWriter:
        return self._storage.create_snapshot(meta, membership, "received")


class Assembly:
    """One member's parts. `start` binds and opens, `node.run` works, `stop` ends what `start` began."""

    def __init__(self, settings: Settings, clock: Clock, rng: Rng, machine: StateMachine) -> None:
        self.settings = settings
        self.clock = clock
        self.rng = rng
        self.machine = machine
        self.metrics = MemberMetrics()
        self.storage = Storage(DiskFileSystem(), str(settings.data_dir))
        self.node: RaftNode
        self.transport: PeerTransport
        self.monitoring: Monitoring
        self.questions: PeerQuestions
        self._hosts: list[Http2Host] = []
        self._lock = -1

    async def open(self) -> None:
        """The data folder, the replica and the node. Raises StartError."""
        settings = self.settings
        try:
            await asyncio.to_thread(self._lock_folder)
            origin = await establish(settings, self.storage)
            replica = await asyncio.to_thread(self._replica, origin)
        except (CorruptionError, FoundingError) as problem:
            raise StartError(str(problem)) from None
        except OSError as problem:
            raise StartError(f"cannot use --data-dir {settings.data_dir}: {problem}") from None
        self.transport = PeerTransport(
            replica.cluster_id,
            replica.member_id,
            settings.peer_client_tls,
            SnapshotFiles(self.storage),
            self.clock,
            self.metrics,
            silence_seconds=max(1.0, 3 * settings.election_ticks * settings.heartbeat_seconds),
        )
        options = NodeOptions(
            tick_seconds=settings.heartbeat_seconds,
            request_seconds=settings.request_seconds,
            max_request_bytes=settings.max_request_bytes,
            name=settings.name,
            client_urls=settings.advertise_client_urls,
            snapshots=SnapshotPolicy(entries=settings.snapshot_count),
            seeds=origin.seeds,
        )
        self.node = RaftNode(replica, self.transport, self.clock, self.rng, options, self.metrics)
        self.transport.listener = self.node
        self.questions = PeerQuestions(self.node, settings.peer_client_tls)
        self.metrics.watch(self.node)

    def _lock_folder(self) -> None:
        """Two processes on one log would destroy it. The lock goes with the process, however it ends."""
        DiskFileSystem().make_directory(str(self.settings.data_dir))
        self._lock = os.open(self.settings.data_dir / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StartError(
                f"another process uses --data-dir {self.settings.data_dir}; stop it first, or give another folder"
            ) from None

    def _replica(self, origin: Origin) -> Replica:
        config = RaftConfig(
            member_id=origin.restart.identity.member_id,
            election_ticks=self.settings.election_ticks,
            pre_vote=self.settings.pre_vote,
            catch_up_entries=self.settings.catch_up_entries,
        )
        return Replica(config, self.rng, self.storage, origin.restart, self.machine)

    async def listen(
        self, client_services: Sequence[Service], alarms: Callable[[], Sequence[str]] = lambda: ()
    ) -> None:
        """All listeners. Raises StartError if an address is taken."""
        settings = self.settings
        handler = PeerHandler(self.node, SnapshotFiles(self.storage), self.clock, self.metrics.received)
        self.monitoring = Monitoring(self.node, metrics.exposition, alarms, self.metrics.checked)
        try:
            await self._host([peer_service(handler), self.questions.service()])
            clients = await self._host(client_services, serves_clients=True)
            self.metrics.registry.register(CallCollector(clients))
            for address in settings.listen_metrics:
                await self.monitoring.start(address, settings.client_tls)
        except OSError as problem:
            raise StartError(str(problem)) from None

    async def _host(self, services: Sequence[Service], serves_clients: bool = False) -> Http2Host:
        settings, limit, http1, keepalive = self.settings, MAX_MESSAGE_BYTES, None, None
        addresses, tls, allowed = settings.listen_peer, settings.peer_tls, settings.peer_allowed
        if serves_clients:
            addresses, tls, allowed = settings.listen_client, settings.client_tls, settings.client_allowed
            keepalive = settings.client_keepalive
            limit, http1 = settings.max_request_bytes + GRPC_OVERHEAD_BYTES, self.monitoring.answer
        if tls is not None:
            await asyncio.to_thread(_check_tls, tls)
        host = Http2Host(services, limit, keepalive, http1=http1, admits=allowed.admits if allowed else None)
        for address in addresses:
            await asyncio.to_thread(_check_free, address)
            host.add_listener(address.target, tls if address.is_tls else None)
        await host.start()
        self._hosts.append(host)
        return host

    async def stop_serving(self) -> None:
        """Clients first, then peers; calls under way may finish, so the node still has to run."""
        while self._hosts:
            await self._hosts.pop().stop(0.5)

    async def stop(self) -> None:
        await self.stop_serving()
        if hasattr(self, "monitoring"):
            await self.monitoring.stop()
        if hasattr(self, "transport"):
            await self.transport.close()
        await asyncio.to_thread(self.storage.close)
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

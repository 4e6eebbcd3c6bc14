"""/metrics, /health, /livez, /readyz and /version over plain HTTP/1.1, as etcd serves them on --listen-metrics-urls.

Small enough to be a few lines over asyncio's streams: GET only, one request a connection, a bounded head.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from component_base.rpc import ServerTls
from etcd_raft.ports import Refusal
from etcd_raft.server.maintenance import API_VERSION, STORAGE_VERSION
from etcd_raft.transport.addresses import Address

HEAD_SECONDS = 5.0
HEALTH_SECONDS = 5.0

Answer = tuple[int, str, bytes]


class HealthSource(Protocol):
    @property
    def leader_id(self) -> int: ...
    async def read_index(self) -> None: ...


class Monitoring:
    def __init__(
        self,
        node: HealthSource,
        exposition: Callable[[], bytes],
        alarms: Callable[[], Sequence[str]] = lambda: (),
    ) -> None:
        self._node = node
        self._exposition = exposition
        self._alarms = alarms
        self._servers: list[asyncio.Server] = []
        self._routes: dict[str, Callable[[str], Awaitable[Answer]]] = {
            "/metrics": self._metrics,
            "/health": self._health,
            "/livez": self._live,
            "/readyz": self._ready,
            "/version": self._version,
        }

    async def start(self, address: Address, tls: ServerTls | None) -> None:
        """Raises OSError when the address is taken."""
        context = None
        if address.is_tls and tls is not None:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(tls.certificate_file, tls.key_file)
            if tls.client_ca_file is not None:
                context.load_verify_locations(tls.client_ca_file)
                context.verify_mode = ssl.CERT_REQUIRED
        server = await asyncio.start_server(self._serve, address.host, address.port, ssl=context, limit=16384)
        self._servers.append(server)

    def addresses(self) -> list[tuple[str, int]]:
        """Where it is served, also when the system chose the port."""
        return [(str(s.getsockname()[0]), int(s.getsockname()[1])) for server in self._servers for s in server.sockets]

    async def stop(self) -> None:
        for server in self._servers:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), HEAD_SECONDS)
            status, kind, body = await self.answer(head)
            writer.write(
                f"HTTP/1.1 {status} {'OK' if status == 200 else 'Error'}\r\nContent-Type: {kind}\r\n"
                f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
                + (b"" if head.startswith(b"HEAD ") else body)
            )
            await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # Whoever asked is gone, or does not speak HTTP.
        finally:
            writer.close()

    async def answer(self, head: bytes) -> Answer:
        """Also for the clients' port, where etcd answers the same paths."""
        method, _, rest = head.decode("latin-1").partition(" ")
        path, _, query = rest.partition(" ")[0].partition("?")
        route = self._routes.get(path)
        if route is None:
            return 404, "text/plain; charset=utf-8", b"404 page not found\n"
        if method not in ("GET", "HEAD"):
            return 405, "text/plain; charset=utf-8", b"Method Not Allowed\n"
        return await route(query)

    async def _metrics(self, query: str) -> Answer:
        return 200, "text/plain; version=0.0.4; charset=utf-8", self._exposition()

    async def _version(self, query: str) -> Answer:
        return 200, "application/json", json.dumps({"etcdserver": API_VERSION, "etcdcluster": STORAGE_VERSION}).encode()

    async def _health(self, query: str) -> Answer:
        reason = await self._problem(query)
        body = {"health": "false" if reason else "true", "reason": reason}
        return 503 if reason else 200, "application/json", json.dumps(body).encode()

    async def _live(self, query: str) -> Answer:
        return 200, "text/plain; charset=utf-8", b"ok\n"

    async def _ready(self, query: str) -> Answer:
        reason = await self._problem(query)
        return (503, "text/plain; charset=utf-8", reason.encode()) if reason else await self._live(query)

    async def _problem(self, query: str) -> str:
        """Empty if all is well, otherwise in etcd's words."""
        options = query.split("&")
        for alarm in self._alarms():
            if f"exclude={alarm}" not in options:
                return f"ALARM {alarm}"
        if self._node.leader_id == 0:
            return "RAFT NO LEADER"
        if "serializable=true" in options:
            return ""
        try:
            await asyncio.wait_for(self._node.read_index(), HEALTH_SECONDS)
        except (Refusal, TimeoutError) as problem:
            return f"QGET ERROR:{problem or 'timed out'}"
        return ""

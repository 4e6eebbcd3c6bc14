"""The streaming server: one-time URLs for exec, attach and port-forward, each good for one connection within a minute.

Exec, Attach and PortForward of CRI answer with such a URL; the kubelet splices its client's bytes to it. The address is
loopback by default and the token is the only key, so it is random, short-lived and used up by the first request.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from websockets.exceptions import WebSocketException

from component_base.clock import Clock
from kubelet.cri_shim.groups import task_group
from kubelet.cri_shim.streaming import port_forward
from kubelet.cri_shim.streaming.channels import (
    SPDY_VERSIONS,
    WEBSOCKET_VERSIONS,
    CommandChannels,
    Wanted,
    WebSocketChannels,
    spdy_channels,
    status_bytes,
)
from kubelet.cri_shim.streaming.pipes import BytePipe, ConnectionPipe, WebSocketPipe, part
from kubelet.cri_shim.streaming.spdy_session import SpdySession

logger = logging.getLogger(__name__)

TOKEN_LIFETIME = 60.0
MAX_TOKENS = 1000
MAX_HEAD = 64 << 10


@dataclass(frozen=True, slots=True)
class Ticket:
    """What a token stands for. An attach has no command; a port-forward names a sandbox."""

    kind: str
    target: str
    wanted: Wanted
    command: tuple[str, ...] = ()
    ports: tuple[int, ...] = ()
    expires: float = 0.0


class StreamingBackend(Protocol):
    async def exec(self, ticket: Ticket, channels: CommandChannels) -> int:
        """Run the command to its end and return its exit code."""

    async def attach(self, ticket: Ticket, channels: CommandChannels) -> int: ...

    async def connect(self, sandbox_id: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]: ...


@dataclass(frozen=True, slots=True)
class Head:
    method: str
    path: str
    headers: dict[str, str]
    raw: bytes


class StreamingServer:
    def __init__(self, backend: StreamingBackend, clock: Clock) -> None:
        self._backend = backend
        self._clock = clock
        self._tickets: dict[str, Ticket] = {}
        self._server: asyncio.Server | None = None
        self._base = ""

    async def start(self, host: str, port: int) -> str:
        self._server = await asyncio.start_server(self._serve, host, port)
        bound = self._server.sockets[0].getsockname()[1]
        self._base = f"http://{f'[{host}]' if ':' in host else host}:{bound}"
        return self._base

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()

    def issue(
        self, kind: str, target: str, wanted: Wanted, command: Sequence[str] = (), ports: Sequence[int] = ()
    ) -> str:
        """The URL at which this one request will be carried out."""
        now = self._clock.monotonic()
        for token in [token for token, ticket in self._tickets.items() if ticket.expires <= now]:
            del self._tickets[token]
        if len(self._tickets) >= MAX_TOKENS:
            raise OverflowError("too many streaming requests are waiting to be used")
        token = secrets.token_urlsafe(24)
        self._tickets[token] = Ticket(kind, target, wanted, tuple(command), tuple(ports), now + TOKEN_LIFETIME)
        return f"{self._base}/{kind}/{token}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._serve_request(reader, writer)
        except (ConnectionError, TimeoutError, WebSocketException) as error:
            logger.debug("a streaming connection ended: %s", error)
        finally:
            await part(reader, writer)

    async def _serve_request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with asyncio.timeout(30):
            head = await _read_head(reader)
        if head is None:
            return
        ticket = self._take(head.path)
        if ticket is None:
            await _refuse(writer, 404, "the streaming token is unknown, used or expired")
            return
        upgrade = head.headers.get("upgrade", "").lower()
        if upgrade == "websocket":
            await self._websocket(head, ticket, reader, writer)
        elif upgrade.startswith("spdy/3.1"):
            await self._spdy(head, ticket, reader, writer)
        else:
            await _refuse(writer, 400, "the request does not ask to upgrade to SPDY/3.1 or websocket")

    def _take(self, path: str) -> Ticket | None:
        parts = path.partition("?")[0].strip("/").split("/")
        if len(parts) != 2:
            return None
        ticket = self._tickets.pop(parts[1], None)
        if ticket is None or ticket.kind != parts[0] or ticket.expires <= self._clock.monotonic():
            return None
        return ticket

    async def _websocket(
        self, head: Head, ticket: Ticket, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        pipe = WebSocketPipe(reader, writer)
        forwarding = ticket.kind == "portforward"
        offered = port_forward.WEBSOCKET_VERSIONS if forwarding else WEBSOCKET_VERSIONS
        if not await pipe.accept(head.raw, offered):
            return
        if forwarding and pipe.subprotocol == port_forward.TUNNEL_PROTOCOL:
            await self._forward(pipe, ticket)
        elif forwarding:
            await port_forward.serve_websocket_channels(
                pipe, ticket.ports, lambda port: self._backend.connect(ticket.target, port)
            )
        else:
            channels = WebSocketChannels(pipe)
            await self._command(ticket, await channels.channels(ticket.wanted), channels.version)
        await pipe.close()

    async def _spdy(
        self, head: Head, ticket: Ticket, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        known = ("portforward.k8s.io",) if ticket.kind == "portforward" else SPDY_VERSIONS
        asked = [name.strip() for name in head.headers.get("x-stream-protocol-version", "").split(",") if name.strip()]
        version = next((name for name in known if name in asked), known[-1] if not asked else None)
        if version is None:
            await _refuse(writer, 403, f"none of the stream protocols {', '.join(asked)} is known")
            return
        writer.write(
            f"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"
            f"X-Stream-Protocol-Version: {version}\r\n\r\n".encode()
        )
        pipe = ConnectionPipe(reader, writer)
        if ticket.kind == "portforward":
            await self._forward(pipe, ticket)
            return
        session = SpdySession(pipe)
        async with task_group() as group:
            reading = group.create_task(session.run())
            try:
                channels = await spdy_channels(session, ticket.wanted, version)
                reading.add_done_callback(lambda _: channels.disconnected.set())
                await self._command(ticket, channels, version)
                await session.close()
            finally:
                reading.cancel()

    async def _forward(self, pipe: BytePipe, ticket: Ticket) -> None:
        session = SpdySession(pipe)
        await port_forward.serve_spdy(session, lambda port: self._backend.connect(ticket.target, port))

    async def _command(self, ticket: Ticket, channels: CommandChannels, version: str) -> None:
        """Run the process beside the loops that feed its channels, then tell the client how it ended."""
        async with task_group() as group:
            feeding = [group.create_task(task) for task in channels.tasks]
            exit_code, failure = 0, None
            try:
                run = self._backend.exec if ticket.kind == "exec" else self._backend.attach
                exit_code = await run(ticket, channels)
            except (OSError, RuntimeError, LookupError) as error:
                doing = "executing command in" if ticket.kind == "exec" else "attaching to"
                failure = f"error {doing} container: {error}"
            with contextlib.suppress(ConnectionError):
                await channels.finish(status_bytes(exit_code, failure, version))
            for task in feeding:
                task.cancel()


async def _read_head(reader: asyncio.StreamReader) -> Head | None:
    try:
        raw = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        return None
    if len(raw) > MAX_HEAD:
        return None
    lines = raw.decode("latin-1").split("\r\n")
    method, _, rest = lines[0].partition(" ")
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if colon:
            key = name.strip().lower()
            headers[key] = f"{headers[key]},{value.strip()}" if key in headers else value.strip()
    return Head(method, rest.rpartition(" ")[0], headers, raw)


async def _refuse(writer: asyncio.StreamWriter, code: int, sentence: str) -> None:
    reasons = {400: "Bad Request", 403: "Forbidden", 404: "Not Found"}
    body = sentence.encode() + b"\n"
    writer.write(
        f"HTTP/1.1 {code} {reasons[code]}\r\nContent-Type: text/plain\r\nConnection: close\r\n"
        f"Content-Length: {len(body)}\r\n\r\n".encode()
        + body
    )
    await writer.drain()

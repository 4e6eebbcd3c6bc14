"""uvicorn's HTTP/1.1 protocol with what an apiserver needs on top of it.

- `scope["extensions"]["skiff.tls"]["client_certificate"]`: DER of the verified client certificate, None without one.
- `scope["extensions"]["skiff.upgrade"]`, an `Upgrade` when the client asks for one: `await hijack()` gives the raw
  connection after the request head. Whoever takes it answers on it; until then the request is like any other.
- Heads that are too large, or arrive too slowly, end the connection.
"""

from __future__ import annotations

import asyncio
import email.utils
from typing import Any

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from component_base.clock import Clock

#: As Go's http.Server by default, which upstream keeps.
MAX_HEAD_BYTES = 1024 * 1024
#: Seconds for a request head to arrive, upstream's ReadHeaderTimeout.
HEAD_SECONDS = 32.0
#: What an upgraded connection may hold before somebody takes it.
MAX_UNTAKEN_BYTES = 256 * 1024


class ServiceState(ServerState):
    """What all connections of one server share."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock
        self.taken: set[asyncio.StreamWriter] = set()
        self._second = 0

    def refresh_date(self) -> None:
        second = int(self.clock.now())
        if second != self._second:
            self._second = second
            self.default_headers = [(b"date", email.utils.formatdate(second, usegmt=True).encode())]


class Upgrade:
    """A connection on offer. `hijack` may be called once; nothing has been answered when it returns."""

    def __init__(self, connection: ServiceProtocol, protocol: str) -> None:
        self._connection = connection
        self.protocol = protocol  # what the client wants, in lower case: `websocket`, `spdy/3.1`

    async def hijack(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return self._connection.hand_over()


class ServiceProtocol(HttpToolsProtocol):
    def __init__(
        self,
        config: Config,
        server_state: ServiceState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._state = server_state
        self._certificate: bytes | None = None
        self._head_bytes = 0
        self._head_timer: asyncio.TimerHandle | None = None
        self._upgrading = False
        self._untaken = bytearray()

    # Connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        ssl_object = transport.get_extra_info("ssl_object")
        if ssl_object is not None:
            self._certificate = ssl_object.getpeercert(binary_form=True)
        self._watch_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_watching_head()
        super().connection_lost(exc)

    def eof_received(self) -> None:
        return None

    def data_received(self, data: bytes) -> None:
        if self._upgrading:
            self._keep(data)
            return
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._upgrading = True
            self._keep(data[upgrade.args[0] :])
        except httptools.HttpParserCallbackError:
            self._refuse(431, "the request head is too large")
        except httptools.HttpParserError:
            self._refuse(400, "the request is not valid HTTP/1.1")

    def _keep(self, data: bytes) -> None:
        self._untaken += data
        if len(self._untaken) > MAX_UNTAKEN_BYTES:
            self.flow.pause_reading()

    def _refuse(self, status: int, text: str) -> None:
        if self.cycle is not None and not self.cycle.response_complete and self.cycle.response_started:
            self.transport.close()
            return
        body = text.encode() + b"\n"
        head = b"content-type: text/plain; charset=utf-8\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body)
        self.transport.write(STATUS_LINE[status] + head + body)
        self.transport.close()

    # Request heads

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head_bytes = 0
        self.scope["extensions"] = {"skiff.tls": {"client_certificate": self._certificate}}
        if self._head_timer is None:
            self._watch_head()

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        self._count(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        self._count(len(name) + len(value))

    def _count(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > MAX_HEAD_BYTES:
            raise ValueError("request head too large")

    def on_headers_complete(self) -> None:
        self._stop_watching_head()
        self._state.refresh_date()
        if upgrade := self._get_upgrade():
            extensions: dict[str, Any] = self.scope["extensions"]
            extensions["skiff.upgrade"] = Upgrade(self, upgrade.decode("latin-1"))
        super().on_headers_complete()
        if upgrade:
            self.cycle.keep_alive = False  # the parser has left HTTP, whatever the answer will be

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._stop_watching_head()

    def _should_upgrade(self) -> bool:
        return False

    def _watch_head(self) -> None:
        self._head_timer = self.loop.call_later(HEAD_SECONDS, self._head_is_late)

    def _stop_watching_head(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_is_late(self) -> None:
        self._head_timer = None
        self.transport.close()

    # Upgrades

    def hand_over(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self.transport.is_closing():
            raise ConnectionResetError("the client has gone before its connection was upgraded")
        self.cycle.disconnected = True  # nothing more is written on behalf of the request
        self.connections.discard(self)
        self._stop_watching_head()
        self._unset_keepalive_if_required()
        reader = asyncio.StreamReader(limit=MAX_UNTAKEN_BYTES, loop=self.loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=self.loop)
        writer = asyncio.StreamWriter(self.transport, protocol, reader, self.loop)
        self.transport.set_protocol(protocol)
        protocol.connection_made(self.transport)
        if self._untaken:
            reader.feed_data(bytes(self._untaken))
            self._untaken.clear()
        self.flow.resume_reading()
        self._state.taken.add(writer)
        return reader, writer

    def abandon(self) -> None:
        """The server stops: whatever runs for this connection is cut without an answer."""
        if self.cycle is not None:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.close()

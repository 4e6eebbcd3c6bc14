"""uvicorn's HTTP/1.1 protocol with what an apiserver needs on top of it.

- `scope["extensions"]["skiff.tls"]["client_certificate"]`: DER of the verified client certificate, None without one.
- `scope["extensions"]["skiff.upgrade"]`, an `Upgrade` when the client asks for one: `await hijack()` gives the raw
  connection after the request head. Whoever takes it answers on it; until then the request is like any other.
- `scope["extensions"]["skiff.answer"]`, the `Cycle`, for who has a whole answer at hand.
- Heads that are too large, or arrive too slowly, end the connection; so do bodies that go on after their answer.
"""

from __future__ import annotations

import asyncio
import email.utils
import logging
import urllib.parse
from collections import deque
from typing import Any

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT, service_unavailable
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from component_base.clock import Clock
from serving.cycle import App, Cycle

log = logging.getLogger(__name__)

#: As Go's http.Server by default, which upstream keeps.
MAX_HEAD_BYTES = 1024 * 1024
#: Seconds for a request head to arrive, upstream's ReadHeaderTimeout.
HEAD_SECONDS = 32.0
#: What a client still sends after its answer (413, 431) is read and dropped for so long: a connection that is closed
#: with bytes unread is reset, and the reset takes the answer from a client that has not read it yet (RFC 9112, 9.6).
LINGER_SECONDS = 5.0
#: What an upgraded connection may hold before somebody takes it.
MAX_UNTAKEN_BYTES = 256 * 1024
_ASGI = {"version": "3.0", "spec_version": "2.3"}


class ServiceState(ServerState):
    """What all connections of one server share."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock
        self.taken: set[asyncio.StreamWriter] = set()
        self._second = -1
        self._date = b""

    @property
    def date(self) -> bytes:
        """The header line."""
        second = int(self.clock.now())
        if second != self._second:
            self._second = second
            self._date = b"date: %b\r\n" % email.utils.formatdate(second, usegmt=True).encode()
        return self._date


class Upgrade:
    """A connection on offer. `hijack` may be called once; nothing has been answered when it returns."""

    def __init__(self, connection: ServiceProtocol, protocol: str) -> None:
        self._connection = connection
        self.protocol = protocol  # what the client wants, in lower case: `websocket`, `spdy/3.1`

    async def hijack(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return self._connection.hand_over()


class ServiceProtocol(HttpToolsProtocol):
    """Of uvicorn's own the connection's life is kept; requests and answers are `Cycle`s."""

    cycle: Cycle | None  # type: ignore[assignment]
    pipeline: deque[Cycle]  # type: ignore[assignment]

    def __init__(
        self,
        config: Config,
        server_state: ServiceState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._state = server_state
        self._extensions: dict[str, Any] = {}
        self._url = b""
        self._head_bytes = 0
        self._in_head = True
        self._has_host = False
        self._head_timer: asyncio.TimerHandle | None = None
        self._idle_timer: asyncio.TimerHandle | None = None
        self._idle_since = 0.0
        self._upgrading = False
        self._untaken = bytearray()
        self._has_ended = False

    # Connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        ssl_object = transport.get_extra_info("ssl_object")
        certificate = ssl_object.getpeercert(binary_form=True) if ssl_object is not None else None
        self._extensions = {"skiff.tls": {"client_certificate": certificate}}
        self._watch_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_watching_head()
        self._unset_keepalive_if_required()
        self.connections.discard(self)
        for cycle in (self.cycle, *self.pipeline):
            if cycle is not None:
                cycle.disconnected = cycle.disconnected or not cycle.response_complete
                cycle.wake()
        self.flow.resume_writing()
        if exc is None:
            self.transport.close()
        self.parser = None  # type: ignore[assignment]

    def eof_received(self) -> None:
        return None

    def data_received(self, data: bytes) -> None:
        if self._has_ended:
            return
        if self._upgrading:
            self._keep(data)
            return
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._upgrading = True
            self._keep(data[upgrade.args[0] :])
        except httptools.HttpParserCallbackError:
            if self._head_bytes > MAX_HEAD_BYTES:
                self._refuse(431, "the request head is too large")
            elif not self._has_host:
                self._refuse(400, "the request has no Host header")
            else:
                self._refuse(400, "the request's URL cannot be read")
        except httptools.HttpParserError:
            self._refuse(400, "the request is not valid HTTP/1.1")
        if self._in_head and not self._has_ended:
            if self._head_timer is None:
                self._watch_head()
        elif self._head_timer is not None:
            self._stop_watching_head()

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
        self.end()

    def end(self) -> None:
        """Nothing more is answered here, and what is under way is cut; what has been written reaches the client."""
        if self._has_ended or self.transport.is_closing():
            return
        if not self.transport.can_write_eof():  # TLS: its own closing reads on until the peer has closed too
            self.transport.close()
            return
        self._has_ended = True
        self._stop_watching_head()
        for cycle in (self.cycle, *self.pipeline):
            if cycle is not None:
                cycle.disconnected = cycle.disconnected or not cycle.response_complete
                cycle.wake()
        self.pipeline.clear()
        self.transport.write_eof()
        self.flow.resume_reading()
        self.loop.call_later(LINGER_SECONDS, self.transport.close)

    # Requests

    def on_message_begin(self) -> None:
        self._in_head = True
        self._url = b""
        self._head_bytes = 0
        self._has_host = False
        self.headers = []
        self.expect_100_continue = False

    def on_url(self, url: bytes) -> None:
        self._url += url
        self._count(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        elif name == b"host":
            self._has_host = True
        self.headers.append((name, value))
        self._count(len(name) + len(value))

    def _count(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > MAX_HEAD_BYTES:
            raise ValueError("request head too large")

    def on_headers_complete(self) -> None:
        self._in_head = False
        version = self.parser.get_http_version()
        if not self._has_host and version == "1.1":
            raise ValueError("no Host header")
        extensions = self._extensions.copy()
        keep_alive = version != "1.0" and self.parser.should_keep_alive()
        if upgrade := self._get_upgrade() if self.parser.should_upgrade() else None:
            extensions["skiff.upgrade"] = Upgrade(self, upgrade.decode("latin-1"))
            keep_alive = False  # the parser has left HTTP, whatever the answer will be
        cycle = Cycle(self, self._scope(version, extensions), keep_alive, self.expect_100_continue)
        extensions["skiff.answer"] = cycle
        before, self.cycle = self.cycle, cycle
        if before is None or before.response_complete:
            self._start(cycle)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft(cycle)

    def _scope(self, version: str, extensions: dict[str, Any]) -> dict[str, Any]:
        raw_path, query = _split(self._url)
        path = raw_path.decode("ascii")
        return {
            "type": "http",
            "asgi": _ASGI,
            "http_version": version,
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme,
            "root_path": "",
            "headers": self.headers,
            "method": self.parser.get_method().decode("ascii"),
            "path": urllib.parse.unquote(path) if "%" in path else path,
            "raw_path": raw_path,
            "query_string": query,
            "extensions": extensions,
        }

    def _start(self, cycle: Cycle) -> None:
        app: App = self.app
        if self.limit_concurrency is not None and (
            len(self.connections) >= self.limit_concurrency or len(self.tasks) >= self.limit_concurrency
        ):
            log.warning("refusing a request: %d are under way already", self.limit_concurrency)
            app = service_unavailable
        self.tasks.add(self.loop.create_task(cycle.run(app)))

    def on_body(self, body: bytes) -> None:
        cycle = self.cycle
        if cycle is None or cycle.response_complete:
            return
        cycle.body = cycle.body + body if cycle.body else body
        if len(cycle.body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        cycle.wake()

    def on_message_complete(self) -> None:
        cycle = self.cycle
        if cycle is None:
            return
        cycle.more_body = False
        if not cycle.response_complete:
            cycle.wake()

    @property
    def date(self) -> bytes:
        return self._state.date

    def on_response_complete(self) -> None:
        if self._has_ended or self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.cycle is not None and self.cycle.more_body:
            self.loop.call_later(LINGER_SECONDS, self._end_body, self.cycle)
        if self.pipeline:
            self._start(self.pipeline.pop())
            return
        self._idle_since = self.loop.time()
        if self._idle_timer is None:
            self._idle_timer = self.loop.call_later(self.timeout_keep_alive, self._maybe_idle)

    # Time limits. Timers are set rarely and look at the clock when they fire, as most requests are over long before.

    def _maybe_idle(self) -> None:
        self._idle_timer = None
        if self.cycle is None or not self.cycle.response_complete:
            return  # the end of its answer sets the timer again
        left = self._idle_since + self.timeout_keep_alive - self.loop.time()
        if left > 0:
            self._idle_timer = self.loop.call_later(left, self._maybe_idle)
        else:
            self.transport.close()

    def _end_body(self, cycle: Cycle) -> None:
        if cycle.more_body and cycle.response_complete:
            self.transport.close()

    def _unset_keepalive_if_required(self) -> None:
        if self._idle_timer is not None:
            self._idle_timer.cancel()
            self._idle_timer = None

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
        if self._has_ended or self.transport.is_closing():
            raise ConnectionResetError("the client has gone before its connection was upgraded")
        assert self.cycle is not None
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
            self.cycle.wake()
        self.transport.close()


def _split(url: bytes) -> tuple[bytes, bytes]:
    """Path and query."""
    if url[:1] == b"/" and b"#" not in url:
        path, _, query = url.partition(b"?")
        return path, query
    parsed = httptools.parse_url(url)
    return parsed.path, parsed.query or b""

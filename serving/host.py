"""One listening port of a service: an ASGI application on uvicorn's protocol, with or without TLS.

uvicorn's own `Server` is left out: it installs signal handlers and wakes ten times a second. Certificates are read
again within a second after their files changed, for new connections; nothing polls.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from uvicorn.config import Config

from component_base.clock import Clock, SystemClock
from serving.protocol import ServiceProtocol, ServiceState

log = logging.getLogger(__name__)
App = Callable[[Any, Any, Any], Awaitable[None]]

#: Idle connections of clients that keep pools; Go's servers keep them for longer than clients do.
KEEP_ALIVE_SECONDS = 180
RELOAD_SECONDS = 1.0


class HttpServer:
    """Plain HTTP, for ports on loopback: health and metrics."""

    def __init__(
        self,
        app: App,
        address: str,
        port: int,
        *,
        clock: Clock | None = None,
        max_connections: int | None = None,
        reuse_port: bool = False,
    ) -> None:
        self._app = app
        self._address = address
        self._port = port
        self._clock = clock or SystemClock()
        self._max_connections = max_connections
        self._reuse_port = reuse_port
        self._server: asyncio.Server | None = None
        self._state = ServiceState(self._clock)
        self.stopping = asyncio.Event()
        """Set at the beginning of `stop`: long answers (watches) should end themselves."""

    @property
    def port(self) -> int:
        """The port in use, also when 0 was asked for."""
        assert self._server is not None, "start() first"
        number: int = self._server.sockets[0].getsockname()[1]
        return number

    async def start(self) -> None:
        """Raises OSError with a sentence that names the address when it cannot be listened on."""
        config = Config(
            self._run,
            http=ServiceProtocol,
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            limit_concurrency=self._max_connections,
        )
        config.load()
        loop = asyncio.get_running_loop()
        listener = _listen(self._address, self._port, self._reuse_port)

        def protocol() -> ServiceProtocol:
            return ServiceProtocol(config, self._state, {}, loop)

        try:
            context = self.ssl_context()
            self._server = await loop.create_server(protocol, sock=listener, ssl=context, backlog=1024)
        except BaseException:
            listener.close()
            raise

    def ssl_context(self) -> ssl.SSLContext | None:
        return None

    async def _run(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await self._app(scope, receive, send)
        except asyncio.CancelledError:
            if not self.stopping.is_set():
                raise  # else uvicorn would log each request that `stop` cuts

    async def stop(self, grace: float = 2.0) -> None:
        """No new connections; requests under way get `grace` seconds, then they are cut."""
        self.stopping.set()
        if self._server is None:
            return
        self._server.close()
        connections = [c for c in self._state.connections if isinstance(c, ServiceProtocol)]
        for connection in connections:
            connection.shutdown()
        if self._state.tasks:
            await asyncio.wait(list(self._state.tasks), timeout=grace)
        for connection in [c for c in self._state.connections if isinstance(c, ServiceProtocol)]:
            connection.abandon()
        for writer in list(self._state.taken):
            writer.close()
        left = list(self._state.tasks)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)


class HttpsServer(HttpServer):
    def __init__(
        self,
        app: App,
        address: str,
        port: int,
        certificate_file: Path,
        key_file: Path,
        client_ca_files: Sequence[Path] = (),
        *,
        clock: Clock | None = None,
        max_connections: int | None = None,
        reuse_port: bool = False,
    ) -> None:
        """With `client_ca_files` clients may show a certificate; one that none of these signed ends the handshake."""
        super().__init__(app, address, port, clock=clock, max_connections=max_connections, reuse_port=reuse_port)
        self._certificate_file = Path(certificate_file)
        self._key_file = Path(key_file)
        self._client_ca_files = tuple(Path(file) for file in client_ca_files)
        self._current: ssl.SSLContext | None = None
        self._seen: tuple[float, ...] = ()
        self._looked = 0.0

    def ssl_context(self) -> ssl.SSLContext:
        """The context to listen with; it hands each handshake over to one made from the files as they are now."""
        self._seen = self._changed()
        self._current = self._build()
        self._looked = self._clock.monotonic()
        front = self._build()
        front.sni_callback = self._choose
        return front

    def _choose(self, connection: ssl.SSLObject, server_name: str | None, context: ssl.SSLContext) -> None:
        now = self._clock.monotonic()
        if now - self._looked >= RELOAD_SECONDS:
            self._looked = now
            self._reload()
        assert self._current is not None
        connection.context = self._current

    def _reload(self) -> None:
        try:
            seen = self._changed()
            if seen != self._seen:
                self._current, self._seen = self._build(), seen
                log.info("serving with the certificate that is now in %s", self._certificate_file)
        except (OSError, ssl.SSLError) as error:
            log.warning("keeping the old certificate: %s cannot be loaded: %s", self._certificate_file, error)

    def _changed(self) -> tuple[float, ...]:
        files = (self._certificate_file, self._key_file, *self._client_ca_files)
        return tuple(file.stat().st_mtime for file in files)

    def _build(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        context.load_cert_chain(self._certificate_file, self._key_file)
        if self._client_ca_files:
            context.verify_mode = ssl.CERT_OPTIONAL
            for file in self._client_ca_files:
                context.load_verify_locations(file)
        return context


def _listen(address: str, port: int, reuse_port: bool) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind((address, port))
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise OSError(error.errno, f"cannot listen on {address}:{port}: {error.strerror}") from error
    return listener

"""Hosts `rpc.Service` objects over HTTP/2 on asyncio: behaves as `grpc_host.GrpcHost` does, at less cost per call.

A handler whose method is missing answers UNIMPLEMENTED. An exception that is no RpcError is logged and answered
INTERNAL without its text. Cancellation by the peer, and a deadline that passes, cancel the handler's task. A client
that speaks HTTP/1 on the same port is answered by `http1`, if given: that is how health, version and metrics are read.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final, cast
from urllib.parse import quote

from google.protobuf.descriptor import MethodDescriptor

from component_base import rpc
from component_base.http2 import headers as hpack
from component_base.http2.certificates import FollowingContext
from component_base.http2.connection import (
    CANCEL,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    NO_ERROR,
    PREFACE,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
    RST_STREAM,
    Connection,
    ConnectionFault,
    Keepalive,
    Stream,
    frame,
)
from component_base.http2.headers import Headers
from component_base.rpc import Code, RpcError, ServerTls, Service
from component_base.tasks import spawn

log = logging.getLogger(__name__)

_RESPONSE: Final = hpack.encode(((":status", "200"), ("content-type", "application/grpc")))
_ACCEPTS: Final = hpack.encode((("grpc-accept-encoding", "gzip"),))
_OK: Final = hpack.encode((("grpc-status", "0"),))
_LONGEST: Final = 1e7
_MAX_STREAMS: Final = 20_000
_HTTP1_HEAD: Final = 16384
_UNITS: Final = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}

#: Given the head of a request: status, content type, body.
Http1 = Callable[[bytes], Awaitable[tuple[int, str, bytes]]]


class HostedMethod:
    """An rpc, ready to be called, and how often it was: calls begun, messages each way, calls ended by code."""

    __slots__ = (
        "begin",
        "call",
        "decode",
        "handled",
        "name",
        "path",
        "received",
        "sent",
        "started",
        "streams_in",
        "streams_out",
    )

    def __init__(self, method: MethodDescriptor, handler: object) -> None:
        self.name = method.name
        self.path = rpc.method_path(method)
        self.call: Callable[..., Any] | None = getattr(handler, rpc.handler_name(method.name), None)
        #: Takes a call over without a task, or leaves it to `call`; see `rpc`.
        self.begin: Callable[[Any, bytes, rpc.DirectCall], bool] | None = getattr(
            handler, f"begin_{rpc.handler_name(method.name)}", None
        )
        self.decode: Callable[[bytes], Any] = rpc.request_class(method).FromString
        self.streams_in = bool(method.client_streaming)
        self.streams_out = bool(method.server_streaming)
        self.started = self.received = self.sent = 0
        self.handled: dict[Code, int] = {Code.OK: 0}

    def ended(self, code: Code) -> None:
        self.handled[code] = self.handled.get(code, 0) + 1


class _Call(Stream):
    """A call being served; it is its own rpc.DirectCall."""

    __slots__ = (
        "_connection",
        "_deadline",
        "_headers",
        "encoding",
        "has_begun",
        "is_direct",
        "method",
        "over",
        "task",
        "timer",
    )

    def __init__(self, connection: _ServerConnection, stream_id: int, method: HostedMethod, headers: Headers) -> None:
        super().__init__(stream_id, connection.initial_window)
        self._connection = connection
        self._headers = headers
        self._deadline: float | None = None
        self.method = method
        self.encoding = ""
        self.has_begun = False
        self.is_direct = False
        self.task: asyncio.Task[None] | None = None
        #: Set by who waits for the end of a call without a task.
        self.over: asyncio.Future[None] | None = None
        self.timer: asyncio.TimerHandle | None = None

    def limit(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        self._deadline = loop.time() + seconds
        self.timer = loop.call_later(seconds, self._connection.time_out, self)

    # rpc.CallContext

    @property
    def metadata(self) -> Mapping[str, str]:
        return dict(self._headers)

    @property
    def peer(self) -> str:
        return self._connection.peer

    @property
    def peer_certificate(self) -> bytes | None:
        return self._connection.peer_certificate

    def time_remaining(self) -> float | None:
        if self._deadline is None:
            return None
        return max(0.0, self._deadline - asyncio.get_running_loop().time())

    def cancelled(self) -> bool:
        return self.id not in self._connection.streams

    def until_over(self) -> asyncio.Future[None]:
        """Done when the call is."""
        if self.task is not None:
            return self.task
        self.over = asyncio.get_running_loop().create_future()
        return self.over

    def settle(self) -> None:
        if self.over is not None and not self.over.done():
            self.over.set_result(None)

    # rpc.DirectCall

    def answer(self, response: bytes) -> None:
        self._connection.respond(self, response)

    def refuse(self, error: RpcError) -> None:
        self._connection.finish(self, error.code, error.message)


class _ServerConnection(Connection):
    def __init__(self, host: Http2Host) -> None:
        super().__init__(host.max_message_bytes, host.keepalive)
        self._host = host
        self._greeted = False
        self._greeting = b""
        self.peer = ""
        self.peer_certificate: bytes | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        name = transport.get_extra_info("peername")
        self.peer = f"{name[0]}:{name[1]}" if isinstance(name, tuple) else "unix:"
        tls = transport.get_extra_info("ssl_object")
        if tls is not None:
            self.peer_certificate = tls.getpeercert(binary_form=True)
            if self._host.admits is not None and not self._host.admits(self.peer_certificate):
                log.warning(
                    "a connection from %s is refused: its certificate is not one that is admitted here", self.peer
                )
                cast(asyncio.Transport, transport).abort()
        self._host.connections.add(self)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._host.connections.discard(self)
        self._host.forget_traffic(self)
        super().connection_lost(error)

    def data_received(self, data: bytes) -> None:
        if self._greeted:
            super().data_received(data)
            return
        self._greeting += data
        if self._greeting.startswith(PREFACE):
            self._greeted = True
            self.flush()
            rest, self._greeting = self._greeting[len(PREFACE) :], b""
            if rest:
                super().data_received(rest)
        elif not PREFACE.startswith(self._greeting):
            self._speak_http1()

    def _speak_http1(self) -> None:
        """One request, one answer."""
        if b"\r\n\r\n" in self._greeting:
            spawn(self._answer_http1(self._greeting), "HTTP/1 request")
            self._greeting = b""
        elif len(self._greeting) > _HTTP1_HEAD:
            self.close()

    async def _answer_http1(self, head: bytes) -> None:
        status, content_type, body = 404, "text/plain; charset=utf-8", b"404 page not found\n"
        if self._host.http1 is not None:
            status, content_type, body = await self._host.http1(head)
        if self.is_closed:
            return
        lines = (
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
            f"Content-Type: {content_type}",
            f"Content-Length: {len(body)}",
            "Connection: close\r\n\r\n",
        )
        self._out.clear()
        self.transport.write("\r\n".join(lines).encode() + (b"" if head.startswith(b"HEAD ") else body))
        self.close()

    def flush(self) -> None:
        # Nothing is said before the peer has shown that it speaks HTTP/2.
        if self._greeted:
            super().flush()

    # Calls

    def on_headers(self, stream_id: int, headers: Headers, ends: bool) -> None:
        call = self.streams.get(stream_id)
        if call is not None:
            call.ended = True
            self.on_message(call)
            return
        if stream_id <= self._last_id or not stream_id & 1:
            raise ConnectionFault(PROTOCOL_ERROR, "a stream was used again")
        self._last_id = stream_id
        if len(self.streams) >= _MAX_STREAMS or self._host.is_stopping:
            self.write(frame(RST_STREAM, 0, stream_id, REFUSED_STREAM.to_bytes(4, "big")))
            return
        path, timeout, content_type, encoding = "", "", "", ""
        for name, value in headers:
            if name == ":path":
                path = value
            elif name == "grpc-timeout":
                timeout = value
            elif name == "content-type":
                content_type = value
            elif name == "grpc-encoding":
                encoding = value
        if not content_type.startswith("application/grpc"):
            self.write(frame(HEADERS, END_HEADERS | END_STREAM, stream_id, hpack.encode(((":status", "415"),))))
            return
        method = self._host.methods.get(path)
        if method is None or method.call is None:
            self._refuse(stream_id, Code.UNIMPLEMENTED, f"unknown method {path.rpartition('/')[2]}")
            return
        if encoding not in ("", "identity", "gzip"):
            self._refuse(
                stream_id, Code.UNIMPLEMENTED, f"compression {encoding!r} is not known here; use gzip", _ACCEPTS
            )
            return
        call = self.streams[stream_id] = _Call(self, stream_id, method, headers)
        call.encoding = encoding
        call.ended = ends
        method.started += 1
        if timeout:
            call.limit(_seconds(timeout))
        if method.streams_in:
            call.task = spawn(self._serve(call, self._incoming(call)), method.name)
        elif ends:
            self.on_message(call)

    def on_message(self, call: _Call) -> None:
        if call.task is not None:
            call.arrived()
        elif call.is_direct:
            call.messages.clear()  # An empty frame that ends the stream, or what nobody asked for.
        elif call.messages:
            message = call.messages.popleft()
            try:
                request = call.method.decode(message)
                call.method.received += 1
            except Exception:  # noqa: BLE001 (protobuf's own error class differs between its implementations)
                self.finish(call, Code.INTERNAL, "the request is malformed")
                return
            if not self._begin(call, request, message):
                call.task = spawn(self._serve(call, request), call.method.name)
        elif call.ended:
            self.finish(call, Code.INTERNAL, "the request is missing")

    def _begin(self, call: _Call, request: Any, message: bytes) -> bool:
        """Serve the call without a task, if its method can."""
        method = call.method
        if method.begin is None:
            return False
        call.is_direct = True
        try:
            call.is_direct = method.begin(request, message, call)
        except RpcError as error:
            self._refuse_soon(call, error.code, error.message)
        except Exception:  # the request boundary
            log.exception("%s failed", method.path)
            self._refuse_soon(call, Code.INTERNAL, f"{method.name} failed; the server's log says why")
        return call.is_direct

    def _refuse_soon(self, call: _Call, code: Code, message: str) -> None:
        """Not before the rest of what was read is known: the end of the request often follows in a frame of its own."""
        self._loop.call_soon(self.finish, call, code, message)

    def on_compressed(self, call: _Call, message: bytes) -> bytes | None:
        if call.encoding != "gzip":
            self.finish(call, Code.INTERNAL, "a message is compressed, but the call names no compression")
            return None
        # Bounded: a few bytes may unfold to gigabytes.
        unpacking = zlib.decompressobj(wbits=31)
        try:
            found = unpacking.decompress(message, self._max_message + 1)
        except zlib.error:
            self.finish(call, Code.INTERNAL, "a message does not decompress")
            return None
        if len(found) > self._max_message:
            self.on_too_large(call, len(found))
            return None
        return found

    def on_reset(self, call: _Call, code: int) -> None:
        call.method.ended(Code.CANCELLED)
        self._end(call)

    def on_too_large(self, call: _Call, size: int) -> None:
        reason = f"grpc: received message larger than max ({size} vs. {self._max_message})"
        self.finish(call, Code.RESOURCE_EXHAUSTED, reason)

    def time_out(self, call: _Call) -> None:
        if call.id in self.streams:
            self.finish(call, Code.DEADLINE_EXCEEDED, "context deadline exceeded")

    def _end(self, call: _Call) -> None:
        if call.timer is not None:
            call.timer.cancel()
        if call.task is not None:
            call.task.cancel()
        call.settle()

    async def _incoming(self, call: _Call) -> AsyncIterator[Any]:
        while True:
            while call.messages:
                message = call.messages.popleft()
                self.credit(call)
                call.method.received += 1
                yield call.method.decode(message)
            if call.ended:
                return
            await call.wait()

    async def _serve(self, call: _Call, request: Any) -> None:
        method = call.method
        assert method.call is not None
        try:
            if method.streams_out:
                await self._serve_stream(call, method.call(request, call))
                self.finish(call, Code.OK, "")
            else:
                response = await method.call(request, call)
                self.respond(call, response if isinstance(response, bytes) else response.SerializeToString())
        except RpcError as error:
            self.finish(call, error.code, error.message)
        except asyncio.CancelledError:
            if call.id in self.streams:
                self.finish(call, Code.CANCELLED, "the call was cancelled")
            raise
        except Exception:  # the request boundary
            log.exception("%s failed", method.path)
            self.finish(call, Code.INTERNAL, f"{method.name} failed; the server's log says why")

    async def _serve_stream(self, call: _Call, responses: Any) -> None:
        method = call.method
        try:
            async for response in responses:
                payload = response if isinstance(response, bytes) else response.SerializeToString()
                before = b"" if call.has_begun else frame(HEADERS, END_HEADERS, call.id, _RESPONSE)
                call.has_begun = True
                method.sent += 1
                self.send_message(call, payload, before)
                if call.unsent or self._is_paused:
                    await self.drained(call)
                if call.id not in self.streams:
                    return
        finally:
            await responses.aclose()

    # Answers

    def respond(self, call: _Call, payload: bytes) -> None:
        """The one response of a unary call, and its end."""
        if self.streams.get(call.id) is not call:
            return
        before = frame(HEADERS, END_HEADERS, call.id, _RESPONSE)
        after = frame(HEADERS, END_HEADERS | END_STREAM, call.id, _OK)
        call.method.sent += 1
        call.method.handled[Code.OK] += 1
        self.send_message(call, payload, before, after)
        self._leave(call)

    def finish(self, call: _Call, code: Code, message: str) -> None:
        if self.streams.get(call.id) is not call:
            return
        call.method.ended(code)
        if code is Code.OK and not call.has_begun:
            self.write(frame(HEADERS, END_HEADERS, call.id, _RESPONSE))
            call.has_begun = True
        block = (b"" if call.has_begun else _RESPONSE) + (_OK if code is Code.OK else _status(code, message))
        self.send_after(call, frame(HEADERS, END_HEADERS | END_STREAM, call.id, block))
        self._leave(call)

    def _refuse(self, stream_id: int, code: Code, message: str, more: bytes = b"") -> None:
        block = _RESPONSE + more + _status(code, message)
        self._has_answered = True
        self.write(frame(HEADERS, END_HEADERS | END_STREAM, stream_id, block))

    def _leave(self, call: _Call) -> None:
        """Forget a call that is answered, once all of the answer has been sent."""
        if call.timer is not None:
            call.timer.cancel()
        call.settle()
        if call.unsent:
            spawn(self._forget_when_sent(call), "sending an answer")
        else:
            del self.streams[call.id]
            if not call.ended:
                self.write(frame(RST_STREAM, 0, call.id, NO_ERROR.to_bytes(4, "big")))
        if call.task is not None and call.task is not asyncio.current_task():
            call.task.cancel()

    async def _forget_when_sent(self, call: _Call) -> None:
        await self.drained(call)
        self.streams.pop(call.id, None)

    def go_away(self) -> None:
        if not self.is_closed:
            self.write(frame(GOAWAY, 0, 0, self._last_id.to_bytes(4, "big") + NO_ERROR.to_bytes(4, "big")))

    def cancel_calls(self) -> None:
        for call in list(self.streams.values()):
            self._end(call)
            self.reset(call, CANCEL)


class Http2Host:
    """Add listeners, then `start`. `stop` lets calls in flight finish within its grace."""

    def __init__(
        self,
        services: Sequence[Service],
        max_message_bytes: int = rpc.MAX_MESSAGE_BYTES,
        keepalive: Keepalive | None = None,
        http1: Http1 | None = None,
        admits: Callable[[bytes | None], bool] | None = None,
    ) -> None:
        """`admits` judges the verified certificate (DER) of each connection over TLS."""
        self.max_message_bytes = max_message_bytes
        self.keepalive = keepalive or Keepalive()
        self.http1 = http1
        self.admits = admits
        self.is_stopping = False
        self.connections: set[_ServerConnection] = set()
        self.methods = {
            found.path: found
            for service in services
            for found in (HostedMethod(method, service.handler) for method in service.descriptor.methods)
        }
        self._past_traffic = (0, 0)
        self._listeners: list[tuple[socket.socket, FollowingContext | None]] = []
        self._servers: list[asyncio.Server] = []

    def add_listener(self, address: str, tls: ServerTls | None = None) -> int:
        """Bind `host:port` or `unix:///path`; returns the port. Raises OSError when the address is taken."""
        try:
            listener, port = _bind(address)
        except OSError as error:
            reason = f"cannot listen on {address}: it is in use or not an address of this host"
            raise OSError(error.errno, reason) from error
        self._listeners.append((listener, None if tls is None else FollowingContext(tls)))
        return port

    def traffic(self) -> tuple[int, int]:
        """Bytes received and sent, over all connections there were."""
        received, sent = self._past_traffic
        for connection in self.connections:
            received, sent = received + connection.bytes_received, sent + connection.bytes_sent
        return received, sent

    def forget_traffic(self, connection: Connection) -> None:
        received, sent = self._past_traffic
        self._past_traffic = received + connection.bytes_received, sent + connection.bytes_sent

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        for listener, tls in self._listeners:

            def accept(tls: FollowingContext | None = tls) -> _ServerConnection:
                if tls is not None:
                    tls.refresh()
                return _ServerConnection(self)

            context = None if tls is None else tls.context
            self._servers.append(await loop.create_server(accept, sock=listener, ssl=context, backlog=1024))

    async def stop(self, grace: float = 1.0) -> None:
        self.is_stopping = True
        for server in self._servers:
            server.close()
        for connection in self.connections:
            connection.go_away()
        calls = [call for connection in self.connections for call in connection.streams.values()]
        if ends := [call.until_over() for call in calls if call.task is not None or call.is_direct]:
            await asyncio.wait(ends, timeout=grace)
        for connection in list(self.connections):
            connection.cancel_calls()
            connection.close()
        await asyncio.sleep(0)


def _bind(address: str) -> tuple[socket.socket, int]:
    if address.startswith("unix:"):
        path = address.removeprefix("unix:").removeprefix("//")
        listener = socket.socket(socket.AF_UNIX)
        if os.path.exists(path):
            os.unlink(path)
        listener.bind(path)
        return listener, 1
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    found = socket.getaddrinfo(host or None, int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, _, _, _, target = found[0]
    listener = socket.socket(family)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(target)
        listener.listen(1024)
    except OSError:
        listener.close()
        raise
    return listener, int(listener.getsockname()[1])


def _status(code: Code, message: str) -> bytes:
    text = quote(message, safe=" !\"#$&'()*+,-./:;<=>?@[\\]^_`{|}~")
    return hpack.encode((("grpc-status", str(int(code))), ("grpc-message", text)))


def _seconds(timeout: str) -> float:
    try:
        return min(int(timeout[:-1]) * _UNITS[timeout[-1]], _LONGEST)
    except (ValueError, KeyError, IndexError):
        return 0.0

"""Calls any service by its descriptor over HTTP/2 on asyncio; stands in for `grpc_channel.GrpcChannel`.

One connection, made when the first call needs it and made again after it broke. A call that could not be sent at all is
refused as UNAVAILABLE "failed to connect to all addresses…", so that callers know it is safe to make it elsewhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import math
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import Any, Final
from urllib.parse import unquote

from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor

from component_base import rpc
from component_base.http2 import headers as hpack
from component_base.http2.connection import (
    CANCEL,
    DATA,
    END_HEADERS,
    END_STREAM,
    ENHANCE_YOUR_CALM,
    HEADERS,
    PREFACE,
    REFUSED_STREAM,
    Connection,
    Keepalive,
    Stream,
    frame,
)
from component_base.http2.headers import Headers
from component_base.rpc import ClientTls, Code, RpcError
from component_base.tasks import spawn

_CONNECT_SECONDS: Final = 10.0
_LAST_STREAM: Final = 2**31 - 1
#: How a reset is reported (grpc/grpc doc/PROTOCOL-HTTP2.md).
_RESETS: Final = {
    REFUSED_STREAM: Code.UNAVAILABLE,
    CANCEL: Code.CANCELLED,
    ENHANCE_YOUR_CALM: Code.RESOURCE_EXHAUSTED,
}


class _Call(Stream):
    """A call in flight. `status` is set when it is over."""

    __slots__ = ("status",)

    def __init__(self, stream_id: int, window: int) -> None:
        super().__init__(stream_id, window)
        self.status: RpcError | None = None

    def finish(self, code: Code, message: str) -> None:
        if self.status is None:
            self.status = RpcError(code, message)
        self.ended = True
        self.arrived()


class _ClientConnection(Connection):
    def __init__(self, keepalive_seconds: float) -> None:
        super().__init__(_LAST_STREAM, Keepalive(keepalive_seconds, asks_when_idle=False))
        self._next_id = 1
        self.is_leaving = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.write(PREFACE)
        super().connection_made(transport)
        self.flush()

    @property
    def is_usable(self) -> bool:
        return not (self.is_closed or self.is_leaving or self._next_id >= _LAST_STREAM)

    def open(self, block: bytes) -> tuple[_Call, bytes]:
        """A new call, and the frame that begins it."""
        call = self.streams[self._next_id] = _Call(self._next_id, self.initial_window)
        self._next_id += 2
        return call, frame(HEADERS, END_HEADERS, call.id, block)

    def on_headers(self, stream_id: int, headers: Headers, ends: bool) -> None:
        call: _Call | None = self.streams.get(stream_id)
        if call is None:
            return
        found = dict(headers)
        if "grpc-status" in found:
            code = Code(int(found["grpc-status"])) if found["grpc-status"].isdigit() else Code.UNKNOWN
            call.finish(code, unquote(found.get("grpc-message", "")))
        elif ends or found.get(":status") != "200":
            call.finish(Code.UNAVAILABLE, f"the peer answered with HTTP status {found.get(':status')}, not with gRPC")
        if ends:
            self.streams.pop(stream_id, None)

    def on_message(self, call: _Call) -> None:
        if call.ended and call.status is None:
            self.streams.pop(call.id, None)
            call.finish(Code.INTERNAL, "the peer ended a call without a status")
        call.arrived()

    def on_reset(self, call: _Call, code: int) -> None:
        if self.is_closed:
            call.finish(Code.UNAVAILABLE, "the connection was lost")
        else:
            call.finish(_RESETS.get(code, Code.INTERNAL), f"the peer reset the call (HTTP/2 code {code})")

    def on_too_large(self, call: _Call, size: int) -> None:
        self.reset(call, CANCEL)
        call.finish(Code.RESOURCE_EXHAUSTED, "a message is too large")

    def on_goaway(self, last_stream_id: int) -> None:
        self.is_leaving = True
        for call in [call for call in self.streams.values() if call.id > last_stream_id]:
            self.reset(call, CANCEL)
            call.finish(Code.UNAVAILABLE, "the peer is shutting down")
        if not self.streams:
            self.close()


class Http2Channel:
    """One connection, kept and re-made. `target` is `host:port` or `unix:///path`."""

    def __init__(
        self,
        target: str,
        tls: ClientTls | None = None,
        keepalive_seconds: float = 30.0,
        connect_retry_seconds: float = 2.0,
    ) -> None:
        self._target = target
        self._tls = tls
        self._context: ssl.SSLContext | None = None
        self._keepalive = keepalive_seconds
        self._retry_seconds = min(connect_retry_seconds, 0.1)
        self._connection: _ClientConnection | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._failed: tuple[float, str] | None = None
        self._blocks: dict[str, bytes] = {}
        self._decoders: dict[str, Any] = {}
        self._is_closed = False

    async def unary(
        self,
        service: ServiceDescriptor,
        name: str,
        request: Any,
        timeout: float | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> Any:
        """The one response; `request` is an async iterator where the rpc takes a stream."""
        method = rpc.find_method(service, name)
        if method.client_streaming:
            async with contextlib.aclosing(self.stream(service, name, request, timeout, metadata)) as responses:
                return await anext(responses)
        connection = self._connection
        if connection is None or not connection.is_usable:
            connection = await self._connect(timeout)
        block, decode = self._method(method)
        call, head = connection.open(block + _extra(timeout, metadata))
        connection.send_message(call, request.SerializeToString(), head, frame(DATA, END_STREAM, call.id))
        timer = None
        if timeout is not None:
            timer = asyncio.get_running_loop().call_later(timeout, _expire, connection, call)
        try:
            while call.status is None:
                await call.wait()
        except asyncio.CancelledError:
            connection.reset(call, CANCEL)
            raise
        finally:
            if timer is not None:
                timer.cancel()
        if call.status.code is not Code.OK:
            raise call.status
        if not call.messages:
            raise RpcError(Code.INTERNAL, f"{name} was answered without a message")
        return decode(call.messages[0])

    async def stream(
        self,
        service: ServiceDescriptor,
        name: str,
        requests: Any,
        timeout: float | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> AsyncGenerator[Any, None]:
        """Responses of a streaming call; `requests` is an async iterator, or one message where the rpc takes one.

        Closing the iterator (or leaving its loop by an exception) cancels the call.
        """
        method = rpc.find_method(service, name)
        connection = self._connection
        if connection is None or not connection.is_usable:
            connection = await self._connect(timeout)
        block, decode = self._method(method)
        call, head = connection.open(block + _extra(timeout, metadata))
        sender, timer = None, None
        if method.client_streaming:
            connection.write(head)
            sender = spawn(_send(connection, call, requests), f"requests of {name}")
        else:
            connection.send_message(call, requests.SerializeToString(), head, frame(DATA, END_STREAM, call.id))
        if timeout is not None:
            timer = asyncio.get_running_loop().call_later(timeout, _expire, connection, call)
        try:
            while call.status is None or call.messages:
                while call.messages:
                    message = call.messages.popleft()
                    connection.credit(call)
                    yield decode(message)
                if call.status is None:
                    await call.wait()
            if call.status.code is not Code.OK:
                raise call.status
        finally:
            if sender is not None:
                sender.cancel()
            if timer is not None:
                timer.cancel()
            if call.id in connection.streams:
                connection.reset(call, CANCEL)

    async def close(self) -> None:
        self._is_closed = True
        if self._connecting is not None:
            self._connecting.cancel()
        if self._connection is not None and not self._connection.is_closed:
            self._connection.close()

    # The connection

    async def _connect(self, timeout: float | None) -> _ClientConnection:
        """Calls that come together share one attempt, and shortly after a failed one they share its failure."""
        if self._is_closed:
            raise RpcError(Code.CANCELLED, "the channel is closed")
        loop = asyncio.get_running_loop()
        if self._failed is not None and loop.time() < self._failed[0]:
            raise RpcError(Code.UNAVAILABLE, self._failed[1])
        if self._connecting is None or self._connecting.done():
            self._connecting = spawn(self._attempt(), f"connecting to {self._target}")
        await asyncio.wait([self._connecting], timeout=timeout)
        if not self._connecting.done():
            raise RpcError(Code.DEADLINE_EXCEEDED, f"no connection to {self._target} in time")
        if self._connection is None or not self._connection.is_usable:
            reason = self._failed[1] if self._failed else "the connection was lost as soon as it was made"
            raise RpcError(Code.UNAVAILABLE, reason)
        return self._connection

    async def _attempt(self) -> None:
        loop = asyncio.get_running_loop()
        self._connection = None
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                self._connection = await self._open()
            self._failed = None
        except (OSError, ValueError) as error:
            reason = f"failed to connect to all addresses; last: {self._target}: {error or type(error).__name__}"
            self._failed = (loop.time() + self._retry_seconds, reason)

    async def _open(self) -> _ClientConnection:
        loop = asyncio.get_running_loop()
        if self._target.startswith("unix:"):
            path = self._target.removeprefix("unix:").removeprefix("//")
            _, made = await loop.create_unix_connection(self._protocol, path)
            return made
        host, _, port = self._target.rpartition(":")
        host = host.strip("[]")
        if self._tls is not None and self._context is None:
            self._context = await asyncio.to_thread(_client_context, self._tls)
        name = (self._tls.server_name or host) if self._tls is not None else None
        _, made = await loop.create_connection(self._protocol, host, int(port), ssl=self._context, server_hostname=name)
        return made

    def _protocol(self) -> _ClientConnection:
        return _ClientConnection(self._keepalive)

    def _method(self, method: MethodDescriptor) -> tuple[bytes, Any]:
        path = rpc.method_path(method)
        block = self._blocks.get(path)
        if block is None:
            authority = "localhost" if self._target.startswith("unix:") else self._target
            block = self._blocks[path] = hpack.encode(
                (
                    (":method", "POST"),
                    (":scheme", "http" if self._tls is None else "https"),
                    (":path", path),
                    (":authority", authority),
                    ("te", "trailers"),
                    ("content-type", "application/grpc"),
                    ("user-agent", "grpc-skiff/1.0"),
                )
            )
            self._decoders[path] = rpc.response_class(method).FromString
        return block, self._decoders[path]


async def _send(connection: _ClientConnection, call: _Call, requests: AsyncIterator[Any]) -> None:
    """An iterator that fails cancels the call; its error is logged by the task it runs in."""
    try:
        async for request in requests:
            if call.ended:
                return
            connection.send_message(call, request.SerializeToString())
            if call.unsent:
                await connection.drained(call)
        if not call.ended:
            connection.send_after(call, frame(DATA, END_STREAM, call.id))
    except Exception:
        connection.reset(call, CANCEL)
        call.finish(Code.CANCELLED, "the requests ended by an error")
        raise


def _expire(connection: _ClientConnection, call: _Call) -> None:
    if call.status is None:
        connection.reset(call, CANCEL)
        call.finish(Code.DEADLINE_EXCEEDED, "Deadline Exceeded")


def _extra(timeout: float | None, metadata: Mapping[str, str] | None) -> bytes:
    extra = hpack.encode(tuple(metadata.items())) if metadata else b""
    return extra if timeout is None else extra + _timeout_block(timeout)


@functools.lru_cache(maxsize=64)
def _timeout_block(timeout: float) -> bytes:
    """Rounded up: the deadline is kept at this end, and equal blocks are decoded once at the other."""
    text = f"{math.ceil(timeout)}S" if timeout >= 5 else f"{math.ceil(timeout * 1000)}m"
    return hpack.encode((("grpc-timeout", text),))


def _client_context(tls: ClientTls) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=str(tls.ca_file))
    if tls.certificate_file is not None:
        with contextlib.suppress(FileNotFoundError) if tls.key_file is None else contextlib.nullcontext():
            context.load_cert_chain(tls.certificate_file, tls.key_file)
    context.set_alpn_protocols(["h2"])
    return context

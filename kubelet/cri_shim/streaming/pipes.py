"""Byte pipes under the stream protocols: a plain connection, or binary WebSocket messages that carry one.

`BytePipe` is the port the SPDY session speaks to. `WebSocketPipe` also gives whole messages to the channel protocols.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Protocol

from websockets.exceptions import NegotiationError, WebSocketException
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

READ_SIZE = 64 << 10
MAX_MESSAGE = 16 << 20
PROTOCOL_HEADER = "Sec-WebSocket-Protocol"
LINGER_SECONDS = 5.0


async def part(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """End a connection whose other side may still be sending, as a client does whose command ended before its input.

    To close a socket with unread input resets the connection, and the other side loses what it has not read yet: the
    status of the command. So our direction ends first, and what still comes is read away until the other's ends too.
    """
    try:
        with contextlib.suppress(OSError, RuntimeError, TimeoutError):
            writer.write_eof()
            async with asyncio.timeout(LINGER_SECONDS):
                while await reader.read(READ_SIZE):
                    pass
    finally:
        writer.close()


class BytePipe(Protocol):
    async def receive(self) -> bytes:
        """The next bytes; empty at the end."""

    async def send(self, data: bytes) -> None: ...

    async def close(self) -> None:
        """Nothing more is sent. The connection itself is ended by whoever accepted it, with `part`."""


class ConnectionPipe:
    """The rest of a TCP or unix connection after its HTTP head."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def receive(self) -> bytes:
        try:
            return await self._reader.read(READ_SIZE)
        except ConnectionError:
            return b""

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def close(self) -> None:
        self._writer.write_eof()


class WebSocketPipe:
    """The server's end of one WebSocket; `receive` yields one message's payload each time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._protocol = ServerProtocol(max_size=MAX_MESSAGE)
        self._messages: list[bytes] = []
        self._parts: list[bytes] = []
        self.subprotocol: str | None = None

    async def accept(self, head: bytes, subprotocols: Sequence[str]) -> bool:
        """Answer the handshake whose bytes are `head`; False when it was refused."""
        # Kubernetes has a subprotocol with a slash in its name, which the standard forbids and the library refuses:
        # it goes through the library under another name.
        aliases = {name: name.replace("/", "_") for name in subprotocols}
        for name, alias in aliases.items():
            head = head.replace(name.encode(), alias.encode())
        self._protocol = ServerProtocol(
            subprotocols=[Subprotocol(alias) for alias in aliases.values()],
            select_subprotocol=_select(list(aliases.values())),
            max_size=MAX_MESSAGE,
        )
        self._protocol.receive_data(head)
        for event in self._protocol.events_received():
            if isinstance(event, Request):
                response = self._protocol.accept(event)
                chosen = self._protocol.subprotocol
                self.subprotocol = next((name for name, alias in aliases.items() if alias == chosen), None)
                if self.subprotocol is not None:
                    del response.headers[PROTOCOL_HEADER]
                    response.headers[PROTOCOL_HEADER] = self.subprotocol
                self._protocol.send_response(response)
                await self._flush()
                return response.status_code == 101
        return False

    async def receive(self) -> bytes:
        while not self._messages:
            try:
                data = await self._reader.read(READ_SIZE)
            except ConnectionError:
                return b""
            if data:
                self._protocol.receive_data(data)
            else:
                self._protocol.receive_eof()
            self._collect()
            await self._flush()
            if not self._messages and (not data or self._protocol.close_expected()):
                return b""
        return self._messages.pop(0)

    def _collect(self) -> None:
        for event in self._protocol.events_received():
            if not isinstance(event, Frame) or event.opcode not in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
                continue
            self._parts.append(bytes(event.data))
            if event.fin:
                message = b"".join(self._parts)
                self._parts.clear()
                if message:
                    self._messages.append(message)

    async def send(self, data: bytes) -> None:
        self._protocol.send_binary(data)
        await self._flush()

    async def send_text(self, data: bytes) -> None:
        self._protocol.send_text(data)
        await self._flush()

    async def close(self) -> None:
        try:
            self._protocol.send_close(1000)
            await self._flush()
            self._writer.write_eof()
        except (WebSocketException, OSError):
            pass

    async def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            if data:
                self._writer.write(data)
        await self._writer.drain()


def _select(
    offered_by_us: Sequence[str],
) -> Callable[[ServerProtocol, Sequence[Subprotocol]], Subprotocol | None]:
    """Prefer our order; a client that asks for none gets the unnamed first protocol."""

    def select(_: ServerProtocol, theirs: Sequence[Subprotocol]) -> Subprotocol | None:
        if not theirs:
            return None
        for name in offered_by_us:
            if name in theirs:
                return Subprotocol(name)
        raise NegotiationError(f"none of the offered protocols is known: {', '.join(theirs)}")

    return select

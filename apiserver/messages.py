"""Answers as WebSocket messages, for clients that cannot read a long answer otherwise (browsers): logs and watches.

`MessageAnswer` stands in for ASGI's `send` and `receive`. The handshake is made when the answer begins, so that what is
refused before that is refused in plain HTTP. What the client sends is not looked at; its leaving is.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from websockets.datastructures import Headers
from websockets.exceptions import NegotiationError
from websockets.http11 import Request
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from apiserver.ports import Scope

BINARY, BASE64 = "binary.k8s.io", "base64.binary.k8s.io"
#: A browser's token travels as a subprotocol; it is not one to agree on.
TOKEN_PREFIX = "base64url.bearer.authorization.k8s.io."
READ_BYTES = 4096

#: The messages that a piece of the answer's body makes; text for str, binary for bytes.
Split = Callable[[bytes], Iterable[bytes | str]]


def wants_messages(scope: Scope) -> bool:
    upgrade = scope.get("extensions", {}).get("skiff.upgrade")
    return upgrade is not None and upgrade.protocol == "websocket"


def lines(piece: bytes) -> Iterable[str]:
    """One text message for each line: a watch's events."""
    return (line.decode() for line in piece.splitlines())


class MessageAnswer:
    """`protocols` are those the client may ask for, none of them needed; without any, what it asks for is accepted."""

    def __init__(self, scope: Scope, protocols: Sequence[str] = (), split: Split | None = None) -> None:
        self._scope = scope
        self._known = protocols
        self._split = split or self._bytes
        self._protocol = ServerProtocol(select_subprotocol=_select(protocols))
        self._reader: Any = None
        self._writer: Any = None

    def _bytes(self, piece: bytes) -> Iterable[bytes | str]:
        return [base64.b64encode(piece).decode() if self._protocol.subprotocol == BASE64 else piece]

    async def send(self, message: Any) -> None:
        """Raises ConnectionError when the client has left."""
        if message["type"] == "http.response.start":
            await self._begin()
            return
        if body := message.get("body", b""):
            self._put(body)
            await self._flush()
        if not message.get("more_body"):
            self._protocol.send_close(1000)
            await self._flush()
            self._writer.close()

    async def _begin(self) -> None:
        self._reader, self._writer = await self._scope["extensions"]["skiff.upgrade"].hijack()
        headers = Headers((name.decode("latin-1"), value.decode("latin-1")) for name, value in self._scope["headers"])
        response = self._protocol.accept(Request(self._scope["path"], headers))
        self._protocol.send_response(response)
        if response.status_code == 101 and self._known:
            self._put(b"")  # an empty message, as upstream: the answer has begun
        await self._flush()
        if response.status_code != 101:
            self._writer.close()
            raise ConnectionAbortedError("the client's handshake was refused")

    def _put(self, piece: bytes) -> None:
        for one in self._split(piece):
            if isinstance(one, str):
                self._protocol.send_text(one.encode())
            else:
                self._protocol.send_binary(one)

    async def receive(self) -> Any:
        """Comes back when the client has left."""
        while data := await self._read():
            self._protocol.receive_data(data)
            self._protocol.events_received()
            await self._flush()  # answers to pings, and to its goodbye
            if self._protocol.close_expected():
                break
        return {"type": "http.disconnect"}

    async def _read(self) -> bytes:
        try:
            data: bytes = await self._reader.read(READ_BYTES)
        except ConnectionError:
            return b""
        return data

    async def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            if data:
                self._writer.write(data)
        await self._writer.drain()


def _select(known: Sequence[str]) -> Callable[[ServerProtocol, Sequence[Subprotocol]], Subprotocol | None]:
    def select(_: ServerProtocol, theirs: Sequence[Subprotocol]) -> Subprotocol | None:
        offered = [name for name in theirs if not name.startswith(TOKEN_PREFIX)]
        if not offered:
            return None
        for name in offered:
            if name in known or not known:
                return name
        raise NegotiationError(f"none of the offered protocols is known: {', '.join(offered)}")

    return select

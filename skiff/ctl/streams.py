"""exec and attach over a WebSocket: input, output and terminal size on their channels, the exit code at the end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO
from urllib.parse import urlencode

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.typing import Subprotocol

from kubeclient.rest import refusal
from skiff.ctl import channels, terminal
from skiff.ctl.client import Client
from skiff.ctl.failures import Failure
from skiff.ctl.session import Session

_MAX_MESSAGE = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Wish:
    """What is connected: which of the streams, and whether there is a terminal at this end."""

    stdin: bool = False
    stdout: bool = True
    stderr: bool = True
    tty: bool = False

    def query(self, container: str, words: Sequence[str] = ()) -> str:
        pairs = [("command", word) for word in words] + [("container", container)]
        pairs += [(name, "true") for name in ("stdin", "stdout", "stderr", "tty") if getattr(self, name)]
        return urlencode(pairs)


async def talk(
    session: Session,
    path: str,
    wish: Wish,
    output: BinaryIO | None = None,
    data: BinaryIO | None = None,
) -> tuple[int, str]:
    """Exit code and what to say about it. `output` and `data` stand in for this process's own streams."""
    client = session.client
    assert isinstance(client, Client)
    config = session.config
    url = "ws" + config.server.removeprefix("http") + path
    try:
        async with connect(
            url,
            ssl=config.ssl_context() if url.startswith("wss") else None,
            subprotocols=[Subprotocol(name) for name in channels.PROTOCOLS],
            additional_headers=client.identity(),
            max_size=_MAX_MESSAGE,
            proxy=None,
            compression=None,
        ) as socket:
            with terminal.raw(wish.tty and data is None):
                return await _Talk(socket, wish, output, data).run()
    except InvalidStatus as refused:
        raise refusal(refused.response.status_code, bytes(refused.response.body or b"")) from None
    except (WebSocketException, OSError) as error:
        raise Failure(f"unable to upgrade connection: {error}") from None


class _Talk:
    def __init__(self, socket: ClientConnection, wish: Wish, output: BinaryIO | None, data: BinaryIO | None) -> None:
        self._socket = socket
        self._wish = wish
        self._sinks = {channels.STDOUT: output or sys.stdout.buffer, channels.STDERR: sys.stderr.buffer}
        self._data = data
        self._ended: tuple[int, str] | None = None

    async def run(self) -> tuple[int, str]:
        async with asyncio.TaskGroup() as group:
            resizing = contextlib.ExitStack()
            if self._wish.tty:
                resizing.enter_context(terminal.on_resize(lambda: void(group.create_task(self._resize()))))
                await self._resize()
            typing = group.create_task(self._send()) if self._wish.stdin else None
            try:
                await self._receive()
            finally:
                resizing.close()
                if typing is not None:
                    typing.cancel()
        return self._ended or (0, "")

    async def _receive(self) -> None:
        try:
            async for message in self._socket:
                channel, data = channels.parse(message)
                if channel == channels.ERROR:
                    self._ended = channels.exit_code(json.loads(data))
                elif (sink := self._sinks.get(channel)) is not None and data:
                    sink.write(data)
                    sink.flush()
        except ConnectionClosed as closed:
            if self._ended is None:
                self._ended = (1, f"error: the connection ended: {closed}")

    async def _resize(self) -> None:
        with contextlib.suppress(ConnectionClosed):
            await self._socket.send(channels.resize(*terminal.size()))

    async def _send(self) -> None:
        with contextlib.suppress(ConnectionClosed):
            if self._data is not None:
                while chunk := await asyncio.to_thread(self._data.read, 32 * 1024):
                    await self._socket.send(channels.frame(channels.STDIN, chunk))
            else:
                async for keys in terminal.keys():
                    await self._socket.send(channels.frame(channels.STDIN, keys))
            if self._socket.subprotocol == channels.CLOSES_INPUT:
                await self._socket.send(channels.end_of_input())


def void(_: object) -> None:
    """For callbacks that give nothing back."""

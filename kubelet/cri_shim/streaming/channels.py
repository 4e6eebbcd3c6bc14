"""The named channels of one remote command (stdin, stdout, stderr, error, resize), over SPDY or WebSocket.

Both transports end in `CommandChannels`, which is all that the code running the process sees. Protocol versions, as
clients name them: from v4 on the error channel carries a Status object, from v3 on there is a resize channel, and v5
(WebSocket only) can say that stdin is closed.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from kubelet.cri_shim.streaming.pipes import WebSocketPipe
from kubelet.cri_shim.streaming.spdy_session import SpdySession, SpdyStream

SPDY_VERSIONS = ("v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io")
WEBSOCKET_VERSIONS = (
    "v5.channel.k8s.io",
    "v4.channel.k8s.io",
    "v4.base64.channel.k8s.io",
    "channel.k8s.io",
    "base64.channel.k8s.io",
)
STDIN, STDOUT, STDERR, ERROR, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255
STREAM_CREATION_TIMEOUT = 30.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which channels the request asked for."""

    stdin: bool
    stdout: bool
    stderr: bool
    tty: bool


@dataclass(slots=True)
class CommandChannels:
    """Reading ends give empty bytes or None at their end; writing ends are None when not asked for."""

    stdin: Callable[[], Awaitable[bytes]] | None
    stdout: Callable[[bytes], Awaitable[None]] | None
    stderr: Callable[[bytes], Awaitable[None]] | None
    resizes: asyncio.Queue[tuple[int, int]]
    disconnected: asyncio.Event
    finish: Callable[[bytes], Awaitable[None]]
    tasks: list[Coroutine[Any, Any, None]] = field(default_factory=list)


def status_bytes(exit_code: int, failure: str | None, version: str) -> bytes:
    """What the error channel says at the end, for that protocol version."""
    structured = version.startswith(("v4", "v5"))
    if failure is not None:
        text = failure
        status: dict[str, object] = {
            "metadata": {},
            "status": "Failure",
            "reason": "InternalError",
            "message": f"Internal error occurred: {text}",
            "code": 500,
        }
        status["details"] = {"causes": [{"message": text}]}
    elif exit_code:
        text = f"command terminated with non-zero exit code: exit status {exit_code}"
        status = {"metadata": {}, "status": "Failure", "reason": "NonZeroExitCode", "message": text}
        status["details"] = {"causes": [{"reason": "ExitCode", "message": str(exit_code)}]}
    else:
        text, status = "", {"metadata": {}, "status": "Success"}
    return json.dumps(status, separators=(",", ":")).encode() if structured else text.encode()


def resize_of(message: dict[str, object]) -> tuple[int, int] | None:
    width, height = message.get("Width"), message.get("Height")
    if isinstance(width, int) and isinstance(height, int) and 0 < width < 65536 and 0 < height < 65536:
        return width, height
    return None


def put_resize(queue: asyncio.Queue[tuple[int, int]], size: tuple[int, int] | None) -> None:
    if size is None:
        return
    if queue.full():
        queue.get_nowait()
    queue.put_nowait(size)


async def spdy_channels(session: SpdySession, wanted: Wanted, version: str) -> CommandChannels:
    """Wait for the client to open every stream the request announced."""
    expected = {"error"}
    expected |= {"stdin"} if wanted.stdin else set()
    expected |= {"stdout"} if wanted.stdout else set()
    expected |= {"stderr"} if wanted.stderr and not wanted.tty else set()
    if wanted.tty and version in ("v3.channel.k8s.io", "v4.channel.k8s.io"):
        expected.add("resize")
    streams: dict[str, SpdyStream] = {}
    async with asyncio.timeout(STREAM_CREATION_TIMEOUT):
        while expected - streams.keys():
            stream = await session.accept()
            if stream is None:
                raise ConnectionError("the client left before it had opened its streams")
            kind = stream.headers.get("streamtype", "")
            if kind in expected and kind not in streams:
                streams[kind] = stream
            else:
                await stream.reset()
    resizes: asyncio.Queue[tuple[int, int]] = asyncio.Queue(8)

    async def finish(status: bytes) -> None:
        for name in ("stdout", "stderr"):
            if name in streams:
                await streams[name].finish()
        if status:
            await streams["error"].write(status)
        await streams["error"].finish()

    channels = CommandChannels(
        stdin=streams["stdin"].read if "stdin" in streams else None,
        stdout=streams["stdout"].write if "stdout" in streams else None,
        stderr=streams["stderr"].write if "stderr" in streams else None,
        resizes=resizes,
        disconnected=asyncio.Event(),
        finish=finish,
    )
    if "resize" in streams:
        channels.tasks.append(_read_resizes(streams["resize"], resizes))
    return channels


async def _read_resizes(stream: SpdyStream, resizes: asyncio.Queue[tuple[int, int]]) -> None:
    decoder = json.JSONDecoder()
    buffer = ""
    while data := await stream.read():
        buffer = (buffer + data.decode("utf-8", "replace"))[-4096:].lstrip()
        while buffer:
            try:
                value, end = decoder.raw_decode(buffer)
            except ValueError:
                break
            buffer = buffer[end:].lstrip()
            put_resize(resizes, resize_of(value) if isinstance(value, dict) else None)


class WebSocketChannels:
    """Channel-numbered messages; `read` is the loop that sorts what arrives."""

    def __init__(self, pipe: WebSocketPipe) -> None:
        self._pipe = pipe
        self.version = pipe.subprotocol or "channel.k8s.io"
        self._base64 = "base64" in self.version
        self._stdin: asyncio.Queue[bytes] = asyncio.Queue(64)
        self._stdin_ended = False
        self._resizes: asyncio.Queue[tuple[int, int]] = asyncio.Queue(8)
        self._disconnected = asyncio.Event()
        self._write_lock = asyncio.Lock()

    async def channels(self, wanted: Wanted) -> CommandChannels:
        if not self.version.startswith("v5"):
            # An empty message tells the client that its process is about to start. Clients of version 5 do not wait for
            # it, and kubectl prints an error line when it comes before its streams are set up.
            await self.send(STDOUT if wanted.stdout else STDERR if wanted.stderr else ERROR, b"")
        return CommandChannels(
            stdin=self._read_stdin if wanted.stdin else None,
            stdout=self._writer(STDOUT) if wanted.stdout else None,
            stderr=self._writer(STDERR) if wanted.stderr and not wanted.tty else None,
            resizes=self._resizes,
            disconnected=self._disconnected,
            finish=self._finish,
            tasks=[self._read_loop(wanted.stdin)],
        )

    async def send(self, channel: int, data: bytes) -> None:
        async with self._write_lock:
            try:
                if self._base64:
                    await self._pipe.send_text(str(channel).encode() + base64.b64encode(data))
                else:
                    await self._pipe.send(bytes([channel]) + data)
            except ConnectionError:
                self._disconnected.set()

    def _writer(self, channel: int) -> Callable[[bytes], Awaitable[None]]:
        async def write(data: bytes) -> None:
            await self.send(channel, data)

        return write

    async def _finish(self, status: bytes) -> None:
        if status:
            await self.send(ERROR, status)

    async def _read_stdin(self) -> bytes:
        if self._stdin_ended:
            return b""
        data = await self._stdin.get()
        self._stdin_ended = not data
        return data

    async def _read_loop(self, stdin: bool) -> None:
        while message := await self._pipe.receive():
            channel, data = self._split(message)
            if channel == STDIN and stdin and data:
                await self._stdin.put(data)
            elif channel == RESIZE:
                try:
                    value = json.loads(data)
                except ValueError:
                    continue
                put_resize(self._resizes, resize_of(value) if isinstance(value, dict) else None)
            elif channel == CLOSE and self.version == "v5.channel.k8s.io" and data[:1] == bytes([STDIN]):
                await self._stdin.put(b"")
        self._disconnected.set()
        if self._stdin.full():
            self._stdin.get_nowait()
        self._stdin.put_nowait(b"")

    def _split(self, message: bytes) -> tuple[int, bytes]:
        if not self._base64:
            return message[0], message[1:]
        try:
            return message[0] - ord("0"), base64.b64decode(message[1:])
        except binascii.Error:
            return -1, b""

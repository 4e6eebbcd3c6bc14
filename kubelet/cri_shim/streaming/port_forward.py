"""Port-forward: bytes between the client's streams and a port in the pod's network namespace.

SPDY (bare, or tunnelled in WebSocket messages): each connection is a pair of streams, `data` and `error`, matched by
their request id. WebSocket channels: the ports are named up front and each has two channels, data and error.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
import struct
from collections.abc import Awaitable, Callable, Sequence

from kubelet.cri_shim.groups import task_group
from kubelet.cri_shim.streaming.pipes import READ_SIZE, WebSocketPipe
from kubelet.cri_shim.streaming.spdy_session import SpdySession, SpdyStream

logger = logging.getLogger(__name__)

Connect = Callable[[int], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]
TUNNEL_PROTOCOL = "SPDY/3.1+portforward.k8s.io"
WEBSOCKET_VERSIONS = (TUNNEL_PROTOCOL, "v4.channel.k8s.io", "v4.base64.channel.k8s.io")


async def serve_spdy(session: SpdySession, connect: Connect) -> None:
    """Pair streams as they come, each pair in a task of its own, until the client leaves."""
    waiting: dict[str, SpdyStream] = {}
    async with task_group() as group:
        reading = group.create_task(session.run())
        while (stream := await session.accept()) is not None:
            kind = stream.headers.get("streamtype", "")
            request_id = stream.headers.get("requestid") or _guess_request_id(stream)
            partner = waiting.pop(request_id, None)
            if kind not in ("data", "error"):
                await stream.reset()
            elif partner is None:
                waiting[request_id] = stream
            elif partner.headers.get("streamtype") == kind:
                await stream.reset()
                await partner.reset()
            else:
                data, error = (stream, partner) if kind == "data" else (partner, stream)
                group.create_task(_forward_pair(data, error, connect))
        reading.cancel()


def _guess_request_id(stream: SpdyStream) -> str:
    """Old clients send no id, and open error before data with consecutive stream ids."""
    base = stream.stream_id if stream.headers.get("streamtype") == "error" else stream.stream_id - 2
    return f"stream-{base}"


async def _forward_pair(data: SpdyStream, error: SpdyStream, connect: Connect) -> None:
    try:
        port = int(data.headers.get("port", ""))
        reader, writer = await connect(port)
    except (OSError, ValueError) as failure:
        await error.write(f"error forwarding port {data.headers.get('port', '')}: {failure}".encode())
        await error.finish()
        await data.finish()
        return

    async def upstream() -> None:
        try:
            while chunk := await data.read():
                writer.write(chunk)
                await writer.drain()
            if writer.can_write_eof():
                writer.write_eof()
        except (ConnectionError, RuntimeError):
            return

    async def downstream() -> None:
        try:
            while chunk := await reader.read(READ_SIZE):
                await data.write(chunk)
        except ConnectionError as failure:
            await error.write(str(failure).encode())
        await data.finish()

    try:
        async with task_group() as group:
            sending = group.create_task(upstream())
            await group.create_task(downstream())
            # The pod closed its end: what the client still sends has nowhere to go.
            sending.cancel()
    finally:
        writer.close()
        await error.finish()


async def serve_websocket_channels(pipe: WebSocketPipe, ports: Sequence[int], connect: Connect) -> None:
    """Channel 2i carries data and 2i+1 errors of the i-th port; each opens with its port number."""
    base64_mode = "base64" in (pipe.subprotocol or "")
    lock = asyncio.Lock()

    async def send(channel: int, payload: bytes) -> None:
        async with lock:
            if base64_mode:
                await pipe.send_text(bytes([ord("0") + channel]) + base64.b64encode(payload))
            else:
                await pipe.send(bytes([channel]) + payload)

    writers: dict[int, asyncio.StreamWriter] = {}

    async def downstream(channel: int, reader: asyncio.StreamReader) -> None:
        try:
            while chunk := await reader.read(READ_SIZE):
                await send(channel, chunk)
        except ConnectionError as failure:
            logger.debug("port-forward channel %d ended: %s", channel, failure)

    async with task_group() as group:
        readers = []
        for index, port in enumerate(ports):
            await send(2 * index, struct.pack("<H", port))
            await send(2 * index + 1, struct.pack("<H", port))
            try:
                reader, writers[2 * index] = await connect(port)
            except OSError as failure:
                await send(2 * index + 1, f"error forwarding port {port}: {failure}".encode())
                continue
            readers.append(group.create_task(downstream(2 * index, reader)))
        while message := await pipe.receive():
            channel, payload = _split(message, base64_mode)
            if writer := writers.get(channel):
                writer.write(payload)
                await writer.drain()
        for writer in writers.values():
            writer.close()
        for task in readers:
            task.cancel()


def _split(message: bytes, base64_mode: bool) -> tuple[int, bytes]:
    if not base64_mode:
        return message[0], message[1:]
    try:
        return message[0] - ord("0"), base64.b64decode(message[1:])
    except binascii.Error:
        return -1, b""

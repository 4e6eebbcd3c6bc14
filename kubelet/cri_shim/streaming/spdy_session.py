"""A SPDY connection at work: reads a byte pipe, hands out streams, writes what they send."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from kubelet.cri_shim.streaming.pipes import BytePipe
from kubelet.cri_shim.streaming.spdy import (
    PROTOCOL_ERROR,
    GoneAway,
    SpdyConnection,
    SpdyError,
    StreamData,
    StreamOpened,
    StreamReplied,
    StreamReset,
)


class SpdyStream:
    """One stream: bytes in, bytes out, each direction ends on its own."""

    def __init__(self, session: SpdySession, stream_id: int, headers: Mapping[str, str]) -> None:
        self._session = session
        self.stream_id = stream_id
        self.headers = dict(headers)
        self.replied = asyncio.Event()
        self.incoming: asyncio.Queue[bytes] = asyncio.Queue(64)
        self._ended = False
        self._finished = False

    async def read(self) -> bytes:
        """The next bytes; empty once the peer has finished."""
        if self._ended:
            return b""
        data = await self.incoming.get()
        if not data:
            self._ended = True
            self._forget()
        return data

    async def write(self, data: bytes) -> None:
        if self._finished:
            return
        self._session.connection.send(self.stream_id, data)
        await self._session.flush()

    async def finish(self) -> None:
        if self._finished:
            return
        self._finished = True
        self._session.connection.send(self.stream_id, b"", fin=True)
        await self._session.flush()
        self._forget()

    async def reset(self) -> None:
        self._finished = self._ended = True
        self._session.connection.reset(self.stream_id, PROTOCOL_ERROR)
        await self._session.flush()
        self._forget()

    def _forget(self) -> None:
        if self._ended and self._finished:
            self._session.forget(self.stream_id)


class SpdySession:
    """`run` is the reading loop; streams the peer opens come out of `accept`."""

    def __init__(self, pipe: BytePipe, *, server: bool = True) -> None:
        self._pipe = pipe
        self.connection = SpdyConnection(server=server)
        self._streams: dict[int, SpdyStream] = {}
        self._accepted: asyncio.Queue[SpdyStream | None] = asyncio.Queue(256)
        self._write_lock = asyncio.Lock()

    async def run(self) -> None:
        """Read until the peer is gone; every stream then reads as ended."""
        try:
            while data := await self._pipe.receive():
                for event in self.connection.receive(data):
                    await self._handle(event)
                await self.flush()
        except SpdyError:
            self.connection.go_away(PROTOCOL_ERROR)
            await self.flush()
        finally:
            for stream in list(self._streams.values()):
                _push_end(stream)
            if not self._accepted.full():
                self._accepted.put_nowait(None)

    async def accept(self) -> SpdyStream | None:
        return await self._accepted.get()

    async def open(self, headers: Mapping[str, str]) -> SpdyStream:
        stream = SpdyStream(self, self.connection.open_stream(headers), headers)
        self._streams[stream.stream_id] = stream
        await self.flush()
        return stream

    def forget(self, stream_id: int) -> None:
        self._streams.pop(stream_id, None)
        self.connection.closed(stream_id)

    async def flush(self) -> None:
        async with self._write_lock:
            output = self.connection.take_output()
            if output:
                try:
                    await self._pipe.send(output)
                except ConnectionError:
                    return

    async def close(self) -> None:
        self.connection.go_away()
        await self.flush()
        await self._pipe.close()

    async def _handle(self, event: object) -> None:
        match event:
            case StreamOpened(stream_id, headers, finished):
                stream = SpdyStream(self, stream_id, headers)
                self._streams[stream_id] = stream
                if finished:
                    _push_end(stream)
                self.connection.reply(stream_id)
                await self._accepted.put(stream)
            case StreamReplied(stream_id, _):
                if stream_id in self._streams:
                    self._streams[stream_id].replied.set()
            case StreamData(stream_id, data, finished):
                if found := self._streams.get(stream_id):
                    if data:
                        await found.incoming.put(data)
                    if finished:
                        await found.incoming.put(b"")
            case StreamReset(stream_id, _):
                if found := self._streams.get(stream_id):
                    _push_end(found)
            case GoneAway():
                pass


def _push_end(stream: SpdyStream) -> None:
    if stream.incoming.full():
        # The reader is behind and the peer gone: what it has not read yet gives way to the end mark.
        stream.incoming.get_nowait()
    stream.incoming.put_nowait(b"")

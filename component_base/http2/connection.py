"""What both ends of an HTTP/2 connection have in common: frames, flow control, pings, and ending it.

What is written during one turn of the loop leaves in one piece at its end: with many calls in flight, the system calls
are shared among them.
"""

from __future__ import annotations

import asyncio
import logging
import struct
from collections import deque
from dataclasses import dataclass
from typing import Any, Final, cast

from component_base.http2.headers import HeaderDecoder, HeaderError, Headers

log = logging.getLogger(__name__)

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM: Final = 1
ACK: Final = 1
END_HEADERS: Final = 4
PADDED: Final = 8
HAS_PRIORITY: Final = 32
NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR = 0, 1, 2, 3
FRAME_SIZE_ERROR: Final = 6
REFUSED_STREAM: Final = 7
CANCEL: Final = 8
COMPRESSION_ERROR: Final = 9
ENHANCE_YOUR_CALM: Final = 11
_INITIAL_WINDOW_SIZE: Final = 4
_MAX_FRAME: Final = 16384
_DEFAULT_WINDOW: Final = 65535
_STREAM_WINDOW: Final = 4 * 1024 * 1024
_CONNECTION_WINDOW: Final = 64 * 1024 * 1024
_MAX_WINDOW: Final = 2**31 - 1
_HEAD: Final = struct.Struct(">BHBBI").pack
_FLUSH_BYTES: Final = 256 * 1024
_RESETS_PER_SECOND: Final = 1000
_PINGS_TOO_MANY: Final = 2
_IDLE_PING_SECONDS: Final = 7200.0


def frame(kind: int, flags: int, stream_id: int, payload: bytes = b"") -> bytes:
    size = len(payload)
    return _HEAD(size >> 16, size & 0xFFFF, kind, flags, stream_id) + payload


class ConnectionFault(Exception):
    """The peer broke the protocol; the connection ends with this code."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


def _unpadded(payload: bytes) -> bytes:
    if not payload or payload[0] >= len(payload):
        raise ConnectionFault(PROTOCOL_ERROR, "more padding than there is room for")
    return payload[1 : len(payload) - payload[0]]


@dataclass(frozen=True, slots=True)
class Keepalive:
    """How an end asks whether its peer still lives, and how often it lets the peer ask (gRFC A8 and A9).

    Who asks sooner than `min_ping_seconds` after it last asked gets a strike, as does who asks twice within two hours
    while it has no calls. Anything sent for a call wipes strikes out; the third in a row ends the connection by
    `too_many_pings`. 0: everybody may ask at will.
    """

    ping_seconds: float = 7200.0
    """Silence after which the peer is asked."""
    pong_seconds: float = 10.0
    """Further silence that ends the connection."""
    asks_when_idle: bool = True
    """Whether it also asks while no call is under way. Servers give strikes to clients that do."""
    min_ping_seconds: float = 0.0


class Stream:
    """One call. Messages arrive in `messages`; once `ended` is set, no more of them come."""

    __slots__ = (
        "_arrival",
        "body",
        "ended",
        "id",
        "messages",
        "room",
        "tail",
        "uncredited",
        "unsent",
        "window",
    )

    def __init__(self, stream_id: int, window: int) -> None:
        self.id = stream_id
        self.window = window
        self.body = bytearray()
        self.messages: deque[bytes] = deque()
        self.ended = False
        self.uncredited = 0
        self.unsent: deque[memoryview] = deque()
        self.tail = b""
        self.room: asyncio.Future[None] | None = None
        self._arrival: asyncio.Future[None] | None = None

    def arrived(self) -> None:
        """Wake who waits in `wait`."""
        arrival = self._arrival
        if arrival is not None and not arrival.done():
            arrival.set_result(None)

    async def wait(self) -> None:
        """Until something arrives."""
        self._arrival = asyncio.get_running_loop().create_future()
        try:
            await self._arrival
        finally:
            self._arrival = None

    def sent(self) -> None:
        if self.room is not None and not self.room.done():
            self.room.set_result(None)


class Connection(asyncio.Protocol):
    """Subclasses are told of headers, messages and resets, and use `send_headers` and `send_message`."""

    def __init__(self, max_message_bytes: int, keepalive: Keepalive) -> None:
        self._loop = asyncio.get_running_loop()
        self._max_message = max_message_bytes
        self._keepalive = keepalive
        self.transport: asyncio.Transport
        self.streams: dict[int, Any] = {}
        self.is_closed = False
        self._buffer = b""
        self._decoder = HeaderDecoder()
        self._block: tuple[int, int, bytearray] | None = None
        self._out: list[bytes] = []
        self._out_bytes = 0
        self._window = _DEFAULT_WINDOW
        self._stream_window = _DEFAULT_WINDOW
        self._uncredited = 0
        self._blocked: dict[int, Stream] = {}
        self._is_paused = False
        self._resumed: asyncio.Future[None] | None = None
        self._heard = True
        self._pinger: asyncio.TimerHandle | None = None
        self._resets = 0.0
        self._reset_at = 0.0
        self._pinged_at = float("-inf")
        self._ping_strikes = 0
        self._has_answered = False
        self._last_id = 0
        self.bytes_received = 0
        self.bytes_sent = 0

    # What subclasses provide

    def on_headers(self, stream_id: int, headers: Headers, ends: bool) -> None:
        raise NotImplementedError

    def on_message(self, stream: Any) -> None:
        """Something was added to its messages, or it ended."""
        raise NotImplementedError

    def on_reset(self, stream: Any, code: int) -> None:
        raise NotImplementedError

    def on_goaway(self, last_stream_id: int) -> None:
        """The peer takes no new streams."""

    def on_too_large(self, stream: Any, size: int) -> None:
        raise NotImplementedError

    def on_compressed(self, stream: Any, message: bytes) -> bytes | None:
        """The message unpacked; None if the call was refused because of it."""
        raise ConnectionFault(PROTOCOL_ERROR, "compressed messages were not agreed on")

    # asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(high=1 << 20)
        settings = _INITIAL_WINDOW_SIZE.to_bytes(2, "big") + _STREAM_WINDOW.to_bytes(4, "big")
        more = (_CONNECTION_WINDOW - _DEFAULT_WINDOW).to_bytes(4, "big")
        self.write(frame(SETTINGS, 0, 0, settings) + frame(WINDOW_UPDATE, 0, 0, more))
        self._pinger = self._loop.call_later(self._keepalive.ping_seconds, self._ping)

    def connection_lost(self, error: Exception | None) -> None:
        self.is_closed = True
        if self._pinger is not None:
            self._pinger.cancel()
        self.resume_writing()
        self._blocked.clear()
        for stream in list(self.streams.values()):
            stream.unsent.clear()
            stream.sent()
            self.on_reset(stream, CANCEL)
        self.streams.clear()

    def pause_writing(self) -> None:
        self._is_paused = True

    def resume_writing(self) -> None:
        self._is_paused = False
        if self._resumed is not None and not self._resumed.done():
            self._resumed.set_result(None)

    def data_received(self, data: bytes) -> None:
        self._heard = True
        self.bytes_received += len(data)
        buffer = self._buffer + data if self._buffer else data
        position, end = 0, len(buffer)
        try:
            while end - position >= 9:
                size = int.from_bytes(buffer[position : position + 3], "big")
                if size > _MAX_FRAME:
                    raise ConnectionFault(FRAME_SIZE_ERROR, "a frame is too large")
                start = position + 9
                position = start + size
                if position > end:
                    position = start - 9
                    break
                self._frame(
                    buffer[start - 6],
                    buffer[start - 5],
                    int.from_bytes(buffer[start - 4 : start], "big") & 0x7FFFFFFF,
                    buffer[start:position],
                )
        except ConnectionFault as fault:
            self.fail(fault)
            return
        except HeaderError as error:
            self.fail(ConnectionFault(COMPRESSION_ERROR, str(error)))
            return
        self._buffer = buffer[position:] if position < end else b""

    def fail(self, fault: ConnectionFault) -> None:
        log.info("ending an HTTP/2 connection: %s", fault)
        self.write(
            frame(GOAWAY, 0, 0, self._last_id.to_bytes(4, "big") + fault.code.to_bytes(4, "big") + str(fault).encode())
        )
        self.close()

    def close(self) -> None:
        self.flush()
        self.is_closed = True
        self.transport.close()

    # Frames

    def _frame(self, kind: int, flags: int, stream_id: int, payload: bytes) -> None:
        if self._block is not None and (kind != CONTINUATION or stream_id != self._block[0]):
            raise ConnectionFault(PROTOCOL_ERROR, "a header block was interrupted")
        if kind == DATA:
            self._data(flags, stream_id, payload)
        elif kind == HEADERS:
            self._headers(flags, stream_id, payload)
        elif kind == WINDOW_UPDATE:
            self._window_update(stream_id, payload)
        elif kind == PING:
            if not flags & ACK:
                self.write(frame(PING, ACK, 0, payload))
                self._count_ping()
        elif kind == SETTINGS:
            if not flags & ACK:
                self._settings(payload)
        elif kind == RST_STREAM:
            self._count_reset()
            stream = self.streams.pop(stream_id, None)
            if stream is not None:
                self._drop(stream)
                self.on_reset(stream, int.from_bytes(payload[:4], "big"))
        elif kind == GOAWAY:
            self.on_goaway(int.from_bytes(payload[:4], "big") & 0x7FFFFFFF)
        elif kind == CONTINUATION:
            self._continuation(flags, payload)
        elif kind == PUSH:
            raise ConnectionFault(PROTOCOL_ERROR, "push is not accepted")

    def _count_reset(self) -> None:
        """A peer that begins calls only to reset them would keep us busy for nothing."""
        now = self._loop.time()
        self._resets = max(0.0, self._resets - (now - self._reset_at) * _RESETS_PER_SECOND) + 1
        self._reset_at = now
        if self._resets > 2 * _RESETS_PER_SECOND:
            raise ConnectionFault(ENHANCE_YOUR_CALM, "too many calls were reset")

    def _count_ping(self) -> None:
        now, pinged_at = self._loop.time(), self._pinged_at
        self._pinged_at = now
        apart = self._keepalive.min_ping_seconds
        if self._has_answered or not apart:
            self._has_answered = False
            self._ping_strikes = 0
        elif now - pinged_at < (apart if self.streams else _IDLE_PING_SECONDS):
            self._ping_strikes += 1
            if self._ping_strikes > _PINGS_TOO_MANY:
                raise ConnectionFault(ENHANCE_YOUR_CALM, "too_many_pings")

    def _headers(self, flags: int, stream_id: int, payload: bytes) -> None:
        if flags & PADDED:
            payload = _unpadded(payload)
        if flags & HAS_PRIORITY:
            payload = payload[5:]
        if flags & END_HEADERS:
            self.on_headers(stream_id, self._decoder.decode(payload), bool(flags & END_STREAM))
        else:
            self._block = (stream_id, flags, bytearray(payload))

    def _continuation(self, flags: int, payload: bytes) -> None:
        if self._block is None:
            raise ConnectionFault(PROTOCOL_ERROR, "a continuation of nothing")
        stream_id, first_flags, block = self._block
        block += payload
        if len(block) > _STREAM_WINDOW:
            raise ConnectionFault(ENHANCE_YOUR_CALM, "a header block is too large")
        if flags & END_HEADERS:
            self._block = None
            self.on_headers(stream_id, self._decoder.decode(bytes(block)), bool(first_flags & END_STREAM))

    def _data(self, flags: int, stream_id: int, payload: bytes) -> None:
        size = len(payload)
        self._uncredited += size
        if self._uncredited > _CONNECTION_WINDOW // 2:
            self.write(frame(WINDOW_UPDATE, 0, 0, self._uncredited.to_bytes(4, "big")))
            self._uncredited = 0
        stream = self.streams.get(stream_id)
        if stream is None:
            return
        if flags & PADDED:
            payload = _unpadded(payload)
        if size:
            stream.uncredited += size
            self._take(stream, payload)
        if flags & END_STREAM:
            stream.ended = True
        self.credit(stream)
        self.on_message(stream)

    def _take(self, stream: Stream, payload: bytes) -> None:
        """Cut the stream's bytes into messages: a flag for compression, a length, the message."""
        if not stream.body and len(payload) >= 5 and int.from_bytes(payload[1:5], "big") == len(payload) - 5:
            self._message(stream, payload[0], payload[5:])
            return
        body = stream.body
        body += payload
        while len(body) >= 5:
            size = int.from_bytes(body[1:5], "big")
            if size > self._max_message:
                body.clear()
                self.on_too_large(stream, size)
                return
            if len(body) < 5 + size:
                return
            self._message(stream, body[0], bytes(body[5 : 5 + size]))
            del body[: 5 + size]

    def _message(self, stream: Stream, compression: int, message: bytes) -> None:
        unpacked = self.on_compressed(stream, message) if compression else message
        if unpacked is not None:
            stream.messages.append(unpacked)

    def credit(self, stream: Stream) -> None:
        """Let the peer send more, unless the reader is far behind."""
        if stream.uncredited > _STREAM_WINDOW // 2 and len(stream.messages) < 16 and not stream.ended:
            self.write(frame(WINDOW_UPDATE, 0, stream.id, stream.uncredited.to_bytes(4, "big")))
            stream.uncredited = 0

    def _window_update(self, stream_id: int, payload: bytes) -> None:
        more = int.from_bytes(payload[:4], "big") & 0x7FFFFFFF
        if stream_id:
            stream = self.streams.get(stream_id)
            if stream is not None:
                stream.window += more
                if stream.window > _MAX_WINDOW:
                    raise ConnectionFault(FLOW_CONTROL_ERROR, "a stream's window has overflown")
                if stream.unsent:
                    self._pump(stream)
            return
        self._window += more
        if self._window > _MAX_WINDOW:
            raise ConnectionFault(FLOW_CONTROL_ERROR, "the window has overflown")
        for stream in list(self._blocked.values()):
            self._pump(stream)

    def _settings(self, payload: bytes) -> None:
        # The peer counts by the new size from the acknowledgement on: nothing may go by it before.
        self.write(frame(SETTINGS, ACK, 0))
        for start in range(0, len(payload) - 5, 6):
            if int.from_bytes(payload[start : start + 2], "big") == _INITIAL_WINDOW_SIZE:
                size = int.from_bytes(payload[start + 2 : start + 6], "big")
                if size > _MAX_WINDOW:
                    raise ConnectionFault(FLOW_CONTROL_ERROR, "the initial window is too large")
                delta, self._stream_window = size - self._stream_window, size
                for stream in list(self.streams.values()):
                    stream.window += delta
                    if stream.unsent:
                        self._pump(stream)

    # Sending

    @property
    def initial_window(self) -> int:
        return self._stream_window

    def write(self, data: bytes) -> None:
        if not self._out:
            self._loop.call_soon(self.flush)
        self._out.append(data)
        self._out_bytes += len(data)
        if self._out_bytes > _FLUSH_BYTES:
            self.flush()

    def flush(self) -> None:
        if self._out and not self.transport.is_closing():
            self.transport.write(b"".join(self._out) if len(self._out) > 1 else self._out[0])
        self._out.clear()
        self.bytes_sent += self._out_bytes
        self._out_bytes = 0

    def send_message(self, stream: Stream, message: bytes, before: bytes = b"", after: bytes = b"") -> None:
        """A message between frames that go out with it: nothing of them is subject to flow control.

        `after` is written when the whole message is.
        """
        self._has_answered = True
        size = len(message) + 5
        head = b"\0" + (size - 5).to_bytes(4, "big")
        if not stream.unsent and size <= _MAX_FRAME and size <= stream.window and size <= self._window:
            stream.window -= size
            self._window -= size
            self.write(before + frame(DATA, 0, stream.id, head + message) + after)
            return
        if before:
            self.write(before)
        stream.unsent.append(memoryview(head + message))
        stream.tail += after
        self._blocked[stream.id] = stream
        self._pump(stream)

    def send_after(self, stream: Stream, frames: bytes) -> None:
        """Frames that must not overtake the stream's messages."""
        self._has_answered = True
        if stream.unsent:
            stream.tail += frames
        else:
            self.write(frames)

    def _pump(self, stream: Stream) -> None:
        """Send what the windows allow."""
        while stream.unsent:
            part = stream.unsent[0]
            size = min(len(part), _MAX_FRAME, stream.window, self._window)
            if size <= 0:
                return
            stream.window -= size
            self._window -= size
            self.write(frame(DATA, 0, stream.id, bytes(part[:size])))
            if size == len(part):
                stream.unsent.popleft()
            else:
                stream.unsent[0] = part[size:]
        self._blocked.pop(stream.id, None)
        if stream.tail:
            self.write(stream.tail)
            stream.tail = b""
        stream.sent()

    async def drained(self, stream: Stream) -> None:
        """Until the peer and the socket take more."""
        while stream.unsent and not self.is_closed:
            stream.room = self._loop.create_future()
            try:
                await stream.room
            finally:
                stream.room = None
        while self._is_paused and not self.is_closed:
            if self._resumed is None or self._resumed.done():
                self._resumed = self._loop.create_future()
            await asyncio.shield(self._resumed)

    def reset(self, stream: Stream, code: int) -> None:
        self.streams.pop(stream.id, None)
        self._drop(stream)
        if not self.is_closed:
            self.write(frame(RST_STREAM, 0, stream.id, code.to_bytes(4, "big")))

    def _drop(self, stream: Stream) -> None:
        self._blocked.pop(stream.id, None)
        stream.unsent.clear()
        stream.tail = b""
        stream.sent()

    # Keep-alive

    def _ping(self) -> None:
        """A connection on which nothing was heard is asked; silence after that ends it."""
        if self._heard or not (self.streams or self._keepalive.asks_when_idle):
            self._heard = False
            self._pinger = self._loop.call_later(self._keepalive.ping_seconds, self._ping)
            return
        self.write(frame(PING, 0, 0, b"skiff-ka"))
        self._pinger = self._loop.call_later(self._keepalive.pong_seconds, self._check_pong)

    def _check_pong(self) -> None:
        if self._heard:
            self._pinger = self._loop.call_later(self._keepalive.ping_seconds, self._ping)
        else:
            log.info("a peer has gone silent: no answer to a ping within %g s", self._keepalive.pong_seconds)
            self.is_closed = True
            self.transport.abort()

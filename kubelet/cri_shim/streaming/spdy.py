"""SPDY/3.1 frames as a machine without input or output.

Bytes from the peer go into `receive`, events come out; bytes for the peer collect in `take_output`. Only what kubectl
and the Go library behind it speak is here: streams, headers, data, resets, pings, GOAWAY. Window updates are read and
ignored: that library neither sends nor heeds them, so a sender that waited for one would wait for ever; TCP brakes.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

_LENGTH_PREFIXED = (
    "options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age allow "
    "authorization cache-control connection content-base content-encoding content-language content-length "
    "content-location content-md5 content-range content-type date etag expect expires from host if-match "
    "if-modified-since if-none-match if-range if-unmodified-since last-modified location max-forwards pragma "
    "proxy-authenticate proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade "
    "user-agent vary via warning www-authenticate method get status|200 OK|version HTTP/1.1 url public set-cookie "
    "keep-alive origin"
)
_TAIL = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505203 Non-Authoritative "
    "Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden404 Not Found500 "
    "Internal Server Error501 Not Implemented503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec "
    "00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,application/xml,"
    "application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset="
    "iso-8859-1,utf-,*,enq=0."
)


def _dictionary() -> bytes:
    words: list[str] = []
    for position, part in enumerate(_LENGTH_PREFIXED.split("|")):
        words.extend([part] if position == 1 else part.split())
    prefixed = b"".join(struct.pack(">I", len(word)) + word.encode() for word in words)
    return prefixed + _TAIL.encode()


DICTIONARY = _dictionary()

SYN_STREAM, SYN_REPLY, RST_STREAM, SETTINGS, PING, GOAWAY, HEADERS, WINDOW_UPDATE = 1, 2, 3, 4, 6, 7, 8, 9
FLAG_FIN = 1
PROTOCOL_ERROR, INVALID_STREAM, REFUSED_STREAM = 1, 2, 3
MAX_FRAME = 1 << 20
MAX_HEADER_BLOCK = 64 << 10
MAX_STREAMS = 4096


class SpdyError(Exception):
    """The peer broke the protocol; the connection cannot go on."""


@dataclass(frozen=True, slots=True)
class StreamOpened:
    stream_id: int
    headers: dict[str, str]
    finished: bool


@dataclass(frozen=True, slots=True)
class StreamReplied:
    stream_id: int
    headers: dict[str, str]


@dataclass(frozen=True, slots=True)
class StreamData:
    stream_id: int
    data: bytes
    finished: bool


@dataclass(frozen=True, slots=True)
class StreamReset:
    stream_id: int
    status: int


@dataclass(frozen=True, slots=True)
class GoneAway:
    last_stream_id: int


Event = StreamOpened | StreamReplied | StreamData | StreamReset | GoneAway


class SpdyConnection:
    """One side of a connection; `server` decides which stream ids are ours."""

    def __init__(self, *, server: bool) -> None:
        self._next_id = 2 if server else 1
        self._peer_parity = 1 if server else 0
        self._last_peer_id = 0
        self._open: set[int] = set()
        self._buffer = bytearray()
        self._output: list[bytes] = []
        self._inflate = zlib.decompressobj(zdict=DICTIONARY)
        self._deflate = zlib.compressobj(level=6, zdict=DICTIONARY)

    def take_output(self) -> bytes:
        output = b"".join(self._output)
        self._output.clear()
        return output

    def receive(self, data: bytes) -> list[Event]:
        self._buffer += data
        events: list[Event] = []
        while len(self._buffer) >= 8:
            head, tail = struct.unpack_from(">II", self._buffer)
            length, flags = tail & 0xFFFFFF, tail >> 24
            if length > MAX_FRAME:
                raise SpdyError(f"a frame of {length} bytes is over the limit of {MAX_FRAME}")
            if len(self._buffer) < 8 + length:
                break
            body = bytes(self._buffer[8 : 8 + length])
            del self._buffer[: 8 + length]
            events.extend(self._frame(head, flags, body))
        return events

    def open_stream(self, headers: Mapping[str, str], *, fin: bool = False) -> int:
        stream_id, self._next_id = self._next_id, self._next_id + 2
        self._open.add(stream_id)
        block = struct.pack(">IIBB", stream_id, 0, 0, 0) + self._compress(headers)
        self._control(SYN_STREAM, FLAG_FIN if fin else 0, block)
        return stream_id

    def reply(self, stream_id: int, headers: Mapping[str, str] | None = None) -> None:
        self._control(SYN_REPLY, 0, struct.pack(">I", stream_id) + self._compress(headers or {}))

    def send(self, stream_id: int, data: bytes, *, fin: bool = False) -> None:
        pieces = [data[start : start + 0x8000] for start in range(0, len(data), 0x8000)] or [b""]
        for index, piece in enumerate(pieces):
            flags = FLAG_FIN if fin and index == len(pieces) - 1 else 0
            self._output.append(struct.pack(">II", stream_id, flags << 24 | len(piece)) + piece)

    def reset(self, stream_id: int, status: int) -> None:
        self._open.discard(stream_id)
        self._control(RST_STREAM, 0, struct.pack(">II", stream_id, status))

    def go_away(self, status: int = 0) -> None:
        self._control(GOAWAY, 0, struct.pack(">II", self._last_peer_id, status))

    def ping(self, ping_id: int) -> None:
        self._control(PING, 0, struct.pack(">I", ping_id))

    def _control(self, kind: int, flags: int, body: bytes) -> None:
        self._output.append(struct.pack(">HHI", 0x8003, kind, flags << 24 | len(body)) + body)

    def _frame(self, head: int, flags: int, body: bytes) -> Iterable[Event]:
        if not head & 0x80000000:
            if head not in self._open:
                self.reset(head, INVALID_STREAM)
                return []
            return [StreamData(head, body, bool(flags & FLAG_FIN))]
        if head >> 16 != 0x8003:
            raise SpdyError(f"version {head >> 16 & 0x7FFF} is not SPDY/3")
        kind = head & 0xFFFF
        if kind == SYN_STREAM:
            return self._opened(flags, body)
        if kind in (SETTINGS, WINDOW_UPDATE):
            return []
        if len(body) < 4:
            raise SpdyError(f"control frame {kind} is too short")
        stream_id = struct.unpack_from(">I", body)[0] & 0x7FFFFFFF
        if kind == SYN_REPLY:
            return [StreamReplied(stream_id, self._decompress(body[4:]))]
        if kind == HEADERS:
            # The block must be read even when nobody wants it: the compression context spans all blocks.
            self._decompress(body[4:])
            return [StreamData(stream_id, b"", True)] if flags & FLAG_FIN else []
        if kind == RST_STREAM:
            self._open.discard(stream_id)
            return [StreamReset(stream_id, struct.unpack_from(">I", body, 4)[0] if len(body) >= 8 else 0)]
        if kind == PING:
            if stream_id & 1 == self._peer_parity:
                self.ping(stream_id)
            return []
        if kind == GOAWAY:
            return [GoneAway(stream_id)]
        return []

    def _opened(self, flags: int, body: bytes) -> list[Event]:
        if len(body) < 10:
            raise SpdyError("a SYN_STREAM frame is too short")
        stream_id = struct.unpack_from(">I", body)[0] & 0x7FFFFFFF
        headers = self._decompress(body[10:])
        if stream_id & 1 != self._peer_parity or stream_id <= self._last_peer_id:
            self.reset(stream_id, PROTOCOL_ERROR)
            return []
        if len(self._open) >= MAX_STREAMS:
            self.reset(stream_id, REFUSED_STREAM)
            return []
        self._last_peer_id = stream_id
        self._open.add(stream_id)
        return [StreamOpened(stream_id, headers, bool(flags & FLAG_FIN))]

    def closed(self, stream_id: int) -> None:
        """Both directions of the stream have ended: forget it."""
        self._open.discard(stream_id)

    def _compress(self, headers: Mapping[str, str]) -> bytes:
        block = struct.pack(">I", len(headers))
        for name, value in headers.items():
            for text in (name.lower().encode(), value.encode()):
                block += struct.pack(">I", len(text)) + text
        return self._deflate.compress(block) + self._deflate.flush(zlib.Z_SYNC_FLUSH)

    def _decompress(self, block: bytes) -> dict[str, str]:
        try:
            raw = self._inflate.decompress(block, MAX_HEADER_BLOCK)
        except zlib.error as error:
            raise SpdyError(f"a header block cannot be read: {error}") from error
        if self._inflate.unconsumed_tail:
            raise SpdyError(f"a header block is over the limit of {MAX_HEADER_BLOCK} bytes")
        return _parse_headers(raw)


def _parse_headers(raw: bytes) -> dict[str, str]:
    position = 4

    def text() -> str:
        nonlocal position
        (length,) = struct.unpack_from(">I", raw, position)
        start, position = position + 4, position + 4 + length
        if position > len(raw):
            raise SpdyError("a header reaches beyond its block")
        return raw[start:position].decode("utf-8", "replace")

    try:
        (count,) = struct.unpack_from(">I", raw)
        headers: dict[str, str] = {}
        for _ in range(count):
            name = text()
            headers[name] = text()
        return headers
    except struct.error as error:
        raise SpdyError("a header block is cut short") from error

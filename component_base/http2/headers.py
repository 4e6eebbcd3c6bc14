"""HPACK (RFC 7541), as far as a gRPC endpoint needs it: any peer's blocks are read, own blocks use no dynamic table.

A client sends the same block with each call of a method, so decoded blocks are kept until the dynamic table changes.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from hpack.exceptions import HPACKError
from hpack.huffman_table import decode_huffman
from hpack.table import HeaderTable

Headers = tuple[tuple[str, str], ...]

_STATIC: Final = tuple(
    (bytes(name).decode("latin-1"), bytes(value).decode("latin-1")) for name, value in HeaderTable.STATIC_TABLE
)
_STATIC_SIZE: Final = len(_STATIC)
_ENTRY_OVERHEAD: Final = 32
_TABLE_BYTES: Final = 4096
_CACHED_BLOCKS: Final = 128
MAX_HEADER_BYTES: Final = 64 * 1024


class HeaderError(Exception):
    """The block cannot be decoded; the connection's table is lost with it."""


class HeaderDecoder:
    """One direction of one connection."""

    def __init__(self) -> None:
        self._dynamic: deque[tuple[str, str]] = deque()
        self._size = 0
        self._limit = _TABLE_BYTES
        self._known: dict[bytes, Headers] = {}

    def decode(self, block: bytes) -> Headers:
        found = self._known.get(block)
        if found is not None:
            return found
        changes_before = self._changes = 0
        try:
            headers = self._decode(block)
        except (IndexError, ValueError, HPACKError) as error:
            raise HeaderError(f"malformed header block: {error}") from None
        if self._changes == changes_before:
            if len(self._known) >= _CACHED_BLOCKS:
                self._known.clear()
            self._known[block] = headers
        return headers

    def _decode(self, block: bytes) -> Headers:
        headers: list[tuple[str, str]] = []
        position, end, total = 0, len(block), 0
        while position < end:
            first = block[position]
            if first & 0x80:
                index, position = _integer(block, position, 7)
                header = self._entry(index)
            elif first & 0x40:
                header, position = self._literal(block, position, 6)
                self._insert(header)
            elif first & 0x20:
                limit, position = _integer(block, position, 5)
                if limit > _TABLE_BYTES:
                    raise ValueError("table size beyond the setting")
                self._limit = limit
                self._evict()
                continue
            else:
                header, position = self._literal(block, position, 4)
            total += len(header[0]) + len(header[1]) + _ENTRY_OVERHEAD
            if total > MAX_HEADER_BYTES:
                raise ValueError("headers are too large")
            headers.append(header)
        return tuple(headers)

    def _literal(self, block: bytes, position: int, bits: int) -> tuple[tuple[str, str], int]:
        index, position = _integer(block, position, bits)
        if index:
            name = self._entry(index)[0]
        else:
            name, position = _string(block, position)
        value, position = _string(block, position)
        return (name, value), position

    def _entry(self, index: int) -> tuple[str, str]:
        if not index:
            raise ValueError("index 0")
        if index <= _STATIC_SIZE:
            return _STATIC[index - 1]
        return self._dynamic[index - _STATIC_SIZE - 1]

    def _insert(self, header: tuple[str, str]) -> None:
        self._dynamic.appendleft(header)
        self._size += len(header[0]) + len(header[1]) + _ENTRY_OVERHEAD
        self._evict()

    def _evict(self) -> None:
        self._changes += 1
        self._known.clear()
        while self._size > self._limit:
            name, value = self._dynamic.pop()
            self._size -= len(name) + len(value) + _ENTRY_OVERHEAD


def _integer(block: bytes, position: int, bits: int) -> tuple[int, int]:
    limit = (1 << bits) - 1
    value = block[position] & limit
    position += 1
    if value < limit:
        return value, position
    shift = 0
    while True:
        byte = block[position]
        position += 1
        value += (byte & 127) << shift
        if byte < 128:
            return value, position
        shift += 7
        if shift > 28:
            raise ValueError("an integer is too long")


def _string(block: bytes, position: int) -> tuple[str, int]:
    is_huffman = block[position] & 0x80
    length, position = _integer(block, position, 7)
    end = position + length
    if end > len(block):
        raise ValueError("a string goes beyond the block")
    raw = block[position:end]
    return (bytes(decode_huffman(raw)) if is_huffman else raw).decode("latin-1"), end


def encode(headers: Headers) -> bytes:
    """A block of literals: it means the same on every connection, so it can be made once."""
    out = bytearray()
    for name, value in headers:
        try:
            out += _length(_STATIC.index((name, value)) + 1, 7, 0x80)
        except ValueError:
            out += b"\0" + _text(name) + _text(value)
    return bytes(out)


def _text(text: str) -> bytes:
    raw = text.encode("latin-1")
    return _length(len(raw), 7, 0) + raw


def _length(value: int, bits: int, flags: int) -> bytes:
    limit = (1 << bits) - 1
    if value < limit:
        return bytes([flags | value])
    out = bytearray([flags | limit])
    value -= limit
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)

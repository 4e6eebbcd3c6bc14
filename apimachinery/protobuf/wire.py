"""The protobuf wire format: tags, varints and lengths, read with limits and written canonically."""

from __future__ import annotations

import struct
from collections.abc import Iterator

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5
_DOUBLE = struct.Struct("<d")
_SIGN, _WRAP = 1 << 63, 1 << 64


class WireError(ValueError):
    """Bytes that are no protobuf message, or end too early."""


def read_varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    """An unsigned number and the position after it."""
    value = shift = 0
    while True:
        if at >= end:
            raise WireError("unexpected EOF")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & (_WRAP - 1), at
        shift += 7
        if shift > 63:
            raise WireError("proto: integer overflow")


def fields(data: bytes, at: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Number, wire type and extent (start, end) of each field; a varint's start is its value, its end is -1."""
    while at < end:
        tag, at = read_varint(data, at, end)
        number, kind = tag >> 3, tag & 7
        if number == 0:
            raise WireError("proto: illegal tag 0")
        if kind == VARINT:
            value, at = read_varint(data, at, end)
            yield number, kind, value, -1
            continue
        if kind == LENGTH:
            size, at = read_varint(data, at, end)
        elif kind == FIXED64:
            size = 8
        elif kind == FIXED32:
            size = 4
        else:
            raise WireError(f"proto: illegal wireType {kind}")
        if size > end - at:
            raise WireError("unexpected EOF")
        yield number, kind, at, at + size
        at += size


def signed(value: int) -> int:
    return value - _WRAP if value & _SIGN else value


def double(data: bytes, at: int) -> float:
    number: float = _DOUBLE.unpack_from(data, at)[0]
    return number


def varint(value: int) -> bytes:
    """A number, negative ones as ten bytes of two's complement."""
    if 0 <= value < 0x80:
        return bytes((value,))
    value &= _WRAP - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def number_field(number: int, value: int) -> bytes:
    return varint(number << 3 | VARINT) + varint(value)


def length_field(number: int, payload: bytes) -> bytes:
    return varint(number << 3 | LENGTH) + varint(len(payload)) + payload


def double_field(number: int, value: float) -> bytes:
    return varint(number << 3 | FIXED64) + _DOUBLE.pack(value)

"""The bytes of the write-ahead log: records inside frames.

A *frame* is what one append writes and one fdatasync makes durable; the next frame is written only after that. So an
unreadable frame that no readable frame follows is a torn, never acknowledged tail, and may be cut; one that a readable
frame does follow was durable once and has been damaged since: that is corruption, and the log must not be used.

    frame   magic u32 | length u32 | sequence u64 | crc u32 (of sequence and payload) | payload | zeros up to 8 bytes
    record  type u8, then
            ENTRY       index u64 | term u64 | kind u8 | length u32 | data
            HARD_STATE  term u64 | vote u64 | commit u64
            SNAPSHOT    index u64 | term u64
            IDENTITY    cluster u64 | member u64 | version u32

All integers are little-endian. Sequences grow by one from frame to frame, across segments.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from enum import IntEnum

import msgspec

from etcd_raft.raft.messages import Entry, EntryKind, HardState

MAGIC = 0x5A57414C
MAGIC_BYTES = MAGIC.to_bytes(4, "little")
ALIGNMENT = 8
MAX_FRAME = 1 << 30
VERSION = 1

_HEADER = struct.Struct("<IIQI")
_SEQUENCE = struct.Struct("<Q")
_ENTRY = struct.Struct("<BQQBI")
_HARD_STATE = struct.Struct("<BQQQ")
_SNAPSHOT = struct.Struct("<BQQ")
_IDENTITY = struct.Struct("<BQQI")
_KINDS = {int(kind): kind for kind in EntryKind}


class RecordType(IntEnum):
    ENTRY = 1
    HARD_STATE = 2
    SNAPSHOT = 3
    IDENTITY = 4


class CorruptionError(Exception):
    """What is on disk cannot be what was written; says which file and where."""


class Marker(msgspec.Struct, frozen=True):
    """A snapshot with this last entry is durable."""

    index: int
    term: int


class Identity(msgspec.Struct, frozen=True):
    """Whose log this is."""

    cluster_id: int
    member_id: int


Record = Entry | HardState | Marker | Identity


class Frame(msgspec.Struct, frozen=True):
    sequence: int
    payload: bytes
    end: int
    """Offset behind the frame, where the next one starts."""


def encode_entries(entries: Sequence[Entry]) -> bytes:
    pack = _ENTRY.pack
    parts = []
    for entry in entries:
        data = entry.data
        parts.append(pack(1, entry.index, entry.term, entry.kind, len(data)))
        parts.append(data)
    return b"".join(parts)


def encode_hard_state(state: HardState) -> bytes:
    return _HARD_STATE.pack(RecordType.HARD_STATE, state.term, state.vote, state.commit)


def encode_marker(marker: Marker) -> bytes:
    return _SNAPSHOT.pack(RecordType.SNAPSHOT, marker.index, marker.term)


def encode_identity(identity: Identity) -> bytes:
    return _IDENTITY.pack(RecordType.IDENTITY, identity.cluster_id, identity.member_id, VERSION)


def encode_frame(sequence: int, payload: bytes) -> bytes:
    assert 0 < len(payload) <= MAX_FRAME
    crc = zlib.crc32(payload, zlib.crc32(_SEQUENCE.pack(sequence)))
    padding = -(_HEADER.size + len(payload)) % ALIGNMENT
    return b"".join((_HEADER.pack(MAGIC, len(payload), sequence, crc), payload, bytes(padding)))


def decode_frame(data: bytes, offset: int) -> Frame | None:
    """The intact frame at `offset`, if there is one."""
    if offset + _HEADER.size > len(data):
        return None
    magic, length, sequence, crc = _HEADER.unpack_from(data, offset)
    start = offset + _HEADER.size
    if magic != MAGIC or not 0 < length <= MAX_FRAME or start + length > len(data):
        return None
    payload = data[start : start + length]
    if zlib.crc32(payload, zlib.crc32(_SEQUENCE.pack(sequence))) != crc:
        return None
    end = start + length
    return Frame(sequence, payload, end + -end % ALIGNMENT)


def find_frame_after(data: bytes, offset: int, sequence: int) -> int | None:
    """Offset of an intact frame behind `offset` with at least this sequence; proof that `offset` was durable once."""
    position = data.find(MAGIC_BYTES, offset + 1)
    while position != -1:
        if position % ALIGNMENT == 0:
            frame = decode_frame(data, position)
            if frame is not None and frame.sequence >= sequence:
                return position
        position = data.find(MAGIC_BYTES, position + 1)
    return None


def decode_records(payload: bytes) -> Iterator[Record]:
    """The records of an intact frame; a frame whose checksum holds but whose content does not raises ValueError."""
    offset, size = 0, len(payload)
    try:
        while offset < size:
            kind = payload[offset]
            if kind == RecordType.ENTRY:
                _, index, term, entry_kind, length = _ENTRY.unpack_from(payload, offset)
                offset += _ENTRY.size
                if offset + length > size:
                    raise ValueError("an entry is cut short")
                yield Entry(index, term, payload[offset : offset + length], _KINDS[entry_kind])
                offset += length
            elif kind == RecordType.HARD_STATE:
                yield HardState(*_HARD_STATE.unpack_from(payload, offset)[1:])
                offset += _HARD_STATE.size
            elif kind == RecordType.SNAPSHOT:
                yield Marker(*_SNAPSHOT.unpack_from(payload, offset)[1:])
                offset += _SNAPSHOT.size
            elif kind == RecordType.IDENTITY:
                _, cluster, member, version = _IDENTITY.unpack_from(payload, offset)
                if version != VERSION:
                    raise ValueError(f"the log's format is version {version}, this program reads version {VERSION}")
                yield Identity(cluster, member)
                offset += _IDENTITY.size
            else:
                raise ValueError(f"unknown record type {kind}")
    except (struct.error, KeyError) as problem:
        raise ValueError(f"a record is malformed: {problem}") from None

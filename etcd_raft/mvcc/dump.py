"""The key space as a stream of chunks, read while writes go on, and rebuilt from it.

A chunk is a run of items, each a length and that many bytes. First the caller's title and a header; then the records
that a reader at the compacted revision sees; then, after an empty item, the history from there on, one item for each
record, and an empty item at the end: whatever follows it is padding. Records are immutable, so only lists of
references have to be taken at once.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator

from etcd_raft.mvcc.keyspace import Keyspace, Record
from etcd_raft.mvcc.wire import decode_kv

_HEADER = struct.Struct("<qq")
_LENGTH = struct.Struct("<I")
CHUNK_BYTES = 256 * 1024
#: Records looked at for one chunk at most; 5,000 take about two milliseconds.
_CHUNK_RECORDS = 5000


#: An item without meaning, so that looking at many records without finding one does not hold up the caller.
_PAUSE = _LENGTH.pack(1) + b"\0"


def dump(space: Keyspace, title: bytes) -> Iterator[bytes]:
    """The state as of this call, after an item of the caller's own.

    The key space keeps its history until the iterator is exhausted or closed.
    """
    space.pin()
    header = item(title) + item(_HEADER.pack(space.compacted, space.revision))
    live = list(space.live.values())
    first = max(0, space.compacted - space.log_start)
    return _chunks(space, header, live, space.log[first:], space.compacted)


def _chunks(
    space: Keyspace, header: bytes, live: list[Record], log: list[tuple[Record, ...]], compacted: int
) -> Iterator[bytes]:
    try:
        yield header
        # Written while this runs: what is newer than the header's revision belongs to `log` of a later dump.
        yield from _packed(record for record in live if record.mod < compacted)
        yield from _packed(overwritten(space, log, compacted))
        yield item(b"")
        yield from _packed(record for changes in log for record in changes)
        yield item(b"")
    finally:
        space.unpin()


def overwritten(space: Keyspace, log: list[tuple[Record, ...]], compacted: int) -> Iterator[Record | None]:
    """What the keys of the history held at the compacted revision, if they had been written before it."""
    seen: set[bytes] = set()
    for changes in log:
        for record in changes:
            base = None
            if record.key not in seen:
                seen.add(record.key)
                base = space.at(record.key, compacted) if record.mod > compacted else None
            yield base if base is not None and base.mod < compacted else None


def _packed(records: Iterable[Record | None]) -> Iterator[bytes]:
    parts: list[bytes] = []
    size = looked_at = 0
    for record in records:
        looked_at += 1
        if record is not None:
            parts.append(item(record.field))
            size += len(record.field)
        if size >= CHUNK_BYTES or looked_at >= _CHUNK_RECORDS:
            yield b"".join(parts) or _PAUSE
            parts, size, looked_at = [], 0, 0
    if parts:
        yield b"".join(parts)


def item(payload: bytes) -> bytes:
    return _LENGTH.pack(len(payload)) + payload


def items(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The items of a stream whose chunks may have been cut anew."""
    buffer = b""
    for chunk in chunks:
        buffer = buffer + chunk if buffer else chunk
        position = 0
        while position + 4 <= len(buffer):
            end = position + 4 + _LENGTH.unpack_from(buffer, position)[0]
            if end > len(buffer):
                break
            yield buffer[position + 4 : end]
            position = end
        buffer = buffer[position:]
    if buffer:
        raise ValueError(f"the snapshot ends in the middle of an item: {len(buffer)} bytes are left")


def load(stream: Iterator[bytes]) -> Keyspace:
    """The key space that `dump` described; reads `stream` (of `items`) up to the end of the history."""
    compacted, revision = _HEADER.unpack(next(stream))
    space = Keyspace()
    stream = (field for field in stream if len(field) != 1)
    space.load((_record(field) for field in iter(lambda: next(stream), b"")), compacted)
    changes: list[Record] = []
    for field in iter(lambda: next(stream, b""), b""):
        record = _record(field)
        if changes and changes[0].mod != record.mod:
            space.replay(tuple(changes))
            changes = []
        changes.append(record)
    if changes:
        space.replay(tuple(changes))
    if space.revision < compacted:
        space.skip()
    if space.revision != revision:
        raise ValueError(f"the snapshot's history ends at revision {space.revision}, not at {revision}")
    return space


def _record(field: bytes) -> Record:
    kv = decode_kv(field)
    create, mod = kv.create_revision, kv.mod_revision
    return Record(kv.key, field, mod if create == mod else create, mod, kv.version, kv.lease)

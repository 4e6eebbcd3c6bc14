"""Protocol buffer encoding by hand, where the same bytes serve many answers.

A key's `KeyValue` is encoded once, when it is written, as field 2 of whatever will hold it: `RangeResponse.kvs`,
`PutResponse.prev_kv` and `Event.kv` all have that number. Answering is then joining bytes.
"""

from __future__ import annotations

from skiff_pb.etcd import kv_pb2

_SMALL = [bytes([n]) for n in range(128)]


def varint(value: int) -> bytes:
    """An unsigned varint; negative numbers are encoded as protobuf's int64."""
    if 0 <= value < 128:
        return _SMALL[value]
    # The sizes and revisions that each write has to encode.
    if 0 < value < 1 << 14:
        return bytes((value & 127 | 128, value >> 7))
    if 0 < value < 1 << 21:
        return bytes((value & 127 | 128, value >> 7 & 127 | 128, value >> 14))
    value &= 0xFFFFFFFFFFFFFFFF
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def sized(tag: bytes, payload: bytes) -> bytes:
    return tag + varint(len(payload)) + payload


def number(tag: bytes, value: int) -> bytes:
    """A varint field; like every default, 0 is left out."""
    return tag + varint(value) if value else b""


def encode_kv(key: bytes, value: bytes, create: int, mod: int, version: int, lease: int) -> bytes:
    """A key that exists: it and its revisions are not empty.

    Every member does this for every write: by hand it takes half as long as by way of a message object.
    """
    head = b"\x0a%b%b\x10%b\x18%b\x20%b" % (varint(len(key)), key, varint(create), varint(mod), varint(version))
    before = b"\x2a" + varint(len(value)) if value else b""
    after = b"\x30" + varint(lease) if lease else b""
    size = len(head) + len(before) + len(value) + len(after)
    return b"".join((b"\x12", varint(size), head, before, value, after))


def encode_tombstone(key: bytes, mod: int) -> bytes:
    return sized(b"\x12", kv_pb2.KeyValue(key=key, mod_revision=mod).SerializeToString())


def decode_kv(field: bytes) -> kv_pb2.KeyValue:
    start = 1
    while field[start] > 127:
        start += 1
    return kv_pb2.KeyValue.FromString(field[start + 1 :])


def as_field_3(field: bytes) -> bytes:
    """`Event.prev_kv` and `DeleteRangeResponse.prev_kvs` have number 3 instead."""
    return b"\x1a" + field[1:]


def revision_header(revision: int) -> bytes:
    """The header inside a transaction's answers: the revision alone."""
    return sized(b"\x0a", number(b"\x18", revision))

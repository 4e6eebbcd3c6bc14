"""Raft's messages as bytes. MessagePack decoded into typed structs: what does not fit them is refused."""

from __future__ import annotations

import msgspec

from etcd_raft.raft import Message

MAX_ENVELOPE_BYTES = 4 << 20

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Message)


def encode(message: Message) -> bytes:
    return _encoder.encode(message)


def decode(data: bytes) -> Message:
    """Raises ValueError."""
    return _decoder.decode(data)

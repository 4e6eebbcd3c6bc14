"""Kubernetes objects as protobuf: what Go clients and the conformance suite speak where they can."""

from apimachinery.protobuf.envelope import (
    MEDIA_TYPE,
    WATCH_MEDIA_TYPE,
    close_envelope,
    decode,
    encode,
    encode_list,
    encode_message,
    knows,
    open_envelope,
    watch_frame,
)
from apimachinery.protobuf.wire import WireError

__all__ = [
    "MEDIA_TYPE",
    "WATCH_MEDIA_TYPE",
    "WireError",
    "close_envelope",
    "decode",
    "encode",
    "encode_list",
    "encode_message",
    "knows",
    "open_envelope",
    "watch_frame",
]

"""The envelope around protobuf objects: four magic bytes, then a message that names the kind and holds the object."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from apimachinery.gvk import split_api_version
from apimachinery.protobuf import messages, wire
from apimachinery.protobuf.messages import PREFIX
from apimachinery.protobuf.wire import WireError
from apimachinery.schema.build import object_meta, type_of
from apimachinery.schema.nodes import ObjectNode

MEDIA_TYPE = "application/vnd.kubernetes.protobuf"
WATCH_MEDIA_TYPE = f"{MEDIA_TYPE};stream=watch"
PARTIAL = "PartialObjectMetadata"


def open_envelope(data: bytes) -> tuple[str, str, bytes]:
    """`apiVersion`, `kind` and the message inside; WireError if the bytes are no envelope."""
    if not data.startswith(PREFIX):
        raise WireError(
            f"provided data does not appear to be a protobuf message, expected prefix [{' '.join(map(str, PREFIX))}]"
        )
    api_version = kind = ""
    raw = b""
    for number, wire_type, at, to in wire.fields(data, len(PREFIX), len(data)):
        if wire_type != wire.LENGTH:
            continue
        if number == 1:
            for inner, inner_type, start, end in wire.fields(data, at, to):
                if inner_type == wire.LENGTH and inner == 1:
                    api_version = data[start:end].decode("utf-8", "replace")
                elif inner_type == wire.LENGTH and inner == 2:
                    kind = data[start:end].decode("utf-8", "replace")
        elif number == 2:
            raw = data[at:to]
        elif number == 3 and to > at:
            raise WireError(f"unknown content encoding {data[at:to].decode('utf-8', 'replace')!r}")
    return api_version, kind, raw


def close_envelope(api_version: str, kind: str, message: bytes) -> bytes:
    meta = wire.length_field(1, api_version.encode()) + wire.length_field(2, kind.encode())
    return b"".join(
        (
            PREFIX,
            wire.length_field(1, meta),
            wire.length_field(2, message),
            wire.length_field(3, b""),
            wire.length_field(4, b""),
        )
    )


def _node(api_version: str, kind: str) -> ObjectNode:
    try:
        group, version = split_api_version(api_version)
    except ValueError as error:
        raise WireError(str(error)) from None
    node = type_of(group, version, kind)
    if node is None:
        raise WireError(f'no kind "{kind}" is registered for version "{api_version}"')
    return node


def knows(group: str, version: str, kind: str) -> bool:
    """Whether objects of the kind can travel as protobuf; custom resources cannot."""
    return type_of(group, version, kind) is not None


def decode(data: bytes) -> dict[str, Any]:
    """The object in an envelope, with its `apiVersion` and `kind`; WireError on anything malformed."""
    api_version, kind, message = open_envelope(data)
    return {"apiVersion": api_version, "kind": kind, **messages.decode(_node(api_version, kind), message)}


def encode(obj: dict[str, Any]) -> bytes:
    """An object, a list or a Status in its envelope; WireError for kinds that have no protobuf form."""
    return close_envelope(obj.get("apiVersion", ""), obj.get("kind", ""), encode_message(obj))


def encode_list(api_version: str, list_kind: str, metadata: dict[str, Any], items: Iterable[bytes]) -> bytes:
    """A list whose items are encoded already, as messages without envelopes."""
    node = type_of("", "v1", "Status")
    assert node is not None
    meta = node.fields["metadata"].node
    assert isinstance(meta, ObjectNode)
    parts = [wire.length_field(1, messages.encode(meta, metadata))]
    parts.extend(wire.length_field(2, item) for item in items)
    return close_envelope(api_version, list_kind, b"".join(parts))


def encode_message(obj: dict[str, Any]) -> bytes:
    """An object without its envelope, as lists hold it."""
    api_version, kind = obj.get("apiVersion", ""), obj.get("kind", "")
    if kind == PARTIAL and api_version.startswith("meta.k8s.io/"):  # of any kind, custom ones too
        meta = object_meta()
        assert isinstance(meta, ObjectNode)
        return wire.length_field(1, messages.encode(meta, obj["metadata"]))
    return messages.encode(_node(api_version, kind), obj)


def watch_frame(event_type: str, envelope: bytes) -> bytes:
    """One event of a watch: a length of four bytes, then the event with the enveloped object inside."""
    event = wire.length_field(1, event_type.encode()) + wire.length_field(2, wire.length_field(1, envelope))
    return len(event).to_bytes(4, "big") + event

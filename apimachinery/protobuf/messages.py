"""Objects to protobuf messages and back, by the schema's types and the table of field numbers."""

from __future__ import annotations

from base64 import b64decode, b64encode
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple

import orjson

from apimachinery import quantity
from apimachinery.protobuf import wire
from apimachinery.protobuf.wire import LENGTH, WireError
from apimachinery.schema import facts
from apimachinery.schema.build import types
from apimachinery.schema.nodes import (
    AnyNode,
    BooleanNode,
    BytesNode,
    IntegerNode,
    IntOrStringNode,
    ListNode,
    MapNode,
    Node,
    NumberNode,
    ObjectNode,
    QuantityNode,
    StringNode,
    TimeNode,
    UnionNode,
)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NO_TIME = datetime(1, 1, 1, tzinfo=UTC)
"""Go's zero time, which JSON writes as null."""
_PACKABLE = (IntegerNode, BooleanNode)
PREFIX = b"k8s\0"


class _Slot(NamedTuple):
    """A field of a message, or a struct embedded in it, whose fields lie flat in the object."""

    number: int
    name: str
    node: Node
    drops_zero: bool
    embedded: str


@lru_cache(maxsize=1024)
def _slots(type_name: str, parent: str) -> dict[int, _Slot]:
    """A message's fields by number; an embedded type's fields have their nodes in the type that shows them."""
    node = types().by_name[parent]
    assert isinstance(node, ObjectNode)
    found = {}
    for fact in sorted(facts.of(type_name), key=lambda one: one.number):
        if fact.embedded:
            found[fact.number] = _Slot(fact.number, "", node, False, fact.embedded)
        elif fact.name in node.fields:
            field = node.fields[fact.name]
            found[fact.number] = _Slot(fact.number, fact.name, field.node, field.drops_zero, "")
    return found


def decode(node: ObjectNode, data: bytes) -> dict[str, Any]:
    """The object in a message, in canonical form; WireError if the bytes are no such message."""
    try:
        return _object(node.name, node.name, data, 0, len(data))
    except RecursionError:
        raise WireError("exceeded max depth") from None
    except UnicodeDecodeError:
        raise WireError("string field contains invalid UTF-8") from None


def _object(type_name: str, parent: str, data: bytes, start: int, end: int) -> dict[str, Any]:
    slots = _slots(type_name, parent)
    out: dict[str, Any] = {}
    for number, kind, at, to in wire.fields(data, start, end):
        slot = slots.get(number)
        if slot is None:
            continue
        if slot.embedded:
            _expect_length(kind)
            out.update(_object(slot.embedded, parent, data, at, to))
            continue
        node = slot.node
        if isinstance(node, ListNode):
            _append(out.setdefault(slot.name, []), node.element, data, kind, at, to)
        elif isinstance(node, MapNode):
            _expect_length(kind)
            _add_entry(out.setdefault(slot.name, {}), node.element, data, at, to)
        else:
            value = _value(node, data, kind, at, to)
            if value is None or (slot.drops_zero and not value):
                out.pop(slot.name, None)
            else:
                out[slot.name] = value
    return out


def _expect_length(kind: int) -> None:
    if kind != LENGTH:
        raise WireError(f"proto: wrong wireType = {kind}")


def _append(items: list[Any], element: Node, data: bytes, kind: int, at: int, to: int) -> None:
    if kind == LENGTH and isinstance(element, _PACKABLE):
        while at < to:
            raw, at = wire.read_varint(data, at, to)
            items.append(_value(element, data, wire.VARINT, raw, -1))
        return
    value = _value(element, data, kind, at, to)
    items.append(element.zero() if value is None else value)


def _add_entry(entries: dict[str, Any], element: Node, data: bytes, start: int, end: int) -> None:
    key, value = "", element.zero()
    for number, kind, at, to in wire.fields(data, start, end):
        if number == 1:
            _expect_length(kind)
            key = data[at:to].decode()
        elif number == 2 and isinstance(element, ListNode):
            value = []
            for inner, inner_kind, inner_at, inner_to in wire.fields(data, at, to):
                if inner == 1:
                    _append(value, element.element, data, inner_kind, inner_at, inner_to)
        elif number == 2:
            found = _value(element, data, kind, at, to)
            value = element.zero() if found is None else found
    entries[key] = value


def _value(node: Node, data: bytes, kind: int, at: int, to: int) -> Any:
    """One value; None for what JSON would show as null."""
    if isinstance(node, IntegerNode | BooleanNode):
        if to != -1:
            raise WireError(f"proto: wrong wireType = {kind}")
        if isinstance(node, BooleanNode):
            return at != 0
        return wire.signed(at) if node.go_type == "int64" else (at + (1 << 31)) % (1 << 32) - (1 << 31)
    if isinstance(node, NumberNode):
        if kind != wire.FIXED64:
            raise WireError(f"proto: wrong wireType = {kind}")
        return wire.double(data, at)
    _expect_length(kind)
    if isinstance(node, StringNode):
        return data[at:to].decode()
    if isinstance(node, ObjectNode):
        return _object(node.name, node.name, data, at, to)
    if isinstance(node, BytesNode):
        return b64encode(data[at:to]).decode()
    if isinstance(node, UnionNode):
        return _union(node, data, at, to)
    return _special(node, data, at, to)


def _special(node: Node, data: bytes, start: int, end: int) -> Any:
    """Types that are messages of their own on the wire and scalars, or anything, in JSON."""
    parts: dict[int, Any] = {}
    for number, kind, at, to in wire.fields(data, start, end):
        parts[number] = data[at:to] if kind == LENGTH else at
    if isinstance(node, QuantityNode):
        return _quantity(parts.get(1, b""))
    if isinstance(node, IntOrStringNode):
        if parts.get(1, 0):
            return bytes(parts.get(3, b"")).decode()
        return (parts.get(2, 0) + (1 << 31)) % (1 << 32) - (1 << 31)
    if isinstance(node, TimeNode):
        return _time(wire.signed(parts.get(1, 0)), wire.signed(parts.get(2, 0)), node.micro) if parts else None
    raw = parts.get(1, b"")
    if not isinstance(raw, bytes):
        raise WireError("proto: wrong wireType for raw bytes")
    return _raw(raw)


def _quantity(text: Any) -> str:
    if not isinstance(text, bytes):
        raise WireError("proto: wrong wireType for a quantity")
    try:
        return quantity.canonical(text.decode() or "0")
    except ValueError as error:
        raise WireError(str(error)) from None


def _time(seconds: int, nanos: int, micro: bool) -> str | None:
    try:
        moment = _EPOCH + timedelta(seconds=seconds, microseconds=nanos // 1000)
    except OverflowError:
        raise WireError("time out of range") from None
    if moment == _NO_TIME:
        return None
    text = moment.strftime("%Y-%m-%dT%H:%M:%S").rjust(19, "0")
    return f"{text}.{moment.microsecond:06}Z" if micro else f"{text}Z"


def _raw(raw: bytes) -> Any:
    """What travels inside an object as bytes: JSON, or an object in its own envelope."""
    if not raw:
        return None
    if raw.startswith(PREFIX):
        from apimachinery.protobuf.envelope import decode as decode_envelope

        return decode_envelope(raw)
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise WireError(f"embedded value is no JSON: {error}") from None


def _union(node: UnionNode, data: bytes, start: int, end: int) -> Any:
    schema, other = node.options
    found: Any = None
    for number, kind, at, to in wire.fields(data, start, end):
        if isinstance(other, BooleanNode):
            if number == 1 and found is None:
                found = at != 0
            elif number == 2:
                found = _value(schema, data, kind, at, to)
        elif number == 1:
            found = _value(schema, data, kind, at, to)
        elif number == 2 and isinstance(other, ListNode):
            found = found if isinstance(found, list) else []
            _append(found, other.element, data, kind, at, to)
    return found


def encode(node: ObjectNode, obj: dict[str, Any]) -> bytes:
    """The message for an object that has been decoded, or is otherwise known to fit its schema."""
    return _message(node.name, node.name, obj)


def _message(type_name: str, parent: str, obj: dict[str, Any]) -> bytes:
    out = []
    for slot in _slots(type_name, parent).values():
        if slot.embedded:
            out.append(wire.length_field(slot.number, _message(slot.embedded, parent, obj)))
            continue
        value = obj.get(slot.name)
        if value is None:
            continue
        node = slot.node
        if isinstance(node, ListNode):
            out.extend(_field(slot.number, node.element, item) for item in value)
        elif isinstance(node, MapNode):
            out.extend(wire.length_field(slot.number, _entry(node.element, key, value[key])) for key in sorted(value))
        else:
            out.append(_field(slot.number, node, value))
    return b"".join(out)


def _entry(element: Node, key: str, value: Any) -> bytes:
    head = wire.length_field(1, key.encode())
    if isinstance(element, ListNode):
        items = b"".join(_field(1, element.element, item) for item in value)
        return head + wire.length_field(2, items)
    return head + _field(2, element, value)


def _field(number: int, node: Node, value: Any) -> bytes:
    if isinstance(node, StringNode):
        return wire.length_field(number, value.encode())
    if isinstance(node, ObjectNode):
        return wire.length_field(number, _message(node.name, node.name, value))
    if isinstance(node, IntegerNode | BooleanNode):
        return wire.number_field(number, int(value))
    if isinstance(node, NumberNode):
        return wire.double_field(number, float(value))
    return wire.length_field(number, _payload(node, value))


def _payload(node: Node, value: Any) -> bytes:
    if value is None:
        return b""
    if isinstance(node, BytesNode):
        return b64decode(value)
    if isinstance(node, QuantityNode):
        return wire.length_field(1, str(value).encode())
    if isinstance(node, IntOrStringNode):
        is_text = isinstance(value, str)
        number, text = (0, value) if is_text else (value, "")
        return wire.number_field(1, int(is_text)) + wire.number_field(2, number) + wire.length_field(3, text.encode())
    if isinstance(node, TimeNode):
        return _timestamp(value, node.micro)
    if isinstance(node, UnionNode):
        return _union_payload(node, value)
    assert isinstance(node, AnyNode)
    return wire.length_field(1, orjson.dumps(value))


def _timestamp(text: str, micro: bool) -> bytes:
    whole, _, fraction = text.rstrip("Z").partition(".")
    moment = datetime.fromisoformat(f"{whole}+00:00") - _EPOCH
    seconds = moment.days * 86400 + moment.seconds
    nanos = int(f"{fraction:0<9}") if micro and fraction else 0
    return wire.number_field(1, seconds) + wire.number_field(2, nanos)


def _union_payload(node: UnionNode, value: Any) -> bytes:
    schema, other = node.options
    if isinstance(other, BooleanNode):
        if isinstance(value, bool):
            return wire.number_field(1, int(value))
        return wire.number_field(1, 1) + _field(2, schema, value)
    if isinstance(value, list) and isinstance(other, ListNode):
        return b"".join(_field(2, other.element, item) for item in value)
    return _field(1, schema, value)

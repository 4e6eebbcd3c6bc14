"""The types of API fields and how values become them: checked, pruned and spelled canonically in one walk.

The rules are those of the server's Go decoder: null is absent, a missing field is its zero value, names are
case-sensitive, a wrong type is an error, an unknown field is reported and dropped.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeAlias

from apimachinery import quantity
from apimachinery.fields import quote

#: Where the walk is: the place above and one step, a field's or key's name or an index; None at the top.
Place: TypeAlias = "tuple[Place, str | int] | None"
_MAX_FINDINGS = 100
_SECOND = re.compile(
    r"[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]Z"
)
_ANY_TIME = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(?:[.,]([0-9]+))?(Z|[+-][0-9]{2}:[0-9]{2})", re.ASCII
)
_RANGES = {"int32": 1 << 31, "int64": 1 << 63}


class MapKey(str):
    """A step into a map; unlike a field's name it is no part of the decoder's field path."""

    __slots__ = ()


class DecodeError(ValueError):
    """The decoder's sentence about the first value that does not fit."""


class Mismatch(Exception):
    """A value of the wrong JSON type; the innermost object on the way up adds where."""

    def __init__(self, value: Any, go_type: str) -> None:
        super().__init__()
        self.value = value
        self.go_type = go_type


@dataclass(slots=True)
class Findings:
    """What a lenient decoder drops and a strict one refuses."""

    unknown: list[str] = field(default_factory=list)

    def add_unknown(self, place: Place, name: str) -> None:
        sentence = f"unknown field {quote(render((place, name)))}"
        if len(self.unknown) < _MAX_FINDINGS and sentence not in self.unknown:
            self.unknown.append(sentence)


def render(place: Place) -> str:
    """`spec.containers[0].name`."""
    steps: list[str | int] = []
    while place is not None:
        place, step = place
        steps.append(step)
    text = ""
    for step in reversed(steps):
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += f".{step}" if text else step
    return text


def _field_path(place: Place, name: str) -> str:
    names = [name]
    while place is not None:
        place, step = place
        if isinstance(step, str) and not isinstance(step, MapKey):
            names.append(step)
    return ".".join(reversed(names))


def json_word(value: Any) -> str:
    """How the decoder names a value it could not use."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, str):
        return "string"
    if isinstance(value, int | float):
        return "number"
    return "array" if isinstance(value, list) else "object"


class Node:
    """A type. Values whose Python type is `exact` pass unchanged and need no call of `decode`."""

    exact: type | None = None
    go_type: str = ""

    def decode(self, value: Any, place: Place, findings: Findings) -> Any:
        raise Mismatch(value, self.go_type)

    def zero(self) -> Any:
        """What null becomes where it cannot be left out: in lists and maps."""
        return None


class StringNode(Node):
    exact = str
    go_type = "string"

    def zero(self) -> Any:
        return ""


class BooleanNode(Node):
    exact = bool
    go_type = "bool"

    def zero(self) -> Any:
        return False


class IntegerNode(Node):
    """A signed integer of 32 or 64 bits."""

    def __init__(self, go_type: str) -> None:
        self.go_type = go_type
        self._limit = _RANGES[go_type]

    def decode(self, value: Any, place: Place, findings: Findings) -> Any:
        if type(value) is int:
            if -self._limit <= value < self._limit:
                return value
            raise Mismatch(_Literal(str(value)), self.go_type)
        if type(value) is float:
            raise Mismatch(_Literal(repr(value)), self.go_type)
        raise Mismatch(value, self.go_type)

    def zero(self) -> Any:
        return 0


class _Literal(float):
    """A number named in the complaint: it has the right type, not the right range."""

    __slots__ = ("text",)

    def __new__(cls, text: str) -> _Literal:
        literal = super().__new__(cls, 0.0)
        literal.text = text
        return literal

    text: str


class NumberNode(Node):
    exact = float
    go_type = "float64"

    def decode(self, value: Any, place: Place, findings: Findings) -> Any:
        if type(value) is int:
            return value
        raise Mismatch(value, self.go_type)

    def zero(self) -> Any:
        return 0


class AnyNode(Node):
    """Whatever JSON holds: raw extensions, schema defaults, sets of managed fields."""

    go_type = "interface {}"

    def decode(self, value: Any, place: Place, findings: Findings) -> Any:
        return value


class BytesNode(Node):
    """Bytes in base64."""

    go_type = "[]uint8"

    def decode(self, value: Any, place: Place, findings: Findings) -> Any:
        if type(value) is not str:
            raise Mismatch(value, self.go_type)
        text = value.replace("\n", "").replace("\r", "")
        try:
            raw = b64decode(text, validate=True)
        except (Base64Error, ValueError):
            raise DecodeError(f"illegal base64 data at input byte {_first_illegal(text)}") from None
        return b64encode(raw).decode()

    def zero(self) -> Any:
        return ""


def _first_illegal(text: str) -> int:
    match = re.match(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{0,3})", text)
    return match.end() if match else 0


class QuantityNode(Node):
    go_type = "resource.Quantity"

    def decode(self, value: Any, place: Place, findings: Findings) -> Any:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            value = "true" if value is True else "?"
        try:
            return quantity.canonical(value.strip() if isinstance(value, str) else value)
        except ValueError as error:
            raise DecodeError(str(error)) from None

    def zero(self) -> Any:
        return "0"


class IntOrStringNode(Node):
    exact = str
    go_type = "int32"

    def decode(self, value: Any, place: Place, findings: Findings) -> Any:
        if type(value) is int and -(1 << 31) <= value < 1 << 31:
            return value
        word = f"number {value}" if type(value) in (int, float) else json_word(value)
        raise DecodeError(f"json: cannot unmarshal {word} into Go value of type int32")

    def zero(self) -> Any:
        return 0


class TimeNode(Node):
    """A moment, kept in UTC with whole seconds or with exactly six digits of them."""

    def __init__(self, micro: bool) -> None:
        self.micro = micro
        self.go_type = "v1.MicroTime" if micro else "v1.Time"

    def decode(self, value: Any, place: Place, findings: Findings) -> Any:
        if type(value) is not str:
            raise DecodeError(f"json: cannot unmarshal {json_word(value)} into Go value of type string")
        if not self.micro and _SECOND.fullmatch(value):
            return value
        match = _ANY_TIME.fullmatch(value)
        if match is None:
            raise DecodeError(_bad_time(value))
        whole, fraction, zone = match.groups()
        try:
            moment = datetime.fromisoformat(whole + ("+00:00" if zone == "Z" else zone)).astimezone(UTC)
        except (ValueError, OverflowError):
            raise DecodeError(_bad_time(value)) from None
        text = moment.strftime("%Y-%m-%dT%H:%M:%S").rjust(19, "0")
        return f"{text}.{(fraction or '')[:6]:0<6}Z" if self.micro else f"{text}Z"


def _bad_time(text: str) -> str:
    layout = "2006-01-02T15:04:05Z07:00"
    return f"parsing time {quote(text)} as {quote(layout)}: cannot parse {quote(text)} as {quote('2006')}"


class ListNode(Node):
    """A list of values of one type."""

    def __init__(self, element: Node, part: Field | None = None) -> None:
        self.element = element
        #: What the patches must know of the elements besides their type.
        self.part = part or Field("", element)

    @property
    def go_type(self) -> str:  # type: ignore[override]
        return f"[]{self.element.go_type}"

    def decode(self, value: Any, place: Place, findings: Findings) -> Any:
        if type(value) is not list:
            raise Mismatch(value, self.go_type)
        element = self.element
        exact = element.exact
        return [
            item
            if type(item) is exact
            else element.zero()
            if item is None
            else element.decode(item, (place, index), findings)
            for index, item in enumerate(value)
        ]

    def zero(self) -> Any:
        return []


class MapNode(Node):
    """A map from strings to values of one type."""

    def __init__(self, element: Node, part: Field | None = None) -> None:
        self.element = element
        #: What the patches must know of the elements besides their type.
        self.part = part or Field("", element)

    @property
    def go_type(self) -> str:  # type: ignore[override]
        return f"map[string]{self.element.go_type}"

    def decode(self, value: Any, place: Place, findings: Findings) -> Any:
        if type(value) is not dict:
            raise Mismatch(value, self.go_type)
        element = self.element
        exact = element.exact
        return {
            key: item
            if type(item) is exact
            else element.zero()
            if item is None
            else element.decode(item, (place, MapKey(key)), findings)
            for key, item in value.items()
        }

    def zero(self) -> Any:
        return {}


class Field(NamedTuple):
    """A field of an object with what the patches must know of it."""

    name: str
    node: Node
    required: bool = False
    list_type: str = ""
    list_keys: tuple[str, ...] = ()
    merge_key: str = ""
    strategies: frozenset[str] = frozenset()
    atomic: bool = False
    #: The server leaves the zero value out: it means the same as no value.
    drops_zero: bool = False
    #: Of a custom kind's field: what it is where it is absent.
    default: Any = None


class ObjectNode(Node):
    """A struct. `fields` is filled after all nodes exist, since types refer to one another in circles."""

    #: Of a custom kind: no part of such an object is there unless somebody has set it.
    custom: bool = False

    def __init__(self, name: str) -> None:
        self.name = name
        parts = name.split(".")
        self.go_name = parts[-1]
        self.go_type = ".".join(parts[-2:])
        self.fields: dict[str, Field] = {}
        self.atomic = False

    def decode(self, value: Any, place: Place, findings: Findings) -> Any:
        if type(value) is not dict:
            raise Mismatch(value, self.go_type)
        fields = self.fields
        out: dict[str, Any] = {}
        name = ""
        try:
            for name, item in value.items():
                known = fields.get(name)
                if known is None:
                    findings.add_unknown(place, name)
                elif item is not None:
                    node = known.node
                    value = item if type(item) is node.exact else node.decode(item, (place, name), findings)
                    if value or not known.drops_zero:
                        out[name] = value
        except Mismatch as wrong:
            raise DecodeError(self._complaint(wrong, place, name)) from None
        return out

    def _complaint(self, wrong: Mismatch, place: Place, name: str) -> str:
        word = f"number {wrong.value.text}" if isinstance(wrong.value, _Literal) else json_word(wrong.value)
        path = _field_path(place, name)
        return f"json: cannot unmarshal {word} into Go struct field {self.go_name}.{path} of type {wrong.go_type}"

    def zero(self) -> Any:
        return {}


class UnionNode(Node):
    """A value that may be of one of several JSON types, such as a schema or a list of schemas."""

    def __init__(self, go_type: str, *options: Node) -> None:
        self.go_type = go_type
        self.options = options

    def decode(self, value: Any, place: Place, findings: Findings) -> Any:
        for option in self.options:
            if type(value) is option.exact:
                return value
            if isinstance(option, ListNode) and type(value) is list:
                return option.decode(value, place, findings)
            if isinstance(option, ObjectNode) and type(value) is dict:
                return option.decode(value, place, findings)
        raise Mismatch(value, self.go_type)

"""The types of CEL, and which fit which.

A declared object type (`Kind.STRUCT`) names its fields through a `Provider`, since types of Kubernetes refer to each
other in circles.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final


class Kind(Enum):
    """What sort of type it is; opaque ones are compared by their names."""

    DYN = "dyn"
    ERROR = "!error!"
    NULL = "null"
    BOOL = "bool"
    INT = "int"
    UINT = "uint"
    DOUBLE = "double"
    STRING = "string"
    BYTES = "bytes"
    TIMESTAMP = "timestamp"
    DURATION = "duration"
    LIST = "list"
    MAP = "map"
    TYPE = "type"
    STRUCT = "struct"
    OPAQUE = "opaque"
    PARAM = "param"


@dataclass(frozen=True, slots=True)
class Type:
    """A type; equal types are the same type. `str` is how cel-go writes it in messages."""

    kind: Kind
    name: str
    params: tuple[Type, ...] = ()

    def __str__(self) -> str:
        if not self.params:
            return self.name
        return f"{self.name}({', '.join(map(str, self.params))})"


DYN: Final = Type(Kind.DYN, "dyn")
ERROR: Final = Type(Kind.ERROR, "!error!")
NULL: Final = Type(Kind.NULL, "null")
BOOL: Final = Type(Kind.BOOL, "bool")
INT: Final = Type(Kind.INT, "int")
UINT: Final = Type(Kind.UINT, "uint")
DOUBLE: Final = Type(Kind.DOUBLE, "double")
STRING: Final = Type(Kind.STRING, "string")
BYTES: Final = Type(Kind.BYTES, "bytes")
TIMESTAMP: Final = Type(Kind.TIMESTAMP, "timestamp")
DURATION: Final = Type(Kind.DURATION, "duration")
TYPE: Final = Type(Kind.TYPE, "type")


def list_of(element: Type) -> Type:
    return Type(Kind.LIST, "list", (element,))


def map_of(key: Type, value: Type) -> Type:
    return Type(Kind.MAP, "map", (key, value))


def type_of(what: Type) -> Type:
    return Type(Kind.TYPE, "type", (what,))


def optional_of(what: Type) -> Type:
    return Type(Kind.OPAQUE, "optional_type", (what,))


def struct(name: str) -> Type:
    return Type(Kind.STRUCT, name)


def opaque(name: str) -> Type:
    return Type(Kind.OPAQUE, name)


def param(name: str) -> Type:
    return Type(Kind.PARAM, name)


@dataclass(frozen=True, slots=True)
class FieldType:
    """A field of an object: its type, and its name in the data when the expression spells it differently."""

    type: Type
    key: str


class Provider:
    """The object types an environment knows: name -> field as written in expressions -> type."""

    def __init__(self, structs: Mapping[str, Mapping[str, FieldType]] | None = None) -> None:
        self.structs: dict[str, Mapping[str, FieldType]] = dict(structs or {})

    def known(self, name: str) -> bool:
        return name in self.structs

    def field(self, name: str, wanted: str) -> FieldType | None:
        fields = self.structs.get(name)
        return fields.get(wanted) if fields is not None else None


#: The names that are values of type `type` in every expression.
TYPE_NAMES: Final[dict[str, Type]] = {
    "bool": type_of(BOOL),
    "bytes": type_of(BYTES),
    "double": type_of(DOUBLE),
    "google.protobuf.Duration": type_of(DURATION),
    "google.protobuf.Timestamp": type_of(TIMESTAMP),
    "int": type_of(INT),
    "list": type_of(list_of(DYN)),
    "map": type_of(map_of(DYN, DYN)),
    "net.CIDR": type_of(opaque("net.CIDR")),
    "net.IP": type_of(opaque("net.IP")),
    "null_type": type_of(NULL),
    "optional_type": type_of(optional_of(DYN)),
    "string": type_of(STRING),
    "type": type_of(TYPE),
    "uint": type_of(UINT),
}

_NULLABLE = frozenset({Kind.OPAQUE, Kind.STRUCT, Kind.DURATION, Kind.TIMESTAMP, Kind.NULL})
_ANYTHING = frozenset({Kind.DYN, Kind.ERROR})


def is_optional(what: Type) -> bool:
    return what.kind is Kind.OPAQUE and what.name == "optional_type"


class Unifier:
    """Finds out what type parameters stand for. A failed attempt leaves no trace."""

    def __init__(self) -> None:
        self._bound: dict[Type, Type] = {}
        self._count = 0

    def fresh(self) -> Type:
        self._count += 1
        return param(f"_var{self._count - 1}")

    def assignable(self, one: Type, other: Type) -> bool:
        return self.all_assignable((one,), (other,))

    def all_assignable(self, some: tuple[Type, ...], others: tuple[Type, ...]) -> bool:
        if some == others:
            return True
        before = dict(self._bound)
        if self._fit_all(some, others):
            return True
        self._bound = before
        return False

    def substitute(self, what: Type, *, to_dyn: bool = False) -> Type:
        """The type with all that is known put in; what is unknown becomes dyn on demand."""
        bound = self._bound.get(what)
        if bound is not None:
            return self.substitute(bound, to_dyn=to_dyn)
        if what.kind is Kind.PARAM:
            return DYN if to_dyn else what
        if not what.params:
            return what
        return Type(what.kind, what.name, tuple(self.substitute(each, to_dyn=to_dyn) for each in what.params))

    def _fit_all(self, some: tuple[Type, ...], others: tuple[Type, ...]) -> bool:
        return len(some) == len(others) and all(self._fit(one, other) for one, other in zip(some, others, strict=True))

    def _fit(self, one: Type, other: Type) -> bool:
        if other.kind is Kind.PARAM:
            valid, known = self._bind(one, other)
            if valid:
                return True
            if known:
                return False
        if one.kind is Kind.PARAM:
            return self._bind(other, one)[0]
        if one.kind in _ANYTHING or other.kind in _ANYTHING:
            return True
        if one.kind is Kind.NULL:
            return other.kind in _NULLABLE
        if other.kind is Kind.NULL:
            return one.kind in _NULLABLE
        if one.kind is Kind.TYPE:
            return other.kind is Kind.TYPE
        return one.kind is other.kind and one.name == other.name and self._fit_all(one.params, other.params)

    def _bind(self, what: Type, to: Type) -> tuple[bool, bool]:
        """Whether `to` can stand for `what`, and whether it stood for something before."""
        if what == to:
            return True, True
        bound = self._bound.get(to)
        if bound is not None:
            if bound == what:
                return True, True
            if self._fit(what, bound):
                general = most_general(what, bound)
                if self._absent(to, general):
                    self._bound[to] = general
                return True, True
            return False, True
        if self._absent(to, what):
            self._bound[to] = what
            return True, False
        return False, False

    def _absent(self, what: Type, within: Type) -> bool:
        if what == within:
            return False
        if within.kind is Kind.PARAM:
            bound = self._bound.get(within)
            return bound is None or self._absent(what, bound)
        return all(self._absent(what, each) for each in within.params)


def most_general(one: Type, other: Type) -> Type:
    return one if _at_most_as_specific(one, other) else other


def _at_most_as_specific(one: Type, other: Type) -> bool:
    if one.kind in {Kind.DYN, Kind.PARAM}:
        return True
    if other.kind in {Kind.DYN, Kind.PARAM} or one.kind is not other.kind:
        return False
    if one.kind is Kind.TYPE:
        return True
    return (
        one.name == other.name
        and len(one.params) == len(other.params)
        and all(_at_most_as_specific(a, b) for a, b in zip(one.params, other.params, strict=True))
    )

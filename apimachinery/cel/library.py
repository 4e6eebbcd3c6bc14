"""How functions are declared: signature, what Python runs, what it costs.

A library is a `Library` that its functions enrol in with a signature as the language writes it,
`contains(string, string) -> bool`. `method` takes the first parameter as what stands before the dot.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from apimachinery.cel import types
from apimachinery.cel.errors import no_such_overload
from apimachinery.cel.numbers import UInt
from apimachinery.cel.types import Kind, Type
from apimachinery.cel.values import Opaque, Optional, Typed, type_name

#: Arguments and result -> cost.
Cost = Callable[[tuple[Any, ...], Any], int]
F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True, eq=False)
class Overload:
    """One signature of a function. `cost` is a number, or reckons with the arguments and the result."""

    function: str
    id: str
    member: bool
    params: tuple[Type, ...]
    result: Type
    run: Callable[..., Any]
    cost: int | Cost


class Function:
    """All overloads of a name."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.overloads: list[Overload] = []


class Library:
    """Functions that belong together, and the names of their types."""

    def __init__(self, named: Mapping[str, Type] | None = None) -> None:
        self.overloads: list[Overload] = []
        self.named: dict[str, Type] = dict(named or {})

    def function(self, signature: str, identity: str, cost: int | Cost = 1) -> Callable[[F], F]:
        return self._enrol(signature, identity, cost, member=False)

    def method(self, signature: str, identity: str, cost: int | Cost = 1) -> Callable[[F], F]:
        return self._enrol(signature, identity, cost, member=True)

    def _enrol(self, signature: str, identity: str, cost: int | Cost, *, member: bool) -> Callable[[F], F]:
        name, params, result = read_signature(signature, self.named)

        def enrol(run: F) -> F:
            self.overloads.append(Overload(name, identity, member, params, result, run, cost))
            return run

        return enrol


_SIGNATURE = re.compile(r"(?P<name>.+?)\((?P<params>.*)\) -> (?P<result>.+)")
_BASE: dict[str, Type] = {
    each.name: each
    for each in (
        types.BOOL, types.INT, types.UINT, types.DOUBLE, types.STRING, types.BYTES, types.TIMESTAMP, types.DURATION,
        types.DYN, types.NULL, types.TYPE,
    )
}  # fmt: skip


def read_signature(text: str, named: Mapping[str, Type]) -> tuple[str, tuple[Type, ...], Type]:
    match = _SIGNATURE.fullmatch(text)
    assert match is not None, text
    params = tuple(read_type(part, named) for part in _split(match["params"]))
    return match["name"], params, read_type(match["result"], named)


def read_type(text: str, named: Mapping[str, Type]) -> Type:
    known = _BASE.get(text) or named.get(text)
    if known is not None:
        return known
    if len(text) == 1:
        return types.param(text)
    head, _, rest = text.partition("<")
    inner = [read_type(part, named) for part in _split(rest[:-1])]
    if head == "list":
        return types.list_of(inner[0])
    if head == "map":
        return types.map_of(*inner)
    assert head == "optional", text
    return types.optional_of(inner[0])


def _split(text: str) -> list[str]:
    parts, level = [""], 0
    for char in text:
        level += (char == "<") - (char == ">")
        if char == "," and level == 0:
            parts.append("")
        else:
            parts[-1] += char
    return [part.strip() for part in parts if part.strip()]


_CLASSES: dict[Kind, tuple[type, ...]] = {
    Kind.BOOL: (bool,),
    Kind.INT: (int,),
    Kind.UINT: (UInt,),
    Kind.DOUBLE: (float,),
    Kind.STRING: (str,),
    Kind.BYTES: (bytes,),
    Kind.NULL: (type(None),),
    Kind.TYPE: (Type,),
}


def accepts(wanted: Type, given: type) -> bool:
    """Whether values of a Python class can be of a type; elements are not looked at."""
    kind = wanted.kind
    if kind in {Kind.DYN, Kind.PARAM}:
        return True
    exact = _CLASSES.get(kind)
    if exact is not None:
        return given in exact
    if kind is Kind.LIST:
        return issubclass(given, list)
    if kind is Kind.MAP:
        return issubclass(given, Mapping)
    if types.is_optional(wanted):
        return given is Optional
    if issubclass(given, Opaque):
        return bool(given.cel_type.name == wanted.name)
    return kind is Kind.STRUCT and (given is Typed or issubclass(given, Mapping))


def dispatcher(name: str, overloads: Iterable[Overload]) -> Callable[..., tuple[Callable[..., Any], int | Cost]]:
    """Finds what runs for arguments by their classes, and remembers it."""
    listed = tuple(overloads)
    known: dict[tuple[type, ...], Overload] = {}

    def resolve(*args: Any) -> tuple[Callable[..., Any], int | Cost]:
        kinds = tuple(map(type, args))
        found = known.get(kinds)
        if found is None:
            found = next((one for one in listed if _takes(one, kinds)), None)
            if found is None:
                # Operators are methods of values upstream, and those do not say what they were given.
                raise no_such_overload(
                    "" if "_" in (name[0], name[-1]) else f"{name}({', '.join(map(type_name, args))})"
                )
            known[kinds] = found
        return found.run, found.cost

    return resolve


def _takes(overload: Overload, kinds: tuple[type, ...]) -> bool:
    return len(kinds) == len(overload.params) and all(map(accepts, overload.params, kinds))

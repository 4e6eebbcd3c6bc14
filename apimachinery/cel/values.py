"""What expressions calculate with: JSON's values as Python has them, and the few kinds JSON does not know.

int, `UInt`, float, str, bytes, bool and None, list and any Mapping stand for themselves; equality across them is
`equal`, never Python's `==`, for which True is 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

from apimachinery.cel import types
from apimachinery.cel.errors import CelError
from apimachinery.cel.numbers import UInt
from apimachinery.cel.types import Type


class Opaque:
    """A value that only functions of a library look into. Equality is Python's."""

    __slots__ = ()
    cel_type: ClassVar[Type]


class Optional:
    """A value or none; `NONE` is the only one without."""

    __slots__ = ("present", "value")

    def __init__(self, value: Any, *, present: bool = True) -> None:
        self.value = value
        self.present = present

    def get(self) -> Any:
        if not self.present:
            raise CelError("optional.none() dereference")
        return self.value


NONE: Final = Optional(None, present=False)

_PLAIN: dict[type, Type] = {
    bool: types.BOOL,
    int: types.INT,
    UInt: types.UINT,
    float: types.DOUBLE,
    str: types.STRING,
    bytes: types.BYTES,
    type(None): Type(types.Kind.NULL, "null_type"),
    list: types.list_of(types.DYN),
    dict: types.map_of(types.DYN, types.DYN),
    Optional: types.optional_of(types.DYN),
    Type: types.TYPE,
}


class Typed(dict[str, Any]):
    """An object of a declared type, as an expression made it."""

    __slots__ = ("name",)

    def __init__(self, name: str, fields: Mapping[str, Any]) -> None:
        super().__init__(fields)
        self.name = name


class KeyedList(list[Any]):
    """A list of a schema that says it is a set (no `keys`) or a map: order does not count in comparisons."""

    __slots__ = ("keys",)

    def __init__(self, items: list[Any], keys: tuple[str, ...]) -> None:
        super().__init__(items)
        self.keys = keys

    def key(self, item: Any) -> Any:
        return tuple(item.get(key) for key in self.keys) if self.keys and isinstance(item, Mapping) else item

    def joined(self, other: list[Any]) -> list[Any]:
        """Of a set the union; of a map the elements of both, the other's where both have one."""
        found = list(self)
        for item in other:
            place = next((at for at, one in enumerate(found) if equal(self.key(one), self.key(item))), None)
            if place is None:
                found.append(item)
            elif self.keys:
                found[place] = item
        return KeyedList(found, self.keys)

    def same(self, other: list[Any]) -> bool:
        return len(self) == len(other) and all(any(equal(one, two) for two in other) for one in self)


def type_of(value: Any) -> Type:
    found = _PLAIN.get(type(value))
    if found is not None:
        return found
    if isinstance(value, Opaque):
        return value.cel_type
    if isinstance(value, Typed):
        return types.struct(value.name)
    if isinstance(value, list):
        return _PLAIN[list]
    return _PLAIN[dict] if isinstance(value, Mapping) else types.DYN


def type_name(value: Any) -> str:
    """The name of a value's type in messages."""
    return type_of(value).name


def equal(one: Any, other: Any) -> bool:
    """CEL's equality: numbers across their kinds, everything else only within its own."""
    kind = type(one)
    if kind is type(other) and kind in _SIMPLE:
        return bool(one == other)
    if kind in _NUMBERS:
        return type(other) in _NUMBERS and bool(one == other)
    if isinstance(one, list):
        if isinstance(one, KeyedList) and isinstance(other, list):
            return one.same(other)
        return isinstance(other, list) and len(one) == len(other) and all(map(equal, one, other))
    if isinstance(one, Mapping):
        if not isinstance(other, Mapping) or len(one) != len(other):
            return False
        return all(key in other and equal(value, other[key]) for key, value in one.items())
    if isinstance(one, Optional):
        if not isinstance(other, Optional) or one.present != other.present:
            return False
        return not one.present or equal(one.value, other.value)
    if isinstance(one, Type):
        if not isinstance(other, Type) or one.kind is not other.kind:
            return False
        return one.kind not in {types.Kind.STRUCT, types.Kind.OPAQUE} or one.name == other.name
    return kind is type(other) and bool(one == other)


_SIMPLE = frozenset({str, int, bool, float, bytes, UInt, type(None)})
_NUMBERS = frozenset({int, float, UInt})


def find(table: Mapping[Any, Any], key: Any) -> Any:
    """The value under a key, or `MISSING`. Whole numbers find each other whatever their kind; True is no 1."""
    kind = type(key)
    if kind is str:
        return table.get(key, MISSING)
    if kind is bool or kind in _NUMBERS:
        if key != key or key not in table:
            return MISSING
        # Python has one slot for True and 1: the key that is there decides.
        if any(same == key and (type(same) is bool) == (kind is bool) for same in table):
            return table[key]
    return MISSING


class _Missing:
    """Tells absence from null."""


MISSING: Final = _Missing()


def is_zero(value: Any) -> bool:
    """Whether `optional.ofNonZeroValue` takes it for nothing."""
    if value is None or isinstance(value, Optional):
        return value is None or not value.present
    zero = getattr(value, "is_zero", None)
    if zero is not None:
        return bool(zero())
    return isinstance(value, bool | int | float | str | bytes | list | Mapping) and not value


def size_of(value: Any) -> int:
    """What cost is counted by: characters, bytes, elements; 1 for all else."""
    kind = type(value)
    if kind is str or kind is list or kind is dict or kind is bytes:
        return len(value)
    if isinstance(value, Optional):
        return size_of(value.value) if value.present else 1
    size = getattr(value, "cel_size", None)
    if size is not None:
        return int(size())
    return len(value) if isinstance(value, Mapping | list) else 1

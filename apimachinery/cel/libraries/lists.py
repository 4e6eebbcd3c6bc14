"""Lists: order, sums, search, slices; and lists as sets."""

from __future__ import annotations

import functools
from typing import Any

from apimachinery.cel.errors import CelError, CostExceeded
from apimachinery.cel.libraries.standard import LONGEST_LIST, compare, to_int, to_uint
from apimachinery.cel.libraries.strings import by_traversal
from apimachinery.cel.library import Library
from apimachinery.cel.moments import Duration, Timestamp, duration
from apimachinery.cel.numbers import UInt
from apimachinery.cel.values import equal

LISTS = Library()
SETS = Library()
_COMPARABLE = ("int", "uint", "double", "bool", "duration", "timestamp", "string", "bytes")
_CLASSES = (int, UInt, float, bool, str, bytes, Duration, Timestamp)
_LIST_COST = 10


def _is_sorted(values: list[Any]) -> bool:
    return all(compare(values[index], values[index + 1]) <= 0 for index in range(len(values) - 1))


def _max(values: list[Any]) -> Any:
    return _extreme("max", values, -1)


def _min(values: list[Any]) -> Any:
    return _extreme("min", values, 1)


def _extreme(name: str, values: list[Any], preferred: int) -> Any:
    if not values:
        raise CelError(f"{name} called on empty list")
    found = values[0]
    for value in values[1:]:
        if compare(found, value) == preferred:
            found = value
    return found


def _sum_ints(values: list[int]) -> int:
    return functools.reduce(lambda one, other: to_int(one + other), values, 0)


def _sum_uints(values: list[int]) -> UInt:
    return functools.reduce(lambda one, other: to_uint(int(one) + int(other)), values, UInt(0))


def _sum_doubles(values: list[float]) -> float:
    return sum(values, 0.0)


def _sum_durations(values: list[Duration]) -> Duration:
    return functools.reduce(lambda one, other: duration(one.nanoseconds + other.nanoseconds), values, Duration(0))


def _self_compared(values: list[Any]) -> int:
    """Upstream reckons with each element compared with each, twice, and reading texts while at it."""
    factor = 2.1 if values and isinstance(values[0], str | bytes) else 2.0
    return int(len(values) * len(values) * factor) + 1 + _LIST_COST


def _sort_cost(args: tuple[Any, ...], _result: Any) -> int:
    return _self_compared(args[-1])


def _sort(values: list[Any]) -> list[Any]:
    return _sort_by(values, values)


def _sort_by(values: list[Any], keys: list[Any]) -> list[Any]:
    if not values:
        return values
    if not isinstance(keys[0], _CLASSES):
        raise CelError("list elements must be comparable")
    if any(type(key) is not type(keys[0]) for key in keys):
        raise CelError("list elements must have the same type")
    rank = functools.cmp_to_key(compare)
    order = sorted(range(len(values)), key=lambda index: rank(keys[index]))
    return [values[index] for index in order]


def _enrol_by_type() -> None:
    for kind in _COMPARABLE:
        LISTS.method(f"isSorted(list<{kind}>) -> bool", f"list_{kind}_is_sorted_bool", by_traversal)(_is_sorted)
        LISTS.method(f"max(list<{kind}>) -> {kind}", f"list_{kind}_max_{kind}", by_traversal)(_max)
        LISTS.method(f"min(list<{kind}>) -> {kind}", f"list_{kind}_min_{kind}", by_traversal)(_min)
        LISTS.method(f"sort(list<{kind}>) -> list<{kind}>", f"list_{kind}_sort", _sort_cost)(_sort)
        LISTS.method(
            f"@sortByAssociatedKeys(list<T>, list<{kind}>) -> list<T>", f"list_{kind}_sortByAssociatedKeys", _sort_cost
        )(_sort_by)
    sums = {"int": _sum_ints, "uint": _sum_uints, "double": _sum_doubles, "duration": _sum_durations}
    for kind, add in sums.items():
        LISTS.method(f"sum(list<{kind}>) -> {kind}", f"list_{kind}_sum_{kind}", by_traversal)(_summed(add))


def _summed(add: Any) -> Any:
    def total(values: list[Any]) -> Any:
        # A list of unknown elements may be of any kind: its first element tells.
        first = type(values[0]) if values else None
        kinds = {int: _sum_ints, UInt: _sum_uints, float: _sum_doubles, Duration: _sum_durations}
        return kinds.get(first, add)(values) if first is not None else add(values)

    return total


_enrol_by_type()


@LISTS.method("indexOf(list<A>, A) -> int", "list_a_index_of_int", by_traversal)
def _index_of(values: list[Any], wanted: Any) -> int:
    return next((index for index, value in enumerate(values) if equal(value, wanted)), -1)


@LISTS.method("lastIndexOf(list<A>, A) -> int", "list_a_last_index_of_int", by_traversal)
def _last_index_of(values: list[Any], wanted: Any) -> int:
    return next((index for index in range(len(values) - 1, -1, -1) if equal(values[index], wanted)), -1)


def _by_output(_args: tuple[Any, ...], result: Any) -> int:
    return 1 + _LIST_COST + len(result)


def _by_depth(args: tuple[Any, ...], _result: Any) -> int:
    return 1 + _LIST_COST + len(args[0]) * (args[1] if len(args) > 1 else 1)


@LISTS.method("slice(list<T>, int, int) -> list<T>", "list_slice", _by_output)
def _slice(values: list[Any], start: int, end: int) -> list[Any]:
    what = f"cannot slice({start}, {end})"
    if start < 0 or end < 0:
        raise CelError(f"{what}, negative indexes not supported")
    if start > end:
        raise CelError(f"{what}, start index must be less than or equal to end index")
    if len(values) < end:
        raise CelError(f"{what}, list is length {len(values)}")
    return values[start:end]


@LISTS.method("flatten(list<list<T>>) -> list<T>", "list_flatten", _by_depth)
def _flatten(values: list[Any]) -> list[Any]:
    return _flatten_to(values, 1)


@LISTS.method("flatten(list<dyn>, int) -> list<dyn>", "list_flatten_int", _by_depth)
def _flatten_to(values: list[Any], level: int) -> list[Any]:
    if level < 0:
        raise CelError("level must be non-negative")
    found: list[Any] = []
    for value in values:
        if isinstance(value, list) and level:
            found += _flatten_to(value, level - 1)
        else:
            found.append(value)
        if len(found) > LONGEST_LIST:
            raise CostExceeded
    return found


@LISTS.function("lists.range(int) -> list<int>", "lists_range", _by_output)
def _range(count: int) -> list[int]:
    if count > LONGEST_LIST:
        raise CostExceeded
    return list(range(count))


@LISTS.method("reverse(list<T>) -> list<T>", "list_reverse", _by_output)
def _reverse(values: list[Any]) -> list[Any]:
    return values[::-1]


@LISTS.method("distinct(list<T>) -> list<T>", "list_distinct", _sort_cost)
def _distinct(values: list[Any]) -> list[Any]:
    if len(values) > 1000:
        # The cost of more is over the limit; it is not worth finding out the slow way.
        raise CostExceeded
    found: list[Any] = []
    for value in values:
        if not any(equal(value, known) for known in found):
            found.append(value)
    return found


def _products(factor: int) -> Any:
    return lambda args, _result: 1 + len(args[0]) * len(args[1]) * factor


def _limited(one: list[Any], other: list[Any]) -> None:
    if len(one) * len(other) > LONGEST_LIST:
        raise CostExceeded


def _holds(values: list[Any], wanted: Any) -> bool:
    return any(equal(value, wanted) for value in values)


@SETS.function("sets.contains(list<T>, list<T>) -> bool", "list_sets_contains_list", _products(1))
def _contains(values: list[Any], part: list[Any]) -> bool:
    _limited(values, part)
    return all(_holds(values, each) for each in part)


@SETS.function("sets.equivalent(list<T>, list<T>) -> bool", "list_sets_equivalent_list", _products(2))
def _equivalent(one: list[Any], other: list[Any]) -> bool:
    return _contains(one, other) and _contains(other, one)


@SETS.function("sets.intersects(list<T>, list<T>) -> bool", "list_sets_intersects_list", _products(1))
def _intersects(one: list[Any], other: list[Any]) -> bool:
    _limited(one, other)
    return any(_holds(other, each) for each in one)

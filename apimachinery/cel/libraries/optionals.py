"""Optional values."""

from __future__ import annotations

from typing import Any

from apimachinery.cel.errors import CelError, no_such_overload
from apimachinery.cel.library import Library
from apimachinery.cel.values import NONE, Optional, is_zero

OPTIONALS = Library()


@OPTIONALS.function("optional.of(V) -> optional<V>", "optional_of")
def _of(value: Any) -> Optional:
    return Optional(value)


@OPTIONALS.function("optional.ofNonZeroValue(V) -> optional<V>", "optional_ofNonZeroValue")
def _of_non_zero(value: Any) -> Optional:
    return NONE if is_zero(value) else Optional(value)


@OPTIONALS.function("optional.none() -> optional<V>", "optional_none")
def _none() -> Optional:
    return NONE


@OPTIONALS.method("value(optional<V>) -> V", "optional_value")
def _value(optional: Optional) -> Any:
    return optional.get()


@OPTIONALS.method("hasValue(optional<V>) -> bool", "optional_hasValue")
def _has_value(optional: Optional) -> bool:
    return optional.present


# The planner evaluates the second operand of these two only when it is needed.
@OPTIONALS.method("or(optional<V>, optional<V>) -> optional<V>", "optional_or_optional")
@OPTIONALS.method("orValue(optional<V>, V) -> V", "optional_orValue_value")
def _otherwise(_optional: Optional, _other: Any) -> Any:
    raise no_such_overload()


@OPTIONALS.method("first(list<V>) -> optional<V>", "list_first")
def _first(values: list[Any]) -> Optional:
    return Optional(values[0]) if values else NONE


@OPTIONALS.method("last(list<V>) -> optional<V>", "list_last")
def _last(values: list[Any]) -> Optional:
    return Optional(values[-1]) if values else NONE


@OPTIONALS.function("optional.unwrap(list<optional<V>>) -> list<V>", "optional_unwrap")
@OPTIONALS.method("unwrapOpt(list<optional<V>>) -> list<V>", "optional_unwrapOpt")
def _unwrap(values: list[Any]) -> list[Any]:
    for value in values:
        if not isinstance(value, Optional):
            raise CelError(f"value {value} is not optional")
    return [value.value for value in values if value.present]

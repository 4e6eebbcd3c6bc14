"""CEL's own functions and operators over numbers, text, lists and maps."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from apimachinery.cel import loops
from apimachinery.cel.errors import CelError, CostExceeded, no_such_overload
from apimachinery.cel.library import Library
from apimachinery.cel.moments import Duration, Timestamp, duration, parse_duration, parse_timestamp, timestamp
from apimachinery.cel.numbers import INT_MAX, INT_MIN, UINT_MAX, UInt
from apimachinery.cel.regex import search
from apimachinery.cel.types import Type
from apimachinery.cel.values import KeyedList, type_name, type_of

STANDARD = Library()
#: Lists longer than this are not built: upstream's cost model takes joining two lists for free.
LONGEST_LIST = 1_000_000


def tenth(size: int) -> int:
    """The cost of going once over so many characters."""
    return (size + 9) // 10


def by_first(args: tuple[Any, ...], _result: Any) -> int:
    return tenth(len(args[0]))


def by_both(args: tuple[Any, ...], _result: Any) -> int:
    return tenth(len(args[0]) + len(args[1]))


def by_shorter(args: tuple[Any, ...], _result: Any) -> int:
    return tenth(min(len(args[0]), len(args[1])))


def by_pattern(args: tuple[Any, ...], _result: Any) -> int:
    return tenth(len(args[0]) + 1) * ((len(args[1]) + 3) // 4)


def by_product(args: tuple[Any, ...], _result: Any) -> int:
    return tenth(len(args[0])) * tenth(len(args[1]))


def to_int(value: int) -> int:
    if not INT_MIN <= value <= INT_MAX:
        raise CelError("integer overflow")
    return int(value)


def to_uint(value: int) -> UInt:
    if not 0 <= value <= UINT_MAX:
        raise CelError("unsigned integer overflow")
    return UInt(value)


def _arithmetic() -> None:
    def divide(one: int, other: int) -> int:
        if other == 0:
            raise CelError("division by zero")
        return abs(one) // abs(other) * (1 if (one < 0) == (other < 0) else -1)

    def modulo(one: int, other: int) -> int:
        if other == 0:
            raise CelError("modulus by zero")
        return abs(one) % abs(other) * (-1 if one < 0 else 1)

    def divide_floats(one: float, other: float) -> float:
        if other != 0:
            return one / other
        if one == 0 or one != one:
            return math.nan
        return math.copysign(math.inf, one) * math.copysign(1.0, other)

    whole: dict[str, tuple[str, Callable[[int, int], int]]] = {
        "_+_": ("add", lambda one, other: one + other),
        "_-_": ("subtract", lambda one, other: one - other),
        "_*_": ("multiply", lambda one, other: one * other),
        "_/_": ("divide", divide),
        "_%_": ("modulo", modulo),
    }
    for sign, (name, run) in whole.items():
        STANDARD.function(f"{sign}(int, int) -> int", f"{name}_int64")(
            lambda one, other, run=run: to_int(run(one, other))
        )
        STANDARD.function(f"{sign}(uint, uint) -> uint", f"{name}_uint64")(
            lambda one, other, run=run: to_uint(run(int(one), int(other)))
        )
    floats: dict[str, tuple[str, Callable[[float, float], float]]] = {
        "_+_": ("add", lambda one, other: one + other),
        "_-_": ("subtract", lambda one, other: one - other),
        "_*_": ("multiply", lambda one, other: one * other),
        "_/_": ("divide", divide_floats),
    }
    for sign, (name, calculate) in floats.items():
        STANDARD.function(f"{sign}(double, double) -> double", f"{name}_double")(calculate)
    STANDARD.function("-_(int) -> int", "negate_int64")(lambda value: to_int(-value))
    STANDARD.function("-_(double) -> double", "negate_double")(lambda value: -value)


def _join_lists(one: list[Any], other: list[Any]) -> list[Any]:
    if len(one) + len(other) > LONGEST_LIST:
        raise CostExceeded
    return one.joined(other) if isinstance(one, KeyedList) else one + other


def _sums() -> None:
    add, subtract = "_+_", "_-_"
    STANDARD.function(f"{add}(string, string) -> string", "add_string", by_both)(lambda one, other: one + other)
    STANDARD.function(f"{add}(bytes, bytes) -> bytes", "add_bytes", by_both)(lambda one, other: one + other)
    STANDARD.function(f"{add}(list<A>, list<A>) -> list<A>", "add_list")(_join_lists)

    def moved(one: Timestamp, other: Duration) -> Timestamp:
        return timestamp(one.nanoseconds + other.nanoseconds)

    STANDARD.function(f"{add}(duration, duration) -> duration", "add_duration_duration")(
        lambda one, other: duration(one.nanoseconds + other.nanoseconds)
    )
    STANDARD.function(f"{add}(timestamp, duration) -> timestamp", "add_timestamp_duration")(moved)
    STANDARD.function(f"{add}(duration, timestamp) -> timestamp", "add_duration_timestamp")(
        lambda one, other: moved(other, one)
    )
    STANDARD.function(f"{subtract}(duration, duration) -> duration", "subtract_duration_duration")(
        lambda one, other: duration(one.nanoseconds - other.nanoseconds)
    )
    STANDARD.function(f"{subtract}(timestamp, duration) -> timestamp", "subtract_timestamp_duration")(
        lambda one, other: timestamp(one.nanoseconds - other.nanoseconds)
    )
    STANDARD.function(f"{subtract}(timestamp, timestamp) -> duration", "subtract_timestamp_timestamp")(
        lambda one, other: duration(one.nanoseconds - other.nanoseconds)
    )


def compare(one: Any, other: Any) -> int:
    """-1, 0 or 1, across kinds of numbers too."""
    if one != one or other != other:
        raise CelError("NaN values cannot be ordered")
    return int(one > other) - int(one < other)


def _order() -> None:
    signs: dict[str, tuple[str, Callable[[int], bool]]] = {
        "_<_": ("less", lambda order: order < 0),
        "_<=_": ("less_equals", lambda order: order <= 0),
        "_>_": ("greater", lambda order: order > 0),
        "_>=_": ("greater_equals", lambda order: order >= 0),
    }
    numbers = ("int", "uint", "double")
    pairs = [(one, other) for one in numbers for other in numbers]
    pairs += [(kind, kind) for kind in ("bool", "string", "bytes", "timestamp", "duration")]
    for sign, (name, fits) in signs.items():
        for one, other in pairs:
            cost = by_shorter if one in {"string", "bytes"} else 1
            identity = f"{name}_{one}" if one == other else f"{name}_{one}_{other}"
            STANDARD.function(f"{sign}({one}, {other}) -> bool", identity, cost)(
                lambda left, right, fits=fits: fits(compare(left, right))
            )


def _never(*_args: Any) -> Any:
    raise no_such_overload()


def _operators() -> None:
    """What the planner does itself; declared for the checker."""
    for signature, identity in (
        ("_?_:_(bool, A, A) -> A", "conditional"),
        ("_&&_(bool, bool) -> bool", "logical_and"),
        ("_||_(bool, bool) -> bool", "logical_or"),
        ("!_(bool) -> bool", "logical_not"),
        ("_==_(A, A) -> bool", "equals"),
        ("_!=_(A, A) -> bool", "not_equals"),
        ("@in(A, list<A>) -> bool", "in_list"),
        ("@in(A, map<A, B>) -> bool", "in_map"),
        ("_[_](list<A>, int) -> A", "index_list"),
        ("_[_](map<A, B>, A) -> B", "index_map"),
        ("_[_](optional<list<A>>, int) -> optional<A>", "optional_list_index_int"),
        ("_[_](optional<map<A, B>>, A) -> optional<B>", "optional_map_index_value"),
        ("_[?_](list<A>, int) -> optional<A>", "list_optindex_optional_int"),
        ("_[?_](optional<list<A>>, int) -> optional<A>", "optional_list_optindex_optional_int"),
        ("_[?_](map<A, B>, A) -> optional<B>", "map_optindex_optional_value"),
        ("_[?_](optional<map<A, B>>, A) -> optional<B>", "optional_map_optindex_optional_value"),
    ):
        STANDARD.function(signature, identity)(_never)
    STANDARD.function("@not_strictly_false(bool) -> bool", "not_strictly_false")(lambda value: value is not False)
    STANDARD.function("cel.@mapInsert(map<A, B>, A, B) -> map<A, B>", "@mapInsert_map_key_value")(loops.insert)
    STANDARD.function("cel.@mapInsert(map<A, B>, map<A, B>) -> map<A, B>", "@mapInsert_map_map")(loops.insert_all)


def _text() -> None:
    for kind in ("string", "bytes", "list<A>", "map<A, B>"):
        name = kind.partition("<")[0]
        STANDARD.function(f"size({kind}) -> int", f"size_{name}")(len)
        STANDARD.method(f"size({kind}) -> int", f"{name}_size")(len)
    STANDARD.method("contains(string, string) -> bool", "contains_string", by_product)(lambda text, part: part in text)
    # Upstream's cost of these two counts the text, although only the affix is looked at.
    STANDARD.method("startsWith(string, string) -> bool", "starts_with_string", by_first)(str.startswith)
    STANDARD.method("endsWith(string, string) -> bool", "ends_with_string", by_first)(str.endswith)
    STANDARD.method("matches(string, string) -> bool", "matches_string", by_pattern)(search)
    STANDARD.function("matches(string, string) -> bool", "matches", by_pattern)(search)


def float_text(value: float) -> str:
    """A double as Go's shortest 'g' format writes it."""
    if value != value:
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    if value == 0:
        return "-0" if math.copysign(1.0, value) < 0 else "0"
    # repr is the shortest text that reads back as the same number, as Go's is.
    shortest = f"{value!r}".lstrip("-")
    digits, _, exponent = shortest.partition("e")
    before, _, after = digits.partition(".")
    mantissa = (before + after).lstrip("0")
    power = int(exponent or 0) + (len(before) - 1 if before != "0" else len(mantissa) - len(after) - 1)
    mantissa = mantissa.rstrip("0")
    sign = "-" if value < 0 else ""
    if -5 < power < 6:
        return _plain_text(sign, mantissa, power)
    fraction = f".{mantissa[1:]}" if len(mantissa) > 1 else ""
    return f"{sign}{mantissa[0]}{fraction}e{'-' if power < 0 else '+'}{abs(power):02d}"


def _plain_text(sign: str, mantissa: str, power: int) -> str:
    if power < 0:
        return f"{sign}0.{'0' * (-power - 1)}{mantissa}"
    whole = mantissa[: power + 1].ljust(power + 1, "0")
    rest = mantissa[power + 1 :]
    return f"{sign}{whole}.{rest}" if rest else f"{sign}{whole}"


def _cannot(value: Any, wanted: str) -> CelError:
    return CelError(f"type conversion error from '{type_name(value)}' to '{wanted}'")


def _int_of(value: Any) -> int:
    if isinstance(value, str):
        if not _is_number(value):
            raise _cannot(value, "int")
        number = int(value)
        if not INT_MIN <= number <= INT_MAX:
            raise _cannot(value, "int")
        return number
    if isinstance(value, float):
        if value != value or math.isinf(value) or not -(2.0**63) < value < 2.0**63:
            raise CelError("integer overflow")
        return int(value)
    if isinstance(value, Timestamp):
        return value.nanoseconds // 1_000_000_000
    if isinstance(value, Duration):
        return value.nanoseconds
    return to_int(value)


def _uint_of(value: Any) -> UInt:
    if isinstance(value, str):
        if not _is_number(value) or value[0] in "+-" or int(value) > UINT_MAX:
            raise _cannot(value, "uint")
        return UInt(int(value))
    if isinstance(value, float):
        if value != value or not -1.0 < value < 2.0**64:
            raise CelError("unsigned integer overflow")
        return UInt(int(value))
    return to_uint(value)


def _is_number(text: str) -> bool:
    digits = text[1:] if text[:1] in {"+", "-"} else text
    return digits.isascii() and digits.isdigit() and len(digits.lstrip("0")) <= 20


def _double_of(value: Any) -> float:
    if isinstance(value, str):
        try:
            if "_" in value or value != value.strip():
                raise ValueError
            return float(value)
        except ValueError:
            raise _cannot(value, "double") from None
    return float(value)


def text_of(value: Any) -> str:
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise CelError("invalid UTF-8 in bytes, cannot convert to string") from None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return float_text(value)
    return str(int(value)) if isinstance(value, int) else str(value)


_TRUE, _FALSE = (
    frozenset({"1", "t", "T", "true", "TRUE", "True"}),
    frozenset({"0", "f", "F", "false", "FALSE", "False"}),
)


def _bool_of(value: str) -> bool:
    if value in _TRUE:
        return True
    if value not in _FALSE:
        raise _cannot(value, "bool")
    return False


def _duration_of(value: str) -> Duration:
    found = parse_duration(value)
    if found is None:
        raise _cannot(value, "google.protobuf.Duration")
    return found


def _timestamp_of(value: Any) -> Timestamp:
    if isinstance(value, str):
        found = parse_timestamp(value)
        if found is None:
            raise _cannot(value, "google.protobuf.Timestamp")
        return found
    return timestamp(value * 1_000_000_000)


def _conversions() -> None:
    def same(value: Any) -> Any:
        return value

    table: tuple[tuple[str, tuple[str, ...], Callable[[Any], Any]], ...] = (
        ("int", ("uint", "double", "string", "timestamp", "duration"), _int_of),
        ("uint", ("int", "double", "string"), _uint_of),
        ("double", ("int", "uint", "string"), _double_of),
        ("string", ("bool", "bytes", "double", "duration", "int", "timestamp", "uint"), text_of),
        ("bytes", ("string",), str.encode),
        ("bool", ("string",), _bool_of),
        ("duration", ("string",), _duration_of),
        ("timestamp", ("string", "int"), _timestamp_of),
    )
    for wanted, given, convert in table:
        STANDARD.function(f"{wanted}({wanted}) -> {wanted}", f"{wanted}_to_{wanted}")(same)
        for kind in given:
            cost = by_first if {wanted, kind} == {"string", "bytes"} else 1
            STANDARD.function(f"{wanted}({kind}) -> {wanted}", f"{kind}_to_{wanted}", cost)(convert)
    STANDARD.function("duration(int) -> duration", "int_to_duration")(lambda value: duration(value))
    STANDARD.function("dyn(A) -> dyn", "to_dyn")(same)

    def kind_of(value: Any) -> Type:
        return type_of(value)

    STANDARD.function("type(A) -> type", "type")(kind_of)


def _calendar() -> None:
    parts: tuple[tuple[str, Callable[[Any], int]], ...] = (
        ("getFullYear", lambda moment: int(moment.year)),
        ("getMonth", lambda moment: int(moment.month) - 1),
        ("getDayOfYear", lambda moment: int(moment.timetuple().tm_yday) - 1),
        ("getDayOfMonth", lambda moment: int(moment.day) - 1),
        ("getDate", lambda moment: int(moment.day)),
        ("getDayOfWeek", lambda moment: int(moment.isoweekday()) % 7),
        ("getHours", lambda moment: int(moment.hour)),
        ("getMinutes", lambda moment: int(moment.minute)),
        ("getSeconds", lambda moment: int(moment.second)),
        ("getMilliseconds", lambda moment: int(moment.microsecond) // 1000),
    )
    for name, part in parts:
        STANDARD.method(f"{name}(timestamp) -> int", f"timestamp_{name}")(lambda moment, part=part: part(moment.at()))
        STANDARD.method(f"{name}(timestamp, string) -> int", f"timestamp_{name}_with_tz")(
            lambda moment, zone, part=part: part(moment.at(zone))
        )
    units = (("getHours", 3600 * 10**9), ("getMinutes", 60 * 10**9), ("getSeconds", 10**9), ("getMilliseconds", 10**6))
    for name, unit in units:
        STANDARD.method(f"{name}(duration) -> int", f"duration_{name}")(
            lambda length, unit=unit: abs(length.nanoseconds) // unit * (1 if length.nanoseconds >= 0 else -1)
        )


for _enrol in (_operators, _arithmetic, _sums, _order, _text, _conversions, _calendar):
    _enrol()

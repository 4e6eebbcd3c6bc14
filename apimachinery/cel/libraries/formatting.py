"""`string.format(list)`."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from apimachinery.cel.errors import CelError
from apimachinery.cel.moments import Duration, Timestamp
from apimachinery.cel.numbers import UInt
from apimachinery.cel.types import Type
from apimachinery.cel.values import type_name

_CLAUSE = re.compile(r"(?:\.(\d*))?(.)?", re.DOTALL)
_MOST_DIGITS = 1000
_WRONG = "error during formatting: "


def formatted(text: str, args: list[Any]) -> str:
    """Raises CelError for a clause that is none or does not fit its argument."""
    parts: list[str] = []
    offset, index = 0, 0
    while True:
        at = text.find("%", offset)
        if at < 0:
            return "".join([*parts, text[offset:]])
        parts.append(text[offset:at])
        if text.startswith("%%", at):
            parts.append("%")
            offset = at + 2
            continue
        if at + 1 >= len(text):
            raise CelError("unexpected end of string")
        if index >= len(args):
            raise CelError(f"index {index} out of range")
        match = _CLAUSE.match(text, at + 1)
        assert match is not None
        parts.append(_clause(match[2] or "", match[1], args[index]))
        index += 1
        offset = match.end()


def _clause(verb: str, digits: str | None, value: Any) -> str:
    if not verb:
        raise CelError("could not parse formatting clause: error while parsing precision: "
                       "could not find end of precision specifier")  # fmt: skip
    if verb in {"f", "e"}:
        precision = int(digits[:9]) if digits else 6
        return _number(verb, min(precision, _MOST_DIGITS), value)
    if verb == "s":
        return _string(value)
    if verb == "d":
        return _decimal(value)
    if verb == "b":
        return _binary(value)
    if verb in {"x", "X"}:
        return _hex(value) if verb == "x" else _hex(value).upper()
    if verb == "o":
        return _octal(value)
    raise CelError(f'could not parse formatting clause: unrecognized formatting clause "{verb}"')


def _refuse(clause: str, wanted: str, value: Any) -> CelError:
    return CelError(f"{_WRONG}{clause} clause can only be used on {wanted}, was given {type_name(value)}")


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _decimal(value: Any) -> str:
    if not _is_whole(value):
        raise _refuse("decimal", "integers", value)
    return str(int(value))


def _binary(value: Any) -> str:
    if isinstance(value, bool):
        return "1" if value else "0"
    if not _is_whole(value):
        raise CelError(f"{_WRONG}only integers and bools can be formatted as binary, was given {type_name(value)}")
    return format(int(value), "b")


def _hex(value: Any) -> str:
    if isinstance(value, str):
        return value.encode().hex()
    if isinstance(value, bytes):
        return value.hex()
    if not _is_whole(value):
        what = "only integers, byte buffers, and strings can be formatted as hex"
        raise CelError(f"{_WRONG}{what}, was given {type_name(value)}")
    return format(int(value), "x")


def _octal(value: Any) -> str:
    if not _is_whole(value):
        raise _refuse("octal", "integers", value)
    return format(int(value), "o")


def _number(verb: str, precision: int, value: Any) -> str:
    if value in ("NaN", "Infinity", "-Infinity"):
        value = float(value)
    if not isinstance(value, float):
        name = "fixed-point" if verb == "f" else "scientific"
        raise _refuse(name, "doubles", value)
    if value != value:
        return "NaN"
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if verb == "f":
        return f"{value:,.{precision}f}"
    mantissa, _, power = f"{value:.{precision}e}".partition("e")
    digits = str(abs(int(power))).rjust(2, "0").translate(_SUPERSCRIPT)
    return f"{mantissa}×10{'⁻' if power.startswith('-') else ''}{digits}"


_SUPERSCRIPT = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def _string(value: Any) -> str:
    from apimachinery.cel.libraries.standard import text_of

    if value is None:
        return "null"
    if isinstance(value, list):
        return f"[{', '.join(map(_quoted, value))}]"
    if isinstance(value, Mapping):
        return _table(value)
    if isinstance(value, Type):
        return value.name
    if isinstance(value, str | bytes | bool | int | float | Timestamp | Duration):
        return text_of(value)
    wanted = "strings, bools, bytes, ints, doubles, maps, lists, types, durations, and timestamps"
    raise CelError(f"{_WRONG}string clause can only be used on {wanted}, was given {type_name(value)}")


def _table(value: Mapping[Any, Any]) -> str:
    pairs = []
    for key, each in value.items():
        if not isinstance(key, str | bool | int | UInt):
            raise CelError(f"{_WRONG}no formatting function for map key of type {type_name(key)}")
        pairs.append((_quoted(key), _quoted(each)))
    return f"{{{', '.join(f'{key}:{each}' for key, each in sorted(pairs))}}}"


def _quoted(value: Any) -> str:
    """A value within a list or a map."""
    if isinstance(value, str):
        return _go_quoted(value)
    if isinstance(value, bytes):
        return f"b{_go_quoted(value.decode(errors='replace'))}"
    if isinstance(value, Timestamp):
        return f'timestamp("{value}")'
    if isinstance(value, Duration):
        return f'duration("{value}")'
    if isinstance(value, float):
        if value != value or math.isinf(value):
            return '"NaN"' if value != value else f'"{"+" if value > 0 else "-"}Inf"'
        return f"{value:.6f}"
    return _string(value)


def _go_quoted(text: str) -> str:
    parts = []
    for char in text:
        if char in '"\\':
            parts.append(f"\\{char}")
        elif char in _ESCAPES:
            parts.append(_ESCAPES[char])
        elif char.isprintable():
            parts.append(char)
        else:
            code = ord(char)
            parts.append(f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}")
    return f'"{"".join(parts)}"'


_ESCAPES = {"\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v"}

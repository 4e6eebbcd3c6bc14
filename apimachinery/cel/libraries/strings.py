"""Text: search, cut, replace, join, and patterns."""

from __future__ import annotations

from typing import Any

from apimachinery.cel.errors import CelError, CostExceeded
from apimachinery.cel.libraries.formatting import formatted
from apimachinery.cel.libraries.standard import by_first, by_pattern
from apimachinery.cel.library import Library
from apimachinery.cel.regex import compiled

STRINGS = Library()
#: Nothing makes longer texts: upstream's cost model does not count what is made.
LONGEST_TEXT = 10_000_000
_ASCII_LOWER = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")
_ASCII_UPPER = {value: key for key, value in _ASCII_LOWER.items()}
_QUOTES = {
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
    "\\": "\\\\",
    '"': '\\"',
}
_SPACE = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)


def _twice(args: tuple[Any, ...], _result: Any) -> int:
    return (len(args[0]) * 2 + 9) // 10


def _by_result(_args: tuple[Any, ...], result: Any) -> int:
    return (len(result) * 2 + 9) // 10


def traversal(value: Any) -> int:
    """The cost of going over a whole value."""
    if isinstance(value, str | bytes):
        return len(value) // 10
    if isinstance(value, list):
        return sum(map(traversal, value))
    if isinstance(value, dict):
        return sum(traversal(key) + traversal(each) for key, each in value.items())
    return 1


def by_traversal(args: tuple[Any, ...], _result: Any) -> int:
    return traversal(args[0])


def _out_of_range(index: int) -> CelError:
    return CelError(f"index out of range: {index}")


@STRINGS.method("charAt(string, int) -> string", "string_char_at_int")
def _char_at(text: str, index: int) -> str:
    if not 0 <= index <= len(text):
        raise _out_of_range(index)
    return text[index : index + 1]


@STRINGS.method("indexOf(string, string) -> int", "string_index_of_string", by_traversal)
def _index_of(text: str, part: str) -> int:
    return text.find(part)


@STRINGS.method("indexOf(string, string, int) -> int", "string_index_of_string_int", by_traversal)
def _index_of_from(text: str, part: str, offset: int) -> int:
    if not part:
        return offset
    if offset < 0:
        raise _out_of_range(offset)
    return text.find(part, offset)


@STRINGS.method("lastIndexOf(string, string) -> int", "string_last_index_of_string", by_traversal)
def _last_index_of(text: str, part: str) -> int:
    return text.rfind(part)


@STRINGS.method("lastIndexOf(string, string, int) -> int", "string_last_index_of_string_int", by_traversal)
def _last_index_of_from(text: str, part: str, offset: int) -> int:
    if not part:
        return offset
    if offset < 0:
        raise _out_of_range(offset)
    return -1 if offset >= len(text) else text.rfind(part, 0, offset + len(part))


@STRINGS.method("lowerAscii(string) -> string", "string_lower_ascii", by_first)
def _lower(text: str) -> str:
    return text.translate(_ASCII_LOWER)


@STRINGS.method("upperAscii(string) -> string", "string_upper_ascii", by_first)
def _upper(text: str) -> str:
    return text.translate(_ASCII_UPPER)


@STRINGS.method("replace(string, string, string) -> string", "string_replace_string_string", _twice)
def _replace(text: str, old: str, new: str) -> str:
    return _replace_some(text, old, new, -1)


@STRINGS.method("replace(string, string, string, int) -> string", "string_replace_string_string_int", _twice)
def _replace_some(text: str, old: str, new: str, count: int) -> str:
    times = text.count(old)
    if len(text) + times * len(new) > LONGEST_TEXT:
        raise CostExceeded
    return text.replace(old, new, count)


@STRINGS.method("split(string, string) -> list<string>", "string_split_string", _twice)
def _split(text: str, separator: str) -> list[str]:
    return text.split(separator) if separator else list(text)


@STRINGS.method("split(string, string, int) -> list<string>", "string_split_string_int", _twice)
def _split_some(text: str, separator: str, most: int) -> list[str]:
    if most < 0:
        return _split(text, separator)
    if most == 0:
        return []
    if separator:
        return text.split(separator, most - 1)
    return list(text) if most >= len(text) else [*text[: most - 1], text[most - 1 :]]


@STRINGS.method("substring(string, int) -> string", "string_substring_int", by_first)
def _substring(text: str, start: int) -> str:
    if not 0 <= start <= len(text):
        raise _out_of_range(start)
    return text[start:]


@STRINGS.method("substring(string, int, int) -> string", "string_substring_int_int", by_first)
def _substring_to(text: str, start: int, end: int) -> str:
    if start > end:
        raise CelError(f"invalid substring range. start: {start}, end: {end}")
    for index in (start, end):
        if not 0 <= index <= len(text):
            raise _out_of_range(index)
    return text[start:end]


@STRINGS.method("trim(string) -> string", "string_trim", by_first)
def _trim(text: str) -> str:
    return text.strip(_SPACE)


@STRINGS.method("format(string, list<dyn>) -> string", "string_format", by_first)
def _format(text: str, args: list[Any]) -> str:
    return formatted(text, args)


@STRINGS.function("strings.quote(string) -> string", "strings_quote", by_first)
def _quote(text: str) -> str:
    return f'"{"".join(_QUOTES.get(char, char) for char in text)}"'


@STRINGS.method("join(list<string>) -> string", "list_join", _by_result)
def _join(parts: list[Any]) -> str:
    return _join_by(parts, "")


@STRINGS.method("join(list<string>, string) -> string", "list_join_string", _by_result)
def _join_by(parts: list[Any], separator: str) -> str:
    for part in parts:
        if not isinstance(part, str):
            raise CelError(f"join: invalid input: {part}")
    if sum(map(len, parts)) + len(parts) * len(separator) > LONGEST_TEXT:
        raise CostExceeded
    return separator.join(parts)


def _pattern(pattern: str) -> Any:
    try:
        return compiled(pattern)
    except CelError as error:
        raise CelError(f"Illegal regex: {error}") from None


@STRINGS.method("find(string, string) -> string", "string_find_string", by_pattern)
def _find(text: str, pattern: str) -> str:
    match = _pattern(pattern).search(text)
    return str(match.group(0)) if match is not None else ""


@STRINGS.method("findAll(string, string) -> list<string>", "string_find_all_string", by_pattern)
def _find_all(text: str, pattern: str) -> list[str]:
    return _find_some(text, pattern, -1)


@STRINGS.method("findAll(string, string, int) -> list<string>", "string_find_all_string_int", by_pattern)
def _find_some(text: str, pattern: str, most: int) -> list[str]:
    found: list[str] = []
    for match in _pattern(pattern).finditer(text):
        if len(found) == most:
            break
        found.append(str(match.group(0)))
    return found

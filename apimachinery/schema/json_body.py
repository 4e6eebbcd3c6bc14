"""JSON bodies to plain values, with Go's complaints about bad syntax and the names of duplicate fields."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NoReturn

import orjson

from apimachinery.fields import quote
from apimachinery.schema.nodes import Place, render

_MAX_DUPLICATES = 100
_END = "unexpected end of JSON input"
_STRUCTURE = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)


class SyntaxProblem(ValueError):
    """The body is no JSON; the text is the decoder's."""


def parse(data: bytes) -> Any:
    """The value of a JSON text; SyntaxProblem if it is none or nested too deep."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        return _parse_slowly(data, str(error))


def _parse_slowly(data: bytes, complaint: str) -> Any:
    """Texts the fast parser refuses: bad UTF-8 is repaired as Go does, everything else is explained."""
    text = data.decode("utf-8", "replace")
    if "depth" in complaint.lower() or "recursion" in complaint.lower():
        raise SyntaxProblem("exceeded max depth")
    try:
        value = json.loads(text, parse_constant=_refuse_constant, parse_int=whole_number)
        written = json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")
        return json.loads(written.decode("utf-8", "replace"), parse_int=whole_number)
    except json.JSONDecodeError as error:
        raise SyntaxProblem(_explain(text, error)) from None
    except RecursionError:
        raise SyntaxProblem("exceeded max depth") from None
    except ValueError as error:
        raise SyntaxProblem(str(error)) from None


def whole_number(digits: str) -> int | float:
    """An integer, or its nearest float where it is too large to be written back."""
    value = int(digits) if len(digits) <= 20 else None
    return value if value is not None and -(1 << 63) <= value < 1 << 64 else float(digits)


def _refuse_constant(name: str) -> NoReturn:
    raise SyntaxProblem(f"invalid character {_character(name[0])} looking for beginning of value")


def _character(char: str) -> str:
    if char == "'":
        return r"'\''"
    if char == '"':
        return "'\"'"
    return f"'{quote(char)[1:-1]}'"


def _explain(text: str, error: json.JSONDecodeError) -> str:
    position = error.pos
    if error.msg.startswith("Unterminated string"):
        return _END
    if error.msg.startswith("Extra data"):
        where = "after top-level value"
    elif "property name" in error.msg:
        where = "looking for beginning of object key string"
    elif "':' delimiter" in error.msg:
        where = "after object key"
    elif "',' delimiter" in error.msg:
        where = f"after {'object key:value pair' if _inside_object(text[:position]) else 'array element'}"
    elif "control character" in error.msg:
        where = "in string literal"
    elif "escape" in error.msg:
        position += 1
        where = "in string escape code"
    else:
        where = "looking for beginning of value"
    rest = text[position:].lstrip(" \t\r\n")
    return f"invalid character {_character(rest[0])} {where}" if rest else _END


def _inside_object(text: str) -> bool:
    depth: list[str] = []
    for match in _STRUCTURE.finditer(text):
        token = match.group()
        if token in "[{":
            depth.append(token)
        elif token in "]}" and depth:
            depth.pop()
    return bool(depth) and depth[-1] == "{"


class _WithDuplicates(dict[str, Any]):
    """An object in whose text some names occur more than once."""

    order: list[str]

    @property
    def repeated(self) -> list[str]:
        """In the order of the text, each of them once; no more than anybody is told."""
        met: set[str] = set()
        again: dict[str, None] = {}
        for name in self.order:
            if name in met:
                again[name] = None
                if len(again) == _MAX_DUPLICATES:
                    break
            met.add(name)
        return list(again)


def duplicates(data: bytes, value: Any) -> list[str]:
    """A sentence for every field that occurs more than once in the text whose value is given.

    Written back, a text keeps its length (if it has no blanks) and its number of colons (if none is spelled by an
    escape) unless a duplicate was lost, which spares most bodies the second, slower parse. What cannot be written back
    is nested too deep to be stored, and refused here.
    """
    try:
        written = orjson.dumps(value)
    except (TypeError, ValueError):
        raise SyntaxProblem("exceeded max depth") from None
    if len(data.strip()) == len(written) or (b"\\u" not in data and data.count(b":") == written.count(b":")):
        return []
    again = _with_duplicates(data)
    return list(dict.fromkeys(_named(again, None)))[:_MAX_DUPLICATES]


def order(data: bytes) -> dict[str, int]:
    """Where in the text each complaint about a field belongs, for a body that has complaints of several kinds."""
    return {sentence: index for index, sentence in enumerate(_sentences(_with_duplicates(data), None))}


def _with_duplicates(data: bytes) -> Any:
    """The text's value once more, its objects knowing which of their names occur several times."""

    def collect(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        collected = dict(pairs)
        if len(collected) == len(pairs):
            return collected
        marked = _WithDuplicates(collected)
        marked.order = [name for name, _ in pairs]
        return marked

    try:
        return json.loads(data.decode("utf-8", "replace"), object_pairs_hook=collect)
    except (ValueError, RecursionError):
        return None


def _sentences(value: Any, place: Place) -> Iterator[str]:
    """Every complaint there could be, in the order of the text."""
    if isinstance(value, dict):
        met: set[str] = set()
        for name in value.order if isinstance(value, _WithDuplicates) else value:
            yield f"{'duplicate' if name in met else 'unknown'} field {quote(render((place, name)))}"
            met.add(name)
            yield from _sentences(value[name], (place, name))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _sentences(item, (place, index))


def _named(value: Any, place: Place) -> list[str]:
    found: list[str] = []
    if isinstance(value, _WithDuplicates):
        found.extend(f"duplicate field {quote(render((place, name)))}" for name in value.repeated)
    if isinstance(value, dict):
        for name, item in value.items():
            if isinstance(item, dict | list):
                found.extend(_named(item, (place, name)))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            if isinstance(item, dict | list):
                found.extend(_named(item, (place, index)))
    return found

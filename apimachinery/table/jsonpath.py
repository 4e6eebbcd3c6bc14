"""The JSONPath of printer columns, in kubectl's dialect: fields, indexes, slices, wildcards, filters, deep search.

For instance `.status.conditions[?(@.type=="Ready")].status`, `.spec['a.b']`, `.spec.ports[0:2].name`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

Step = Callable[[list[Any]], list[Any]]

_FIELD = re.compile(r"\.((?:[^.\[\]\\]|\\.)+)")
_SUBSCRIPT = re.compile(r"\[(-?\d+)?(?:(:)(-?\d+)?)?(?:(:)(-?\d+)?)?\]")
_QUOTED = re.compile(r"""\[\s*(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)")\s*\]""")
_FILTER = re.compile(r"\[\?\((.*?)\)\]", re.DOTALL)
_COMPARISON = re.compile(r"^\s*(.+?)\s*(==|!=|<=|>=|<|>)\s*(.+?)\s*$", re.DOTALL)


@lru_cache(maxsize=1024)
def compiled(path: str) -> tuple[Step, ...]:
    """The steps of a path. Raises ValueError for what is none."""
    steps: list[Step] = []
    place = 1 if path.startswith(("$", "@")) else 0
    while place < len(path):
        step, place = _step(path, place)
        if step is not None:
            steps.append(step)
    return tuple(steps)


def _step(path: str, place: int) -> tuple[Step | None, int]:
    rest = path[place:]
    if rest == ".":
        return None, len(path)
    if rest.startswith(".["):
        return None, place + 1
    if rest.startswith(".."):
        return (_deep, place + 1) if not rest.startswith("..[") else (_deep, place + 2)
    if rest.startswith((".*", "[*]")):
        return _wildcard, place + (2 if rest[0] == "." else 3)
    if match := _FIELD.match(rest):
        return _field(re.sub(r"\\(.)", r"\1", match[1])), place + match.end()
    if match := _QUOTED.match(rest):
        quoted = match[1] if match[1] is not None else match[2]
        return _field(re.sub(r"\\(.)", r"\1", quoted)), place + match.end()
    if match := _FILTER.match(rest):
        return _filter(match[1]), place + match.end()
    if (match := _SUBSCRIPT.match(rest)) and rest != "[]":
        start, colon, stop, _, stride = match.groups()
        if colon is None and start is not None:
            return _index(int(start)), place + match.end()
        bounds = [None if one is None else int(one) for one in (start, stop, stride)]
        return _slice(slice(*bounds)), place + match.end()
    raise ValueError(f"{path!r} is no JSONPath from {rest!r} on: write fields as .name or ['name']")


def _field(name: str) -> Step:
    return lambda values: [value[name] for value in values if isinstance(value, dict) and name in value]


def _index(index: int) -> Step:
    def step(values: list[Any]) -> list[Any]:
        return [value[index] for value in values if isinstance(value, list) and -len(value) <= index < len(value)]

    return step


def _slice(bounds: slice) -> Step:
    return lambda values: [one for value in values if isinstance(value, list) for one in value[bounds]]


def _members(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _wildcard(values: list[Any]) -> list[Any]:
    return [one for value in values for one in _members(value)]


def _deep(values: list[Any]) -> list[Any]:
    def below(value: Any) -> Iterator[Any]:
        yield value
        for one in _members(value):
            yield from below(one)

    return [one for value in values for one in below(value)]


def _filter(condition: str) -> Step:
    match = _COMPARISON.match(condition)
    if match is None:
        wanted = _operand(condition.strip())
        return lambda values: [one for one in _wildcard(values) if wanted(one)]
    left, operator, right = _operand(match[1]), match[2], _operand(match[3])

    def keeps(one: Any) -> bool:
        a, b = left(one), right(one)
        return bool(a) and bool(b) and _compare(a[0], operator, b[0])

    return lambda values: [one for one in _wildcard(values) if keeps(one)]


def _operand(text: str) -> Callable[[Any], list[Any]]:
    if text.startswith(("@", "$")):
        path = compiled(text)
        return lambda one: _run(path, one)
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        constant: Any = text[1:-1]
    else:
        try:
            constant = json.loads(text)
        except ValueError:
            constant = text
    return lambda one: [constant]


def _compare(a: Any, operator: str, b: Any) -> bool:
    if operator == "==":
        return bool(a == b)
    if operator == "!=":
        return bool(a != b)
    try:
        order = {"<": a < b, ">": a > b, "<=": a <= b, ">=": a >= b}
    except TypeError:
        return False
    return bool(order[operator])


def _run(steps: tuple[Step, ...], document: Any) -> list[Any]:
    values = [document]
    for step in steps:
        values = step(values)
    return values


def find(path: str, document: Any) -> list[Any]:
    """Everything in the document that the path names; missing fields name nothing."""
    return _run(compiled(path), document)

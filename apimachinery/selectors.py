"""Label and field selectors: parsing, matching, canonical text.

The grammar and the complaints are upstream's, since both reach users through `kubectl -l` and `--field-selector`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from apimachinery import names
from apimachinery.fields import FieldError, Path, aggregate, invalid, not_supported, quote

_TOKEN = re.compile(r"[ \t\r\n]*(!=|==|=|!|\(|\)|,|<|>|[^=!(),<> \t\r\n]+|$)")
_SPECIAL = frozenset(("!=", "==", "=", "!", "(", ")", ",", "<", ">", ""))
_OPERATORS = {"in": "in", "notin": "notin", "=": "=", "==": "==", "!=": "!=", ">": "gt", "<": "lt"}
_BINARY_OPERATORS = "in, notin, =, ==, !=, gt, lt"
_ALL_OPERATORS = ("=", "!=", "in", "notin", "==", "exists", "!", "gt", "lt")
_SHOWN = {"in": " in ", "notin": " notin ", "=": "=", "==": "==", "!=": "!=", "gt": ">", "lt": "<"}
_EXPRESSIONS = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!"}
_NODE_EXPRESSIONS = _EXPRESSIONS | {"Gt": "gt", "Lt": "lt"}
_INTEGER = re.compile(r"[+-]?[0-9]+")


@dataclass(frozen=True, slots=True)
class Requirement:
    """One term of a label selector; build it through `requirement`, which checks key and values."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        value = labels.get(self.key)
        match self.operator:
            case "in" | "=" | "==":
                return value is not None and value in self.values
            case "notin" | "!=":
                return value is None or value not in self.values
            case "exists":
                return value is not None
            case "!":
                return value is None
        return value is not None and self._compares(value)

    def _compares(self, value: str) -> bool:
        if not _INTEGER.fullmatch(value):
            return False
        difference = int(value) - int(self.values[0])
        return difference > 0 if self.operator == "gt" else difference < 0

    def __str__(self) -> str:
        if self.operator == "exists":
            return self.key
        if self.operator == "!":
            return f"!{self.key}"
        values = ",".join(sorted(self.values))
        if self.operator in ("in", "notin"):
            values = f"({values})"
        return f"{self.key}{_SHOWN[self.operator]}{values}"


@dataclass(frozen=True, slots=True)
class Selector:
    """A conjunction of requirements; without any it matches everything, `NOTHING` matches nothing."""

    requirements: tuple[Requirement, ...] = ()
    nothing: bool = False

    def matches(self, labels: Mapping[str, str] | None) -> bool:
        if self.nothing:
            return False
        labels = labels or {}
        return all(one.matches(labels) for one in self.requirements)

    @property
    def is_everything(self) -> bool:
        return not self.requirements and not self.nothing

    def __str__(self) -> str:
        return ",".join(str(one) for one in self.requirements)


EVERYTHING = Selector()
NOTHING = Selector(nothing=True)


def _complaint(path: Path, value: str, found: list[str]) -> list[FieldError]:
    return [invalid(path, value, "; ".join(found))] if found else []


def _value_errors(operator: str, values: tuple[str, ...]) -> list[FieldError]:
    path, shown = Path("values"), list(values)
    match operator:
        case "in" | "notin" if not values:
            return [invalid(path, shown, "for 'in', 'notin' operators, values set can't be empty")]
        case "=" | "==" | "!=" if len(values) != 1:
            return [invalid(path, shown, "exact-match compatibility requires one single value")]
        case "exists" | "!" if values:
            return [invalid(path, shown, "values set must be empty for exists and does not exist")]
        case "gt" | "lt" if len(values) != 1:
            return [invalid(path, shown, "for 'Gt', 'Lt' operators, exactly one value is required")]
        case "gt" | "lt" if not _INTEGER.fullmatch(values[0]):
            return [invalid(path.index(0), values[0], "for 'Gt', 'Lt' operators, the value must be an integer")]
    return []


def requirement(key: str, operator: str, values: Iterable[str] = ()) -> Requirement:
    """A checked requirement; ValueError names everything wrong with it."""
    held = tuple(values)
    errors = _complaint(Path("key"), key, names.qualified_name(key))
    if operator in _ALL_OPERATORS:
        errors += _value_errors(operator, held)
    else:
        errors.append(not_supported(Path("operator"), operator, _ALL_OPERATORS))
    for index, value in enumerate(held):
        errors += _complaint(Path("values").index(index).key(key), value, names.label_value(value))
    if errors:
        raise ValueError(aggregate(errors))
    return Requirement(key, operator, held)


class _Parser:
    """Recursive descent over the tokens of a label selector."""

    def __init__(self, text: str) -> None:
        self._tokens = _tokens(text)
        self._position = 0

    def _peek(self) -> str:
        return self._tokens[self._position]

    def _next(self) -> str:
        token = self._tokens[self._position]
        self._position = min(self._position + 1, len(self._tokens) - 1)
        return token

    def parse(self) -> Selector:
        found: list[Requirement] = []
        while (token := self._peek()) != "":
            if token in _SPECIAL and token != "!":
                raise ValueError(f"found '{token}', expected: !, identifier, or 'end of string'")
            try:
                found.append(self._requirement())
            except ValueError as error:
                raise ValueError(f"unable to parse requirement: {error}") from None
            token = self._next()
            if token == "":
                break
            if token != ",":
                raise ValueError(f"found '{token}', expected: ',' or 'end of string'")
            following = self._peek()
            if following in _SPECIAL and following != "!":
                raise ValueError(f"found '{following}', expected: identifier after ','")
        return Selector(tuple(sorted(found, key=lambda one: one.key)))

    def _requirement(self) -> Requirement:
        key = self._next()
        absent = key == "!"
        if absent:
            key = self._next()
        if key in _SPECIAL:
            raise ValueError(f"found '{key}', expected: identifier")
        if wrong := names.qualified_name(key):
            raise ValueError(f"<nil>: Invalid value: {quote(key)}: {'; '.join(wrong)}")
        if absent:
            return requirement(key, "!")
        if self._peek() in ("", ","):
            return requirement(key, "exists")
        token = self._next()
        operator = _OPERATORS.get(token)
        if operator is None:
            raise ValueError(f"found '{token}', expected: {_BINARY_OPERATORS}")
        values = self._values() if operator in ("in", "notin") else {self._exact_value()}
        return requirement(key, operator, sorted(values))

    def _exact_value(self) -> str:
        if self._peek() in ("", ","):
            return ""
        token = self._next()
        if token in _SPECIAL:
            raise ValueError(f"found '{token}', expected: identifier")
        return token

    def _values(self) -> set[str]:
        token = self._next()
        if token != "(":
            raise ValueError(f"found '{token}' expected: '('")
        if self._peek() in _SPECIAL and self._peek() not in (",", ")"):
            raise ValueError(f"found '{self._peek()}', expected: ',', ')' or identifier")
        found: set[str] = set()
        while True:
            found.add("" if self._peek() in (",", ")") else self._next())
            token = self._next()
            if token == ")":
                return found
            if token != ",":
                raise ValueError(f"found '{token}', expected: ',' or ')'")


def _tokens(text: str) -> list[str]:
    """Tokens of a label selector; the last one is empty and stands for the end."""
    tokens: list[str] = []
    position = 0
    while True:
        match = _TOKEN.match(text, position)
        if match is None:
            return [*tokens, ""]
        position = match.end()
        tokens.append(match.group(1))
        if not match.group(1):
            return tokens


def parse_labels(text: str) -> Selector:
    """The selector of a `labelSelector` query parameter; ValueError on bad syntax."""
    return _Parser(text).parse() if text else EVERYTHING


def from_labels(labels: Mapping[str, str] | None) -> Selector:
    """An equality selector such as a Service's or a ReplicationController's; no labels match everything."""
    return Selector(tuple(Requirement(key, "=", (value,)) for key, value in sorted((labels or {}).items())))


def from_label_selector(selector: Mapping[str, Any] | None) -> Selector:
    """A `metav1.LabelSelector`: absent matches nothing, empty matches everything. ValueError if it is malformed."""
    if selector is None:
        return NOTHING
    found = [requirement(key, "=", [value]) for key, value in (selector.get("matchLabels") or {}).items()]
    found.extend(
        _expression(expression, _EXPRESSIONS, "label") for expression in selector.get("matchExpressions") or ()
    )
    return Selector(tuple(sorted(found, key=lambda one: one.key)))


def from_node_expressions(expressions: Iterable[Mapping[str, Any]]) -> Selector:
    """The `matchExpressions` of a node selector term, which also know Gt and Lt."""
    return Selector(tuple(_expression(expression, _NODE_EXPRESSIONS, "node") for expression in expressions))


def _expression(expression: Mapping[str, Any], operators: Mapping[str, str], what: str) -> Requirement:
    operator = operators.get(expression.get("operator", ""))
    if operator is None:
        raise ValueError(f"{quote(expression.get('operator', ''))} is not a valid {what} selector operator")
    return requirement(expression.get("key", ""), operator, expression.get("values") or ())


class FieldRequirement(NamedTuple):
    """`operator` is `=` or `!=`."""

    field: str
    operator: str
    value: str


@dataclass(frozen=True, slots=True)
class FieldSelector:
    """A conjunction of equalities on a few named fields; which fields a resource knows, its registry says."""

    requirements: tuple[FieldRequirement, ...] = ()

    def matches(self, fields: Mapping[str, str]) -> bool:
        """Fields that are missing count as empty."""
        return all((fields.get(one.field, "") == one.value) == (one.operator == "=") for one in self.requirements)

    def exact(self, field: str) -> str | None:
        """The value this selector demands of the field, if it demands exactly one."""
        for one in self.requirements:
            if one.field == field and one.operator == "=":
                return one.value
        return None

    @property
    def is_everything(self) -> bool:
        return not self.requirements

    def __str__(self) -> str:
        return ",".join(f"{one.field}{one.operator}{_escaped(one.value)}" for one in self.requirements)


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace(",", "\\,").replace("=", "\\=")


def _unescaped(value: str) -> str:
    out, characters = [], iter(value)
    for char in characters:
        if char in ",=":
            raise ValueError(f"invalid field selector: unescaped character in value: {ord(char)}")
        if char == "\\":
            char = next(characters, "")
            if char not in ("\\", ",", "="):
                raise ValueError(f"invalid field selector: invalid escape sequence: \\{char}")
        out.append(char)
    return "".join(out)


def parse_fields(text: str) -> FieldSelector:
    """The selector of a `fieldSelector` query parameter; ValueError on bad syntax."""
    found = []
    for term in sorted(re.findall(r"(?:[^\\,]|\\.|\\$)+", text, re.DOTALL)):
        match = re.search(r"!=|==|=", term)
        if match is None:
            raise ValueError(f"invalid selector: '{text}'; can't understand '{term}'")
        operator = "!=" if match.group() == "!=" else "="
        value = _unescaped(term[match.end() :])
        found.append(FieldRequirement(term[: match.start()], operator, value))
    return FieldSelector(tuple(found))

"""The rules of `x-kubernetes-validations`: compiled against the schema they stand in, and run on values."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from apimachinery.cel import types
from apimachinery.cel.ast import Ident, Node, children
from apimachinery.cel.declared import Declared, converter, declare, name_types
from apimachinery.cel.environment import Budget, Environment, Program
from apimachinery.cel.errors import CelCompileError, CelError, CostExceeded, OutOfBudget
from apimachinery.cel.estimate import UNBOUNDED, estimate
from apimachinery.cel.types import Provider, Type
from apimachinery.cel.values import NONE, Optional
from apimachinery.fields import OMITTED, FieldError, Path, duplicate, forbidden, invalid, required
from apimachinery.structural.schema import Schema

Obj = dict[str, Any]

SELF, OLD = "self", "oldSelf"
LONGEST_MESSAGE = 5 * 1024
_PART = re.compile(r"\.([^.\[\]]+)|\['((?:[^'\\]|\\.)*)'\]")
_UNQUOTED = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "'": "'", "\\": "\\"}


class Stop(Exception):
    """No further rule of the object is to be run."""


class Rule:
    """One rule. `error` and `message_error` say why an expression cannot be used; costs are at worst."""

    def __init__(self, raw: Obj, schema: Schema, node: RuleNode) -> None:
        self.raw = raw
        self.optional_old = bool(raw.get("optionalOldSelf"))
        self.error = self.message_error = ""
        self.program: Program | None = None
        self.message: Program | None = None
        self.cost = self.message_cost = 0
        env = node.environment(optional_old=self.optional_old)
        self.program, self.error = _compiled(
            env, raw["rule"], types.BOOL, "compilation failed: ", "cel expression must evaluate to a bool"
        )
        self.uses_old = self.program is not None and uses(self.program.tree, OLD)
        if self.program is not None and node.declared is not None:
            self.cost = _worst(self.program, node.declared)
        text = raw.get("messageExpression") or ""
        if text and self.program is not None:
            self.message, self.message_error = _compiled(
                env,
                text,
                types.STRING,
                "messageExpression compilation failed: ",
                "messageExpression must evaluate to a string",
            )
            if self.message is not None and node.declared is not None:
                self.message_cost = _worst(self.message, node.declared)
        try:
            self.field = field_path(raw.get("fieldPath") or "", schema)
        except ValueError:
            self.field = ""

    @property
    def shown(self) -> str:
        """What stands for the rule in messages."""
        message: str = self.raw.get("message") or self.raw["rule"]
        return message.strip()


def _worst(program: Program, declared: Declared) -> int:
    try:
        return estimate(program.tree, declared)
    except RecursionError:
        return UNBOUNDED


def _compiled(env: Environment, text: str, wanted: Type, head: str, otherwise: str) -> tuple[Program | None, str]:
    try:
        program = env.compile(text)
    except CelCompileError as error:
        return None, f"{head}{error}"
    return (program, "") if program.type == wanted else (None, otherwise)


def uses(tree: Node, name: str) -> bool:
    """Whether a name occurs in an expression."""
    seen: set[int] = set()
    rest = [tree]
    while rest:
        node = rest.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, Ident) and node.name.removeprefix(".") == name:
            return True
        rest += children(node)
    return False


class RuleNode:
    """The rules of one node of a schema."""

    def __init__(self, schema: Schema, *, root: bool) -> None:
        self.schema = schema
        self.declared = declare(schema, root=root)
        self._provider = Provider()
        kind = name_types(self.declared, "selfType", self._provider) if self.declared is not None else types.DYN
        self._kind = kind
        self._environments: dict[bool, Environment] = {}
        self._convert = converter(schema)
        self.rules = [Rule(raw, schema, self) for raw in schema.rules if (raw.get("rule") or "").strip()]

    def environment(self, *, optional_old: bool) -> Environment:
        found = self._environments.get(optional_old)
        if found is None:
            old = types.optional_of(self._kind) if optional_old else self._kind
            found = self._environments[optional_old] = Environment({SELF: self._kind, OLD: old}, self._provider)
        return found

    def value(self, given: Any) -> Any:
        """JSON's value as expressions see it."""
        return given if self._convert is None or given is None else self._convert(given)

    def run(self, value: Any, old: Any, path: Path, budget: Budget, *, unchanged: bool) -> Iterator[FieldError]:
        """The complaints about one value; `old` is None where there is none to compare with.

        Of an unchanged value only transitions are judged. Raises Stop after its last complaint, if it comes to that.
        """
        kind = self.schema.types[0] if self.schema.types else ""
        if budget.remaining <= 0:
            yield invalid(path, kind, str(OutOfBudget()))
            raise Stop
        current, former = self.value(value), self.value(old)
        plain = {SELF: current, OLD: former}
        optional = {SELF: current, OLD: NONE if old is None else Optional(former)}
        shown = OMITTED if kind in {"object", "array"} else value
        for rule in self.rules:
            if rule.program is None:
                yield invalid(path, kind, f"rule compile error: {rule.error}")
                continue
            if rule.uses_old and old is None and not rule.optional_old:
                continue
            bindings = optional if rule.optional_old else plain
            try:
                fits = rule.program.run(bindings, budget)
            except CelError as error:
                yield invalid(path, kind, _failure(error, rule))
                if isinstance(error, CostExceeded | OutOfBudget):
                    raise Stop from None
                continue
            if fits is True or (unchanged and not rule.uses_old):
                continue
            place = path.child(rule.field) if rule.field else path
            yield from self._complaint(rule, bindings, budget, place, shown)

    def _complaint(
        self, rule: Rule, bindings: dict[str, Any], budget: Budget, path: Path, value: Any
    ) -> Iterator[FieldError]:
        detail = ""
        if rule.message is not None:
            try:
                detail = rule.message.run(bindings, budget).strip()
            except OutOfBudget:
                what = "messageExpression evaluation failed due to running out of cost budget"
                yield invalid(path, value, f"{what}, no further validation rules will be run")
                raise Stop from None
            except CostExceeded:
                what = "no further validation rules will be run due to call cost exceeds limit for messageExpression"
                yield invalid(path, value, f'{what}: "{rule.raw["messageExpression"]}"')
                raise Stop from None
            except CelError:
                detail = ""
            if len(detail.encode()) > LONGEST_MESSAGE or "\n" in detail:
                detail = ""
        if not detail:
            detail = rule.shown if rule.raw.get("message") else f"failed rule: {rule.shown}"
        yield _for_reason(rule.raw.get("reason"), path, value, detail)


def _failure(error: CelError, rule: Rule) -> str:
    if isinstance(error, OutOfBudget):
        return str(error)
    if isinstance(error, CostExceeded):
        what = "no further validation rules will be run due to call cost exceeds limit for rule"
        return f"'{error}': {what}: {rule.shown}"
    if str(error).startswith("no such overload"):
        what = "call arguments did not match a supported operator, function or macro signature for rule"
        return f"'{error}': {what}: {rule.shown}"
    return f"{error} evaluating rule: {rule.shown}"


def _for_reason(reason: str | None, path: Path, value: Any, detail: str) -> FieldError:
    if reason == "FieldValueForbidden":
        return forbidden(path, detail)
    if reason == "FieldValueRequired":
        return required(path, detail)
    if reason == "FieldValueDuplicate":
        return duplicate(path, value)
    return invalid(path, value, detail)


def field_path(text: str, schema: Schema) -> str:
    """`.a['b']` as the place of a field. Raises ValueError where the schema has no such field."""
    place: Path | None = None
    current: Schema | bool | None = schema
    offset = 0
    while offset < len(text):
        match = _PART.match(text, offset)
        if match is None or not isinstance(current, Schema):
            raise ValueError(text)
        offset = match.end()
        name = match[1] if match[1] is not None else re.sub(r"\\(.)", _unquoted, match[2])
        if current.properties:
            current = current.properties.get(name)
            place = place.child(name) if place is not None else Path(name)
        else:
            current = current.additional
            place = (place if place is not None else Path()).key(name)
        if not isinstance(current, Schema):
            raise ValueError(text)
    return str(place) if place is not None else ""


def _unquoted(match: re.Match[str]) -> str:
    if match[1] not in _UNQUOTED:
        raise ValueError(match[0])
    return _UNQUOTED[match[1]]

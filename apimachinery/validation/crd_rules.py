"""Rules in CEL within the schemas of definitions: their types, what they may speak about, and what they may cost."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from apimachinery.cel.declared import MAX_REQUEST
from apimachinery.cel.estimate import UNBOUNDED, plus, times
from apimachinery.cel.rules import Rule, RuleNode, field_path
from apimachinery.fields import FieldError, Path, forbidden, invalid
from apimachinery.structural.schema import RULES, Schema

Obj = dict[str, Any]
Errors = list[FieldError]

RULE_LIMIT = 10_000_000
"""What one rule may cost for one object at worst."""
TOTAL_LIMIT = 100_000_000
"""What all rules of a schema may."""
_MOST_SHOWN = 4
_ADVICE = (
    "(try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are "
    "declared)"
)


def check(raw: Obj, path: Path) -> Errors:
    """All complaints about the rules of a schema that is in order otherwise."""
    checker = _Checker()
    checker.node(Schema(raw), path, _Place(), root=True)
    return checker.errors + checker.total(path)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a schema stands: how often its values can occur in one object (None: who knows), and the outermost list
    above it whose items cannot be told from one revision to the next."""

    count: int | None = 1
    uncorrelated: Path | None = None

    def inside(self, schema: Schema, path: Path) -> _Place:
        count = self.count
        if schema.types == ("object",) and schema.additional:
            limit = schema.max_properties
        elif schema.types == ("array",):
            limit = schema.max_items
        else:
            limit = 1
        count = None if count is None or limit is None else times(count, max(0, limit))
        uncorrelated = self.uncorrelated
        if schema.types == ("array",) and schema.list_type != "map" and uncorrelated is None:
            uncorrelated = path
        return _Place(count, uncorrelated)


@dataclass(slots=True)
class _Checker:
    errors: Errors = field(default_factory=list)
    _total: int = 0
    _expensive: list[tuple[int, Path]] = field(default_factory=list)

    def node(self, schema: Schema, path: Path, place: _Place, *, root: bool = False) -> None:
        inner = place.inside(schema, path)
        if isinstance(schema.additional, Schema) and schema.additional.has_rules:
            self.node(schema.additional, path.child("additionalProperties"), inner)
        for name, one in schema.properties.items():
            if one.has_rules:
                self.node(one, path.child("properties").key(name), inner)
        if schema.items is not None and schema.items.has_rules:
            self.node(schema.items, path.child("items"), inner)
        if schema.rules:
            compiled = RuleNode(schema, root=root or schema.embedded)
            # A value takes that many bytes at least, and a comma.
            least = compiled.declared.least if compiled.declared is not None else 0
            count = place.count if place.count is not None else MAX_REQUEST // (least + 1)
            for index, rule in enumerate(compiled.rules):
                self._rule(rule, schema, count, path.child(RULES).index(index), place)

    def _rule(self, rule: Rule, schema: Schema, count: int, path: Path, place: _Place) -> None:
        raw = rule.raw
        try:
            field_path(raw.get("fieldPath") or "", schema)
        except ValueError:
            self.errors.append(invalid(path.child("fieldPath"), raw["fieldPath"], "must be a valid path"))
        cost = times(rule.cost, count)
        if cost > RULE_LIMIT:
            self.errors.append(forbidden(path.child("rule"), _excess("estimated rule cost", cost, RULE_LIMIT)))
        self._observe(path.child("rule"), cost)
        if rule.error:
            self.errors.append(invalid(path.child("rule"), raw, rule.error))
        if rule.message_error:
            self.errors.append(invalid(path.child("messageExpression"), raw, rule.message_error))
        elif rule.message is not None:
            if rule.message_cost > RULE_LIMIT:
                what = _excess("estimated messageExpression cost", rule.message_cost, RULE_LIMIT)
                self.errors.append(forbidden(path.child("messageExpression"), what))
            self._observe(path.child("messageExpression"), rule.message_cost)
        if rule.uses_old:
            if place.uncorrelated is not None:
                what = f"oldSelf cannot be used on the uncorrelatable portion of the schema within {place.uncorrelated}"
                self.errors.append(invalid(path.child("rule"), raw["rule"], what))
        elif raw.get("optionalOldSelf") is not None and not rule.error:
            what = "may not be set if oldSelf is not used in rule"
            self.errors.append(invalid(path.child("optionalOldSelf"), raw["optionalOldSelf"], what))

    def _observe(self, path: Path, cost: int) -> None:
        self._total = plus(self._total, cost)
        if cost >= TOTAL_LIMIT // 100:
            self._expensive.append((cost, path))

    def total(self, path: Path) -> Errors:
        if self._total <= TOTAL_LIMIT:
            return []
        self._expensive.sort(key=lambda one: -one[0])
        part = "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema"
        found = [forbidden(place, part) for _, place in self._expensive[:_MOST_SHOWN]]
        what = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema"
        return [*found, forbidden(path, _excess(what, self._total, TOTAL_LIMIT))]


def _excess(what: str, cost: int, limit: int) -> str:
    factor = cost / limit
    if factor > 100 or cost >= UNBOUNDED:
        shown = "more than 100x"
    elif factor < 1.5:
        shown = f"{factor:f}x"
    else:
        shown = f"{factor:.1f}x"
    return f"{what} exceeds budget by factor of {shown} {_ADVICE}"

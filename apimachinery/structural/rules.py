"""Where the rules of `x-kubernetes-validations` meet the objects they speak about."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from apimachinery.fields import FieldError, Path
from apimachinery.structural.schema import Schema, same
from apimachinery.structural.validate import ABSENT, correlated

if TYPE_CHECKING:
    from apimachinery.cel.environment import Budget
    from apimachinery.cel.rules import RuleNode


def walk(schema: Schema, value: Any, old: Any, path: Path) -> Iterator[FieldError]:
    """The complaints of all rules about an object, of outer nodes before inner ones; nulls are not looked at.

    `old` is `ABSENT` on creates and wherever a value has no former state that can be told (items of atomic lists, new
    fields): rules that speak of `oldSelf` are left out then, unless they take it as optional. Of what has not been
    changed only such rules are judged. All rules of an object share one budget.
    """
    if not schema.has_rules or value is None:
        return
    # The language is loaded for the first kind that has rules.
    from apimachinery.cel.environment import Budget
    from apimachinery.cel.rules import Stop

    try:
        yield from _walk(schema, value, old, path, Budget(), unchanged=False, root=True)
    except Stop:
        return


def _walk(
    schema: Schema, value: Any, old: Any, path: Path, budget: Budget, *, unchanged: bool, root: bool = False
) -> Iterator[FieldError]:
    if not schema.has_rules or value is None:
        return
    if schema.rules:
        unchanged = unchanged or (old is not ABSENT and same(value, old))
        former = None if old is ABSENT else old
        yield from _node(schema, root).run(value, former, path, budget, unchanged=unchanged)
    if isinstance(value, dict):
        before = old if isinstance(old, dict) else {}
        for name, item in value.items():
            known = schema.child(name)
            if known is not None:
                place = path.child(name) if name in schema.properties else path.key(name)
                yield from _walk(known, item, before.get(name, ABSENT), place, budget, unchanged=unchanged)
    elif isinstance(value, list) and schema.items is not None:
        if isinstance(old, list):
            unchanged = unchanged or same(value, old)
            items = correlated(value, old, schema)
        else:
            items = [ABSENT] * len(value)
        for index, item in enumerate(value):
            yield from _walk(schema.items, item, items[index], path.index(index), budget, unchanged=unchanged)


def _node(schema: Schema, root: bool) -> RuleNode:
    """Compiled when first needed, and kept as long as the schema is."""
    if schema.compiled is None:
        from apimachinery.cel.rules import RuleNode

        schema.compiled = RuleNode(schema, root=root or schema.embedded)
    return schema.compiled

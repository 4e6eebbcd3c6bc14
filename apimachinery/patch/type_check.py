"""Whether an applied configuration has its type's shape: the complaints upstream's field-ownership library makes.

Only what ownership needs is asked: maps, lists and scalars where they belong, no unknown fields, and no two items of a
list with the same key. Ranges and formats are the decoder's business, later. The messages print values as Go does.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from apimachinery.fields import quote
from apimachinery.patch import fieldset, granular
from apimachinery.patch.fieldset import Path
from apimachinery.patch.strategic import go_value
from apimachinery.schema import nodes
from apimachinery.schema.nodes import Field

_STRINGS = (nodes.StringNode, nodes.BytesNode)
_NUMBERS = (nodes.IntegerNode, nodes.NumberNode)
_ANY_SCALAR = (nodes.QuantityNode, nodes.TimeNode)


class Complaint(NamedTuple):
    path: Path
    text: str

    def __str__(self) -> str:
        return f"{fieldset.text(self.path)}: {self.text}" if self.path else self.text


def complaints(config: Any, typed: Field) -> str:
    """All that is wrong: a sentence, or lines of them; nothing if all is well."""
    try:
        found = [str(one) for one in _check(config, typed, ())]
    except RecursionError:
        return "exceeded max depth"
    return "\n  ".join(["errors:", *found]) if len(found) > 1 else "".join(found)


def _check(value: Any, typed: Field, path: Path) -> Iterator[Complaint]:
    node = typed.node
    if value is None:
        return
    if isinstance(node, nodes.ObjectNode):
        yield from _check_object(value, node, path)
    elif isinstance(node, nodes.MapNode):
        if not isinstance(value, dict):
            yield Complaint(path, f"expected map, got &{{{go_value(value)}}}")
            return
        for name, item in value.items():
            yield from _check(item, node.part, (*path, fieldset.field(name)))
    elif isinstance(node, nodes.ListNode):
        yield from _check_list(value, typed, path)
    elif wrong := _scalar(value, node):
        yield Complaint(path, wrong)


def _check_object(value: Any, node: nodes.ObjectNode, path: Path) -> Iterator[Complaint]:
    if not isinstance(value, dict):
        yield Complaint(path, f"expected map, got &{{{go_value(value)}}}")
        return
    for name, item in value.items():
        known = node.fields.get(name)
        if known is not None:
            yield from _check(item, known, (*path, fieldset.field(name)))
        elif not node.custom and not (name in ("apiVersion", "kind") and not path):
            yield Complaint((*path, fieldset.field(name)), "field not declared in schema")
            return


def _check_list(value: Any, typed: Field, path: Path) -> Iterator[Complaint]:
    if not isinstance(value, list):
        yield Complaint(path, f"expected list, got &{{{go_value(value)}}}")
        return
    separate, seen = granular.is_list(value, typed), set()
    for index, item in enumerate(value):
        step = fieldset.index(index)
        if separate:
            if wrong := granular.no_element(item, typed):
                yield Complaint(path, f"element {index}: {wrong}")
                return
            step = granular.element(item, typed)
            if step in seen:
                yield Complaint(path, f"duplicate entries for key {fieldset.text((step,))}")
            seen.add(step)
        yield from _check(item, granular.item_of(typed), (*path, step))


def _scalar(value: Any, node: nodes.Node) -> str:
    if isinstance(node, _STRINGS):
        got = f"&value.valueUnstructured{{Value:{_syntax(value)}}}"
        return "" if isinstance(value, str) else f"expected string, got {got}"
    if isinstance(node, _NUMBERS):
        fits = isinstance(value, int | float) and not isinstance(value, bool)
        return "" if fits else f"expected numeric (int or float), got {_go_type(value)}"
    if isinstance(node, nodes.BooleanNode):
        return "" if isinstance(value, bool) else f"expected boolean, got &{{{go_value(value)}}}"
    if isinstance(node, _ANY_SCALAR) and isinstance(value, dict | list):
        return f"expected any scalar, got &{{{go_value(value)}}}"
    return ""


def _go_type(value: Any) -> str:
    """As Go's %T prints it."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, str):
        return "string"
    return "map[string]interface {}" if isinstance(value, dict) else "[]interface {}"


def _syntax(value: Any) -> str:
    """As Go's %#v prints it."""
    if isinstance(value, dict):
        pairs = (f"{quote(key)}:{_syntax(value[key])}" for key in sorted(value))
        return f"map[string]interface {{}}{{{', '.join(pairs)}}}"
    if isinstance(value, list):
        return f"[]interface {{}}{{{', '.join(map(_syntax, value))}}}"
    if value is None:
        return "interface {}(nil)"
    return quote(value) if isinstance(value, str) else go_value(value)

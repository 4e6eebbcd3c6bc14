"""Objects as owners of fields see them: which parts are merged and owned piece by piece, which only as a whole.

The schema says it: `x-kubernetes-list-type: map` and `set` make a list's items separate, everything else in a list is
atomic; maps and structs are separate field by field unless marked atomic.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from apimachinery.fields import quote
from apimachinery.patch import fieldset
from apimachinery.patch.fieldset import Node as Fields
from apimachinery.patch.fieldset import Path
from apimachinery.schema.nodes import Field, ListNode, MapNode, ObjectNode
from apimachinery.schema.nodes import Node as TypeNode


class DeducedNode(TypeNode):
    """A value without a schema: maps count as separate, lists as atomic."""


DEDUCED = Field("", DeducedNode())
_SCALARS = frozenset((str, int, bool, float))


class KeyMissing(ValueError):
    """An item of a list cannot be told from the others."""


@dataclass(slots=True)
class Comparison:
    """What lies between two states of an object."""

    modified: Fields = field(default_factory=dict)
    added: Fields = field(default_factory=dict)
    removed: Fields = field(default_factory=dict)

    def without(self, ignored: Fields) -> Comparison:
        if not ignored:
            return self
        return Comparison(
            *(fieldset.without_prefixes(one, ignored) for one in (self.modified, self.added, self.removed))
        )


def is_map(value: Any, typed: Field) -> bool:
    """Whether the value is a map whose entries are separate."""
    if not isinstance(value, dict):
        return False
    node = typed.node
    if isinstance(node, ObjectNode):
        return not (typed.atomic or node.atomic)
    return isinstance(node, DeducedNode) or (isinstance(node, MapNode) and not typed.atomic)


def is_list(value: Any, typed: Field) -> bool:
    """Whether the value is a list whose items are separate."""
    return isinstance(value, list) and isinstance(typed.node, ListNode) and _associative(typed)


def _associative(typed: Field) -> bool:
    if typed.list_type:
        return typed.list_type in ("map", "set")
    return "merge" in typed.strategies


def child_of(typed: Field, name: str) -> Field:
    node = typed.node
    if isinstance(node, ObjectNode):
        return node.fields.get(name, DEDUCED)
    if isinstance(node, MapNode):
        return node.part
    return DEDUCED


def item_of(typed: Field) -> Field:
    assert isinstance(typed.node, ListNode)
    return typed.node.part


def element(item: Any, typed: Field) -> str:
    """The path element of a separate list item, which `no_element` must have let pass; keys it lacks are left out."""
    names = _key_names(typed)
    if not names:
        return fieldset.value(item)
    if not isinstance(item, dict):
        raise KeyMissing(no_element(item, typed))
    keys = {name: item[name] if item.get(name) is not None else _default_key(typed, name) for name in names}
    keys = {name: value for name, value in keys.items() if value is not None}
    if not keys:
        raise KeyMissing(no_element(item, typed))
    return fieldset.key(keys)


def no_element(item: Any, typed: Field) -> str:
    """Why an item cannot be told from the others of its list, if so."""
    names = _key_names(typed)
    if not names:
        if isinstance(item, dict):
            return "associative list without keys has an element that's a map type"
        if isinstance(item, list):
            return "not supported: associative list with lists as elements"
        return "associative list without keys has an element that's an explicit null" if item is None else ""
    if not isinstance(item, dict):
        return f"associative list with keys may not have {'a null element' if item is None else 'non-map elements'}"
    if any(item.get(name) is not None or _default_key(typed, name) is not None for name in names):
        return ""
    shown = " ".join(map(quote, names))
    return (
        f"associative list with keys has an element that omits all key fields [{shown}] "
        "(and doesn't have default values for any key fields)"
    )


def _key_names(typed: Field) -> tuple[str, ...]:
    if typed.list_type == "set":
        return ()
    return typed.list_keys or ((typed.merge_key,) if typed.merge_key else ())


def _default_key(typed: Field, name: str) -> Any:
    """What a key is that an item leaves out: zero where the server always writes it, nothing where it does not."""
    node = typed.node.element if isinstance(typed.node, ListNode) else None
    known = node.fields.get(name) if isinstance(node, ObjectNode) else None
    if known is None or not isinstance(node, ObjectNode):
        return None
    if node.custom:
        return known.default
    if name == "protocol":
        return "TCP"
    if node.go_name == "LocalObjectReference":
        return ""
    return None if known.drops_zero else known.node.zero()


def _grouped(items: list[Any] | None, typed: Field) -> dict[str, list[Any]]:
    groups: dict[str, list[Any]] = {}
    for item in items or ():
        groups.setdefault(element(item, typed), []).append(item)
    return groups


def _pairs(old: Any, new: Any, typed: Field) -> Iterator[tuple[str, Any, Any, Field]]:
    """The separate parts of two maps: path element, both values, type."""
    old, new = old or {}, new or {}
    for name, value in new.items():
        yield fieldset.field(name), old.get(name), value, child_of(typed, name)
    for name, value in old.items():
        if name not in new:
            yield fieldset.field(name), value, None, child_of(typed, name)


def compare(old: Any, new: Any, typed: Field) -> Comparison:
    """What must be added to, changed in and removed from `old` to make it `new`."""
    found = Comparison()
    _compare(old, new, typed, (), found)
    return found


def _compare(old: Any, new: Any, typed: Field, path: Path, found: Comparison) -> None:
    if old == new:
        return
    if path and (old is None or new is None):
        whole, fields = (new, found.added) if old is None else (old, found.removed)
        fieldset.graft(fields, path, _whole(whole, typed))
    elif is_map(new, typed) and isinstance(old, dict):
        for step, was, becomes, part in _pairs(old, new, typed):
            if was != becomes:
                _compare(was, becomes, part, (*path, step), found)
    elif is_list(new, typed) and isinstance(old, list):
        _compare_items(old, new, typed, path, found)
    else:
        fieldset.insert(found.modified, path)


def _whole(value: Any, typed: Field) -> Fields:
    """The set of a value and everything in it, as what is added or removed at once."""
    fields: Fields = {}
    if value and is_map(value, typed):
        for name, item in value.items():
            if type(item) in _SCALARS:
                fields[f"f:{name}"] = {}
            elif item is not None:
                fields[f"f:{name}"] = _whole(item, child_of(typed, name))
    elif value and is_list(value, typed):
        part = item_of(typed)
        for step, items in _grouped(value, typed).items():
            fields[step] = _whole(items[0], part) if len(items) == 1 else {}
    if fields:
        fields[fieldset.SELF] = {}
    return fields


def _compare_items(old: Any, new: Any, typed: Field, path: Path, found: Comparison) -> None:
    before, after = _grouped(old, typed), _grouped(new, typed)
    item = item_of(typed)
    for step in dict.fromkeys((*after, *before)):
        was, becomes = before.get(step), after.get(step)
        if was == becomes:
            continue
        if len(was or ()) > 1 or len(becomes or ()) > 1:
            changed = found.added if was is None else found.removed if becomes is None else found.modified
            fieldset.insert(changed, (*path, step))
        else:
            _compare(was[0] if was else None, becomes[0] if becomes else None, item, (*path, step), found)


def to_fields(value: Any, typed: Field) -> Fields:
    """Every field the value sets: what its applier owns."""
    fields: Fields = {}
    _collect(value, typed, (), fields)
    return fields


def _collect(value: Any, typed: Field, path: Path, fields: Fields) -> None:
    if is_map(value, typed):
        known = typed.node.fields if isinstance(typed.node, ObjectNode) else {}
        for name, item in value.items():
            here = (*path, fieldset.field(name))
            _collect(item, child_of(typed, name), here, fields)
            if item is None or item == {} or name not in known:
                fieldset.insert(fields, here)
    elif is_list(value, typed):
        part = item_of(typed)
        for step, items in _grouped(value, typed).items():
            here = (*path, step)
            if len(items) == 1:
                _collect(items[0], part, here, fields)
            fieldset.insert(fields, here)
    elif path:
        fieldset.insert(fields, path)


def merge(old: Any, new: Any, typed: Field) -> Any:
    """`old` overlaid with `new`, which wins wherever it says anything."""
    if is_map(new, typed) and isinstance(old, dict):
        merged = dict(old)
        for name, item in new.items():
            merged[name] = merge(old.get(name), item, child_of(typed, name))
        return merged
    if is_list(new, typed) and isinstance(old, list):
        return _merge_items(old, new, typed)
    return new


def _merge_items(old: list[Any], new: list[Any], typed: Field) -> list[Any]:
    """Items in the order of `new`; those only in `old` stay before the items they stood before."""
    before = [(element(item, typed), item) for item in old]
    after = [(element(item, typed), item) for item in new]
    held, wanted = dict(reversed(before)), {step for step, _ in after}
    item = item_of(typed)
    result: list[Any] = []
    done: set[str] = set()
    left = 0
    for step, value in after:
        while left < len(before) and (before[left][0] not in wanted or before[left][0] in done):
            if before[left][0] not in wanted:
                result.append(before[left][1])
            left += 1
        if left < len(before) and before[left][0] == step:
            left += 1
        result.append(merge(held[step], value, item) if step in held else value)
        done.add(step)
    result.extend(value for step, value in before[left:] if step not in wanted)
    return result


def with_named_fields(fields: Fields, typed: Field) -> Fields:
    """The set with every struct field that has members below it a member itself."""
    result: Fields = {}
    for step, node in fields.items():
        if step == fieldset.SELF:
            result[step] = node
            continue
        part = _part(typed, step)
        child = with_named_fields(node, part)
        named = isinstance(typed.node, ObjectNode) and step[:1] == "f" and step[2:] in typed.node.fields
        if child and named:
            child[fieldset.SELF] = {}
        result[step] = child
    return result


def _part(typed: Field, step: str) -> Field:
    if step.startswith("f:"):
        return child_of(typed, step[2:])
    return item_of(typed) if isinstance(typed.node, ListNode) else DEDUCED


def remove(value: Any, fields: Fields, typed: Field) -> Any:
    """The value without the fields of the set; containers that lose their last entry stay, empty."""
    if is_map(value, typed):
        kept = {}
        for name, item in value.items():
            node = fields.get(fieldset.field(name))
            if node is None:
                kept[name] = item
            elif not fieldset.is_member(node):
                kept[name] = remove(item, node, child_of(typed, name))
        return kept
    if is_list(value, typed):
        items = []
        part = item_of(typed)
        for item in value:
            node = fields.get(element(item, typed))
            if node is None:
                items.append(item)
            elif not fieldset.is_member(node):
                items.append(remove(item, node, part))
        return items
    return value

"""Sets of fields, held as `fieldsV1` writes them: a tree of path elements.

An element is `f:<name>` of a field, `k:<keys as JSON>` or `v:<value as JSON>` of a list's item, `i:<index>`. A node
without children is a member of the set; one with children is a member if it has the entry `.`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import orjson

Node = dict[str, Any]
Path = tuple[str, ...]
SELF = "."
_ELEMENT = re.compile(r"f:.+|[kv]:.+|i:-?[0-9]+", re.DOTALL)


def field(name: str) -> str:
    return f"f:{name}"


def key(keys: Mapping[str, Any]) -> str:
    return f"k:{orjson.dumps(keys, option=orjson.OPT_SORT_KEYS).decode()}"


def value(item: Any) -> str:
    return f"v:{orjson.dumps(item).decode()}"


def index(place: int) -> str:
    return f"i:{place}"


def in_order(node: Node) -> Node:
    """The same set as upstream writes it: sorted, so that equal sets are equal texts."""
    return {step: in_order(node[step]) if node[step] else {} for step in sorted(node)}


def is_member(node: Node) -> bool:
    return not node or SELF in node


def _node(member: bool, children: Node) -> Node | None:
    """A node, or None where nothing is left of it."""
    if not children:
        return {} if member else None
    if member:
        children[SELF] = {}
    return children


def insert(root: Node, path: Path) -> None:
    graft(root, path, {})


def graft(root: Node, path: Path, subtree: Node) -> None:
    """Adds a path together with what is below it; a leaf if that is empty."""
    node = root
    for step in path[:-1]:
        child = node.get(step)
        if child is None:
            child = node[step] = {}
        elif not child:
            child[SELF] = {}
        node = child
    last = node.get(path[-1])
    if last is None:
        node[path[-1]] = subtree
    elif last and not subtree:
        last[SELF] = {}
    elif subtree:
        node[path[-1]] = {**union(_children(last), subtree), **({SELF: {}} if is_member(last) else {})}


def union(left: Node, right: Node) -> Node:
    """Roots are no members themselves, so this is the union of two roots' children."""
    result = dict(left)
    for step, node in right.items():
        if step == SELF:
            continue
        other = result.get(step)
        if other is None:
            result[step] = node
        elif other is not node:
            merged = union(_children(other), _children(node))
            result[step] = _node(is_member(other) or is_member(node), merged) or {}
    return result


def union_all(sets: Iterable[Node]) -> Node:
    """Pairs first: each member is copied as often as the number of sets can be halved."""
    waiting = list(sets)
    while len(waiting) > 1:
        pairs = zip(waiting[::2], waiting[1::2], strict=False)
        waiting = [*(union(*pair) for pair in pairs), *waiting[len(waiting) // 2 * 2 :]]
    return waiting[0] if waiting else {}


def _children(node: Node) -> Node:
    return {step: child for step, child in node.items() if step != SELF}


def difference(left: Node, right: Node) -> Node:
    """The members of `left` that are no members of `right`; children of members stay."""
    result: Node = {}
    for step, node in left.items():
        other = right.get(step)
        if step == SELF:
            continue
        if other is None:
            result[step] = node
            continue
        kept = _node(is_member(node) and not is_member(other), difference(node, other))
        if kept is not None:
            result[step] = kept
    return result


def intersection(left: Node, right: Node) -> Node:
    result: Node = {}
    for step, node in left.items():
        other = right.get(step)
        if step == SELF or other is None:
            continue
        kept = _node(is_member(node) and is_member(other), intersection(node, other))
        if kept is not None:
            result[step] = kept
    return result


def without_prefixes(root: Node, prefixes: Node) -> Node:
    """The set without the members of `prefixes` and everything below them."""
    result: Node = {}
    for step, node in root.items():
        other = prefixes.get(step)
        if step == SELF or other is None:
            result[step] = node
        elif not is_member(other):
            kept = without_prefixes(_children(node), other)
            rest = _node(is_member(node), kept)
            if rest is not None:
                result[step] = rest
    return result


def paths(root: Node, above: Path = ()) -> Iterator[Path]:
    """Every member's path."""
    for step, node in root.items():
        if step == SELF:
            continue
        here = (*above, step)
        if is_member(node):
            yield here
        if node:
            yield from paths(node, here)


def check(root: Any) -> bool:
    """Whether the value, which may come from a client, is a set of fields."""
    if not isinstance(root, dict):
        return False
    return all((step == SELF or bool(_ELEMENT.fullmatch(step))) and check(node) for step, node in root.items())


def text(path: Path) -> str:
    """As conflicts name it: `.spec.containers[name="a"].image`."""
    return "".join(map(_element_text, path))


def _element_text(step: str) -> str:
    kind, rest = step[:1], step[2:]
    if kind == "f":
        return f".{rest}"
    if kind == "k":
        keys = orjson.loads(rest)
        return f"[{','.join(f'{name}={orjson.dumps(keys[name]).decode()}' for name in sorted(keys))}]"
    return f"[={rest}]" if kind == "v" else f"[{rest}]"

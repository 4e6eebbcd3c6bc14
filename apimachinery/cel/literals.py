"""What is looked at once types fit: literals that cannot be what they are used as, and lists of mixed kinds."""

from __future__ import annotations

from collections.abc import Callable

from apimachinery.cel.ast import Call, ListNode, Literal, MapNode, Node, children
from apimachinery.cel.errors import Issue
from apimachinery.cel.lexer import issue
from apimachinery.cel.moments import parse_duration, parse_timestamp
from apimachinery.cel.types import Type

#: Only in what they are given may kinds be mixed.
_EXEMPT = "format"


def complaints(text: str, tree: Node) -> list[Issue]:
    """Of a tree whose types are known."""
    found: dict[tuple[int, str], Issue] = {}

    def complain(node: Node, message: str) -> None:
        found.setdefault((node.offset, message), issue(text, node.offset, message))

    seen: set[tuple[int, bool]] = set()
    rest = [(tree, False)]
    while rest:
        node, exempt = rest.pop()
        if (id(node), exempt) in seen:
            continue
        seen.add((id(node), exempt))
        if isinstance(node, Call):
            exempt = exempt or node.function == _EXEMPT
            _argument(node, complain)
        elif not exempt and isinstance(node, ListNode):
            given = [_type(element, index in node.optional) for index, element in enumerate(node.elements)]
            for element, what in zip(node.elements, given, strict=True):
                if what != given[0]:
                    complain(element, _mismatch(given[0], what))
                    break
        elif not exempt and isinstance(node, MapNode):
            _map(node, complain)
        rest += [(child, exempt) for child in children(node)]
    return list(found.values())


def _argument(node: Call, complain: Callable[[Node, str], None]) -> None:
    check = _CHECKS.get(node.function)
    if check is None or not node.args:
        return
    first = node.args[0]
    if isinstance(first, Literal) and isinstance(first.value, str) and not check(first.value):
        complain(first, f"invalid {node.function} argument")


def _is_pattern(text: str) -> bool:
    from apimachinery.cel.regex import complaint

    return not complaint(text)


_CHECKS: dict[str, Callable[[str], bool]] = {
    "duration": lambda text: parse_duration(text) is not None,
    "timestamp": lambda text: parse_timestamp(text) is not None,
    "matches": _is_pattern,
}


def _type(node: Node, optional: bool) -> Type:
    return node.type.params[0] if optional and node.type.params else node.type


def _map(node: MapNode, complain: Callable[[Node, str], None]) -> None:
    if not node.entries:
        return
    first = node.entries[0]
    key, value = first.key.type, _type(first.value, first.optional)
    for entry in node.entries[1:]:
        if entry.key.type != key:
            complain(entry.key, _mismatch(key, entry.key.type))
        given = _type(entry.value, entry.optional)
        if given != value:
            complain(entry.value, _mismatch(value, given))


def _mismatch(expected: Type, found: Type) -> str:
    return f"expected type '{expected}' but found '{found}'"

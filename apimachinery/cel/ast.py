"""The tree of an expression. The checker fills in `type` and, for calls, `overloads`; the parser everything else.

`offset` is the place in the text that a message about the node points at: an operator, an opening bracket or the first
character. `type` is what upstream calls the checked type.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from apimachinery.cel.types import DYN, Type

if TYPE_CHECKING:
    from apimachinery.cel.library import Overload


#: How deep a tree may be, as upstream has it.
DEEPEST = 250


class Node:
    """An expression."""

    __slots__ = ("offset", "type")

    def __init__(self, offset: int) -> None:
        self.offset = offset
        self.type: Type = DYN


class Literal(Node):
    """A constant."""

    __slots__ = ("value",)

    def __init__(self, offset: int, value: Any) -> None:
        super().__init__(offset)
        self.value = value


class Ident(Node):
    """A name; the checker may find that it names a type (`constant`), and joins `a.b` where that is one name."""

    __slots__ = ("constant", "name")

    def __init__(self, offset: int, name: str) -> None:
        super().__init__(offset)
        self.name = name
        self.constant: Type | None = None


class Select(Node):
    """`operand.field`, `operand.?field`, or `has(operand.field)` as `test`. `key` is the field's name in the data."""

    __slots__ = ("field", "key", "operand", "optional", "test")

    def __init__(self, offset: int, operand: Node, field: str, *, test: bool = False, optional: bool = False) -> None:
        super().__init__(offset)
        self.operand = operand
        self.field = field
        self.key = field
        self.test = test
        self.optional = optional


class Call(Node):
    """A function, method or operator (`_+_`)."""

    __slots__ = ("args", "function", "overloads", "target")

    def __init__(self, offset: int, function: str, target: Node | None, args: list[Node]) -> None:
        super().__init__(offset)
        self.function = function
        self.target = target
        self.args = args
        self.overloads: list[Overload] = []


class ListNode(Node):
    """`[a, ?b]`; `optional` holds the indexes of elements with a question mark."""

    __slots__ = ("elements", "optional")

    def __init__(self, offset: int, elements: list[Node], optional: frozenset[int] = frozenset()) -> None:
        super().__init__(offset)
        self.elements = elements
        self.optional = optional


class Entry:
    """One `key: value` of a map, or `field: value` of an object (then `key` is a literal)."""

    __slots__ = ("key", "offset", "optional", "value")

    def __init__(self, offset: int, key: Node, value: Node, *, optional: bool) -> None:
        self.offset = offset
        self.key = key
        self.value = value
        self.optional = optional


class MapNode(Node):
    """`{key: value}`."""

    __slots__ = ("entries",)

    def __init__(self, offset: int, entries: list[Entry]) -> None:
        super().__init__(offset)
        self.entries = entries


class StructNode(Node):
    """`Name{field: value}`."""

    __slots__ = ("entries", "name")

    def __init__(self, offset: int, name: str, entries: list[Entry]) -> None:
        super().__init__(offset)
        self.name = name
        self.entries = entries


class Comprehension(Node):
    """What the macros over lists and maps become: a loop with an accumulator. `second` is the second variable or ""."""

    __slots__ = ("accu", "condition", "first", "init", "over", "result", "second", "step")

    def __init__(
        self, offset: int, over: Node, names: tuple[str, str, str], parts: tuple[Node, Node, Node, Node]
    ) -> None:
        super().__init__(offset)
        self.over = over
        self.first, self.second, self.accu = names
        self.init, self.condition, self.step, self.result = parts


def depth(root: Node) -> int:
    """How deep the tree is; counted without recursion, since it guards the passes that recurse."""
    levels: dict[Node, int] = {}
    rest = [(root, 1)]
    while rest:
        node, level = rest.pop()
        # Macros share subtrees, so that walking each way to them takes for ever.
        if levels.get(node, 0) >= level or level > DEEPEST + 1:
            continue
        levels[node] = level
        rest += [(child, level + 1) for child in children(node)]
    return max(levels.values())


def children(node: Node) -> list[Node]:
    if isinstance(node, Select):
        return [node.operand]
    if isinstance(node, Call):
        return [node.target, *node.args] if node.target is not None else node.args
    if isinstance(node, ListNode):
        return node.elements
    if isinstance(node, MapNode | StructNode):
        return [part for entry in node.entries for part in (entry.key, entry.value)]
    if isinstance(node, Comprehension):
        return [node.over, node.init, node.condition, node.step, node.result]
    return []

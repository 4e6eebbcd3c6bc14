"""What an expression may cost at worst, from what its schema says about sizes: upstream's reckoning, step by step.

Definitions of custom resources are refused by it, so that the numbers are part of the API. A size or a cost beyond
what 64 bits hold stays at `UNBOUNDED`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from apimachinery.cel.ast import Call, Comprehension, Ident, ListNode, Literal, MapNode, Node, Select, StructNode
from apimachinery.cel.declared import Declared
from apimachinery.cel.library import Overload
from apimachinery.cel.macros import ACCU
from apimachinery.cel.plan import LIST_COST, MAP_COST, STRUCT_COST
from apimachinery.cel.types import Kind, Type, is_optional

UNBOUNDED = (1 << 64) - 1
_TEXTUAL = frozenset({Kind.STRING, Kind.BYTES})
_SCALARS = frozenset({Kind.BOOL, Kind.DOUBLE, Kind.DURATION, Kind.INT, Kind.TIMESTAMP, Kind.UINT})
_REGEX, _TRAVERSAL = 0.25, 0.1


def plus(*parts: int) -> int:
    return min(sum(parts), UNBOUNDED)


def times(one: int, other: int) -> int:
    return min(one * other, UNBOUNDED)


def scaled(size: int, factor: float) -> int:
    found = math.ceil(float(size) * factor)
    return UNBOUNDED if found >= 1 << 64 else int(found)


Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Entries:
    """How big the elements of something are, as far as it was built from known parts."""

    is_list: bool
    key: int
    value: int


@dataclass(frozen=True, slots=True)
class _Variable:
    path: Path
    size: int | None
    entries: _Entries | None


def estimate(tree: Node, declared: Declared) -> int:
    """The greatest cost of a checked tree whose `self` (and `oldSelf`) is declared so."""
    return _Coster(declared).cost(tree)


class _Coster:
    def __init__(self, declared: Declared) -> None:
        self._declared = declared
        self._paths: dict[Node, Path] = {}
        self._sizes: dict[Node, int] = {}
        self._entries: dict[Node, _Entries] = {}
        self._costs: dict[Node, int] = {}
        self._scopes: list[dict[str, _Variable]] = []

    def cost(self, node: Node) -> int:
        known = self._costs.get(node)
        if known is None:
            known = self._costs[node] = self._cost(node)
        return known

    def _cost(self, node: Node) -> int:
        if isinstance(node, Ident):
            found = self._variable(node.name)
            self._paths[node] = found.path if found is not None else (node.name,)
            return 1
        if isinstance(node, Select):
            return self._select(node)
        if isinstance(node, Call):
            return self._call(node)
        if isinstance(node, ListNode):
            return self._list(node)
        if isinstance(node, MapNode):
            return self._map(node)
        if isinstance(node, StructNode):
            return plus(STRUCT_COST, *(self.cost(entry.value) for entry in node.entries))
        return self._loop(node) if isinstance(node, Comprehension) else 0

    def _variable(self, name: str) -> _Variable | None:
        return next((scope[name] for scope in reversed(self._scopes) if name in scope), None)

    def _select(self, node: Select) -> int:
        if not node.key:
            self._paths[node] = ("",)
            return 1
        before = self.cost(node.operand)
        if node.test:
            return before
        self._paths[node] = (*self._path(node.operand), node.field)
        selects = node.optional or node.operand.type.kind in {Kind.MAP, Kind.STRUCT, Kind.PARAM}
        return plus(before, 1 if selects else 0)

    def _list(self, node: ListNode) -> int:
        total = plus(LIST_COST, *map(self.cost, node.elements))
        self._entries[node] = _Entries(True, 1, max(map(self._size_or_all, node.elements), default=0))
        return total

    def _map(self, node: MapNode) -> int:
        keys, values = [entry.key for entry in node.entries], [entry.value for entry in node.entries]
        total = plus(MAP_COST, *map(self.cost, keys), *map(self.cost, values))
        biggest = max(map(self._size_or_all, keys), default=0), max(map(self._size_or_all, values), default=0)
        self._entries[node] = _Entries(False, *biggest)
        return total

    def _loop(self, node: Comprehension) -> int:
        start = plus(self.cost(node.over), self.cost(node.init))
        accu = _Variable(self._path(node.init), self._size(node.init), self._entries_of(node.init))
        if _is_binding(node):
            self._scopes.append({node.accu: accu})
            total = plus(start, self.cost(node.result))
            self._copy_sizes(node, node.result)
            self._scopes.pop()
            return total
        self._scopes += [{node.accu: accu}, self._loop_variables(node)]
        turn = plus(self.cost(node.condition), self.cost(node.step))
        grown = self._entries_of(node.step)
        self._scopes.pop()
        result = self.cost(node.result)
        self._scopes.pop()
        count = self._size_or_all(node.over)
        if isinstance(node.init, Literal):
            self._set_size(node, self._size(node.init))
        elif isinstance(node.init, ListNode | MapNode):
            self._sizes[node] = count
            if grown is not None:
                self._entries[node] = grown
        return plus(start, result, times(count, turn))

    def _loop_variables(self, node: Comprehension) -> dict[str, _Variable]:
        entries, path = self._entries_of(node.over), self._path(node.over)
        is_list = entries.is_list if entries is not None else node.over.type.kind is Kind.LIST
        key, value = (entries.key, entries.value) if entries is not None else (None, None)
        keys = _Variable((*path, "@indices" if is_list else "@keys") if path else (), key, None)
        values = _Variable((*path, "@items" if is_list else "@values") if path else (), value, None)
        if node.second:
            return {node.first: keys, node.second: values}
        return {node.first: values if is_list else keys}

    def _call(self, node: Call) -> int:
        if node.function == "dyn":
            total = plus(1, self.cost(node.args[0]))
            self._copy_sizes(node, node.args[0])
            return total
        costs = [self.cost(arg) for arg in node.args]
        target = self.cost(node.target) if node.target is not None else 0
        worst, result = 0, None
        for overload in node.overloads:
            cost, size = self._overload(node, overload, costs)
            worst = max(worst, cost)
            result = size if result is None else max(result, size) if size is not None else result
            if overload.id in {"index_list", "index_map"}:
                entries = self._entries_of(node.args[0])
                result = entries.value if entries is not None else None
                step = "@items" if overload.id == "index_list" else "@values"
                self._paths[node] = (*self._path(node.args[0]), step)
            if result is None:
                result = self._size(node)
        self._set_size(node, result)
        return plus(target, worst)

    def _overload(self, node: Call, overload: Overload, costs: list[int]) -> tuple[int, int | None]:
        """The greatest cost of a call with its arguments, and how big its result can be."""
        from apimachinery.cel.estimates import CALLS

        function = overload.function
        if function in {"_&&_", "_||_"}:
            return plus(*costs), None
        if function == "_?_:_":
            return self._conditional(node, costs)
        if overload.id in {"add_string", "add_bytes", "add_list"}:
            return self._addition(node, overload, costs)
        sizes = [self._size_or_all(arg) for arg in node.args]
        whole = [self._size_or_all(node.target)] if node.target is not None else []
        reckon: Callable[..., tuple[int, int | None]] | None = CALLS.get(overload.id) or CALLS.get(function)
        if reckon is None:
            return plus(1, *costs), None
        cost, size = reckon(Asked(self, node, overload), [*whole, *sizes])
        return plus(cost, *costs), size

    def _conditional(self, node: Call, costs: list[int]) -> tuple[int, int | None]:
        then, other = node.args[1], node.args[2]
        one, two = self._entries_of(then), self._entries_of(other)
        if one is not None and two is not None:
            self._entries[node] = _Entries(one.is_list, max(one.key, two.key), max(one.value, two.value))
        size = max(self._size_or_all(then), self._size_or_all(other))
        return plus(costs[0], max(costs[1], costs[2])), size

    def _addition(self, node: Call, overload: Overload, costs: list[int]) -> tuple[int, int | None]:
        one, two = (self._entries_of(arg) for arg in node.args)
        if one is not None and two is not None:
            self._entries[node] = _Entries(one.is_list, max(one.key, two.key), max(one.value, two.value))
        size = plus(*(self._size_or_all(arg) for arg in node.args))
        own = 1 if overload.id == "add_list" else scaled(size, _TRAVERSAL)
        return plus(own, *costs), size

    def _path(self, node: Node) -> Path:
        if isinstance(node, Ident):
            found = self._variable(node.name)
            if found is not None:
                return found.path
        return self._paths.get(node, ())

    def _set_size(self, node: Node, size: int | None) -> None:
        if size is not None:
            self._sizes[node] = size

    def _copy_sizes(self, node: Node, other: Node) -> None:
        self._set_size(node, self._size(other))
        entries = self._entries_of(other)
        if entries is not None:
            self._entries[node] = entries

    def _entries_of(self, node: Node) -> _Entries | None:
        found = self._entries.get(node)
        if found is None and isinstance(node, Ident):
            variable = self._variable(node.name)
            return variable.entries if variable is not None else None
        return found

    def _size_or_all(self, node: Node) -> int:
        found = self._size(node)
        return UNBOUNDED if found is None else found

    def _size(self, node: Node) -> int | None:
        known = self._sizes.get(node)
        if known is not None:
            return known
        if isinstance(node, Literal):
            return len(node.value) if isinstance(node.value, str | bytes) else 1
        if isinstance(node, ListNode):
            return len(node.elements)
        if isinstance(node, MapNode):
            return len(node.entries)
        found = self.at(self._path(node))
        if found is not None:
            self._sizes[node] = found.most
            return found.most
        if _is_scalar(node.type):
            return 1
        variable = self._variable(node.name) if isinstance(node, Ident) else None
        return variable.size if variable is not None else None

    def at(self, path: Path) -> Declared | None:
        """What is declared at the end of a path that begins with `self`."""
        if not path or path[0] == ACCU:
            return None
        current: Declared | None = self._declared
        for name in path[1:]:
            current = current.at(name) if current is not None else None
        return current

    def elements(self, node: Node) -> int:
        """How big the elements of a list are."""
        path = self._path(node)
        found = self.at((*path, "@items")) if path else None
        return found.most if found is not None else UNBOUNDED


@dataclass(frozen=True, slots=True)
class Asked:
    """A call whose cost is asked for."""

    coster: _Coster
    node: Call
    overload: Overload


def _is_scalar(what: Type) -> bool:
    return what.kind in _SCALARS or (is_optional(what) and _is_scalar(what.params[0]))


def _is_binding(node: Comprehension) -> bool:
    """A loop without turns, which only gives something a name."""
    never = isinstance(node.condition, Literal) and node.condition.value is False
    return never and isinstance(node.over, ListNode) and not node.over.elements

"""Whether names, fields and types fit; fills in the types of a tree.

All complaints are collected, in cel-go's words. Variables of type dyn are taken on trust: the evaluator then looks.
"""

from __future__ import annotations

from collections.abc import Mapping

from apimachinery.cel import literals, types
from apimachinery.cel.ast import (
    Call,
    Comprehension,
    Entry,
    Ident,
    ListNode,
    Literal,
    MapNode,
    Node,
    Select,
    StructNode,
)
from apimachinery.cel.errors import CelTypeError, Issue
from apimachinery.cel.lexer import issue
from apimachinery.cel.library import Function
from apimachinery.cel.numbers import UInt
from apimachinery.cel.types import DYN, ERROR, Kind, Provider, Type, Unifier, is_optional, list_of, map_of, optional_of

_LITERALS: dict[type, Type] = {
    bool: types.BOOL,
    int: types.INT,
    UInt: types.UINT,
    float: types.DOUBLE,
    str: types.STRING,
    bytes: types.BYTES,
    type(None): types.NULL,
}


def check(
    text: str, tree: Node, variables: Mapping[str, Type], functions: Mapping[str, Function], provider: Provider
) -> Type:
    """The type of the whole. Raises CelTypeError with everything that is wrong."""
    checker = Checker(text, variables, functions, provider)
    checker.check(tree)
    if checker.issues:
        raise CelTypeError(text, checker.issues)
    checker.settle()
    found = literals.complaints(text, tree)
    if found:
        raise CelTypeError(text, found)
    return tree.type


class Checker:
    """One pass over one tree."""

    def __init__(
        self, text: str, variables: Mapping[str, Type], functions: Mapping[str, Function], provider: Provider
    ) -> None:
        self.issues: list[Issue] = []
        self._text = text
        self._variables = variables
        self._functions = functions
        self._provider = provider
        self._unifier = Unifier()
        self._scopes: list[dict[str, Type]] = []
        self._seen: dict[Node, None] = {}

    def check(self, node: Node) -> None:
        # Macros use one subtree in two places; its type is the same in both.
        if node in self._seen:
            return
        if isinstance(node, Literal):
            node.type = _LITERALS[type(node.value)]
        elif isinstance(node, Ident):
            self._ident(node)
        elif isinstance(node, Select):
            self._select(node)
        elif isinstance(node, Call):
            self._call(node)
        elif isinstance(node, ListNode):
            self._list(node)
        elif isinstance(node, MapNode):
            self._map(node)
        elif isinstance(node, StructNode):
            self._struct(node)
        elif isinstance(node, Comprehension):
            self._comprehension(node)
        self._seen[node] = None

    def settle(self) -> None:
        """Put in what type parameters turned out to be."""
        for node in self._seen:
            node.type = self._unifier.substitute(node.type, to_dyn=True)

    def _complain(self, offset: int, message: str) -> None:
        found = issue(self._text, offset, message)
        if found not in self.issues:
            self.issues.append(found)

    def _undeclared(self, node: Node, name: str) -> None:
        self._complain(node.offset, f"undeclared reference to '{name}' (in container '')")
        node.type = ERROR

    def _lookup(self, name: str) -> Type | None:
        if name.startswith("."):
            return self._variables.get(name[1:])
        for scope in reversed(self._scopes):
            if name in scope:
                return scope[name]
        return self._variables.get(name)

    def _ident(self, node: Ident) -> None:
        found = self._lookup(node.name)
        if found is not None:
            node.type = found
            return
        named = types.TYPE_NAMES.get(node.name.removeprefix("."))
        if named is None:
            self._undeclared(node, node.name)
            return
        node.type, node.constant = named, named.params[0]

    def _select(self, node: Select) -> None:
        name = "" if node.test or node.optional else _qualified(node)
        named = self._variables.get(name) or types.TYPE_NAMES.get(name)
        if named is not None:
            # An empty key says that the whole of `a.b` is one name.
            node.type, node.key = named, ""
            return
        result = self._field(node)
        node.type = types.BOOL if node.test else result

    def _field(self, node: Select) -> Type:
        self.check(node.operand)
        holder = self._unifier.substitute(node.operand.type)
        optional = is_optional(holder)
        target = holder.params[0] if optional else holder
        if target.kind is Kind.MAP:
            result = target.params[1]
        elif target.kind is Kind.STRUCT:
            found = self._provider.field(target.name, node.field)
            if found is None:
                self._complain(node.offset, f"undefined field '{node.field}'")
                result = ERROR
            else:
                result, node.key = found.type, found.key
        else:
            if target.kind is Kind.PARAM:
                self._unifier.assignable(DYN, target)
            elif target.kind not in {Kind.DYN, Kind.ERROR}:
                self._complain(node.offset, f"type '{target}' does not support field selection")
            result = DYN
        return optional_of(result) if optional or node.optional else result

    def _call(self, node: Call) -> None:
        for arg in node.args:
            self.check(arg)
        if node.target is not None:
            prefix = _qualified(node.target)
            if prefix and f"{prefix}.{node.function}".removeprefix(".") in self._functions:
                node.function = f"{prefix}.{node.function}".removeprefix(".")
                node.target = None
            else:
                self.check(node.target)
        function = self._functions.get(node.function.removeprefix("."))
        if function is None:
            self._undeclared(node, node.function)
            return
        self._resolve(node, function)

    def _resolve(self, node: Call, function: Function) -> None:
        operands = node.args if node.target is None else [node.target, *node.args]
        given = tuple(operand.type for operand in operands)
        result: Type | None = None
        node.overloads = []
        for overload in function.overloads:
            if overload.member != (node.target is not None) or len(overload.params) != len(given):
                continue
            wanted, gives = self._instance(overload.params, overload.result)
            if not self._unifier.all_assignable(given, wanted):
                continue
            node.overloads.append(overload)
            gives = self._unifier.substitute(gives)
            if result is None:
                result = gives
            elif result.kind is not Kind.DYN and gives != result:
                result = DYN
        if result is not None:
            node.type = result
            return
        shown = [str(self._unifier.substitute(each, to_dyn=True)) for each in given]
        signature = f"{shown[0]}.({', '.join(shown[1:])})" if node.target is not None else f"({', '.join(shown)})"
        self._complain(node.offset, f"found no matching overload for '{function.name}' applied to '{signature}'")
        node.type = ERROR

    def _instance(self, params: tuple[Type, ...], result: Type) -> tuple[tuple[Type, ...], Type]:
        """A signature with parameters of its own."""
        fresh: dict[str, Type] = {}

        def renew(what: Type) -> Type:
            if what.kind is Kind.PARAM:
                if what.name not in fresh:
                    fresh[what.name] = self._unifier.fresh()
                return fresh[what.name]
            return Type(what.kind, what.name, tuple(map(renew, what.params))) if what.params else what

        return tuple(map(renew, params)), renew(result)

    def _join(self, before: Type | None, current: Type) -> Type:
        if before is None:
            return current
        if self._unifier.assignable(before, current):
            return types.most_general(before, current)
        return DYN

    def _mismatch(self, node: Node, expected: Type, found: Type) -> None:
        shown = [self._unifier.substitute(each, to_dyn=True) for each in (expected, found)]
        self._complain(node.offset, f"expected type '{shown[0]}' but found '{shown[1]}'")

    def _unwrapped(self, node: Node, *, optional: bool) -> Type:
        if not optional:
            return node.type
        given = self._unifier.substitute(node.type)
        if is_optional(given):
            return given.params[0]
        if given.kind is not Kind.DYN:
            self._mismatch(node, optional_of(given), given)
        return given

    def _list(self, node: ListNode) -> None:
        joined: Type | None = None
        for index, element in enumerate(node.elements):
            self.check(element)
            joined = self._join(joined, self._unwrapped(element, optional=index in node.optional))
        node.type = list_of(joined or self._unifier.fresh())

    def _map(self, node: MapNode) -> None:
        keys: Type | None = None
        values: Type | None = None
        for entry in node.entries:
            self.check(entry.key)
            keys = self._join(keys, entry.key.type)
            self.check(entry.value)
            values = self._join(values, self._unwrapped(entry.value, optional=entry.optional))
        node.type = map_of(keys or self._unifier.fresh(), values or self._unifier.fresh())

    def _struct(self, node: StructNode) -> None:
        node.type = types.struct(node.name.removeprefix("."))
        known = self._provider.known(node.type.name)
        if not known:
            self._undeclared(node, node.name)
        for entry in node.entries:
            self.check(entry.value)
            if known:
                self._initial(node.type.name, entry)

    def _initial(self, name: str, entry: Entry) -> None:
        assert isinstance(entry.key, Literal)
        field = self._provider.field(name, entry.key.value)
        if field is None:
            self._complain(entry.offset, f"undefined field '{entry.key.value}'")
            return
        entry.key.value = field.key
        given = self._unwrapped(entry.value, optional=entry.optional)
        if not self._unifier.assignable(field.type, given):
            shown = self._unifier.substitute(given, to_dyn=True)
            self._complain(
                entry.offset,
                f"expected type of field '{field.key}' is '{field.type}' but provided type is '{shown}'",
            )

    def _comprehension(self, node: Comprehension) -> None:
        self.check(node.over)
        self.check(node.init)
        over = self._unifier.substitute(node.over.type)
        if over.kind is Kind.LIST:
            first, second = over.params[0], over.params[0]
            if node.second:
                first = types.INT
        elif over.kind is Kind.MAP:
            first, second = over.params
        else:
            if over.kind in {Kind.DYN, Kind.ERROR, Kind.PARAM}:
                self._unifier.assignable(DYN, over)
                first = second = DYN
            else:
                what = f"expression of type '{over}' cannot be range of a comprehension"
                self._complain(node.over.offset, f"{what} (must be list, map, or dynamic)")
                first = second = ERROR
        accu = node.init.type
        self._scopes += [{node.accu: accu}, {node.first: first, **({node.second: second} if node.second else {})}]
        self.check(node.condition)
        self._want(node.condition, types.BOOL)
        self.check(node.step)
        self._want(node.step, accu)
        self._scopes.pop()
        self.check(node.result)
        self._scopes.pop()
        node.type = self._unifier.substitute(node.result.type)

    def _want(self, node: Node, wanted: Type) -> None:
        if not self._unifier.assignable(wanted, node.type):
            self._mismatch(node, wanted, node.type)


def _qualified(node: Node) -> str:
    """`a.b` of a node that is nothing but names, else ""."""
    parts: list[str] = []
    while isinstance(node, Select) and not node.test and not node.optional:
        parts.append(node.field)
        node = node.operand
    return ".".join([node.name, *reversed(parts)]) if isinstance(node, Ident) else ""

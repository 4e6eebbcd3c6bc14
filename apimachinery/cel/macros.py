"""Calls that are more than calls: `has`, the loops over lists and maps, and `optMap`.

Each is written as the loop cel-go makes of it, since what the loop costs is part of what users see.
"""

from __future__ import annotations

from collections.abc import Callable

from apimachinery.cel.ast import Call, Comprehension, Ident, ListNode, Literal, MapNode, Node, Select

ACCU = "@result"
_TAKEN = frozenset({ACCU, "__result__"})


class MacroError(Exception):
    """The arguments are not what the macro takes."""

    def __init__(self, offset: int, message: str) -> None:
        super().__init__(message)
        self.offset = offset
        self.message = message


Expander = Callable[[int, Node, list[Node]], Node]


def expand(offset: int, function: str, target: Node | None, args: list[Node]) -> Node | None:
    """The loop that a call stands for, None where it is a plain call. Raises MacroError."""
    if target is None:
        return _has(offset, args[0]) if function == "has" and len(args) == 1 else None
    macro = _MACROS.get((function, len(args)))
    return macro(offset, target, args) if macro is not None else None


def _has(offset: int, arg: Node) -> Node:
    if not isinstance(arg, Select) or arg.optional:
        raise MacroError(arg.offset, "invalid argument to has() macro")
    return Select(offset, arg.operand, arg.field, test=True)


def _name(node: Node, message: str) -> str:
    if not isinstance(node, Ident):
        raise MacroError(node.offset, message)
    if node.name in _TAKEN:
        raise MacroError(node.offset, "iteration variable overwrites accumulator variable")
    return node.name


def _two(args: list[Node]) -> tuple[str, str]:
    message = "argument must be a simple name"
    first, second = _name(args[0], message), _name(args[1], message)
    if first == second:
        raise MacroError(args[1].offset, f"duplicate variable name: {first}")
    return first, second


def _variables(args: list[Node]) -> tuple[str, str, Node]:
    """The loop's variables, the second "" if there is one only, and the predicate."""
    if len(args) == 2:
        return _name(args[0], "argument must be a simple name"), "", args[1]
    return *_two(args), args[2]


def _all(offset: int, target: Node, args: list[Node]) -> Node:
    first, second, predicate = _variables(args)
    accu = Ident(offset, ACCU)
    condition = Call(offset, "@not_strictly_false", None, [accu])
    parts = (Literal(offset, True), condition, Call(offset, "_&&_", None, [accu, predicate]), accu)
    return Comprehension(offset, target, (first, second, ACCU), parts)


def _exists(offset: int, target: Node, args: list[Node]) -> Node:
    first, second, predicate = _variables(args)
    accu = Ident(offset, ACCU)
    condition = Call(offset, "@not_strictly_false", None, [Call(offset, "!_", None, [accu])])
    parts = (Literal(offset, False), condition, Call(offset, "_||_", None, [accu, predicate]), accu)
    return Comprehension(offset, target, (first, second, ACCU), parts)


def _exists_one(offset: int, target: Node, args: list[Node]) -> Node:
    first, second, predicate = _variables(args)
    accu, one = Ident(offset, ACCU), Literal(offset, 1)
    step = Call(offset, "_?_:_", None, [predicate, Call(offset, "_+_", None, [accu, one]), accu])
    result = Call(offset, "_==_", None, [accu, one])
    return Comprehension(
        offset, target, (first, second, ACCU), (Literal(offset, 0), Literal(offset, True), step, result)
    )


def _collect(
    offset: int, target: Node, names: tuple[str, str], predicate: Node | None, step: Node, init: Node | None = None
) -> Node:
    accu = Ident(offset, ACCU)
    if predicate is not None:
        step = Call(offset, "_?_:_", None, [predicate, step, accu])
    parts = (init or ListNode(offset, []), Literal(offset, True), step, accu)
    return Comprehension(offset, target, (*names, ACCU), parts)


def _append(offset: int, what: Node) -> Node:
    return Call(offset, "_+_", None, [Ident(offset, ACCU), ListNode(offset, [what])])


def _map(offset: int, target: Node, args: list[Node]) -> Node:
    name = _name(args[0], "argument is not an identifier")
    predicate = args[1] if len(args) == 3 else None
    return _collect(offset, target, (name, ""), predicate, _append(offset, args[-1]))


def _filter(offset: int, target: Node, args: list[Node]) -> Node:
    name = _name(args[0], "argument is not an identifier")
    return _collect(offset, target, (name, ""), args[1], _append(offset, args[0]))


def _transform_list(offset: int, target: Node, args: list[Node]) -> Node:
    predicate = args[2] if len(args) == 4 else None
    return _collect(offset, target, _two(args), predicate, _append(offset, args[-1]))


def _transform_map(offset: int, target: Node, args: list[Node]) -> Node:
    predicate = args[2] if len(args) == 4 else None
    step = Call(offset, "cel.@mapInsert", None, [Ident(offset, ACCU), args[0], args[-1]])
    return _collect(offset, target, _two(args), predicate, step, MapNode(offset, []))


def _transform_entry(offset: int, target: Node, args: list[Node]) -> Node:
    predicate = args[2] if len(args) == 4 else None
    step = Call(offset, "cel.@mapInsert", None, [Ident(offset, ACCU), args[-1]])
    return _collect(offset, target, _two(args), predicate, step, MapNode(offset, []))


def _bound(offset: int, target: Node, args: list[Node], macro: str) -> Node:
    """The second argument with the optional's value under the name of the first."""
    if not isinstance(args[0], Ident):
        raise MacroError(args[0].offset, f"{macro}() variable name must be a simple identifier")
    name = args[0].name
    value = Call(offset, "value", target, [])
    parts = (value, Literal(offset, False), Ident(offset, name), args[1])
    return Comprehension(offset, ListNode(offset, []), ("#unused", "", name), parts)


def _when_present(offset: int, target: Node, then: Node) -> Node:
    present = Call(offset, "hasValue", target, [])
    return Call(offset, "_?_:_", None, [present, then, Call(offset, "optional.none", None, [])])


def _opt_map(offset: int, target: Node, args: list[Node]) -> Node:
    bound = _bound(offset, target, args, "optMap")
    return _when_present(offset, target, Call(offset, "optional.of", None, [bound]))


def _opt_flat_map(offset: int, target: Node, args: list[Node]) -> Node:
    return _when_present(offset, target, _bound(offset, target, args, "optFlatMap"))


def _sort_by(offset: int, target: Node, args: list[Node]) -> Node:
    values = Ident(offset, "@__sortBy_input__")
    if isinstance(target, Literal | MapNode):
        what = "sortBy can only be applied to a list, identifier, comprehension, call or select expression"
        raise MacroError(target.offset, what)
    call = Call(offset, "@sortByAssociatedKeys", values, [_map(offset, values, args)])
    parts = (target, Literal(offset, False), values, call)
    return Comprehension(offset, ListNode(offset, []), ("#unused", "", values.name), parts)


_MACROS: dict[tuple[str, int], Expander] = {
    ("all", 2): _all,
    ("all", 3): _all,
    ("exists", 2): _exists,
    ("exists", 3): _exists,
    ("exists_one", 2): _exists_one,
    ("existsOne", 2): _exists_one,
    ("exists_one", 3): _exists_one,
    ("existsOne", 3): _exists_one,
    ("map", 2): _map,
    ("map", 3): _map,
    ("filter", 2): _filter,
    ("transformList", 3): _transform_list,
    ("transformList", 4): _transform_list,
    ("transformMap", 3): _transform_map,
    ("transformMap", 4): _transform_map,
    ("transformMapEntry", 3): _transform_entry,
    ("transformMapEntry", 4): _transform_entry,
    ("sortBy", 2): _sort_by,
    ("optMap", 2): _opt_map,
    ("optFlatMap", 2): _opt_flat_map,
}

"""A checked tree to Python closures.

A closure takes a frame: a list with what may still be spent, the bindings, and a slot for each loop variable. What a
node costs for certain is added up while planning and paid at the head of each branch; only what depends on values is
paid where it arises. The numbers are upstream's (see `estimate`), since users write expressions against the limits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from apimachinery.cel import access
from apimachinery.cel.ast import (
    Call,
    Comprehension,
    Ident,
    ListNode,
    Literal,
    MapNode,
    Node,
    Select,
    StructNode,
    children,
)
from apimachinery.cel.errors import CelError, CostExceeded, no_such_overload
from apimachinery.cel.library import dispatcher
from apimachinery.cel.numbers import UInt
from apimachinery.cel.types import TYPE_NAMES, Kind
from apimachinery.cel.values import MISSING, NONE, Optional, Typed, equal, find, size_of

Frame = list[Any]
Run = Callable[[Frame], Any]
#: What runs, and what it costs for certain.
Planned = tuple[Run, int]

BUDGET, BINDINGS, FIRST_SLOT = 0, 1, 2
LIST_COST, MAP_COST, STRUCT_COST = 10, 30, 40
_FIXED_SIZE = frozenset({Kind.BOOL, Kind.INT, Kind.UINT, Kind.DOUBLE, Kind.NULL, Kind.TIMESTAMP, Kind.DURATION})


def spend(frame: Frame, cost: int) -> None:
    frame[BUDGET] -= cost
    if frame[BUDGET] < 0:
        raise CostExceeded


class Planner:
    """Plans one expression; `slots` is how long its frames have to be."""

    def __init__(self) -> None:
        self.slots = FIRST_SLOT
        self._scopes: list[dict[str, int]] = []
        self._known: dict[Node, Planned] = {}

    def plan(self, node: Node) -> Planned:
        # Macros use one subtree in several places, and chains of them would be planned again and again.
        known = self._known.get(node)
        if known is None:
            # What is below comes first, so that depth costs nothing of Python's stack; loops have names of their own
            # and plan what is in them themselves.
            waiting = [(node, False)]
            while waiting:
                one, ready = waiting.pop()
                if ready:
                    self._known[one] = self._plan(one)
                elif one not in self._known:
                    waiting.append((one, True))
                    below = [one.over, one.init] if isinstance(one, Comprehension) else children(one)
                    waiting += [(child, False) for child in below if child not in self._known]
            known = self._known[node]
        return known

    def _plan(self, node: Node) -> Planned:
        if isinstance(node, Literal):
            value = node.value
            return (lambda frame: value), 0
        if isinstance(node, Ident):
            return self._ident(node)
        if isinstance(node, Select):
            return self._select(node)
        if isinstance(node, Call):
            return self._call(node)
        if isinstance(node, ListNode):
            return self._list(node)
        if isinstance(node, MapNode):
            return self._map(node)
        if isinstance(node, StructNode):
            return self._struct(node)
        assert isinstance(node, Comprehension)
        return self._loop(node)

    def _ident(self, node: Ident) -> Planned:
        if node.constant is not None:
            constant = node.constant
            return (lambda frame: constant), 1
        slot = self._slot(node.name)
        return (_slot_reader(slot) if slot else _variable(node.name.removeprefix("."))), 1

    def _slot(self, name: str) -> int:
        for scope in reversed(self._scopes):
            if name in scope:
                return scope[name]
        return 0

    def _select(self, node: Select) -> Planned:
        if not node.key:
            named = TYPE_NAMES.get(_joined(node))
            if named is None:
                return _variable(_joined(node)), 1
            constant = named.params[0]
            return (lambda frame: constant), 1
        keys = [node.key]
        operand = node.operand
        if node.test or node.optional:
            run, cost = self.plan(operand)
            if node.test:
                return _tester(run, node.key), cost
            return _optional_getter(run, node.key), cost + 1
        while isinstance(operand, Select) and operand.key and not operand.test and not operand.optional:
            keys.append(operand.key)
            operand = operand.operand
        run, cost = self.plan(operand)
        return _getter(run, tuple(reversed(keys))), cost + len(keys)

    def _call(self, node: Call) -> Planned:
        function, args = node.function, node.args
        if node.target is not None and function in {"or", "orValue"}:
            return self._or_else(node.target, args[0], whole=function == "or")
        if function == "_&&_":
            return self._logic(node, stop=False)
        if function == "_||_":
            return self._logic(node, stop=True)
        if function == "_?_:_":
            return self._choose(args)
        if function in {"_==_", "_!=_"}:
            return self._equality(args, same=function == "_==_")
        if function == "@in":
            return self._membership(args)
        if function in {"_[_]", "_[?_]"}:
            (holder, cost), (key, more) = self.plan(args[0]), self.plan(args[1])
            get = access.member if function == "_[_]" else access.optional_member
            return (lambda frame: get(holder(frame), key(frame))), cost + more + 1
        if function == "!_":
            run, cost = self.plan(args[0])
            return _negation(run), cost + 1
        return self._function(node)

    def _function(self, node: Call) -> Planned:
        operands = node.args if node.target is None else [node.target, *node.args]
        planned = [self.plan(operand) for operand in operands]
        runs = [run for run, _ in planned]
        total = sum(cost for _, cost in planned)
        costs = {overload.cost for overload in node.overloads}
        only = node.overloads[0] if len(node.overloads) == 1 else None
        if only is not None and all(operand.type.kind not in {Kind.DYN, Kind.PARAM} for operand in operands):
            if isinstance(only.cost, int):
                return _direct(only.run, runs), total + only.cost
            return _paid(lambda *args: (only.run, only.cost), runs), total
        resolve = dispatcher(node.function, node.overloads)
        if costs == {1}:
            return _dispatched(resolve, runs), total + 1
        return _paid(resolve, runs), total

    def _logic(self, node: Call, *, stop: bool) -> Planned:
        """`stop` decides the whole: False for &&, True for ||. An error on one side does not if the other decides."""
        (left, cost), (right, more) = self.plan(node.args[0]), self.plan(node.args[1])

        def run(frame: Frame) -> Any:
            failed: CelError | None = None
            try:
                one = left(frame)
                if one is stop:
                    return stop
                if type(one) is not bool:
                    failed = no_such_overload()
            except CostExceeded:
                raise
            except CelError as error:
                failed = error
            frame[0] -= more
            if frame[0] < 0:
                raise CostExceeded
            try:
                other = right(frame)
            except CostExceeded:
                raise
            except CelError:
                if failed is not None:
                    raise failed from None
                raise
            if other is stop:
                return stop
            if failed is not None:
                raise failed
            if type(other) is not bool:
                raise no_such_overload()
            return not stop

        return run, cost

    def _choose(self, args: list[Node]) -> Planned:
        (test, cost), (then, gain), (other, loss) = map(self.plan, args)

        def run(frame: Frame) -> Any:
            chosen = test(frame)
            if chosen is True:
                spend(frame, gain)
                return then(frame)
            if chosen is not False:
                raise no_such_overload()
            spend(frame, loss)
            return other(frame)

        return run, cost

    def _or_else(self, target: Node, otherwise: Node, *, whole: bool) -> Planned:
        (run, cost), (other, more) = self.plan(target), self.plan(otherwise)

        def choose(frame: Frame) -> Any:
            optional = run(frame)
            if not isinstance(optional, Optional):
                raise no_such_overload()
            if optional.present:
                return optional if whole else optional.value
            spend(frame, more)
            return other(frame)

        return choose, cost

    def _equality(self, args: list[Node], *, same: bool) -> Planned:
        (left, cost), (right, more) = map(self.plan, args)
        if any(arg.type.kind in _FIXED_SIZE for arg in args):
            return (lambda frame: equal(left(frame), right(frame)) is same), cost + more + 1

        def run(frame: Frame) -> bool:
            one, other = left(frame), right(frame)
            spend(frame, (min(size_of(one), size_of(other)) + 9) // 10)
            return equal(one, other) is same

        return run, cost + more

    def _membership(self, args: list[Node]) -> Planned:
        (what, cost), (holder, more) = map(self.plan, args)
        members = _constant_strings(args[1])
        if members is not None:
            size = len(members)
            return (lambda frame: _in_strings(what(frame), members)), cost + more + size

        def run(frame: Frame) -> bool:
            one, many = what(frame), holder(frame)
            spend(frame, len(many) if isinstance(many, list) else 1)
            return access.contains(one, many)

        return run, cost + more

    def _list(self, node: ListNode) -> Planned:
        planned = [self.plan(element) for element in node.elements]
        runs, optional = [run for run, _ in planned], node.optional
        total = sum(cost for _, cost in planned) + LIST_COST
        if not optional:
            return (lambda frame: [run(frame) for run in runs]), total

        def build(frame: Frame) -> list[Any]:
            found: list[Any] = []
            for index, run in enumerate(runs):
                value = run(frame)
                if index in optional:
                    if not isinstance(value, Optional):
                        text = access.shown(value)
                        raise CelError(f"cannot initialize optional list element from non-optional value {text}")
                    if not value.present:
                        continue
                    value = value.value
                found.append(value)
            return found

        return build, total

    def _map(self, node: MapNode) -> Planned:
        parts = [(*self.plan(entry.key), *self.plan(entry.value), entry.optional) for entry in node.entries]
        runs = [(key, value, optional) for key, _, value, _, optional in parts]
        total = sum(cost + more for _, cost, _, more, _ in parts) + MAP_COST

        def build(frame: Frame) -> dict[Any, Any]:
            found: dict[Any, Any] = {}
            for key_of, value_of, optional in runs:
                key, value = key_of(frame), value_of(frame)
                if type(key) not in _KEYS:
                    raise CelError(f"unsupported key type: {type(key).__name__}")
                value = _given(key, value, optional=optional)
                if value is not MISSING:
                    if find(found, key) is not MISSING:
                        raise CelError(f"Failed with repeated key: {access.shown(key)}")
                    found[key] = value
            return found

        return build, total

    def _struct(self, node: StructNode) -> Planned:
        name = node.type.name
        parts = [(entry.key, *self.plan(entry.value), entry.optional) for entry in node.entries]
        runs = [(str(getattr(key, "value", "")), run, optional) for key, run, _, optional in parts]

        def build(frame: Frame) -> Typed:
            given = {key: _given(key, run(frame), optional=optional) for key, run, optional in runs}
            return Typed(name, {key: value for key, value in given.items() if value is not MISSING})

        return build, sum(cost for _, _, cost, _ in parts) + STRUCT_COST

    def _new_slot(self) -> int:
        self.slots += 1
        return self.slots - 1

    def _loop(self, node: Comprehension) -> Planned:
        from apimachinery.cel import loops

        over, cost = self.plan(node.over)
        init, more = self.plan(node.init)
        first, accu = self._new_slot(), self._new_slot()
        second = self._new_slot() if node.second else 0
        inner = {node.first: first, **({node.second: second} if node.second else {})}
        self._scopes += [{node.accu: accu}, inner]
        places = loops.Places(first, second, accu)
        loop = loops.plan(self, node, places, over, init)
        self._scopes.pop()
        result, last = self.plan(node.result)
        self._scopes.pop()

        def run(frame: Frame) -> Any:
            loop(frame)
            return result(frame)

        return run, cost + more + last


_KEYS = frozenset({str, int, bool, UInt})


def _joined(node: Select) -> str:
    operand = node.operand
    head = _joined(operand) if isinstance(operand, Select) else getattr(operand, "name", "")
    return f"{head}.{node.field}"


def _slot_reader(slot: int) -> Run:
    return lambda frame: frame[slot]


def _variable(name: str) -> Run:
    def run(frame: Frame) -> Any:
        try:
            return frame[1][name]
        except KeyError:
            raise CelError(f"no such attribute(s): {name}") from None

    return run


def _getter(operand: Run, keys: tuple[str, ...]) -> Run:
    """The common case is dicts all the way down; anything else goes the slow way."""

    def run(frame: Frame) -> Any:
        value = operand(frame)
        for key in keys:
            if type(value) is dict:
                try:
                    value = value[key]
                except KeyError:
                    raise CelError(f"no such key: {key}") from None
            else:
                value = access.member(value, key)
        return value

    return run


def _optional_getter(operand: Run, key: str) -> Run:
    return lambda frame: access.optional_member(operand(frame), key)


def _tester(operand: Run, key: str) -> Run:
    def run(frame: Frame) -> bool:
        holder = operand(frame)
        return key in holder if type(holder) is dict else access.present(holder, key)

    return run


def _negation(operand: Run) -> Run:
    def run(frame: Frame) -> bool:
        value = operand(frame)
        if type(value) is not bool:
            raise no_such_overload()
        return not value

    return run


def _direct(function: Callable[..., Any], runs: list[Run]) -> Run:
    if len(runs) == 1:
        one = runs[0]
        return lambda frame: function(one(frame))
    if len(runs) == 2:
        one, other = runs
        return lambda frame: function(one(frame), other(frame))
    return lambda frame: function(*[run(frame) for run in runs])


def _dispatched(resolve: Callable[..., Any], runs: list[Run]) -> Run:
    def run(frame: Frame) -> Any:
        args = [each(frame) for each in runs]
        return resolve(*args)[0](*args)

    return run


def _paid(resolve: Callable[..., Any], runs: list[Run]) -> Run:
    def run(frame: Frame) -> Any:
        args = tuple([each(frame) for each in runs])
        function, cost = resolve(*args)
        result = function(*args)
        spend(frame, cost if isinstance(cost, int) else cost(args, result))
        return result

    return run


def _given(key: Any, value: Any, *, optional: bool) -> Any:
    """The value of an entry, MISSING for one that is optional and none."""
    if not optional:
        return value
    if not isinstance(value, Optional):
        text = f"cannot initialize optional entry '{access.shown(key)}' from non-optional value {access.shown(value)}"
        raise CelError(text)
    return value.value if value is not NONE and value.present else MISSING


def _constant_strings(node: Node) -> frozenset[str] | None:
    """The members of a list of nothing but string constants."""
    if not isinstance(node, ListNode) or node.optional or not node.elements:
        return None
    values = [element.value for element in node.elements if isinstance(element, Literal)]
    if len(values) < len(node.elements) or not all(type(value) is str for value in values):
        return None
    return frozenset(values)


def _in_strings(what: Any, members: frozenset[str]) -> bool:
    return type(what) is str and what in members

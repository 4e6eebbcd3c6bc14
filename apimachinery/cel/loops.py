"""The loops macros are made of, with short cuts for the shapes macros give them.

A list that grows by one element a turn is appended to instead of copied; quantifiers need no condition of their own.
What a turn costs is the same as without the short cut.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from apimachinery.cel import access
from apimachinery.cel.ast import Call, Comprehension, Ident, ListNode, Literal, Node
from apimachinery.cel.errors import CelError, CostExceeded, no_such_overload
from apimachinery.cel.plan import BUDGET, LIST_COST, Frame, Planner, Run, spend
from apimachinery.cel.values import MISSING, find, type_name

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Places:
    """The slots of a loop's variables; `second` is 0 where there is one variable only."""

    first: int
    second: int
    accu: int


def plan(planner: Planner, node: Comprehension, places: Places, over: Run, init: Run) -> Callable[[Frame], None]:
    """What runs the loop and leaves the accumulator in its slot."""
    step = node.step
    turns = _turns(over, places)
    if isinstance(step, Call) and step.function in {"_&&_", "_||_"} and _is_accu(step.args[0], node):
        every = step.function == "_&&_"
        return _quantifier(turns, places.accu, planner.plan(step.args[1]), stop=not every, each=3 if every else 4)
    predicate: Node | None = None
    if isinstance(step, Call) and step.function == "_?_:_" and _is_accu(step.args[2], node):
        predicate, step = step.args[0], step.args[1]
    test = planner.plan(predicate) if predicate is not None else None
    if isinstance(step, Call) and step.function == "_+_" and _is_accu(step.args[0], node):
        added = step.args[1]
        if isinstance(added, ListNode) and len(added.elements) == 1 and not added.optional:
            run, cost = planner.plan(added.elements[0])
            return _collector(turns, places.accu, init, test, (run, cost + LIST_COST + 2))
    return _plain(planner, node, places, turns, init)


def _is_accu(node: Node, loop: Comprehension) -> bool:
    return isinstance(node, Ident) and node.name == loop.accu


def _turns(over: Run, places: Places) -> Callable[[Frame], Iterator[None]]:
    first, second = places.first, places.second

    def turns(frame: Frame) -> Iterator[None]:
        value = over(frame)
        if second:
            for frame[first], frame[second] in _pairs(value):
                yield
            return
        if not isinstance(value, list | Mapping):
            raise CelError(f"unsupported comprehension range type: {type_name(value)}")
        for frame[first] in value:
            yield

    return turns


def _pairs(value: Any) -> Iterable[tuple[Any, Any]]:
    if isinstance(value, list):
        return enumerate(value)
    if isinstance(value, Mapping):
        return value.items()
    raise CelError(f"unsupported comprehension range type: {type_name(value)}")


def _quantifier(
    turns: Callable[[Frame], Iterator[None]], accu: int, predicate: tuple[Run, int], *, stop: bool, each: int
) -> Callable[[Frame], None]:
    """all (stops at False) and exists (at True). An error counts only if nothing decides."""
    test, cost = predicate
    cost += each

    def run(frame: Frame) -> None:
        failed: CelError | None = None
        for _ in turns(frame):
            frame[BUDGET] -= cost
            if frame[BUDGET] < 0:
                raise CostExceeded
            try:
                found = test(frame)
            except CostExceeded:
                raise
            except CelError as error:
                failed = failed or error
                continue
            if found is stop:
                frame[accu] = stop
                return
            if type(found) is not bool:
                failed = failed or no_such_overload()
        if failed is not None:
            raise failed
        frame[accu] = not stop

    return run


def _collector(
    turns: Callable[[Frame], Iterator[None]],
    accu: int,
    init: Run,
    predicate: tuple[Run, int] | None,
    element: tuple[Run, int],
) -> Callable[[Frame], None]:
    """map, filter and transformList."""
    (make, cost), (test, price) = element, predicate or (None, 0)

    def run(frame: Frame) -> None:
        found = list(init(frame))
        for _ in turns(frame):
            if test is not None:
                spend(frame, price)
                chosen = test(frame)
                if chosen is False:
                    spend(frame, 1)
                    continue
                if chosen is not True:
                    raise no_such_overload()
            spend(frame, cost)
            found.append(make(frame))
        frame[accu] = found

    return run


def _plain(
    planner: Planner, node: Comprehension, places: Places, turns: Callable[[Frame], Iterator[None]], init: Run
) -> Callable[[Frame], None]:
    """Any loop: exists_one, transformMap and what the macros of optionals make."""
    condition, cost = planner.plan(node.condition)
    step, more = planner.plan(node.step)
    forever = isinstance(node.condition, Literal) and node.condition.value is True
    accu = places.accu

    def run(frame: Frame) -> None:
        value = init(frame)
        frame[accu] = dict(value) if isinstance(value, dict) else value
        for _ in turns(frame):
            spend(frame, cost)
            if not forever and condition(frame) is not True:
                return
            spend(frame, more)
            frame[accu] = step(frame)

    return run


def insert(table: dict[Any, Any], key: Any, value: Any) -> dict[Any, Any]:
    """`cel.@mapInsert`: the accumulator of a loop belongs to the loop, so that it grows in place."""
    if find(table, key) is not MISSING:
        raise CelError(f"insert failed: key {access.shown(key)} already exists")
    table[key] = value
    return table


def insert_all(table: dict[Any, Any], more: Mapping[Any, Any]) -> dict[Any, Any]:
    for key, value in more.items():
        insert(table, key, value)
    return table

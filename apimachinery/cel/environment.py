"""What callers use: an `Environment` of variables compiles text to a `Program`, which evaluates against bindings."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from apimachinery.cel.ast import DEEPEST, Node
from apimachinery.cel.checker import check
from apimachinery.cel.errors import CelError, CelTypeError, CostExceeded, OutOfBudget
from apimachinery.cel.lexer import issue
from apimachinery.cel.library import Function, Library, Overload
from apimachinery.cel.parser import parse
from apimachinery.cel.plan import BUDGET, Frame, Planner
from apimachinery.cel.types import Provider, Type

#: What one evaluation may cost; about a tenth of a second upstream.
PER_CALL_LIMIT = 1_000_000
#: What all evaluations of one policy binding or one custom resource may cost.
PER_REQUEST_BUDGET = 10_000_000
#: What all match conditions of one webhook or policy may cost.
MATCH_CONDITIONS_BUDGET = 2_500_000


class Budget:
    """What several evaluations may cost together."""

    __slots__ = ("remaining",)

    def __init__(self, remaining: int = PER_REQUEST_BUDGET) -> None:
        self.remaining = remaining

    def charge(self, cost: int) -> None:
        """Raises OutOfBudget; then no other expression of this budget should be tried."""
        self.remaining -= cost
        if self.remaining < 0:
            raise OutOfBudget


class Environment:
    """The variables, object types and functions expressions may use. Compiling is pure: share one freely."""

    def __init__(
        self,
        variables: Mapping[str, Type] | None = None,
        provider: Provider | None = None,
        libraries: tuple[Library, ...] = (),
    ) -> None:
        self.variables = dict(variables or {})
        self.provider = provider or Provider()
        self._functions = _functions(libraries)

    def compile(self, text: str, wanted: Type | None = None) -> Program:
        """Raises CelSyntaxError, or CelTypeError where names and types do not fit."""
        tree = self.checked(text)
        if wanted is not None and tree.type != wanted:
            raise WrongResult(text, tree.type)
        try:
            return Program(text, tree)
        except RecursionError:
            raise _too_deep(text) from None

    def checked(self, text: str) -> Node:
        """The tree with its types."""
        tree = parse(text)
        try:
            check(text, tree, self.variables, self._functions, self.provider)
        except RecursionError:
            raise _too_deep(text) from None
        return tree


def _too_deep(text: str) -> CelTypeError:
    return CelTypeError(text, [issue(text, -1, f"expression recursion limit exceeded: {DEEPEST}")])


class WrongResult(CelTypeError):
    """The expression is sound, but gives something else than is wanted; `given` is what."""

    def __init__(self, text: str, given: Type) -> None:
        super().__init__(text, [])
        self.given = given


class Program:
    """A compiled expression. Runs keep nothing, so that one program serves any number of requests."""

    __slots__ = ("_run", "_slots", "_static", "text", "tree")

    def __init__(self, text: str, tree: Node) -> None:
        planner = Planner()
        self.text = text
        self.tree = tree
        self._run, self._static = planner.plan(tree)
        self._slots = planner.slots

    @property
    def type(self) -> Type:
        return self.tree.type

    def run(self, bindings: Mapping[str, Any], budget: Budget | None = None) -> Any:
        """The value. Raises CelError; CostExceeded and OutOfBudget, which it charges also for failed evaluations."""
        return self.evaluate(bindings, budget)[0]

    def evaluate(self, bindings: Mapping[str, Any], budget: Budget | None = None) -> tuple[Any, int]:
        """The value and what it cost."""
        frame: Frame = [PER_CALL_LIMIT - self._static, bindings, *[None] * (self._slots - 2)]
        try:
            value = self._run(frame)
            if frame[BUDGET] < 0:
                raise CostExceeded
        except RecursionError:
            raise CelError("expression recursion limit exceeded") from None
        except (TypeError, AttributeError, ValueError, OverflowError, MemoryError) as error:
            # Data that is not of the declared type; a checked expression over checked data never gets here.
            raise CelError("no such overload") from error
        finally:
            if budget is not None:
                budget.charge(min(PER_CALL_LIMIT - frame[BUDGET], PER_CALL_LIMIT))
        return value, PER_CALL_LIMIT - frame[BUDGET]


@lru_cache(maxsize=64)
def _functions(more: tuple[Library, ...]) -> Mapping[str, Function]:
    from apimachinery.cel.libraries import everywhere

    functions: dict[str, Function] = {}
    overloads: list[Overload] = [one for library in (*everywhere.LIBRARIES, *more) for one in library.overloads]
    for overload in overloads:
        functions.setdefault(overload.function, Function(overload.function)).overloads.append(overload)
    return functions

"""The expressions of a policy, compiled: its variables first, since their types are known to what comes after."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from apimachinery.cel import types
from apimachinery.cel.admission import Compiled, compiled, environment
from apimachinery.cel.environment import Budget, Environment
from apimachinery.cel.errors import CelError, CostExceeded
from apimachinery.cel.mutation import patch_types
from apimachinery.cel.types import Type

JSON = dict[str, Any]


class Variables(Mapping[str, Any]):
    """The variables of one evaluation; each is evaluated when it is first asked for, and then remembered."""

    def __init__(self, programs: Mapping[str, Compiled], budget: Budget) -> None:
        self.bindings: Mapping[str, Any] = {}
        self._programs = programs
        self._budget = budget
        self._known: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name in self._known:
            found = self._known[name]
            if isinstance(found, CelError):
                raise found
            return found
        one = self._programs[name]
        try:
            if one.program is None:
                raise CelError(f'composited variable "{name}" fails to compile: {one.error}')
            value = one.program.run(self.bindings, self._budget)
        except CostExceeded:
            raise
        except CelError as error:
            text = str(error)
            if one.program is not None:
                text = f'composited variable "{name}" fails to evaluate: {text}'
            self._known[name] = failed = CelError(text)
            raise failed from error
        self._known[name] = value
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(self._programs)

    def __len__(self) -> int:
        return len(self._programs)


class Expressions:
    """Compiles the expressions of one policy. With `patches` they may construct what mutations are made of."""

    def __init__(self, spec: JSON) -> None:
        self._params = spec.get("paramKind") is not None
        self._types: dict[str, Type] = {}
        self.variables: dict[str, Compiled] = {}
        for one in spec.get("variables") or ():
            self.add(one["name"], one["expression"])

    def add(self, name: str, text: str) -> Compiled:
        """Another variable, which sees those before it."""
        found = self.variables[name] = compiled(self._environment(authorizer=True), text)
        self._types[name] = found.program.type if found.program is not None else types.DYN
        return found

    def _environment(self, *, authorizer: bool, patches: bool = False) -> Environment:
        return environment(
            params=self._params, authorizer=authorizer, variables=self._types, **(patch_types() if patches else {})
        )

    def compile(
        self, texts: Sequence[str], wanted: Sequence[Type], *, authorizer: bool = True, patches: bool = False
    ) -> list[Compiled | None]:
        """One result for each text; None for an empty one."""
        env = self._environment(authorizer=authorizer, patches=patches)
        return [compiled(env, text, wanted) if text else None for text in texts]

    def bound(self, plus: Callable[..., Mapping[str, Any]], budget: Budget) -> Mapping[str, Any]:
        """Bindings with the variables among them; `plus` adds names to the bindings of the request."""
        variables = Variables(self.variables, budget)
        variables.bindings = plus(variables=variables)
        return variables.bindings

"""Expressions of admission: the variables they see, and match conditions.

Bindings are `object`, `oldObject` (plain dicts or None), `request` (see `REQUEST`), `namespaceObject`, `params`,
`authorizer` and `authorizer.requestResource` (see `libraries.authorizer`); an absent one is an error when asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from apimachinery.cel import types
from apimachinery.cel.environment import MATCH_CONDITIONS_BUDGET, Budget, Environment, Program
from apimachinery.cel.errors import CelCompileError, CelError, OutOfBudget
from apimachinery.cel.library import Library
from apimachinery.cel.types import FieldType, Provider, Type

REQUEST = types.struct("kubernetes.AdmissionRequest")
NAMESPACE = types.struct("kubernetes.Namespace")
VARIABLES = types.struct("kubernetes.variables")
_TEXTS = types.list_of(types.STRING)
_LABELS = types.map_of(types.STRING, types.STRING)


def _fields(**fields: Type) -> dict[str, FieldType]:
    return {name: FieldType(what, name) for name, what in fields.items()}


def _structs() -> dict[str, Mapping[str, FieldType]]:
    kind, resource = types.struct("kubernetes.GroupVersionKind"), types.struct("kubernetes.GroupVersionResource")
    user, text = types.struct("kubernetes.UserInfo"), types.STRING
    metadata, spec = types.struct("kubernetes.NamespaceMetadata"), types.struct("kubernetes.NamespaceSpec")
    status, condition = types.struct("kubernetes.NamespaceStatus"), types.struct("kubernetes.NamespaceCondition")
    return {
        kind.name: _fields(group=text, version=text, kind=text),
        resource.name: _fields(group=text, version=text, resource=text),
        user.name: _fields(username=text, uid=text, groups=_TEXTS, extra=types.map_of(text, _TEXTS)),
        REQUEST.name: _fields(
            kind=kind,
            resource=resource,
            subResource=text,
            requestKind=kind,
            requestResource=resource,
            requestSubResource=text,
            name=text,
            namespace=text,
            operation=text,
            userInfo=user,
            dryRun=types.BOOL,
            options=types.DYN,
        ),
        NAMESPACE.name: _fields(metadata=metadata, spec=spec, status=status),
        metadata.name: _fields(
            name=text,
            generateName=text,
            namespace=text,
            labels=_LABELS,
            annotations=_LABELS,
            UID=text,
            creationTimestamp=types.TIMESTAMP,
            deletionGracePeriodSeconds=types.INT,
            deletionTimestamp=types.TIMESTAMP,
            generation=types.INT,
            resourceVersion=text,
            finalizers=_TEXTS,
        ),
        spec.name: _fields(finalizers=_TEXTS),
        status.name: _fields(conditions=types.list_of(condition), phase=text),
        condition.name: _fields(status=text, type=text, lastTransitionTime=types.TIMESTAMP, message=text, reason=text),
    }


def environment(
    *,
    params: bool = False,
    authorizer: bool = True,
    variables: Mapping[str, Type] | None = None,
    objects: tuple[Type, Provider] | None = None,
    param_type: Type = types.DYN,
    libraries: tuple[Library, ...] = (),
) -> Environment:
    """`variables` are those of a policy with the types of their results.

    `objects` is the type of `object` and `oldObject` where their schema is known, and what knows its fields.
    """
    from apimachinery.cel.libraries.authorizer import AUTHORIZER_TYPE, RESOURCE_TYPE

    what, known = objects or (types.DYN, None)
    names: dict[str, Type] = {
        "object": what,
        "oldObject": what,
        "namespaceObject": NAMESPACE,
        "request": REQUEST,
        "variables": VARIABLES,
    }
    if variables is None:
        del names["variables"]
    if params:
        names["params"] = param_type
    if authorizer:
        names["authorizer"] = AUTHORIZER_TYPE
        names["authorizer.requestResource"] = RESOURCE_TYPE
    provider = known if known is not None else Provider()
    provider.structs = {**provider.structs, **_known_structs()}
    provider.structs[VARIABLES.name] = _fields(**(variables or {}))
    return Environment(names, provider, libraries)


@lru_cache(maxsize=1)
def _known_structs() -> dict[str, Mapping[str, FieldType]]:
    return _structs()


@dataclass(frozen=True, slots=True)
class Compiled:
    """An expression with its program, or with why there is none (`error`)."""

    text: str
    program: Program | None
    error: str = ""

    def run(self, bindings: Mapping[str, Any], budget: Budget) -> Any:
        """The value. Raises CelError with the text upstream shows; OutOfBudget if nothing more should be tried."""
        if self.program is None:
            raise CelError(f"compilation error: {self.error}")
        try:
            return self.program.run(bindings, budget)
        except OutOfBudget:
            raise
        except CelError as error:
            raise CelError(f"expression '{self.text}' resulted in error: {error}") from error


def compiled(env: Environment, text: str, wanted: Sequence[Type] = ()) -> Compiled:
    """`wanted` are the types of which the result must be one; none means any."""
    try:
        program = env.compile(text)
    except CelCompileError as error:
        return Compiled(text, None, f"compilation failed: {error}")
    if wanted and program.type not in wanted:
        shown = f"one of [{' '.join(map(str, wanted))}]" if len(wanted) > 1 else str(wanted[0])
        return Compiled(text, None, f"must evaluate to {shown} but got {result_name(program.type)}")
    return Compiled(text, program)


def result_name(what: Type) -> str:
    """A result's type in messages: upstream writes null_type here."""
    return "null_type" if what.kind is types.Kind.NULL else str(what)


@dataclass(frozen=True, slots=True)
class Match:
    """`error` is set where the conditions failed and the failure policy is Fail; `failed` names a false condition."""

    matches: bool
    error: str = ""
    failed: str = ""


class MatchConditions:
    """The `matchConditions` of a webhook or a policy, compiled once.

    One false condition means no match whatever the others say. Errors mean no match with the failure policy Ignore
    and an error with Fail.
    """

    def __init__(self, conditions: Iterable[Mapping[str, Any]], *, params: bool = False) -> None:
        env = _condition_environment(params)
        self._conditions = [
            (str(one.get("name") or ""), compiled(env, str(one.get("expression") or ""), (types.BOOL,)))
            for one in conditions
        ]

    def __bool__(self) -> bool:
        return bool(self._conditions)

    def evaluate(self, bindings: Mapping[str, Any], *, fail: bool) -> Match:
        """`fail` is whether the failure policy is Fail. May raise `libraries.authorizer.Undecided`."""
        budget = Budget(MATCH_CONDITIONS_BUDGET)
        wrong: list[str] = []
        for name, condition in self._conditions:
            try:
                if condition.run(bindings, budget) is False:
                    return Match(False, failed=name)
            except OutOfBudget as error:
                return Match(False, str(error) if fail else "")
            except CelError as error:
                wrong.append(str(error))
        if not wrong:
            return Match(True)
        return Match(False, aggregate(wrong) if fail else "")


@lru_cache(maxsize=2)
def _condition_environment(params: bool) -> Environment:
    return environment(params=params)


def aggregate(texts: Iterable[str]) -> str:
    """Several errors as one, each text once, as upstream joins them."""
    different = list(dict.fromkeys(texts))
    return different[0] if len(different) == 1 else f"[{', '.join(different)}]"

"""MutatingAdmissionPolicies: expressions that make a JSON patch, or a configuration that is applied."""

from __future__ import annotations

from typing import Any

from apimachinery.cel import types
from apimachinery.cel.admission import Compiled
from apimachinery.cel.composition import Expressions
from apimachinery.cel.environment import Budget
from apimachinery.cel.errors import CelError
from apimachinery.cel.mutation import JSON_PATCH, OBJECT, check_names, to_json
from apimachinery.errors import StatusError
from apimachinery.patch import granular, json_patch, managed
from apimachinery.resources import ResourceInfo
from apimachinery.schema.decode import typed
from apimachinery.schema.nodes import DecodeError, Field
from apiserver.admission.chain import refuse
from apiserver.admission.policies.bindings import Answers, Bindings, bindings, settled
from apiserver.admission.policies.invocations import Invocation, Invocations
from apiserver.admission.policies.store import Policy
from apiserver.admission.webhooks import Turn, encoded, replace, seen_as
from apiserver.ports import AdmissionRequest, Authorizer

JSON = dict[str, Any]
APPLY = "ApplyConfiguration"
_RESULTS = {APPLY: (OBJECT,), "JSONPatch": (types.list_of(JSON_PATCH),)}


class Failed(Exception):
    """A mutation could not be made: the failure policy says what then."""


class MutatingPolicy(Policy):
    """A policy with its mutations."""

    def __init__(self, obj: JSON) -> None:
        super().__init__(obj)
        self.reinvoke = self.spec.get("reinvocationPolicy") == "IfNeeded"
        self._expressions: Expressions | None = None
        self._mutations: list[Compiled | None] = []

    def _compile(self) -> Expressions:
        if self._expressions is None:
            found = Expressions(self.spec)
            for mutation in self.spec["mutations"]:
                kind = mutation["patchType"]
                part = mutation.get("applyConfiguration" if kind == APPLY else "jsonPatch") or {}
                text = part.get("expression") or ""
                self._mutations += found.compile([text], _RESULTS[kind], patches=True)
            self._expressions = found
        return self._expressions

    def matches(self, known: Bindings) -> bool:
        """Whether the match conditions hold. Raises Failed; may raise `Undecided`, as `made` may."""
        match = self.conditions.evaluate(known, fail=self.fails)
        if match.error:
            raise Failed(match.error)
        return match.matches

    def made(self, index: int, known: Bindings) -> Any:
        """What the expression of a mutation makes. Raises Failed."""
        expressions = self._compile()
        expression, budget = self._mutations[index], Budget()
        try:
            return expression.run(expressions.bound(known.plus, budget), budget) if expression is not None else []
        except CelError as error:
            raise Failed(str(error)) from error


def patched(obj: JSON, operations: list[Any]) -> JSON:
    """The object after a patch, whose failed tests mean that it is not made. Raises Failed."""
    listed = []
    try:
        for operation in operations:
            value = operation.get("value")
            if value is not None:
                check_names(value, getattr(value, "name", ""))
            listed.append({name: to_json(one) for name, one in operation.items()})
        result: JSON = json_patch.apply(obj, listed)
    except json_patch.TestFailed:
        return obj
    except json_patch.PatchError as error:
        raise Failed(f"JSON Patch: {error}") from error
    except CelError as error:
        raise Failed(str(error)) from error
    return result


def applied(obj: JSON, configuration: Any, info: ResourceInfo, root: Field) -> JSON:
    """The object with the configuration merged into it, as server-side apply would. Raises Failed."""
    try:
        check_names(configuration, OBJECT.name)
        wanted = {**to_json(configuration), "apiVersion": info.api_version, "kind": info.kind}
        decoded = typed(info, wanted)
    except CelError as error:
        raise Failed(str(error)) from error
    except DecodeError as error:
        raise Failed(f"error applying patch: failed to convert patch object to typed object: {error}") from None
    if decoded.unknown:
        name = decoded.unknown[0].partition(" field ")[2].strip('"')
        what = "error applying patch: failed to convert patch object to typed object"
        raise Failed(f"{what}: .{name}: field not declared in schema")
    whole = _atomic(wanted, root, "")
    if whole:
        what = "may not mutate atomic arrays, maps or structs"
        raise Failed(f"error applying patch: invalid ApplyConfiguration: {what}: {', '.join(whole)}")
    try:
        result: JSON = granular.merge(obj, decoded.obj, root)
    except granular.KeyMissing as error:
        raise Failed(f"error applying patch: {error}") from None
    return result


def _atomic(value: Any, field: Field, path: str) -> list[str]:
    """The places of a configuration that would replace more than they say."""
    if isinstance(value, dict):
        found = [] if granular.is_map(value, field) or not path else [path]
        for name, one in value.items():
            found += _atomic(one, granular.child_of(field, name), f"{path}.{name}")
        return found
    if isinstance(value, list):
        found = [] if granular.is_list(value, field) else [path]
        if granular.is_list(value, field):
            for index, one in enumerate(value):
                found += _atomic(one, granular.item_of(field), f"{path}[{index}]")
        return found
    return []


class Mutations:
    """What the plugin does for requests that a policy may concern."""

    def __init__(self, invocations: Invocations[MutatingPolicy], authorizer: Authorizer) -> None:
        self._invocations = invocations
        self._authorizer = authorizer

    async def mutate(self, request: AdmissionRequest, turn: Turn) -> None:
        answers, failures = Answers(self._authorizer), []
        async for invocation in self._invocations.of(request):
            if invocation.problem:
                failures.append((invocation, invocation.problem))
                continue
            try:
                await self._invoke(invocation, request, turn, answers)
            except Failed as error:
                failures.append((invocation, str(error)))
        turn.output = encoded(request.obj)
        said = [_said(one, why) for one, why in failures if one.policy.fails]
        if said:
            refusal = refuse(request, "admission request denied by policy")
            details = {**(refusal.details or {}), "causes": [{"message": one} for one in said]}
            raise StatusError(403, "Invalid", said[0], details)

    async def _invoke(
        self, invocation: Invocation[MutatingPolicy], request: AdmissionRequest, turn: Turn, answers: Answers
    ) -> None:
        policy, binding, params = invocation.policy, invocation.binding, invocation.params
        assert binding is not None
        known = await self._known(invocation, request, answers)
        if policy.conditions and not await settled(lambda: policy.matches(known), answers):
            return
        named = (params or {}).get("metadata") or {}
        key = (policy.name, binding.name, hash((named.get("namespace"), named.get("name"))))
        if request.again and key not in turn.due:
            return
        before = encoded(request.obj)
        for index, mutation in enumerate(policy.spec["mutations"]):
            if request.obj is None:
                break
            made = await settled(lambda at=index, seen=known: policy.made(at, seen), answers)  # type: ignore[misc]
            await self._put(mutation["patchType"], made, invocation.seen, request)
            known = await self._known(invocation, request, answers)
        if encoded(request.obj) != before:
            turn.all_again()
            request.changed = True
        if policy.reinvoke:
            turn.called.add(key)

    async def _put(self, kind: str, made: Any, info: ResourceInfo, request: AdmissionRequest) -> None:
        obj, _ = await seen_as(info, request)
        assert obj is not None
        new = applied(obj, made, info, managed.root(info)) if kind == APPLY else patched(obj, made)
        if new is not obj:
            await replace(request, info, new)

    async def _known(
        self, invocation: Invocation[MutatingPolicy], request: AdmissionRequest, answers: Answers
    ) -> Bindings:
        namespace: JSON | None = None
        if request.namespace and request.info.group_resource != "namespaces":
            namespace = await self._invocations.namespace(request.namespace)
        obj, old = await seen_as(invocation.seen, request)
        known = bindings(request, invocation.seen, obj, old, answers, lambda: namespace)
        if invocation.policy.param_kind is not None:
            known["params"] = invocation.params
        return known


def _said(invocation: Invocation[MutatingPolicy], why: str) -> str:
    name = invocation.policy.name
    if invocation.binding is None:
        return f'policy "{name}" denied request: {why}'
    return f"policy '{name}' with binding '{invocation.binding.name}' denied request: {why}"

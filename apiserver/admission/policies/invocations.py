"""From a request to what has to be evaluated: policies that match, their bindings, and the parameters of these."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from apimachinery import errors
from apimachinery.resources import ResourceInfo
from apimachinery.selectors import Selector, from_label_selector
from apiserver.admission.chain import known
from apiserver.admission.policies.store import Binding, Constraints, Policy, Store
from apiserver.admission.webhooks import labels_of, selects
from apiserver.ports import AdmissionRequest, Objects, Operation
from apiserver.registry.catalog import Catalog

JSON = dict[str, Any]
P = TypeVar("P", bound=Policy)


@dataclass(frozen=True, slots=True)
class Invocation(Generic[P]):
    """A policy to evaluate. `problem` says why it cannot be; else `params` is the parameter, None where there is none
    to be had and none is needed."""

    policy: P
    binding: Binding | None
    seen: ResourceInfo
    params: JSON | None = None
    problem: str = ""


class _Problem(Exception):
    """A binding cannot be used as it is."""


class Invocations(Generic[P]):
    """Finds them."""

    def __init__(self, objects: Objects, catalog: Catalog, store: Store[P]) -> None:
        self._objects = objects
        self._catalog = catalog
        self._store = store

    async def of(self, request: AdmissionRequest) -> AsyncIterator[Invocation[P]]:
        policies, others = self._store.candidates(request)
        for policy in policies:
            seen = await self._matching(policy.constraints, request, others)
            if seen is None:
                continue
            kind = policy.param_kind
            params_of = self._param_info(kind) if kind is not None else None
            if kind is not None and params_of is None:
                group_kind = f"{kind['apiVersion']}, Kind={kind['kind']}"
                why = f"failed to configure policy: failed to find resource referenced by paramKind: '{group_kind}'"
                yield Invocation(policy, None, seen, problem=why)
                continue
            for binding in self._store.bindings(policy):
                if await self._matching(binding.constraints, request, others) is None:
                    continue
                try:
                    found = await self._params(params_of, binding.param_ref, request)
                except _Problem as problem:
                    yield Invocation(policy, binding, seen, problem=f"failed to configure binding: {problem}")
                    continue
                for params in found:
                    yield Invocation(policy, binding, seen, params)

    async def _matching(
        self, constraints: Constraints, request: AdmissionRequest, others: Sequence[ResourceInfo]
    ) -> ResourceInfo | None:
        seen = constraints.seen(request, others)
        if seen is None or not selects(constraints.objects, request):
            return None
        return seen if await self._in_namespace(constraints.namespaces, request) else None

    async def _in_namespace(self, selector: Selector, request: AdmissionRequest) -> bool:
        if selector.is_everything:
            return True
        if request.info.group_resource == "namespaces":
            if not request.subresource and request.operation in (Operation.CREATE, Operation.UPDATE):
                return selector.matches(labels_of(request.obj))
            namespace = await self.namespace(request.name)
        elif request.namespace:
            namespace = await self.namespace(request.namespace)
        else:
            return True
        return selector.matches(labels_of(namespace))

    async def namespace(self, name: str) -> JSON:
        """Raises StatusError 404."""
        info = known("", "v1", "namespaces")
        found = self._objects.get(info, "", name) or await self._objects.get_latest(info, "", name)
        if found is None:
            raise errors.not_found("namespaces", "", name)
        return found

    def _param_info(self, kind: JSON) -> ResourceInfo | None:
        group, _, version = kind["apiVersion"].rpartition("/")
        return self._catalog.find_kind(group, version, kind["kind"])

    async def _params(
        self, info: ResourceInfo | None, ref: JSON | None, request: AdmissionRequest
    ) -> Sequence[JSON | None]:
        """The parameters that a binding names, each of which is evaluated with. Raises _Problem."""
        if info is None or ref is None:
            return (None,)
        namespace = self._param_namespace(info, ref, request)
        name, selector = ref.get("name"), ref.get("selector")
        found: list[JSON | None] = []
        if name:
            one = self._objects.get(info, namespace, name) or await self._objects.get_latest(info, namespace, name)
            found = [_typed(one, info)] if one is not None else []
        elif selector is not None:
            wanted = from_label_selector(selector)
            listed = self._objects.list(info, namespace)
            found = [_typed(one, info) for one in listed if wanted.matches(labels_of(one))]
        else:
            raise _Problem("one of name or selector must be provided")
        if not found and ref.get("parameterNotFoundAction") == "Deny":
            raise _Problem("no params found for policy binding with `Deny` parameterNotFoundAction")
        return found

    def _param_namespace(self, info: ResourceInfo, ref: JSON, request: AdmissionRequest) -> str:
        given = str(ref.get("namespace") or "")
        if not info.namespaced:
            if given:
                raise _Problem("paramRef.namespace must not be provided for a cluster-scoped `paramKind`")
            return ""
        if given or request.namespace:
            return given or request.namespace
        raise _Problem("cannot use namespaced paramRef in policy binding that matches cluster-scoped resources")


def _typed(obj: JSON, info: ResourceInfo) -> JSON:
    return {"apiVersion": info.api_version, "kind": info.kind, **obj}

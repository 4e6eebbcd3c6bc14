"""The policies of one kind with their bindings, and which of them a kind of request may concern.

Followed from the watch cache. What a request pays where no rule matches is one look into a dictionary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from apimachinery.resources import ResourceInfo
from apimachinery.selectors import EVERYTHING, Selector, from_label_selector
from apiserver.admission.chain import known
from apiserver.ports import AdmissionRequest, Objects, Operation
from apiserver.registry.catalog import Catalog
from apiserver.webhooks.hooks import Asked, equivalents, matches

if TYPE_CHECKING:
    from apimachinery.cel.admission import MatchConditions

JSON = dict[str, Any]
REGISTRATION = "admissionregistration.k8s.io"
#: Policies do not decide about policies, or nobody could ever take a broken one away.
EXEMPT = frozenset(
    {
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
        "MutatingAdmissionPolicy",
        "MutatingAdmissionPolicyBinding",
    }
)


@dataclass(frozen=True, slots=True)
class Constraints:
    """`matchConstraints` of a policy or `matchResources` of a binding."""

    rules: tuple[JSON, ...] = ()
    excluded: tuple[JSON, ...] = ()
    namespaces: Selector = EVERYTHING
    objects: Selector = EVERYTHING
    equivalent: bool = True

    @staticmethod
    def of(given: JSON | None) -> Constraints:
        given = given or {}
        return Constraints(
            tuple(given.get("resourceRules") or ()),
            tuple(given.get("excludeResourceRules") or ()),
            _selector(given.get("namespaceSelector")),
            _selector(given.get("objectSelector")),
            given.get("matchPolicy") != "Exact",
        )

    def seen(self, request: AdmissionRequest, others: Sequence[ResourceInfo]) -> ResourceInfo | None:
        """The version of the resource by which the request is concerned, None where it is not; selectors apart."""
        asked = asked_of(request)
        if self._ruled(self.excluded, asked, request.name, others) is not None:
            return None
        return self._ruled(self.rules, asked, request.name, others) if self.rules else request.info

    def _ruled(
        self, rules: tuple[JSON, ...], asked: Asked, name: str, others: Sequence[ResourceInfo]
    ) -> ResourceInfo | None:
        for info in (asked.info, *(others if self.equivalent else ())):
            for rule in rules:
                named = rule.get("resourceNames")
                if matches(rule, asked, info) and (not named or name in named):
                    return info
        return None

    def may_concern(self, asked: Asked, others: Sequence[ResourceInfo]) -> bool:
        """Whether any rule matches, names apart: what is remembered for kinds of requests."""
        if not self.rules:
            return True
        every = (asked.info, *(others if self.equivalent else ()))
        return any(matches(rule, asked, info) for rule in self.rules for info in every)


def asked_of(request: AdmissionRequest) -> Asked:
    namespaced = bool(request.namespace) and request.info.group_resource != "namespaces"
    return Asked(request.info, request.subresource, request.operation, namespaced)


def _selector(given: JSON | None) -> Selector:
    return from_label_selector(given) if given else EVERYTHING


class Policy:
    """A policy; its expressions are compiled for the first request that it concerns, once for each of its states."""

    def __init__(self, obj: JSON) -> None:
        self.name: str = obj["metadata"]["name"]
        self.spec: JSON = obj["spec"]
        self.constraints = Constraints.of(self.spec.get("matchConstraints"))
        self.fails = self.spec.get("failurePolicy") != "Ignore"
        self.param_kind: JSON | None = self.spec.get("paramKind")
        self._conditions: MatchConditions | None = None

    @property
    def conditions(self) -> MatchConditions:
        if self._conditions is None:
            from apimachinery.cel.admission import MatchConditions

            listed = self.spec.get("matchConditions") or ()
            self._conditions = MatchConditions(listed, params=self.param_kind is not None)
        return self._conditions


@dataclass(frozen=True, slots=True)
class Binding:
    """Puts a policy into effect for some requests, with parameters."""

    name: str
    constraints: Constraints
    param_ref: JSON | None
    actions: tuple[str, ...]

    @staticmethod
    def of(obj: JSON) -> Binding:
        spec = obj["spec"]
        actions = tuple(spec.get("validationActions") or ())
        return Binding(
            obj["metadata"]["name"], Constraints.of(spec.get("matchResources")), spec.get("paramRef"), actions
        )


P = TypeVar("P", bound=Policy)
Key = tuple[str, str, str, str, Operation, bool]


@dataclass(slots=True)
class _State(Generic[P]):
    policies: dict[str, P] = field(default_factory=dict)
    bindings: dict[str, dict[str, Binding]] = field(default_factory=dict)
    known: dict[Key, tuple[tuple[P, ...], tuple[ResourceInfo, ...]]] = field(default_factory=dict)
    generation: int = -1


class Store(Generic[P]):
    """`plural` is that of the policies; `make` compiles one."""

    def __init__(self, objects: Objects, catalog: Catalog, plural: str, make: Callable[[JSON], P]) -> None:
        self._catalog = catalog
        self._make = make
        self._state: _State[P] = _State()
        singular = plural.removesuffix("policies")
        objects.on_change(known(REGISTRATION, "v1", plural), self._policy)
        objects.on_change(known(REGISTRATION, "v1", f"{singular}policybindings"), self._binding)

    def _policy(self, old: JSON | None, new: JSON | None) -> None:
        state, name = self._state, (new or old or {})["metadata"]["name"]
        if new is None:
            state.policies.pop(name, None)
        elif old is None or name not in state.policies or old["spec"] != new["spec"]:
            state.policies[name] = self._make(new)
        else:
            return
        state.known.clear()

    def _binding(self, old: JSON | None, new: JSON | None) -> None:
        state = self._state
        state.known.clear()
        if old is not None:
            state.bindings.get(old["spec"]["policyName"], {}).pop(old["metadata"]["name"], None)
        if new is not None:
            bound = state.bindings.setdefault(new["spec"]["policyName"], {})
            bound[new["metadata"]["name"]] = Binding.of(new)

    def candidates(self, request: AdmissionRequest) -> tuple[tuple[P, ...], tuple[ResourceInfo, ...]]:
        """The policies whose rules match, in the order of their names, and the other versions of the resource."""
        state = self._state
        if not state.policies or not state.bindings or _exempt(request.info):
            return (), ()
        if state.generation != self._catalog.generation:
            state.known.clear()
            state.generation = self._catalog.generation
        asked, info = asked_of(request), request.info
        key = (info.group, info.version, info.plural, asked.subresource, asked.operation, asked.namespaced)
        found = state.known.get(key)
        if found is None:
            others = tuple(equivalents(asked, self._catalog))
            concerned = tuple(self._concerned(asked, others))
            found = state.known[key] = concerned, others
        return found

    def _concerned(self, asked: Asked, others: Sequence[ResourceInfo]) -> Iterable[P]:
        for name in sorted(self._state.policies):
            policy = self._state.policies[name]
            if self._state.bindings.get(name) and policy.constraints.may_concern(asked, others):
                yield policy

    def bindings(self, policy: P) -> list[Binding]:
        bound: Mapping[str, Binding] = self._state.bindings.get(policy.name, {})
        return [bound[name] for name in sorted(bound)]


def _exempt(info: ResourceInfo) -> bool:
    return info.group == REGISTRATION and info.kind in EXEMPT

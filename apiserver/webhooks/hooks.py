"""The webhooks of all configurations, and which of them a kind of request may concern.

Configurations are compiled when they change. What a request pays is one look into a dictionary: whether rules match
depends on the resource, the operation and the scope alone, and is remembered for each of those.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from apimachinery import resources
from apimachinery.resources import ResourceInfo
from apimachinery.selectors import EVERYTHING, Selector, from_label_selector
from apiserver.ports import Objects, Operation

if TYPE_CHECKING:
    from apimachinery.cel.admission import MatchConditions

JSON = dict[str, Any]
REGISTRATION = "admissionregistration.k8s.io"
#: Hooks do not decide about what makes hooks and policies, or nobody could ever take a broken one away.
EXEMPT_KINDS = frozenset(
    {
        "ValidatingWebhookConfiguration",
        "MutatingWebhookConfiguration",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
        "MutatingAdmissionPolicy",
        "MutatingAdmissionPolicyBinding",
    }
)
DEFAULT_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Webhook:
    """One entry of a configuration, with its defaults."""

    name: str
    configuration: str
    index: int
    rules: tuple[JSON, ...]
    namespaces: Selector
    objects: Selector
    client_config: JSON
    conditions: tuple[JSON, ...] = ()
    ignore_failures: bool = False
    equivalent: bool = True
    reinvoke: bool = False
    side_effects: str = "None"
    versions: tuple[str, ...] = ("v1",)
    timeout: float = DEFAULT_SECONDS
    _compiled: list[MatchConditions] = field(default_factory=list, compare=False)

    def compiled_conditions(self) -> MatchConditions:
        """Compiled when they are first looked at, and kept as long as the configuration is."""
        if not self._compiled:
            from apimachinery.cel.admission import MatchConditions

            self._compiled.append(MatchConditions(self.conditions))
        return self._compiled[0]

    @property
    def key(self) -> tuple[str, str, int]:
        """Tells it from all others."""
        return self.configuration, self.name, self.index


@dataclass(frozen=True, slots=True)
class Invocation:
    """A webhook and how it sees the request: perhaps as another version of the resource."""

    hook: Webhook
    info: ResourceInfo


@dataclass(frozen=True, slots=True)
class Asked:
    """All that rules look at."""

    info: ResourceInfo
    subresource: str
    operation: Operation
    namespaced: bool


@dataclass(slots=True)
class _Configurations:
    by_name: dict[str, tuple[Webhook, ...]] = field(default_factory=dict)
    known: dict[tuple[str, str, str, str, Operation, bool], tuple[Invocation, ...]] = field(default_factory=dict)


class Hooks:
    """The webhooks of one of the two kinds, by the name of their configuration and their place in it.

    `served` gives every resource that is served; `generation` changes whenever those do.
    """

    def __init__(
        self, objects: Objects, plural: str, served: Callable[[], Iterable[ResourceInfo]], generation: Callable[[], int]
    ) -> None:
        self._state = _Configurations()
        self._served = served
        self._generation = generation
        self._seen = -1
        info = resources.find(REGISTRATION, "v1", plural)
        assert info is not None, plural
        objects.on_change(info, self._changed)

    def _changed(self, old: JSON | None, new: JSON | None) -> None:
        name = (new or old or {})["metadata"]["name"]
        self._state.known.clear()
        if new is None:
            self._state.by_name.pop(name, None)
        else:
            self._state.by_name[name] = tuple(compiled(new))

    @property
    def is_empty(self) -> bool:
        return not self._state.by_name

    def candidates(self, asked: Asked) -> tuple[Invocation, ...]:
        """Those whose rules match, in the order in which they are called."""
        state = self._state
        if not state.by_name:
            return ()
        if self._seen != self._generation():
            state.known.clear()
            self._seen = self._generation()
        info = asked.info
        key = (info.group, info.version, info.plural, asked.subresource, asked.operation, asked.namespaced)
        found = state.known.get(key)
        if found is None:
            found = state.known[key] = tuple(self._match(asked))
        return found

    def _match(self, asked: Asked) -> Iterable[Invocation]:
        if asked.info.group == REGISTRATION and asked.info.kind in EXEMPT_KINDS:
            return
        others: list[ResourceInfo] | None = None
        for name in sorted(self._state.by_name):
            for hook in self._state.by_name[name]:
                if any(matches(rule, asked, asked.info) for rule in hook.rules):
                    yield Invocation(hook, asked.info)
                elif hook.equivalent:
                    if others is None:
                        others = equivalents(asked, self._served())
                    seen = [one for rule in hook.rules for one in others if matches(rule, asked, one)]
                    if seen:
                        yield Invocation(hook, seen[0])


def equivalents(asked: Asked, served: Iterable[ResourceInfo]) -> list[ResourceInfo]:
    """Other served names of the same stored objects."""
    info = asked.info
    return [
        one
        for one in served
        if (one.etcd_prefix == info.etcd_prefix or one.group_resource == info.group_resource)
        and one.is_stored
        and (one.group, one.version) != (info.group, info.version)
        and (not asked.subresource or one.subresource(asked.subresource) is not None)
    ]


def compiled(configuration: JSON) -> Iterable[Webhook]:
    """The webhooks of a configuration whose fields are defaulted and valid."""
    for index, hook in enumerate(configuration.get("webhooks") or ()):
        yield Webhook(
            hook["name"],
            configuration["metadata"]["name"],
            index,
            tuple(hook.get("rules") or ()),
            _selector(hook.get("namespaceSelector")),
            _selector(hook.get("objectSelector")),
            hook["clientConfig"],
            tuple(hook.get("matchConditions") or ()),
            hook.get("failurePolicy") == "Ignore",
            hook.get("matchPolicy") != "Exact",
            hook.get("reinvocationPolicy") == "IfNeeded",
            hook.get("sideEffects") or "Unknown",
            tuple(hook.get("admissionReviewVersions") or ()),
            float(hook.get("timeoutSeconds") or DEFAULT_SECONDS),
        )


def _selector(given: JSON | None) -> Selector:
    """An absent one selects everything, as an empty one does: the API fills it in."""
    return from_label_selector(given) if given else EVERYTHING


def matches(rule: JSON, asked: Asked, info: ResourceInfo) -> bool:
    """Whether a rule is about the request if that came for `info`."""
    scope = rule.get("scope") or "*"
    if scope != "*" and (scope == "Namespaced") is not asked.namespaced:
        return False
    return (
        _listed(rule.get("operations"), asked.operation.value)
        and _listed(rule.get("apiGroups"), info.group)
        and _listed(rule.get("apiVersions"), info.version)
        and any(_is_resource(one, info.plural, asked.subresource) for one in rule.get("resources") or ())
    )


def _listed(listed: list[str] | None, wanted: str) -> bool:
    return listed is not None and (wanted in listed or "*" in listed)


def _is_resource(pattern: str, plural: str, subresource: str) -> bool:
    resource, _, sub = pattern.partition("/")
    return resource in ("*", plural) and sub in ("*", subresource)

"""Which nodes a pod may use: selector requirements, node selector terms, taints and tolerations, by the API's rules.

The rules are the same for everybody who asks: scheduler, DaemonSet and taint eviction controllers, and the kubelet at
admission. They work on any view that has the fields under the API's names.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from msgspec import Struct, field

NAME_FIELD = "metadata.name"
"""The only field a node selector knows."""


class RequirementLike(Protocol):
    @property
    def key(self) -> str: ...
    @property
    def operator(self) -> str: ...
    @property
    def values(self) -> Sequence[str]: ...


class TermLike(Protocol):
    @property
    def matchExpressions(self) -> Sequence[RequirementLike]: ...
    @property
    def matchFields(self) -> Sequence[RequirementLike]: ...


class TaintLike(Protocol):
    @property
    def key(self) -> str: ...
    @property
    def value(self) -> str: ...
    @property
    def effect(self) -> str: ...


class TolerationLike(TaintLike, Protocol):
    @property
    def operator(self) -> str: ...


class Requirement(Struct, frozen=True):
    key: str
    operator: str
    values: list[str] = field(default_factory=list)


class NodeSelectorTerm(Struct, frozen=True):
    matchExpressions: list[Requirement] = field(default_factory=list)
    matchFields: list[Requirement] = field(default_factory=list)


class NodeSelector(Struct, frozen=True):
    """Terms are alternatives; none at all match nothing."""

    nodeSelectorTerms: list[NodeSelectorTerm] = field(default_factory=list)


class Taint(Struct, frozen=True):
    key: str
    effect: str
    value: str = ""


def holds(requirement: RequirementLike, values: Mapping[str, str]) -> bool:
    """NotIn holds for what is absent. Gt and Lt compare integers; what is no integer never satisfies them."""
    value = values.get(requirement.key)
    match requirement.operator:
        case "In":
            return value is not None and value in requirement.values
        case "NotIn":
            return value is None or value not in requirement.values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt" | "Lt":
            try:
                number, bound = int(value or ""), int(requirement.values[0])
            except (ValueError, IndexError):
                return False
            return number > bound if requirement.operator == "Gt" else number < bound
    return False


def term_matches(term: TermLike, node_name: str, labels: Mapping[str, str]) -> bool:
    """Every requirement of the term must hold; a term without any matches no node."""
    if not term.matchExpressions and not term.matchFields:
        return False
    fields = {NAME_FIELD: node_name}
    return all(holds(e, labels) for e in term.matchExpressions) and all(holds(e, fields) for e in term.matchFields)


def node_matches(
    node_selector: Mapping[str, str],
    required: Iterable[TermLike] | None,
    node_name: str,
    labels: Mapping[str, str],
) -> bool:
    """A pod's nodeSelector and the terms of its required node affinity (None: it has none), against one node."""
    if any(labels.get(key) != value for key, value in node_selector.items()):
        return False
    return required is None or any(term_matches(term, node_name, labels) for term in required)


def tolerates(toleration: TolerationLike, taint: TaintLike) -> bool:
    """An empty key with Exists tolerates every taint; an empty effect means every effect."""
    if toleration.effect and toleration.effect != taint.effect:
        return False
    if toleration.key and toleration.key != taint.key:
        return False
    match toleration.operator or "Equal":
        case "Exists":
            return True
        case "Equal":
            return bool(toleration.key) and toleration.value == taint.value
        case "Lt" | "Gt":
            return _compares(toleration, taint)
    return False


def _compares(toleration: TolerationLike, taint: TaintLike) -> bool:
    """Numeric operators of KEP-5471: the taint's value against the toleration's."""
    try:
        value, bound = int(taint.value), int(toleration.value)
    except ValueError:
        return False
    return value < bound if toleration.operator == "Lt" else value > bound

"""`authorizer`: whether somebody may do something.

Expressions are evaluated without waiting for anybody, while authorizers may have to ask other servers. So an answer
that is not known yet stops the evaluation with `Undecided`; the caller finds out, adds it to what is known and
evaluates again. An authorization check costs a third of what an evaluation may, so that this happens twice at most.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from apimachinery import names
from apimachinery.cel import types
from apimachinery.cel.errors import CelError
from apimachinery.cel.library import Library
from apimachinery.cel.types import Type
from apimachinery.cel.values import Opaque

AUTHORIZER_TYPE = types.struct("kubernetes.authorization.Authorizer")
PATH_TYPE = types.struct("kubernetes.authorization.PathCheck")
GROUP_TYPE = types.struct("kubernetes.authorization.GroupCheck")
RESOURCE_TYPE = types.struct("kubernetes.authorization.ResourceCheck")
DECISION_TYPE = types.struct("kubernetes.authorization.Decision")

CHECK_COST = 350_000


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked. `user` is whatever the caller's authorizer takes; `path` is set for plain paths only."""

    user: Any
    verb: str = ""
    path: str = ""
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    field_selector: str = ""
    label_selector: str = ""


@dataclass(frozen=True, slots=True)
class Decision(Opaque):
    """The answer; `error` is set where the authorizer failed."""

    cel_type: ClassVar[Type] = DECISION_TYPE
    allowed: bool
    reason: str = ""
    error: str = ""


class Undecided(BaseException):
    """The answer to `question` is needed to go on. Nothing in an expression catches this."""

    def __init__(self, question: Question) -> None:
        super().__init__(question)
        self.question = question


#: Gives the decision, or raises Undecided.
Ask = Callable[[Question], Decision]


@dataclass(frozen=True, slots=True)
class Authorizer(Opaque):
    """The variable `authorizer`. `account` makes the user of a service account from its namespace and name."""

    cel_type: ClassVar[Type] = AUTHORIZER_TYPE
    user: Any
    ask: Ask
    account: Callable[[str, str], Any]

    def resource(self, group: str, resource: str, subresource: str, namespace: str, name: str) -> ResourceCheck:
        """`authorizer.requestResource`."""
        question = Question(
            self.user, group=group, resource=resource, subresource=subresource, namespace=namespace, name=name
        )
        return ResourceCheck(self.ask, question)


@dataclass(frozen=True, slots=True)
class PathCheck(Opaque):
    """`authorizer.path('/healthz')`."""

    cel_type: ClassVar[Type] = PATH_TYPE
    ask: Ask
    question: Question


@dataclass(frozen=True, slots=True)
class GroupCheck(Opaque):
    """`authorizer.group('apps')`."""

    cel_type: ClassVar[Type] = GROUP_TYPE
    ask: Ask
    question: Question


@dataclass(frozen=True, slots=True)
class ResourceCheck(Opaque):
    """`authorizer.group('apps').resource('deployments')`."""

    cel_type: ClassVar[Type] = RESOURCE_TYPE
    ask: Ask
    question: Question


AUTHORIZER = Library(
    {"Authorizer": AUTHORIZER_TYPE, "Path": PATH_TYPE, "Group": GROUP_TYPE, "Resource": RESOURCE_TYPE}
    | {"Decision": DECISION_TYPE}
)


def _selector_cost(args: tuple[Any, ...], _result: Any) -> int:
    size = len(args[1])
    return 10 + (size + 9) // 10 + 50 * ((size + 1) // 2)


@AUTHORIZER.method("path(Authorizer, string) -> Path", "authorizer_path")
def _path(authorizer: Authorizer, path: str) -> PathCheck:
    if not path.strip():
        raise CelError("path must not be empty")
    return PathCheck(authorizer.ask, Question(authorizer.user, path=path))


@AUTHORIZER.method("group(Authorizer, string) -> Group", "authorizer_group")
def _group(authorizer: Authorizer, group: str) -> GroupCheck:
    return GroupCheck(authorizer.ask, Question(authorizer.user, group=group))


@AUTHORIZER.method("serviceAccount(Authorizer, string, string) -> Authorizer", "authorizer_serviceaccount")
def _service_account(authorizer: Authorizer, namespace: str, name: str) -> Authorizer:
    if names.dns1123_subdomain(name):
        raise CelError("Invalid service account name")
    if names.dns1123_label(namespace):
        raise CelError("Invalid service account namespace")
    return replace(authorizer, user=authorizer.account(namespace, name))


@AUTHORIZER.method("resource(Group, string) -> Resource", "groupcheck_resource")
def _resource(check: GroupCheck, resource: str) -> ResourceCheck:
    if not resource.strip():
        raise CelError("resource must not be empty")
    return ResourceCheck(check.ask, replace(check.question, resource=resource))


def _refinements() -> None:
    table = (
        ("subresource", "resourcecheck_subresource", "subresource"),
        ("namespace", "resourcecheck_namespace", "namespace"),
        ("name", "resourcecheck_name", "name"),
        ("fieldSelector", "authorizer_fieldselector", "field_selector"),
        ("labelSelector", "authorizer_labelselector", "label_selector"),
    )
    for function, identity, field in table:
        cost = _selector_cost if field.endswith("selector") else 1
        AUTHORIZER.method(f"{function}(Resource, string) -> Resource", identity, cost)(
            lambda check, value, field=field: replace(check, question=replace(check.question, **{field: value}))
        )


_refinements()


@AUTHORIZER.method("check(Path, string) -> Decision", "pathcheck_check", CHECK_COST)
@AUTHORIZER.method("check(Resource, string) -> Decision", "resourcecheck_check", CHECK_COST)
def _check(check: PathCheck | ResourceCheck, verb: str) -> Decision:
    return check.ask(replace(check.question, verb=verb))


@AUTHORIZER.method("allowed(Decision) -> bool", "decision_allowed")
def _allowed(decision: Decision) -> bool:
    return decision.allowed


@AUTHORIZER.method("reason(Decision) -> string", "decision_reason")
def _reason(decision: Decision) -> str:
    return decision.reason


@AUTHORIZER.method("error(Decision) -> string", "decision_error")
def _error(decision: Decision) -> str:
    return decision.error


@AUTHORIZER.method("errored(Decision) -> bool", "decision_errored")
def _errored(decision: Decision) -> bool:
    return bool(decision.error)

"""What expressions of admission see of a request, and how they ask the authorizer.

Evaluating never waits; where an expression needs an answer that only the authorizer has, evaluating stops, the answer
is fetched and evaluating starts again (`settled`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from apimachinery.cel.admission import Match, MatchConditions
from apimachinery.cel.libraries.authorizer import Authorizer as AuthorizerValue
from apimachinery.cel.libraries.authorizer import Decision, Question, ResourceCheck, Undecided
from apimachinery.resources import ResourceInfo
from apiserver.ports import AdmissionRequest, Attributes, Authorizer, User, Verdict
from apiserver.webhooks import review

JSON = dict[str, Any]
T = TypeVar("T")


class Answers:
    """What the authorizer said during one request."""

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer
        # A handful at most, and users cannot be hashed.
        self._known: list[tuple[Question, Decision]] = []

    def ask(self, question: Question) -> Decision:
        """Raises Undecided for what was not asked before."""
        for known, decision in self._known:
            if known == question:
                return decision
        raise Undecided(question)

    async def find_out(self, question: Question) -> None:
        attributes = Attributes(
            question.user,
            question.verb,
            question.path,
            question.group,
            "" if question.path else "*",
            question.resource,
            question.subresource,
            question.namespace,
            question.name,
            question.field_selector,
            question.label_selector,
        )
        verdict, reason = await self._authorizer.authorize(attributes)
        self._known.append((question, Decision(verdict is Verdict.ALLOW, reason)))


async def settled(evaluate: Callable[[], T], answers: Answers) -> T:
    """The result of an evaluation that asks the authorizer as often as it has to."""
    while True:
        try:
            return evaluate()
        except Undecided as open_question:
            await answers.find_out(open_question.question)


class Bindings(dict[str, Any]):
    """The variables by name; what is costly to make is made when an expression asks for it."""

    def __init__(self, known: Mapping[str, Any], makers: Mapping[str, Callable[[], Any]]) -> None:
        super().__init__(known)
        self._makers = makers

    def __missing__(self, name: str) -> Any:
        self[name] = value = self._makers[name]()
        return value

    def plus(self, **more: Any) -> Bindings:
        """These and others; what was made already stays made."""
        return Bindings({**self, **more}, self._makers)


def bindings(
    request: AdmissionRequest,
    seen: ResourceInfo,
    obj: JSON | None,
    old: JSON | None,
    answers: Answers,
    namespace: Callable[[], JSON | None] = lambda: None,
) -> Bindings:
    """`seen` is the version of the resource that `obj` and `old` are shown in."""

    def authorizer() -> AuthorizerValue:
        return AuthorizerValue(request.user, answers.ask, account_user)

    def request_resource() -> ResourceCheck:
        name, lies_in = request.name, review.namespace_of(request)
        return authorizer().resource(request.info.group, request.info.plural, request.subresource, lies_in, name)

    return Bindings(
        {"object": obj, "oldObject": old},
        {
            "request": lambda: review.attributes(request, seen),
            "namespaceObject": namespace,
            "authorizer": authorizer,
            "authorizer.requestResource": request_resource,
        },
    )


def account_user(namespace: str, name: str) -> User:
    """The user that a service account is."""
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated")
    return User(f"system:serviceaccount:{namespace}:{name}", groups)


async def conditions_match(
    conditions: MatchConditions,
    request: AdmissionRequest,
    seen: ResourceInfo,
    objects: tuple[JSON | None, JSON | None],
    authorizer: Authorizer,
    *,
    fail: bool,
) -> Match:
    """The match conditions of a webhook about a request; `objects` are the new and the old one as the webhook sees
    them, `fail` is whether its failure policy is Fail."""
    answers = Answers(authorizer)
    known = bindings(request, seen, *objects, answers)
    return await settled(lambda: conditions.evaluate(known, fail=fail), answers)

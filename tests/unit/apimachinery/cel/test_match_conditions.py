"""Match conditions: one false one decides; errors are the failure policy's business."""

from __future__ import annotations

from typing import Any

import pytest

from apimachinery.cel.admission import Match, MatchConditions
from apimachinery.cel.libraries.authorizer import Authorizer, Decision, Question, Undecided

OBJECT = {"metadata": {"name": "web", "labels": {"app": "web"}}}


def conditions(*texts: str) -> MatchConditions:
    return MatchConditions([{"name": f"c{index}", "expression": text} for index, text in enumerate(texts)])


def evaluate(*texts: str, fail: bool = True, **more: Any) -> Match:
    known = {"object": OBJECT, "oldObject": None, "request": {"operation": "CREATE", "userInfo": {}}, **more}
    return conditions(*texts).evaluate(known, fail=fail)


def test_all_true_is_a_match() -> None:
    assert evaluate("object.metadata.name == 'web'", "request.operation == 'CREATE'") == Match(True)


def test_none_is_a_match() -> None:
    assert not conditions()
    assert evaluate() == Match(True)


def test_a_false_one_decides_even_beside_errors() -> None:
    assert evaluate("object.spec.x == 1", "false") == Match(False, failed="c1")


def test_errors_follow_the_failure_policy() -> None:
    text = "object.spec.x == 1"
    assert evaluate(text, "true") == Match(False, f"expression '{text}' resulted in error: no such key: spec")
    assert evaluate(text, "true", fail=False) == Match(False)
    both = evaluate(text, "object.y")
    assert both.error.startswith(f"[expression '{text}' resulted in error: no such key: spec, compilation error: ")


def test_a_result_that_is_no_bool_is_refused() -> None:
    assert evaluate("'a'").error == "compilation error: must evaluate to bool but got string"


def test_too_costly_conditions() -> None:
    many = {"items": list(range(300))}
    cost = "object.items.all(x, object.items.all(y, object.items.all(z, true)))"
    assert "actual cost limit exceeded" in evaluate(cost, object=many).error
    cheap = "object.items.all(x, object.items.all(y, true))"
    enough = evaluate(*[cheap] * 12, object=many)
    assert enough.error.startswith("validation failed due to running out of cost budget")


def test_the_authorizer_is_asked() -> None:
    asked: list[Question] = []

    def ask(question: Question) -> Decision:
        asked.append(question)
        return Decision(question.name == "web", "because")

    authorizer = Authorizer("jane", ask, lambda namespace, name: f"account {namespace}/{name}")
    text = "authorizer.group('apps').resource('deployments').namespace('n').name(object.metadata.name).check('get')"
    assert evaluate(f"{text}.allowed()", authorizer=authorizer) == Match(True)
    assert asked == [Question("jane", "get", "", "apps", "deployments", "", "n", "web")]
    assert evaluate(f"{text}.reason() == 'because'", authorizer=authorizer).matches
    account = "authorizer.serviceAccount('n', 'robot').path('/healthz').check('get')"
    assert evaluate(f"!{account}.allowed() && !{account}.errored()", authorizer=authorizer).matches
    assert asked[-1] == Question("account n/robot", "get", "/healthz")
    assert (
        "Invalid service account name"
        in evaluate("authorizer.serviceAccount('n', '').path('/x').check('get').allowed()", authorizer=authorizer).error
    )
    resource = authorizer.resource("", "pods", "", "n", "p")
    known: dict[str, Any] = {"authorizer.requestResource": resource}
    assert not evaluate("authorizer.requestResource.check('create').allowed()", **known).matches


def test_an_open_question_stops_the_evaluation() -> None:
    def ask(question: Question) -> Decision:
        raise Undecided(question)

    authorizer = Authorizer("jane", ask, lambda namespace, name: name)
    with pytest.raises(Undecided):
        evaluate("authorizer.path('/x').check('get').allowed() || true", authorizer=authorizer)

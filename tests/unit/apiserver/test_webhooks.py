"""Which webhooks a request concerns, and what counts as their answer. No server."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from apiserver.ports import AdmissionRequest, Operation, User
from apiserver.registry.catalog import Catalog
from apiserver.webhooks import review
from apiserver.webhooks.hooks import Asked, Hooks, Invocation, compiled, matches
from tests.unit.apiserver.memory_objects import MemoryObjects, info

JSON = dict[str, Any]
GROUP = "admissionregistration.k8s.io"


def rule(**parts: Any) -> JSON:
    return {"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["*"], "resources": ["*"], **parts}


def asked(plural: str = "pods", group: str = "", subresource: str = "", namespaced: bool = True) -> Asked:
    return Asked(info(plural, group), subresource, Operation.CREATE, namespaced)


@pytest.mark.parametrize(
    ("parts", "about", "expected"),
    [
        ({}, asked(), True),
        ({"resources": ["pods"]}, asked(), True),
        ({"resources": ["*"]}, asked(subresource="status"), False),
        ({"resources": ["*/*"]}, asked(subresource="status"), True),
        ({"resources": ["pods/*"]}, asked(subresource="exec"), True),
        ({"resources": ["pods/*"]}, asked(), True),
        ({"resources": ["pods/status"]}, asked(), False),
        ({"resources": ["*/scale"]}, asked("deployments", "apps", "scale"), True),
        ({"operations": ["UPDATE", "DELETE"]}, asked(), False),
        ({"apiGroups": [""]}, asked("deployments", "apps"), False),
        ({"apiVersions": ["v1beta1"]}, asked(), False),
        ({"scope": "Namespaced"}, asked(), True),
        ({"scope": "Cluster"}, asked(), False),
        ({"scope": "Cluster"}, asked("nodes", namespaced=False), True),
        ({"scope": "Namespaced"}, asked("nodes", namespaced=False), False),
    ],
)
def test_rules(parts: JSON, about: Asked, expected: bool) -> None:
    assert matches(rule(**parts), about, about.info) is expected


def put(objects: MemoryObjects, name: str, *hooks: JSON) -> None:
    named = [{"name": f"{name}-{index}", "clientConfig": {}, **hook} for index, hook in enumerate(hooks)]
    objects.put("validatingwebhookconfigurations", name, "", GROUP, webhooks=named)


def names(hooks: Hooks, about: Asked) -> list[str]:
    return [one.hook.name for one in hooks.candidates(about)]


def test_hooks_follow_their_configurations() -> None:
    objects, catalog = MemoryObjects(), Catalog()
    hooks = Hooks(objects, "validatingwebhookconfigurations", lambda: catalog, lambda: catalog.generation)
    assert hooks.candidates(asked()) == ()
    put(objects, "b", {"rules": [rule()]})
    put(objects, "a", {"rules": [rule(resources=["nodes"])]}, {"rules": [rule()]}, {"rules": [rule()]})
    assert names(hooks, asked()) == ["a-1", "a-2", "b-0"]
    assert hooks.candidates(asked()) is hooks.candidates(asked())
    put(objects, "a", {"rules": [rule(resources=["nodes"])]})
    assert names(hooks, asked()) == ["b-0"]
    assert names(hooks, asked("validatingwebhookconfigurations", GROUP, "", False)) == []


def test_other_versions_of_a_resource_match_too() -> None:
    objects, catalog = MemoryObjects(), Catalog()
    hooks = Hooks(objects, "validatingwebhookconfigurations", lambda: catalog, lambda: catalog.generation)
    events = [rule(apiGroups=[""], resources=["events"])]
    put(objects, "a", {"rules": events}, {"rules": events, "matchPolicy": "Exact"})
    found = hooks.candidates(asked("events", "events.k8s.io"))
    assert [(one.hook.name, one.info.api_version) for one in found] == [("a-0", "v1")]


def question(version: str = "v1") -> review.Review:
    configuration = {
        "metadata": {"name": "c"},
        "webhooks": [{"name": "w", "clientConfig": {}, "admissionReviewVersions": ["v9", version]}],
    }
    (hook,) = compiled(configuration)
    pods = info("pods")
    user = User("u", ("g",), extra={"k": ("v",)})
    request = AdmissionRequest(Operation.DELETE, pods, "", "ns", "p", None, {"a": 1}, user)
    return review.review_of(request, Invocation(hook, pods), None, {"a": 1})


def test_what_is_asked_of_a_deletion() -> None:
    body = question().body["request"]
    assert (body["object"], body["oldObject"], body["operation"]) == (None, {"a": 1}, "DELETE")
    assert body["userInfo"] == {"username": "u", "groups": ["g"], "extra": {"k": ["v"]}}
    assert body["options"] == {"kind": "DeleteOptions", "apiVersion": "meta.k8s.io/v1"}
    with pytest.raises(review.BadReview, match="does not accept known AdmissionReview versions"):
        question("v7")


PATCH = base64.b64encode(b"[]").decode()


@pytest.mark.parametrize(
    ("response", "mutating", "complaint"),
    [
        (None, False, "webhook response was absent"),
        ({"uid": "other"}, False, 'expected response.uid="'),
        ({"patch": PATCH}, True, "webhook returned response.patch but not response.patchType"),
        ({"patchType": "JSONPatch"}, True, "webhook returned response.patchType but not response.patch"),
        ({"patch": PATCH, "patchType": ""}, True, 'webhook returned invalid response.patchType of ""'),
        ({"patch": PATCH, "patchType": "JSONPatch"}, False, "validating webhook may not return response.patch"),
        ({"patch": "%"}, True, "response.patch is not base64"),
    ],
)
def test_answers_that_are_none(response: JSON | None, mutating: bool, complaint: str) -> None:
    asked = question()
    body: JSON = {"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1"}
    if response is not None:
        body["response"] = {"uid": asked.uid, "allowed": True, **response}
    with pytest.raises(review.BadReview) as caught:
        review.read(asked, body, mutating)
    assert str(caught.value).startswith(complaint)


def test_the_older_version_is_read_leniently() -> None:
    asked = question("v1beta1")
    answer = review.read(asked, {"response": {"allowed": True, "patch": PATCH}}, True)
    assert (answer.allowed, answer.patch, answer.patch_type) == (True, b"[]", "JSONPatch")
    strict = question()
    with pytest.raises(review.BadReview, match="expected webhook response of admission"):
        review.read(strict, {"kind": "X", "response": {"uid": strict.uid}}, True)


@pytest.mark.parametrize(
    ("result", "code", "text"),
    [
        (None, 400, " without explanation"),
        ({"code": 200, "message": "m"}, 400, ": m"),
        ({"code": 418, "reason": "R"}, 418, ": R"),
    ],
)
def test_denials(result: JSON | None, code: int, text: str) -> None:
    error = review.denial("w", result)
    assert (error.code, error.message) == (code, f'admission webhook "w" denied the request{text}')

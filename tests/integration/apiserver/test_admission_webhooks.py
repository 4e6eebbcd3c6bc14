"""Admission webhooks, asked over real HTTPS by a real apiserver."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from tests.integration.apiserver.custom_kinds import collection, crontab, definition, establish, version
from tests.integration.apiserver.test_verbs import config_map, pod
from tests.integration.cluster_parts import caught_up
from tests.integration.https_server import Answer, HttpsServer, Request
from tests.integration.ports import free_port

JSON = dict[str, Any]
REGISTRATION = "/apis/admissionregistration.k8s.io/v1"
MERGE = {"content-type": "application/merge-patch+json"}
Verdict = Callable[[JSON], JSON]


def webhook(verdict: Verdict, review: str = "v1") -> HttpsServer:
    """A server which answers every review with what `verdict` makes of its request."""

    def answer(request: Request) -> Answer:
        asked = request.object["request"]
        response = {"uid": asked["uid"], **verdict(asked)}
        return Answer(
            200, {"kind": "AdmissionReview", "apiVersion": f"admission.k8s.io/{review}", "response": response}
        )

    return HttpsServer(answer)


def allow(asked: JSON) -> JSON:
    del asked
    return {"allowed": True}


def patch(*operations: JSON) -> JSON:
    data = base64.b64encode(json.dumps(operations).encode()).decode()
    return {"allowed": True, "patchType": "JSONPatch", "patch": data}


def rule(resource: str = "configmaps", group: str = "", operations: tuple[str, ...] = ("*",), **more: Any) -> JSON:
    return {"apiGroups": [group], "apiVersions": ["*"], "operations": list(operations), "resources": [resource], **more}


@contextmanager
def registered(api: httpx.Client, kind: str, name: str, namespace: str, *hooks: JSON) -> Iterator[None]:
    """Configured for objects of one namespace alone, and heard of by the apiserver."""
    plural = f"{kind}webhookconfigurations"
    in_namespace = {"matchLabels": {"kubernetes.io/metadata.name": namespace}}
    defaults = {"sideEffects": "None", "admissionReviewVersions": ["v1"], "namespaceSelector": in_namespace}
    body = {"metadata": {"name": name}, "webhooks": [{**defaults, **hook} for hook in hooks]}
    made = api.post(f"{REGISTRATION}/{plural}", json=body)
    assert made.status_code == 201, made.text
    caught_up(api)
    try:
        yield
    finally:
        assert api.delete(f"{REGISTRATION}/{plural}/{name}").status_code == 200


def hook(server: HttpsServer, name: str = "one.example.org", **more: Any) -> JSON:
    config = {"url": server.url, "caBundle": base64.b64encode(server.authority).decode()}
    return {"name": name, "clientConfig": config, "rules": [rule()], **more}


@pytest.fixture
def maps(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/configmaps"


def test_what_a_webhook_is_asked(api: httpx.Client, namespace: str, maps: str) -> None:
    with webhook(allow) as server, registered(api, "validating", "asked", namespace, hook(server)):
        assert api.post(f"{maps}?fieldManager=me", json=config_map("m", a="1")).status_code == 201
        review = server.requests[-1].object
        assert (review["kind"], review["apiVersion"]) == ("AdmissionReview", "admission.k8s.io/v1")
        asked = review["request"]
        assert asked["kind"] == asked["requestKind"] == {"group": "", "version": "v1", "kind": "ConfigMap"}
        assert asked["resource"] == asked["requestResource"] == {"group": "", "version": "v1", "resource": "configmaps"}
        assert (asked["name"], asked["namespace"], asked["operation"]) == ("m", namespace, "CREATE")
        assert "system:masters" in asked["userInfo"]["groups"]
        assert asked["object"]["data"] == {"a": "1"}
        assert (asked["object"]["kind"], asked["object"]["apiVersion"]) == ("ConfigMap", "v1")
        assert asked["object"]["metadata"]["uid"]
        assert asked["oldObject"] is None
        assert asked["dryRun"] is False
        assert asked["options"] == {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1", "fieldManager": "me"}
        assert "subResource" not in asked
        api.patch(f"{maps}/m", json={"data": {"a": "2"}}, headers=MERGE)
        asked = server.requests[-1].object["request"]
        assert (asked["operation"], asked["options"]["kind"]) == ("UPDATE", "UpdateOptions")
        assert (asked["oldObject"]["data"], asked["object"]["data"]) == ({"a": "1"}, {"a": "2"})
        api.request("DELETE", maps, json={"propagationPolicy": "Background"})  # one by one, as single deletions
        asked = server.requests[-1].object["request"]
        assert (asked["operation"], asked["name"], asked["object"]) == ("DELETE", "m", None)
        assert asked["oldObject"]["data"] == {"a": "2"}
        assert asked["options"]["propagationPolicy"] == "Background"
        count = len(server.requests)
        api.get(maps)
        assert len(server.requests) == count


def test_refusals_and_warnings(api: httpx.Client, namespace: str, maps: str) -> None:
    answers: Iterator[JSON] = iter(
        [
            {"allowed": False, "status": {"message": "not today", "reason": "Nope", "code": 402}},
            {"allowed": False},
            {"allowed": True, "warnings": ["mind the gap"]},
        ]
    )
    with (
        webhook(lambda asked: next(answers)) as server,
        registered(api, "validating", "refusing", namespace, hook(server)),
    ):
        refused = api.post(maps, json=config_map("a"))
        assert refused.status_code == 402
        assert refused.json()["message"] == 'admission webhook "one.example.org" denied the request: not today'
        assert refused.json()["reason"] == "Nope"
        refused = api.post(maps, json=config_map("a"))
        assert refused.status_code == 400
        assert refused.json()["message"] == (
            'admission webhook "one.example.org" denied the request without explanation'
        )
        made = api.post(maps, json=config_map("a"))
        assert made.status_code == 201
        assert made.headers["warning"] == '299 - "mind the gap"'


def test_mutations_are_made_in_order_and_seen_again(api: httpx.Client, namespace: str, maps: str) -> None:
    def first(asked: JSON) -> JSON:
        count = int((asked["object"].get("data") or {}).get("first", "0"))
        return patch({"op": "add", "path": "/data/first", "value": str(count + 1)})

    def second(asked: JSON) -> JSON:
        done = "second" in asked["object"]["data"]
        return (
            allow(asked)
            if done
            else patch({"op": "add", "path": "/data/second", "value": asked["object"]["data"]["first"]})
        )

    with webhook(first) as one, webhook(second) as two:
        hooks = (
            hook(one, "b.example.org", reinvocationPolicy="IfNeeded", rules=[rule(operations=("CREATE",))]),
            hook(two, "a.example.org", admissionReviewVersions=["v1beta1"], rules=[rule(operations=("CREATE",))]),
        )
        with registered(api, "mutating", "mutating", namespace, *hooks):
            made = api.post(maps, json={"metadata": {"generateName": "m-"}, "data": {"x": "y"}}).json()
        assert made["data"] == {"x": "y", "first": "2", "second": "1"}
        assert len(two.requests) == 1
        asked = one.requests[0].object["request"]
        assert "name" not in asked
        assert "uid" not in asked["object"]["metadata"]
        assert two.requests[0].object["apiVersion"] == "admission.k8s.io/v1beta1"
        assert api.get(f"{maps}/{made['metadata']['name']}").json()["data"] == made["data"]


def test_what_was_mutated_is_defaulted_and_validated(api: httpx.Client, namespace: str) -> None:
    def verdict(asked: JSON) -> JSON:
        container = {"name": "extra" if asked["name"] == "good" else "", "image": "i"}
        return patch({"op": "add", "path": "/spec/containers/-", "value": container})

    pods = f"/api/v1/namespaces/{namespace}/pods"
    with webhook(verdict) as server:
        config = hook(server, rules=[rule("pods", operations=("CREATE",))])
        with registered(api, "mutating", "pods", namespace, config):
            made = api.post(pods, json=pod("good")).json()
            assert made["spec"]["containers"][1]["terminationMessagePath"] == "/dev/termination-log"
            refused = api.post(pods, json=pod("bad"))
            assert refused.status_code == 422
            assert "spec.containers[1].name: Required value" in refused.json()["message"]


def test_what_happens_when_nobody_answers(api: httpx.Client, namespace: str, maps: str) -> None:
    port = free_port()
    config = {"url": f"https://127.0.0.1:{port}/x"}
    ignored = {"name": "off.example.org", "clientConfig": config, "rules": [rule()], "failurePolicy": "Ignore"}
    with registered(api, "validating", "absent", namespace, ignored):
        assert api.post(maps, json=config_map("a")).status_code == 201
    with registered(api, "validating", "absent", namespace, {**ignored, "failurePolicy": "Fail"}):
        refused = api.post(maps, json=config_map("b"))
        assert refused.status_code == 500
        assert refused.json()["message"] == (
            'Internal error occurred: failed calling webhook "off.example.org": failed to call webhook: '
            f'Post "https://127.0.0.1:{port}/x?timeout=10s": dial tcp 127.0.0.1:{port}: connect: connection refused'
        )


def test_dry_runs_are_only_for_webhooks_without_side_effects(api: httpx.Client, namespace: str, maps: str) -> None:
    with webhook(allow, "v1beta1") as server:
        config = hook(server, sideEffects="NoneOnDryRun", admissionReviewVersions=["v1beta1"])
        with registered(api, "validating", "dry", namespace, config):
            assert api.post(f"{maps}?dryRun=All", json=config_map("a")).status_code == 201
            asked = server.requests[-1].object["request"]
            assert asked["dryRun"] is True
            assert asked["options"]["dryRun"] == ["All"]


def test_whom_selectors_leave_out(api: httpx.Client, namespace: str, maps: str) -> None:
    selector = {"matchLabels": {"seen": "yes"}}
    with (
        webhook(allow) as server,
        registered(api, "validating", "chosen", namespace, hook(server, objectSelector=selector)),
    ):
        assert api.post(maps, json=config_map("a")).status_code == 201
        assert not server.requests
        api.patch(f"{maps}/a", json={"metadata": {"labels": {"seen": "yes"}}}, headers=MERGE)
        assert len(server.requests) == 1
        api.patch(f"{maps}/a", json={"metadata": {"labels": None}}, headers=MERGE)  # the old one has the label
        assert len(server.requests) == 2
        other = api.post("/api/v1/namespaces/default/configmaps", json=config_map(namespace))
        assert other.status_code == 201
        assert len(server.requests) == 2


def test_another_version_of_a_resource_is_converted(api: httpx.Client, namespace: str) -> None:
    path = f"namespaces/{namespace}/horizontalpodautoscalers"
    spec = {"maxReplicas": 3, "scaleTargetRef": {"kind": "Deployment", "name": "d", "apiVersion": "apps/v1"}}
    body = {"metadata": {"name": "h"}, "spec": {**spec, "targetCPUUtilizationPercentage": 50}}

    def verdict(asked: JSON) -> JSON:
        return patch({"op": "replace", "path": "/spec/maxReplicas", "value": 7})

    only_v2 = {**rule("horizontalpodautoscalers", "autoscaling"), "apiVersions": ["v2"]}
    with webhook(verdict) as server:
        with registered(api, "mutating", "converted", namespace, hook(server, rules=[only_v2])):
            made = api.post(f"/apis/autoscaling/v1/{path}", json=body).json()
        assert made["spec"]["maxReplicas"] == 7
        assert made["spec"]["targetCPUUtilizationPercentage"] == 50
        asked = server.requests[0].object["request"]
        assert (asked["kind"]["version"], asked["requestKind"]["version"]) == ("v2", "v1")
        assert asked["object"]["apiVersion"] == "autoscaling/v2"
        assert asked["object"]["spec"]["metrics"][0]["resource"]["name"] == "cpu"
        api.delete(f"/apis/autoscaling/v1/{path}/h")
        with registered(api, "mutating", "exact", namespace, hook(server, rules=[only_v2], matchPolicy="Exact")):
            assert api.post(f"/apis/autoscaling/v1/{path}", json=body).json()["spec"]["maxReplicas"] == 3


def test_custom_kinds_are_mutated_in_the_version_that_a_rule_names(api: httpx.Client, namespace: str) -> None:
    group = establish(api, definition(version("v1"), version("v2", storage=False)))

    def verdict(asked: JSON) -> JSON:
        return patch(
            {"op": "add", "path": "/spec/color", "value": asked["kind"]["version"]},
            {"op": "add", "path": "/spec/unknown", "value": 1},
        )

    only_v2 = {**rule("crontabs", group), "apiVersions": ["v2"]}
    with (
        webhook(verdict) as server,
        registered(api, "mutating", "custom", namespace, hook(server, rules=[only_v2])),
    ):
        made = api.post(collection(group, namespace), json=crontab(group, "c"))
    assert made.status_code == 201, made.text
    assert made.json()["apiVersion"] == f"{group}/v1"
    assert made.json()["spec"] == {"cron": "* * * * *", "color": "v2", "replicas": 1}
    assert server.requests[0].object["request"]["object"]["apiVersion"] == f"{group}/v2"


def test_subresources_and_connections(api: httpx.Client, namespace: str) -> None:
    deployments = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    template = {"metadata": {"labels": {"a": "b"}}, "spec": pod("x")["spec"]}
    body = {
        "metadata": {"name": "d"},
        "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template},
    }

    def verdict(asked: JSON) -> JSON:
        if asked["kind"]["kind"] == "Scale":
            return {"allowed": asked["object"]["spec"]["replicas"] < 5}
        return {"allowed": asked["operation"] != "CONNECT", "status": {"message": "attaching is not allowed"}}

    with webhook(verdict) as server:
        rules = [rule("deployments/scale", "apps"), rule("pods/attach", operations=("CONNECT",)), rule("pods/eviction")]
        with registered(api, "validating", "subs", namespace, hook(server, rules=rules)):
            assert api.post(deployments, json=body).status_code == 201
            assert not server.requests
            assert api.patch(f"{deployments}/d/scale", json={"spec": {"replicas": 2}}, headers=MERGE).status_code == 200
            asked = server.requests[0].object["request"]
            assert (asked["subResource"], asked["resource"]["resource"]) == ("scale", "deployments")
            assert asked["oldObject"]["kind"] == "Scale"
            assert api.patch(f"{deployments}/d/scale", json={"spec": {"replicas": 5}}, headers=MERGE).status_code == 400
            pods = f"/api/v1/namespaces/{namespace}/pods"
            api.post(pods, json=pod("p"))
            refused = api.post(f"{pods}/p/attach?stdin=true&container=c")
            assert "attaching is not allowed" in refused.json()["message"]
            asked = server.requests[-1].object["request"]
            assert asked["object"] == {"kind": "PodAttachOptions", "apiVersion": "v1", "stdin": True, "container": "c"}
            eviction = {
                "apiVersion": "policy/v1",
                "kind": "Eviction",
                "metadata": {"name": "p", "namespace": namespace},
            }
            assert api.post(f"{pods}/p/eviction", json=eviction).status_code == 201
            assert server.requests[-1].object["request"]["object"]["kind"] == "Eviction"


def test_webhooks_never_decide_about_webhooks(api: httpx.Client) -> None:
    everything = {**rule("*/*"), "apiGroups": ["*"]}
    refuse = {"name": "never.example.org", "clientConfig": {"url": "https://127.0.0.1:1/"}, "rules": [everything]}
    only = {"matchConditions": [], "objectSelector": {"matchLabels": {"only": "me"}}, "namespaceSelector": {}}
    name = "circular"
    body = {
        "metadata": {"name": name, "labels": {"only": "me"}},
        "webhooks": [{**refuse, **only, "sideEffects": "None", "admissionReviewVersions": ["v1"]}],
    }
    path = f"{REGISTRATION}/validatingwebhookconfigurations"
    assert api.post(path, json=body).status_code == 201
    labelled = {"metadata": {"name": "circular", "labels": {"only": "me"}}}
    assert api.post("/api/v1/namespaces", json=labelled).status_code == 500
    assert api.patch(f"{path}/{name}", json={"metadata": {"annotations": {"a": "b"}}}, headers=MERGE).status_code == 200
    assert api.delete(f"{path}/{name}").status_code == 200

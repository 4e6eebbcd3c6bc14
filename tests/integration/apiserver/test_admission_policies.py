"""Expressions stored in the cluster decide about requests to a real apiserver."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from tests.integration.apiserver.custom_kinds import MERGE, SPEC, collection, crontab, definition, establish, version
from tests.integration.apiserver.test_admission_webhooks import (
    REGISTRATION,
    allow,
    hook,
    maps,
    registered,
    webhook,
)
from tests.integration.apiserver.test_verbs import config_map
from tests.integration.cluster_parts import caught_up

__all__ = ["maps"]

JSON = dict[str, Any]


def test_match_conditions_of_webhooks(api: httpx.Client, namespace: str, maps: str) -> None:
    conditions = [
        {"name": "not-mine", "expression": "object.metadata.name != 'mine'"},
        {"name": "may", "expression": "authorizer.group('').resource('configmaps').check('create').allowed()"},
        {"name": "has-data", "expression": "object.data.a == '1'"},
    ]
    with (
        webhook(allow) as server,
        registered(api, "validating", "conditional", namespace, hook(server, matchConditions=conditions)),
    ):
        assert api.post(maps, json=config_map("mine", a="1")).status_code == 201
        assert not server.requests
        made = api.post(maps, json=config_map("asked", a="1"))
        assert made.status_code == 201, made.text
        assert [review.object["request"]["name"] for review in server.requests] == ["asked"]
        refused = api.post(maps, json=config_map("broken"))
        assert refused.status_code == 403
        assert refused.json()["message"] == (
            "configmaps \"broken\" is forbidden: expression 'object.data.a == '1'' resulted in error: no such key: data"
        )


@contextmanager
def policy(api: httpx.Client, name: str, namespace: str, spec: JSON, *bindings: JSON) -> Iterator[None]:
    """In effect for config maps of one namespace; `bindings` are their specs, one that denies if none is given."""
    rules = [{"apiGroups": [""], "apiVersions": ["*"], "operations": ["CREATE", "UPDATE"], "resources": ["configmaps"]}]
    selector = {"matchLabels": {"kubernetes.io/metadata.name": namespace}}
    body = {"metadata": {"name": name}, "spec": {"matchConstraints": {"resourceRules": rules}, **spec}}
    urls = []
    try:
        assert (made := api.post(f"{REGISTRATION}/validatingadmissionpolicies", json=body)).status_code == 201, (
            made.text
        )
        urls.append(f"{REGISTRATION}/validatingadmissionpolicies/{name}")
        for index, one in enumerate(bindings or ({},)):
            bound = {
                "policyName": name,
                "validationActions": ["Deny"],
                "matchResources": {"namespaceSelector": selector},
            }
            body = {"metadata": {"name": f"{name}-{index}"}, "spec": {**bound, **one}}
            url = f"{REGISTRATION}/validatingadmissionpolicybindings"
            assert (made := api.post(url, json=body)).status_code == 201, made.text
            urls.append(f"{url}/{name}-{index}")
        caught_up(api)
        yield
    finally:
        for url in reversed(urls):
            assert api.delete(url).status_code == 200


def validation(expression: str, **more: str) -> JSON:
    return {"expression": expression, **more}


def test_a_policy_denies(api: httpx.Client, namespace: str, maps: str) -> None:
    spec = {"validations": [validation("object.metadata.name.startsWith('good')", message="names are good")]}
    with policy(api, "names", namespace, spec):
        assert api.post(maps, json=config_map("good-one")).status_code == 201
        refused = api.post(maps, json=config_map("bad"))
        message = "ValidatingAdmissionPolicy 'names' with binding 'names-0' denied request: names are good"
        assert refused.status_code == 422
        assert refused.json()["reason"] == "Invalid"
        assert refused.json()["message"] == f'configmaps "bad" is forbidden: {message}'
        assert refused.json()["details"]["causes"] == [{"message": message}]
        assert api.post(f"{maps}?dryRun=All", json=config_map("bad")).status_code == 422
    assert api.post(maps, json=config_map("bad")).status_code == 201


def test_messages_and_reasons(api: httpx.Client, namespace: str, maps: str) -> None:
    spec = {
        "variables": [
            {"name": "size", "expression": "has(object.data) ? object.data.size() : 0"},
            {"name": "text", "expression": "'has ' + string(variables.size)"},
        ],
        "validations": [
            validation("variables.size < 1", messageExpression="variables.text", reason="Forbidden"),
            validation("object.metadata.name != 'x'"),
        ],
    }
    with policy(api, "texts", namespace, spec):
        refused = api.post(maps, json=config_map("x", a="1"))
        assert (refused.status_code, refused.json()["reason"]) == (403, "Forbidden")
        assert refused.json()["message"].endswith("denied request: has 1")
        assert (
            api.post(maps, json=config_map("x"))
            .json()["message"]
            .endswith("denied request: failed expression: object.metadata.name != 'x'")
        )


def test_warnings_instead_of_refusals(api: httpx.Client, namespace: str, maps: str) -> None:
    spec = {"validations": [validation("false", message="never")]}
    with policy(api, "warned", namespace, spec, {"validationActions": ["Warn", "Audit"]}):
        made = api.post(maps, json=config_map("m"))
        assert made.status_code == 201
        assert made.headers["warning"] == (
            "299 - \"Validation failed for ValidatingAdmissionPolicy 'warned' with binding 'warned-0': never\""
        )


def test_errors_follow_the_failure_policy(api: httpx.Client, namespace: str, maps: str) -> None:
    spec = {"validations": [validation("object.data.absent == 'x'")]}
    with policy(api, "broken", namespace, {**spec, "failurePolicy": "Ignore"}):
        assert api.post(maps, json=config_map("ignored")).status_code == 201
    with policy(api, "broken", namespace, spec):
        refused = api.post(maps, json=config_map("refused"))
        assert (
            "expression 'object.data.absent == 'x'' resulted in error: no such key: data" in refused.json()["message"]
        )


def test_parameters(api: httpx.Client, namespace: str, maps: str) -> None:
    spec = {
        "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
        "validations": [validation("object.metadata.name.size() <= int(params.data.longest)")],
        "matchConditions": [{"name": "not-a-parameter", "expression": "!object.metadata.name.startsWith('limit')"}],
    }
    by_name = {"paramRef": {"name": "limit", "namespace": namespace, "parameterNotFoundAction": "Deny"}}
    chosen = {"matchLabels": {"limit": "yes"}}
    by_label = {"paramRef": {"selector": chosen, "parameterNotFoundAction": "Allow"}}
    with policy(api, "limited", namespace, spec, by_name):
        refused = api.post(maps, json=config_map("m"))
        assert refused.json()["message"].endswith(
            "denied request: failed to configure binding: no params found for policy binding with `Deny` "
            "parameterNotFoundAction"
        )
    with policy(api, "limited", namespace, spec, by_label):
        assert api.post(maps, json=config_map("no-limit-yet")).status_code == 201
        limit = config_map("limit", longest="3")
        limit["metadata"] = {"name": "limit", "labels": {"limit": "yes"}}
        assert api.post(maps, json=limit).status_code == 201
        api.get("/api/v1/namespaces/default")
        assert api.post(maps, json=config_map("abc")).status_code == 201
        assert api.post(maps, json=config_map("abcd")).status_code == 422


def test_what_expressions_see(api: httpx.Client, namespace: str, maps: str) -> None:
    texts = [
        "request.operation in ['CREATE', 'UPDATE'] && request.resource.resource == 'configmaps'",
        f"namespaceObject.metadata.name == '{namespace}' && request.namespace == '{namespace}'",
        "'system:masters' in request.userInfo.groups",
        "request.operation == 'CREATE' ? oldObject == null : oldObject.data.a == '1'",
        "authorizer.group('').resource('configmaps').namespace(request.namespace).check('create').allowed()",
        "authorizer.requestResource.check('create').allowed()",
    ]
    with policy(api, "seen", namespace, {"validations": [validation(text) for text in texts]}):
        made = api.post(maps, json=config_map("m", a="1"))
        assert made.status_code == 201, made.text
        changed = api.put(f"{maps}/m", json=config_map("m", a="2"))
        assert changed.status_code == 200, changed.text


def test_rules_choose_what_is_judged(api: httpx.Client, namespace: str, maps: str) -> None:
    everything = {"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["*"], "resources": ["*"]}
    excluded = {**everything, "resources": ["secrets"]}
    named = {**everything, "resources": ["configmaps"], "resourceNames": ["chosen"]}
    spec = {"validations": [validation("false")]}
    constraints = {"resourceRules": [everything], "excludeResourceRules": [excluded]}
    secrets = f"/api/v1/namespaces/{namespace}/secrets"
    with policy(api, "wide", namespace, {**spec, "matchConstraints": constraints}):
        assert api.post(secrets, json={"metadata": {"name": "s"}}).status_code == 201
        assert api.post(maps, json=config_map("m")).status_code == 422
    with policy(api, "named", namespace, {**spec, "matchConstraints": {"resourceRules": [named]}}):
        assert api.post(maps, json=config_map("m")).status_code == 201
        assert api.post(maps, json=config_map("chosen")).status_code == 422
        assert api.delete(f"{maps}/m").status_code == 200


def test_another_version_is_judged_as_the_rule_names_it(api: httpx.Client, namespace: str) -> None:
    rules = [{"apiGroups": ["autoscaling"], "apiVersions": ["v1"], "operations": ["*"],
              "resources": ["horizontalpodautoscalers"]}]  # fmt: skip
    spec = {
        "matchConstraints": {"resourceRules": rules},
        "validations": [validation("object.spec.targetCPUUtilizationPercentage == 50")],
    }
    cpu: JSON = {
        "type": "Resource",
        "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}},
    }
    target = {"kind": "Deployment", "name": "d", "apiVersion": "apps/v1"}
    body = {"metadata": {"name": "h"}, "spec": {"maxReplicas": 3, "scaleTargetRef": target, "metrics": [cpu]}}
    url = f"/apis/autoscaling/v2/namespaces/{namespace}/horizontalpodautoscalers"
    with policy(api, "scaled", namespace, spec):
        made = api.post(url, json=body)
        assert made.status_code == 201, made.text
        cpu["resource"] = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 60}}
        assert api.put(f"{url}/h", json=body).status_code == 422


@contextmanager
def mutating(api: httpx.Client, name: str, namespace: str, *mutations: JSON, **more: Any) -> Iterator[None]:
    """In effect for config maps and deployments of one namespace."""
    rule = {"apiVersions": ["*"], "operations": ["CREATE", "UPDATE"], "apiGroups": ["", "apps"]}
    rules = [{**rule, "resources": ["configmaps", "deployments"]}]
    constraints = {"resourceRules": rules}
    spec = {"matchConstraints": constraints, "reinvocationPolicy": "Never", "mutations": list(mutations), **more}
    policies, bindings = f"{REGISTRATION}/mutatingadmissionpolicies", f"{REGISTRATION}/mutatingadmissionpolicybindings"
    made = api.post(policies, json={"metadata": {"name": name}, "spec": spec})
    assert made.status_code == 201, made.text
    selector = {"matchLabels": {"kubernetes.io/metadata.name": namespace}}
    bound = {"policyName": name, "matchResources": {"namespaceSelector": selector}}
    made = api.post(bindings, json={"metadata": {"name": name}, "spec": bound})
    assert made.status_code == 201, made.text
    api.get("/api/v1/namespaces/default")
    try:
        yield
    finally:
        assert api.delete(f"{bindings}/{name}").status_code == 200
        assert api.delete(f"{policies}/{name}").status_code == 200


def json_patch(expression: str) -> JSON:
    return {"patchType": "JSONPatch", "jsonPatch": {"expression": expression}}


def configuration(expression: str) -> JSON:
    return {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}}


def test_mutations_by_patch_and_by_configuration(api: httpx.Client, namespace: str, maps: str) -> None:
    patch = """[
        JSONPatch{op: "add", path: "/data", value: {"a": "1"}},
        JSONPatch{op: "add", path: "/data/" + jsonpatch.escapeKey("x/y"), value: request.operation},
    ]"""
    labels = "Object{metadata: Object.metadata{labels: {'seen': string(object.data['a']), 'by': variables.who}}}"
    variables = [{"name": "who", "expression": "'policy'"}]
    with mutating(
        api, "both", namespace, json_patch(patch.replace("x/y", "xy")), configuration(labels), variables=variables
    ):
        made = api.post(maps, json=config_map("m"))
        assert made.status_code == 201, made.text
        assert made.json()["data"] == {"a": "1", "xy": "CREATE"}
        assert made.json()["metadata"]["labels"] == {"seen": "1", "by": "policy"}


def test_configurations_merge_lists_by_their_keys(api: httpx.Client, namespace: str) -> None:
    container = "Object.spec.template.spec.containers{name: 'sidecar', image: 'side'}"
    text = (
        "Object{spec: Object.spec{template: Object.spec.template{spec: Object.spec.template.spec{"
        f"containers: [{container}]}}}}}}}}"
    )
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "main", "image": "m"}]}}
    body = {"metadata": {"name": "d"}, "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template}}
    conditions = [{"name": "deployments", "expression": "request.kind.kind == 'Deployment'"}]
    with mutating(api, "sidecar", namespace, configuration(text), matchConditions=conditions):
        made = api.post(f"/apis/apps/v1/namespaces/{namespace}/deployments", json=body)
        assert made.status_code == 201, made.text
        containers = made.json()["spec"]["template"]["spec"]["containers"]
        assert [one["name"] for one in containers] == ["sidecar", "main"] or [one["name"] for one in containers] == [
            "main",
            "sidecar",
        ]
        assert all(one["imagePullPolicy"] for one in containers)


def test_mutations_that_fail(api: httpx.Client, namespace: str, maps: str) -> None:
    broken = configuration("Object{metadata: Object.wrong{labels: {'a': 'b'}}}")
    with mutating(api, "broken", namespace, broken):
        refused = api.post(maps, json=config_map("m"))
        assert refused.status_code == 403
        assert refused.json()["message"] == (
            "policy 'broken' with binding 'broken' denied request: type mismatch: unexpected type name "
            '"Object.wrong", expected "Object.metadata", which matches field name path from root Object type'
        )
    with mutating(api, "broken", namespace, broken, failurePolicy="Ignore"):
        assert api.post(maps, json=config_map("m")).status_code == 201
    untouched = json_patch('[JSONPatch{op: "test", path: "/metadata/name", value: "z"}]')
    with mutating(api, "tested", namespace, untouched):
        assert api.post(maps, json=config_map("n")).status_code == 201


def test_rules_of_custom_kinds_and_policies_about_them(api: httpx.Client, namespace: str) -> None:
    rules = [
        {"rule": "self.low <= self.high", "message": "low is above high", "fieldPath": ".low"},
        {
            "rule": "self.high >= oldSelf.high",
            "messageExpression": "oldSelf.high > 3 ? 'high was large' : 'high was small'",
        },
    ]
    whole = {"type": "integer"}
    properties = {**SPEC["properties"], "low": whole, "high": whole}
    spec = {**SPEC, "properties": properties, "x-kubernetes-validations": rules}
    group = establish(api, definition(version(spec=spec)))
    path = collection(group, namespace)

    def body(low: int, high: int) -> JSON:
        return crontab(group, "a", low=low, high=high)

    refused = api.post(path, json=body(2, 1))
    assert refused.status_code == 422
    assert "spec.low: Invalid value: low is above high" in refused.json()["message"]
    assert api.post(path, json=body(1, 5)).status_code == 201
    lowered = api.patch(f"{path}/a", json={"spec": {"high": 4}}, headers=MERGE)
    assert lowered.status_code == 422
    assert "spec: Invalid value: high was large" in lowered.json()["message"]
    everything = {"apiGroups": [group], "apiVersions": ["*"], "operations": ["*"], "resources": ["*"]}
    judged = {
        "matchConstraints": {"resourceRules": [everything]},
        "validations": [
            validation("object.spec.high - object.spec.low < 9", messageExpression="object.kind + ' is wide'")
        ],
    }
    with policy(api, "custom", namespace, judged):
        assert api.patch(f"{path}/a", json={"spec": {"high": 6}}, headers=MERGE).status_code == 200
        wide = api.patch(f"{path}/a", json={"spec": {"high": 60}}, headers=MERGE)
        assert "denied request" in wide.json()["message"]

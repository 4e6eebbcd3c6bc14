"""Objects are completed as upstream completes them, and completing twice changes nothing."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from apimachinery import defaults
from apimachinery.resources import RESOURCES, require

Obj = dict[str, Any]


def completed(version: str, plural: str, body: Obj) -> Obj:
    info = require(version, plural)
    obj = copy.deepcopy(body)
    defaults.apply(info, obj)
    again = copy.deepcopy(obj)
    defaults.apply(info, again)
    assert again == obj
    return obj


CONTAINER_DEFAULTS = {
    "resources": {},
    "terminationMessagePath": "/dev/termination-log",
    "terminationMessagePolicy": "File",
    "imagePullPolicy": "Always",
}
POD_DEFAULTS = {
    "restartPolicy": "Always",
    "terminationGracePeriodSeconds": 30,
    "dnsPolicy": "ClusterFirst",
    "securityContext": {},
    "schedulerName": "default-scheduler",
}


def test_a_bare_pod() -> None:
    spec = completed("v1", "pods", {"spec": {"containers": [{"name": "c", "image": "i"}]}})["spec"]
    assert spec == {
        "containers": [{"name": "c", "image": "i", **CONTAINER_DEFAULTS}],
        **POD_DEFAULTS,
        "enableServiceLinks": True,
    }


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("busybox", "Always"),
        ("busybox:latest", "Always"),
        ("busybox:1.36", "IfNotPresent"),
        ("registry:5000/busybox", "Always"),
        ("busybox@sha256:" + "a" * 64, "IfNotPresent"),
        ("busybox:latest@sha256:" + "a" * 64, "Always"),
    ],
)
def test_images_which_may_move_are_always_pulled(image: str, policy: str) -> None:
    spec = completed("v1", "pods", {"spec": {"containers": [{"name": "c", "image": image}]}})["spec"]
    assert spec["containers"][0]["imagePullPolicy"] == policy


def pod_container(**fields: Any) -> Obj:
    body = {"spec": {"containers": [{"name": "c", "image": "i:1", **fields}]}}
    container: Obj = completed("v1", "pods", body)["spec"]["containers"][0]
    return container


@pytest.mark.parametrize(
    ("fields", "name", "expected"),
    [
        ({"ports": [{"containerPort": 80}]}, "ports", [{"containerPort": 80, "protocol": "TCP"}]),
        (
            {"livenessProbe": {"httpGet": {"port": 80}}},
            "livenessProbe",
            {
                "httpGet": {"port": 80, "path": "/", "scheme": "HTTP"},
                "timeoutSeconds": 1,
                "periodSeconds": 10,
                "successThreshold": 1,
                "failureThreshold": 3,
            },
        ),
        (
            {"readinessProbe": {"grpc": {"port": 80}, "periodSeconds": 2}},
            "readinessProbe",
            {
                "grpc": {"port": 80, "service": ""},
                "timeoutSeconds": 1,
                "periodSeconds": 2,
                "successThreshold": 1,
                "failureThreshold": 3,
            },
        ),
        (
            {"lifecycle": {"preStop": {"httpGet": {"port": 80, "path": "/bye"}}}},
            "lifecycle",
            {"preStop": {"httpGet": {"port": 80, "path": "/bye", "scheme": "HTTP"}}},
        ),
        (
            {"resources": {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "100m"}}},
            "resources",
            {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "100m", "memory": "1Gi"}},
        ),
        (
            {"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]},
            "env",
            [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name", "apiVersion": "v1"}}}],
        ),
    ],
)
def test_parts_of_a_container(fields: Obj, name: str, expected: object) -> None:
    assert pod_container(**fields)[name] == expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ({}, {"emptyDir": {}}),
        ({"secret": {"secretName": "s"}}, {"secret": {"secretName": "s", "defaultMode": 420}}),
        ({"configMap": {"name": "s"}}, {"configMap": {"name": "s", "defaultMode": 420}}),
        ({"hostPath": {"path": "/x"}}, {"hostPath": {"path": "/x", "type": ""}}),
        (
            {"projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}},
            {
                "projected": {
                    "defaultMode": 420,
                    "sources": [{"serviceAccountToken": {"path": "t", "expirationSeconds": 3600}}],
                }
            },
        ),
        (
            {"downwardAPI": {"items": [{"path": "l", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
            {
                "downwardAPI": {
                    "defaultMode": 420,
                    "items": [{"path": "l", "fieldRef": {"fieldPath": "metadata.labels", "apiVersion": "v1"}}],
                }
            },
        ),
        (
            {"ephemeral": {"volumeClaimTemplate": {"spec": {}}}},
            {"ephemeral": {"volumeClaimTemplate": {"spec": {"volumeMode": "Filesystem", "resources": {}}}}},
        ),
    ],
)
def test_volumes(source: Obj, expected: Obj) -> None:
    body = {"spec": {"containers": [], "volumes": [{"name": "v", **source}]}}
    volume = completed("v1", "pods", body)["spec"]["volumes"][0]
    assert {key: value for key, value in volume.items() if key != "name"} == expected


def test_host_ports_follow_container_ports_on_the_hosts_network() -> None:
    ports = [{"containerPort": 80}]
    spec = completed("v1", "pods", {"spec": {"hostNetwork": True, "containers": [{"name": "c", "ports": ports}]}})
    assert spec["spec"]["containers"][0]["ports"] == [{"containerPort": 80, "protocol": "TCP", "hostPort": 80}]


def test_a_pod_names_its_account_twice() -> None:
    spec = completed("v1", "pods", {"spec": {"containers": [], "serviceAccountName": "a"}})["spec"]
    assert (spec["serviceAccountName"], spec["serviceAccount"]) == ("a", "a")


def test_a_service() -> None:
    spec = completed("v1", "services", {"spec": {"ports": [{"port": 80}, {"port": 53, "targetPort": "dns"}]}})["spec"]
    assert spec["ports"] == [
        {"port": 80, "protocol": "TCP", "targetPort": 80},
        {"port": 53, "protocol": "TCP", "targetPort": "dns"},
    ]
    assert (spec["type"], spec["sessionAffinity"], spec["internalTrafficPolicy"]) == ("ClusterIP", "None", "Cluster")
    assert "externalTrafficPolicy" not in spec


def test_a_load_balancer_has_node_ports_and_a_policy() -> None:
    body = {"spec": {"type": "LoadBalancer", "ports": [{"port": 80}], "sessionAffinity": "ClientIP"}}
    spec = completed("v1", "services", body)["spec"]
    assert spec["externalTrafficPolicy"] == "Cluster"
    assert spec["allocateLoadBalancerNodePorts"] is True
    assert spec["sessionAffinityConfig"] == {"clientIP": {"timeoutSeconds": 10800}}


TEMPLATE = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i:1"}]}}


def test_a_deployment() -> None:
    body = {"metadata": {}, "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": TEMPLATE}}
    spec = completed("apps/v1", "deployments", body)["spec"]
    assert spec.pop("template")["spec"]["restartPolicy"] == "Always"
    assert spec == {
        "selector": {"matchLabels": {"a": "b"}},
        "replicas": 1,
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"}},
        "revisionHistoryLimit": 10,
        "progressDeadlineSeconds": 600,
    }


def test_a_stateful_set() -> None:
    claims = [{"metadata": {"name": "d"}, "spec": {}}]
    spec = completed("apps/v1", "statefulsets", {"spec": {"template": TEMPLATE, "volumeClaimTemplates": claims}})[
        "spec"
    ]
    assert spec["updateStrategy"] == {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}
    assert spec["podManagementPolicy"] == "OrderedReady"
    assert spec["persistentVolumeClaimRetentionPolicy"] == {"whenDeleted": "Retain", "whenScaled": "Retain"}
    assert spec["volumeClaimTemplates"][0]["spec"] == {"volumeMode": "Filesystem", "resources": {}}
    assert (spec["replicas"], spec["revisionHistoryLimit"]) == (1, 10)


def test_a_daemon_set() -> None:
    spec = completed("apps/v1", "daemonsets", {"spec": {"template": TEMPLATE}})["spec"]
    assert spec["updateStrategy"] == {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}}


@pytest.mark.parametrize(
    ("given", "completions", "parallelism"),
    [
        ({}, 1, 1),
        ({"parallelism": 3}, None, 3),
        ({"completions": 3}, 3, 1),
        ({"completions": 2, "parallelism": 0}, 2, 0),
    ],
)
def test_a_job(given: Obj, completions: int | None, parallelism: int) -> None:
    spec = completed("batch/v1", "jobs", {"spec": {**given, "template": TEMPLATE}})["spec"]
    assert (spec.get("completions"), spec["parallelism"]) == (completions, parallelism)
    assert (spec["backoffLimit"], spec["completionMode"], spec["suspend"]) == (6, "NonIndexed", False)
    assert (spec["manualSelector"], spec["podReplacementPolicy"]) == (False, "TerminatingOrFailed")


def test_a_cron_job() -> None:
    spec = completed("batch/v1", "cronjobs", {"spec": {"jobTemplate": {"spec": {"template": TEMPLATE}}}})["spec"]
    assert spec["concurrencyPolicy"] == "Allow"
    assert (spec["suspend"], spec["successfulJobsHistoryLimit"], spec["failedJobsHistoryLimit"]) == (False, 3, 1)
    assert "backoffLimit" not in spec["jobTemplate"]["spec"]


@pytest.mark.parametrize(
    ("version", "plural", "body", "expected"),
    [
        ("v1", "secrets", {}, {"type": "Opaque"}),
        ("v1", "secrets", {"stringData": {"a": "b"}}, {"type": "Opaque", "data": {"a": "Yg=="}}),
        ("v1", "namespaces", {"metadata": {"name": "n"}, "status": {}}, None),
        (
            "v1",
            "persistentvolumeclaims",
            {"spec": {}},
            {"spec": {"volumeMode": "Filesystem", "resources": {}}, "status": {"phase": "Pending"}},
        ),
        (
            "v1",
            "endpoints",
            {"subsets": [{"ports": [{"port": 1}]}]},
            {"subsets": [{"ports": [{"port": 1, "protocol": "TCP"}]}]},
        ),
        (
            "rbac.authorization.k8s.io/v1",
            "rolebindings",
            {
                "roleRef": {"name": "r"},
                "subjects": [{"kind": "User", "name": "u"}, {"kind": "ServiceAccount", "name": "s"}],
            },
            {
                "roleRef": {"name": "r", "apiGroup": "rbac.authorization.k8s.io"},
                "subjects": [
                    {"kind": "User", "name": "u", "apiGroup": "rbac.authorization.k8s.io"},
                    {"kind": "ServiceAccount", "name": "s"},
                ],
            },
        ),
        (
            "networking.k8s.io/v1",
            "networkpolicies",
            {"spec": {"egress": [{"ports": [{}]}]}},
            {
                "spec": {
                    "podSelector": {},
                    "egress": [{"ports": [{"protocol": "TCP"}]}],
                    "policyTypes": ["Ingress", "Egress"],
                }
            },
        ),
        (
            "storage.k8s.io/v1",
            "storageclasses",
            {"provisioner": "p"},
            {"provisioner": "p", "reclaimPolicy": "Delete", "volumeBindingMode": "Immediate"},
        ),
        (
            "autoscaling/v1",
            "horizontalpodautoscalers",
            {"spec": {}},
            {"spec": {"minReplicas": 1, "targetCPUUtilizationPercentage": 80}},
        ),
    ],
)
def test_other_kinds(version: str, plural: str, body: Obj, expected: Obj | None) -> None:
    done = completed(version, plural, body)
    if expected is not None:
        assert done == expected
    else:
        assert done["metadata"]["labels"] == {"kubernetes.io/metadata.name": "n"}


def test_an_endpoint_slices_ports() -> None:
    slice_ = completed("discovery.k8s.io/v1", "endpointslices", {"ports": [{"port": 80}]})
    assert slice_["ports"] == [{"port": 80, "name": "", "protocol": "TCP"}]


def test_a_webhook() -> None:
    version, plural = "admissionregistration.k8s.io/v1", "mutatingwebhookconfigurations"
    rule = {"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*"]}
    body = {"webhooks": [{"name": "a.b.c", "clientConfig": {"service": {"name": "n"}}, "rules": [rule]}]}
    hook = completed(version, plural, body)["webhooks"][0]
    assert hook == {
        "name": "a.b.c",
        "clientConfig": {"service": {"name": "n", "port": 443}},
        "rules": [{**rule, "scope": "*"}],
        "failurePolicy": "Fail",
        "matchPolicy": "Equivalent",
        "namespaceSelector": {},
        "objectSelector": {},
        "timeoutSeconds": 10,
        "reinvocationPolicy": "Never",
    }


def test_a_definition_gets_the_names_which_follow_from_its_kind() -> None:
    version, plural = "apiextensions.k8s.io/v1", "customresourcedefinitions"
    names = {"plural": "widgets", "kind": "Widget"}
    spec = completed(version, plural, {"spec": {"names": names, "versions": []}})["spec"]
    assert spec["names"] == {**names, "singular": "widget", "listKind": "WidgetList"}
    assert spec["conversion"] == {"strategy": "None"}


@pytest.mark.parametrize("info", RESOURCES, ids=lambda info: f"{info.api_version}.{info.plural}")
def test_nothing_breaks_on_empty_objects(info: Any) -> None:
    bodies: list[Obj] = [{}, {"metadata": {}, "spec": {}, "status": {}}]
    for body in bodies:
        completed(info.api_version, info.plural, body)

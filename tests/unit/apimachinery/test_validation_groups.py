"""Kinds besides pods, Services and workloads: valid ones pass, broken ones are refused with upstream's sentences."""

from __future__ import annotations

from typing import Any

import pytest

from apimachinery.resources import require
from tests.unit.apimachinery.written import created, updated

Obj = dict[str, Any]

LABEL = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with "
    "an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
RBAC = "rbac.authorization.k8s.io/v1"
TEMPLATE = {"spec": {"containers": [{"name": "c", "image": "i"}], "restartPolicy": "Never"}}
CRON = {"schedule": "*/5 * * * *", "jobTemplate": {"spec": {"template": TEMPLATE}}}
SLICE = {"addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1"]}], "ports": [{"name": "a", "port": 80}]}
USER = {"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "u"}
ROLE = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"}
CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
VOLUME = {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/x"}}
TARGET = {"kind": "Deployment", "name": "d"}
EVENT = {
    "eventTime": "2026-01-01T00:00:00.000000Z",
    "reason": "r",
    "action": "a",
    "type": "Normal",
    "reportingController": "example.com/c",
    "reportingInstance": "c-1",
    "regarding": {"namespace": "default"},
}


def path(**fields: Any) -> Obj:
    backend = {"service": {"name": "s", "port": {"number": 80}}}
    one = {"path": "/", "pathType": "Prefix", "backend": backend, **fields}
    return {"spec": {"rules": [{"http": {"paths": [one]}}]}}


@pytest.mark.parametrize(
    ("version", "plural", "body"),
    [
        ("v1", "namespaces", {}),
        ("v1", "configmaps", {"data": {"a.b": "x"}, "binaryData": {"c": "eA=="}}),
        ("v1", "secrets", {"stringData": {"a": "b"}}),
        ("v1", "secrets", {"type": "kubernetes.io/tls", "data": {"tls.crt": "", "tls.key": ""}}),
        ("v1", "serviceaccounts", {}),
        ("v1", "persistentvolumeclaims", {"spec": CLAIM}),
        ("v1", "persistentvolumes", {"spec": VOLUME}),
        ("v1", "nodes", {"spec": {"podCIDRs": ["10.0.0.0/24"], "taints": [{"key": "a", "effect": "NoSchedule"}]}}),
        ("v1", "resourcequotas", {"spec": {"hard": {"pods": "1", "requests.cpu": "2", "count/jobs.batch": "3"}}}),
        (
            "v1",
            "limitranges",
            {"spec": {"limits": [{"type": "Container", "default": {"cpu": "1"}, "max": {"cpu": "1"}}]}},
        ),
        ("v1", "endpoints", {"subsets": [{"addresses": [{"ip": "10.0.0.1"}], "ports": [{"port": 1}]}]}),
        ("v1", "events", {"involvedObject": {"namespace": "default"}}),
        ("events.k8s.io/v1", "events", EVENT),
        ("batch/v1", "jobs", {"spec": {"template": TEMPLATE}}),
        ("batch/v1", "cronjobs", {"spec": {**CRON, "timeZone": "Europe/Berlin"}}),
        ("networking.k8s.io/v1", "ingresses", path()),
        ("networking.k8s.io/v1", "networkpolicies", {"spec": {"ingress": [{"from": [{"podSelector": {}}]}]}}),
        ("discovery.k8s.io/v1", "endpointslices", SLICE),
        (RBAC, "roles", {"rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]}),
        (RBAC, "clusterroles", {"rules": [{"verbs": ["get"], "nonResourceURLs": ["/x"]}]}),
        (RBAC, "rolebindings", {"roleRef": ROLE, "subjects": [USER, {"kind": "ServiceAccount", "name": "s"}]}),
        ("policy/v1", "poddisruptionbudgets", {"spec": {"minAvailable": "50%"}}),
        ("autoscaling/v2", "horizontalpodautoscalers", {"spec": {"maxReplicas": 2, "scaleTargetRef": TARGET}}),
        ("coordination.k8s.io/v1", "leases", {"spec": {"leaseDurationSeconds": 1}}),
        ("scheduling.k8s.io/v1", "priorityclasses", {"value": 1}),
        ("storage.k8s.io/v1", "storageclasses", {"provisioner": "example.com/p"}),
        ("node.k8s.io/v1", "runtimeclasses", {"handler": "runc"}),
    ],
)
def test_accepts(version: str, plural: str, body: Obj) -> None:
    info = require(version, plural)
    assert created(info, body) == []
    assert updated(info, body, {}) == []


@pytest.mark.parametrize(
    ("version", "plural", "body", "complaints"),
    [
        ("v1", "namespaces", {"metadata": {"name": "A"}}, [f'metadata.name: Invalid value: "A": {LABEL}']),
        (
            "v1",
            "configmaps",
            {"data": {"k": "v"}, "binaryData": {"k": "eA=="}},
            ['data[k]: Invalid value: "k": duplicate of key present in binaryData'],
        ),
        (
            "v1",
            "configmaps",
            {"data": {"k": "v" * (1 << 20), "l": "v"}},
            ["[]: Too long: may not be more than 1048576 bytes"],
        ),
        (
            "v1",
            "secrets",
            {"type": "kubernetes.io/tls"},
            ["data[tls.crt]: Required value", "data[tls.key]: Required value"],
        ),
        (
            "v1",
            "secrets",
            {"type": "kubernetes.io/dockerconfigjson", "data": {".dockerconfigjson": "eA=="}},
            [
                "data[.dockerconfigjson]: Invalid value: \"<secret contents redacted>\": invalid character 'x' "
                "looking for beginning of value"
            ],
        ),
        (
            "v1",
            "persistentvolumeclaims",
            {"spec": {}},
            [
                "spec.accessModes: Required value: at least 1 access mode is required",
                "spec.resources[storage]: Required value",
            ],
        ),
        (
            "v1",
            "resourcequotas",
            {"spec": {"hard": {"pods": "1.5", "foo": "1"}}},
            [
                'spec.hard[pods]: Invalid value: "1500m": must be an integer',
                'spec.hard[foo]: Invalid value: "foo": must be a standard resource type or fully qualified',
                'spec.hard[foo]: Invalid value: "foo": must be a standard resource for quota',
            ],
        ),
        (
            "v1",
            "limitranges",
            {"spec": {"limits": [{"type": "Pod", "default": {"cpu": "2"}}]}},
            ["spec.limits[0].default: Forbidden: may not be specified when `type` is 'Pod'"],
        ),
        (
            "v1",
            "events",
            {"involvedObject": {"namespace": "other"}},
            ['involvedObject.namespace: Invalid value: "other": does not match event.namespace'],
        ),
        (
            "events.k8s.io/v1",
            "events",
            {**EVENT, "type": "Odd", "series": {"count": 1}, "deprecatedCount": 3, "action": ""},
            [
                "action: Required value",
                'series.count: Invalid value: "": should be at least 2',
                "series.lastObservedTime: Required value",
                'type: Invalid value: "": has invalid value: Odd',
                'count: Invalid value: "": needs to be unset',
            ],
        ),
        (
            "batch/v1",
            "jobs",
            {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "i"}]}}}},
            ['spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"'],
        ),
        (
            "batch/v1",
            "cronjobs",
            {"spec": {**CRON, "schedule": "x", "timeZone": "Mars/X", "concurrencyPolicy": "No"}},
            [
                'spec.schedule: Invalid value: "x": expected exactly 5 fields, found 1: [x]',
                'spec.timeZone: Invalid value: "Mars/X": unknown time zone Mars/X',
                'spec.concurrencyPolicy: Unsupported value: "No": supported values: "Allow", "Forbid", "Replace"',
            ],
        ),
        (
            "networking.k8s.io/v1",
            "ingresses",
            path(path="a", backend={}),
            [
                'spec.rules[0].http.paths[0].path: Invalid value: "a": must be an absolute path',
                'spec.rules[0].http.paths[0].backend: Invalid value: "": resource or service backend is required',
            ],
        ),
        (
            "networking.k8s.io/v1",
            "networkpolicies",
            {"spec": {"ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["11.0.0.0/16"]}}, {}]}]}},
            [
                'spec.ingress[0].from[0].ipBlock.except[0]: Invalid value: "11.0.0.0/16": must be a strict subset of '
                "`cidr`",
                "spec.ingress[0].from[1]: Required value: must specify a peer",
            ],
        ),
        (
            "discovery.k8s.io/v1",
            "endpointslices",
            {"addressType": "IPv4", "endpoints": [{"addresses": []}]},
            ["endpoints[0].addresses: Required value: must contain at least 1 address"],
        ),
        (
            RBAC,
            "roles",
            {"rules": [{"verbs": ["get"], "nonResourceURLs": ["/x"]}]},
            ['rules[0].nonResourceURLs: Invalid value: ["/x"]: namespaced rules cannot apply to non-resource URLs'],
        ),
        (
            RBAC,
            "rolebindings",
            {},
            [
                'roleRef.kind: Unsupported value: "": supported values: "Role", "ClusterRole"',
                "roleRef.name: Required value",
            ],
        ),
        (
            "policy/v1",
            "poddisruptionbudgets",
            {"spec": {"minAvailable": "50%", "maxUnavailable": 1}},
            [
                'spec: Invalid value: {"minAvailable":"50%","maxUnavailable":1}: minAvailable and maxUnavailable '
                "cannot be both set"
            ],
        ),
        (
            "autoscaling/v2",
            "horizontalpodautoscalers",
            {"spec": {"minReplicas": 3, "maxReplicas": 2, "scaleTargetRef": TARGET}},
            ["spec.maxReplicas: Invalid value: 2: must be greater than or equal to `minReplicas`"],
        ),
        (
            "scheduling.k8s.io/v1",
            "priorityclasses",
            {"value": 2000000000},
            ["value: Forbidden: maximum allowed value of a user defined priority is 1000000000"],
        ),
        ("storage.k8s.io/v1", "storageclasses", {}, ["provisioner: Required value"]),
        ("node.k8s.io/v1", "runtimeclasses", {"handler": "H"}, [f'handler: Invalid value: "H": {LABEL}']),
    ],
)
def test_refuses(version: str, plural: str, body: Obj, complaints: list[str]) -> None:
    assert created(require(version, plural), body) == complaints


@pytest.mark.parametrize(
    ("version", "plural", "body", "change", "complaint"),
    [
        (
            "v1",
            "configmaps",
            {"data": {"a": "b"}, "immutable": True},
            {"data": {"a": "c"}},
            "data: Forbidden: field is immutable when `immutable` is set",
        ),
        (
            "v1",
            "secrets",
            {"immutable": True},
            {"immutable": False},
            "immutable: Forbidden: field is immutable when `immutable` is set",
        ),
        ("v1", "secrets", {"type": "a"}, {"type": "b"}, 'type: Invalid value: "b": field is immutable'),
        (
            "discovery.k8s.io/v1",
            "endpointslices",
            SLICE,
            {"addressType": "IPv6", "endpoints": []},
            'addressType: Invalid value: "IPv6": field is immutable',
        ),
        (
            RBAC,
            "rolebindings",
            {"roleRef": ROLE},
            {"roleRef": {"name": "other"}},
            'roleRef: Invalid value: {"apiGroup":"rbac.authorization.k8s.io","kind":"Role","name":"other"}: '
            "cannot change roleRef",
        ),
        (
            "scheduling.k8s.io/v1",
            "priorityclasses",
            {"value": 1},
            {"value": 2},
            "value: Forbidden: may not be changed in an update.",
        ),
        (
            "storage.k8s.io/v1",
            "storageclasses",
            {"provisioner": "a/b"},
            {"provisioner": "a/c"},
            'provisioner: Invalid value: "a/c": field is immutable',
        ),
        (
            "batch/v1",
            "jobs",
            {"spec": {"template": TEMPLATE}},
            {"spec": {"completions": 2}},
            "spec.completions: Invalid value: 2: field is immutable",
        ),
        (
            "events.k8s.io/v1",
            "events",
            EVENT,
            {"reason": "other"},
            'reason: Invalid value: "other": field is immutable',
        ),
    ],
)
def test_refuses_changes(version: str, plural: str, body: Obj, change: Obj, complaint: str) -> None:
    assert complaint in updated(require(version, plural), body, change)

"""Rows of tables show what people know from kubectl get."""

from __future__ import annotations

from typing import Any

import pytest

from apimachinery import table, timestamps
from apimachinery.resources import RESOURCES, find, require
from apimachinery.table import ages, custom, jsonpath

NOW = 1_800_000_000.0
MINUTE, HOUR, DAY = 60, 3600, 86400
PODS = require("v1", "pods")


def ago(seconds: float) -> str:
    return timestamps.format(NOW - seconds)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "<invalid>"),
        (-1, "0s"),
        (0, "0s"),
        (119.9, "119s"),
        (120, "2m"),
        (303, "5m3s"),
        (10 * MINUTE + 5, "10m"),
        (179 * MINUTE, "179m"),
        (3 * HOUR, "3h"),
        (7 * HOUR + 59 * MINUTE, "7h59m"),
        (8 * HOUR + 59 * MINUTE, "8h"),
        (47 * HOUR, "47h"),
        (52 * HOUR, "2d4h"),
        (3 * DAY, "3d"),
        (8 * DAY + 5 * HOUR, "8d"),
        (729 * DAY, "729d"),
        (730 * DAY, "2y"),
        (731 * DAY, "2y1d"),
        (8 * 365 * DAY + DAY, "8y"),
    ],
)
def test_ages(seconds: float, text: str) -> None:
    assert ages.human(seconds) == text


def container(name: str = "c", **status: Any) -> dict[str, Any]:
    return {"name": name, "restartCount": 0, "ready": False, "state": {}, "lastState": {}, **status}


RUNNING: dict[str, Any] = {"running": {"startedAt": ago(60)}}


def pod(status: dict[str, Any], spec: dict[str, Any] | None = None, **meta: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "web", "creationTimestamp": ago(303), **meta},
        "spec": {"containers": [{"name": "c"}], **(spec or {})},
        "status": status,
    }


def ended(code: int, reason: str = "", **more: Any) -> dict[str, Any]:
    return {"terminated": {"exitCode": code, "reason": reason, **more}}


@pytest.mark.parametrize(
    ("obj", "cells"),
    [
        (pod({"phase": "Pending"}), ["web", "0/1", "Pending", "0", "5m3s"]),
        (
            pod({"phase": "Running", "containerStatuses": [container(ready=True, state=RUNNING)]}),
            ["web", "1/1", "Running", "0", "5m3s"],
        ),
        (
            pod({"phase": "Pending", "containerStatuses": [container(state={"waiting": {"reason": "ErrImagePull"}})]}),
            ["web", "0/1", "ErrImagePull", "0", "5m3s"],
        ),
        (
            pod(
                {
                    "phase": "Running",
                    "containerStatuses": [
                        container(
                            restartCount=3,
                            state={"waiting": {"reason": "CrashLoopBackOff"}},
                            lastState=ended(1, "Error", finishedAt=ago(42)),
                        )
                    ],
                }
            ),
            ["web", "0/1", "CrashLoopBackOff", "3 (42s ago)", "5m3s"],
        ),
        (
            pod({"phase": "Failed", "containerStatuses": [container(state=ended(137, signal=9))]}),
            ["web", "0/1", "Signal:9", "0", "5m3s"],
        ),
        (
            pod({"phase": "Failed", "reason": "Evicted"}),
            ["web", "0/1", "Evicted", "0", "5m3s"],
        ),
        (
            pod({"phase": "Succeeded", "containerStatuses": [container(state=ended(0, "Completed"))]}),
            ["web", "0/1", "Completed", "0", "5m3s"],
        ),
        (
            pod(
                {"phase": "Running", "containerStatuses": [container(ready=True, state=RUNNING)]}, deletionTimestamp="x"
            ),
            ["web", "1/1", "Terminating", "0", "5m3s"],
        ),
        (
            pod(
                {
                    "phase": "Pending",
                    "conditions": [{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}],
                }
            ),
            ["web", "0/1", "SchedulingGated", "0", "5m3s"],
        ),
        (
            pod(
                {
                    "phase": "Pending",
                    "initContainerStatuses": [container("i1", state=ended(0)), container("i2", state=RUNNING)],
                },
                {"initContainers": [{"name": "i1"}, {"name": "i2"}]},
            ),
            ["web", "0/1", "Init:1/2", "0", "5m3s"],
        ),
        (
            pod(
                {"phase": "Pending", "initContainerStatuses": [container("i", restartCount=2, state=ended(3))]},
                {"initContainers": [{"name": "i"}]},
            ),
            ["web", "0/1", "Init:ExitCode:3", "2", "5m3s"],
        ),
        (
            pod(
                {
                    "phase": "Running",
                    "initContainerStatuses": [container("side", ready=True, started=True, state=RUNNING)],
                    "containerStatuses": [container(ready=True, state=RUNNING)],
                },
                {"initContainers": [{"name": "side", "restartPolicy": "Always"}]},
            ),
            ["web", "2/2", "Running", "0", "5m3s"],
        ),
        (
            pod(
                {
                    "phase": "Running",
                    "containerStatuses": [
                        container(state=ended(0, "Completed")),
                        container("d", ready=True, state=RUNNING),
                    ],
                },
                {"containers": [{"name": "c"}, {"name": "d"}]},
            ),
            ["web", "1/2", "NotReady", "0", "5m3s"],
        ),
    ],
)
def test_pods(obj: dict[str, Any], cells: list[Any]) -> None:
    assert table.row(PODS, obj, NOW)[:5] == cells


def test_wide_columns_of_a_pod() -> None:
    status = {"phase": "Running", "podIPs": [{"ip": "10.244.0.5"}], "conditions": [{"type": "g", "status": "True"}]}
    spec = {"nodeName": "n1", "readinessGates": [{"conditionType": "g"}, {"conditionType": "h"}]}
    assert table.row(PODS, pod(status, spec), NOW)[5:] == ["10.244.0.5", "n1", "<none>", "1/2"]


def test_completed_pods_carry_a_row_condition() -> None:
    assert table.row_conditions(PODS, pod({"phase": "Running"})) is None
    assert table.row_conditions(PODS, pod({"phase": "Failed"})) == [
        {"type": "Completed", "status": "True", "reason": "Failed", "message": "The pod failed."}
    ]


TEMPLATE = {
    "metadata": {"labels": {"app": "web"}},
    "spec": {"containers": [{"name": "a", "image": "x"}, {"name": "b"}]},
}


@pytest.mark.parametrize(
    ("resource", "obj", "cells"),
    [
        (
            "apps/v1 deployments",
            {
                "spec": {"replicas": 3, "selector": {"matchLabels": {"b": "2", "a": "1"}}, "template": TEMPLATE},
                "status": {"readyReplicas": 2, "updatedReplicas": 3, "availableReplicas": 2},
            },
            ["x", "2/3", 3, 2, "5m3s", "a,b", "x,", "a=1,b=2"],
        ),
        (
            "v1 services",
            {
                "spec": {
                    "type": "NodePort",
                    "clusterIPs": ["10.96.0.9"],
                    "ports": [{"port": 80, "nodePort": 30080, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}],
                    "selector": {"app": "web"},
                }
            },
            ["x", "NodePort", "10.96.0.9", "<none>", "80:30080/TCP,53/UDP", "5m3s", "app=web"],
        ),
        (
            "v1 services",
            {"spec": {"type": "LoadBalancer", "clusterIPs": ["10.96.0.9"], "ports": []}},
            ["x", "LoadBalancer", "10.96.0.9", "<pending>", "<none>", "5m3s", "<none>"],
        ),
        (
            "v1 services",
            {"spec": {"type": "ExternalName", "externalName": "a.example"}},
            ["x", "ExternalName", "<none>", "a.example", "<none>", "5m3s", "<none>"],
        ),
        (
            "v1 nodes",
            {
                "metadata": {"labels": {"node-role.kubernetes.io/control-plane": "", "kubernetes.io/role": "edge"}},
                "spec": {"unschedulable": True},
                "status": {
                    "conditions": [{"type": "Ready", "status": "True"}],
                    "nodeInfo": {"kubeletVersion": "v1.36.0", "kernelVersion": "6.1", "architecture": "amd64"},
                    "addresses": [{"type": "InternalIP", "address": "192.168.1.2"}],
                },
            },
            [
                "x",
                "Ready,SchedulingDisabled",
                "control-plane,edge",
                "5m3s",
                "v1.36.0",
                "192.168.1.2",
                "<none>",
                "<unknown>",
                "6.1 (amd64)",
                "<unknown>",
            ],
        ),
        (
            "v1 endpoints",
            {"subsets": [{"addresses": [{"ip": f"10.0.0.{n}"} for n in range(5)], "ports": [{"port": 80}]}]},
            ["x", "10.0.0.0:80,10.0.0.1:80,10.0.0.2:80 + 2 more...", "5m3s"],
        ),
        (
            "v1 events",
            {
                "type": "Warning",
                "reason": "Failed",
                "involvedObject": {"kind": "Pod", "name": "p", "fieldPath": "spec"},
                "message": " oops\n",
                "source": {"component": "kubelet", "host": "n1"},
                "firstTimestamp": ago(600),
                "lastTimestamp": ago(60),
                "count": 4,
            },
            ["60s", "Warning", "Failed", "pod/p", "spec", "kubelet, n1", "oops", "10m", 4, "x"],
        ),
        (
            "batch/v1 jobs",
            {
                "spec": {"completions": 3, "template": TEMPLATE, "selector": {"matchLabels": {"a": "b"}}},
                "status": {
                    "succeeded": 3,
                    "startTime": ago(200),
                    "completionTime": ago(100),
                    "conditions": [{"type": "Complete", "status": "True"}],
                },
            },
            ["x", "Complete", "3/3", "100s", "5m3s", "a,b", "x,", "a=b"],
        ),
        (
            "batch/v1 cronjobs",
            {"spec": {"schedule": "* * * * *", "suspend": False}, "status": {"lastScheduleTime": ago(30)}},
            ["x", "* * * * *", "<none>", "False", 0, "30s", "5m3s", "", "", "<none>"],
        ),
        (
            "v1 persistentvolumeclaims",
            {
                "spec": {"volumeName": "pv", "storageClassName": "fast", "volumeMode": "Filesystem"},
                "status": {"phase": "Bound", "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"]},
            },
            ["x", "Bound", "pv", "1Gi", "RWO", "fast", "<unset>", "5m3s", "Filesystem"],
        ),
        (
            "v1 resourcequotas",
            {"status": {"hard": {"pods": "4", "limits.cpu": "2"}, "used": {"pods": "1", "limits.cpu": "500m"}}},
            ["x", "pods: 1/4", "limits.cpu: 500m/2", "5m3s"],
        ),
        (
            "autoscaling/v2 horizontalpodautoscalers",
            {
                "spec": {
                    "scaleTargetRef": {"kind": "Deployment", "name": "web"},
                    "maxReplicas": 5,
                    "minReplicas": 1,
                    "metrics": [
                        {
                            "type": "Resource",
                            "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}},
                        }
                    ],
                },
                "status": {"currentReplicas": 2},
            },
            ["x", "Deployment/web", "cpu: <unknown>/80%", "1", 5, 2, "5m3s"],
        ),
        (
            "discovery.k8s.io/v1 endpointslices",
            {"addressType": "IPv4", "ports": [{"port": 80, "name": ""}], "endpoints": [{"addresses": ["10.0.0.1"]}]},
            ["x", "IPv4", "80", "10.0.0.1", "5m3s"],
        ),
        (
            "rbac.authorization.k8s.io/v1 clusterrolebindings",
            {
                "roleRef": {"kind": "ClusterRole", "name": "admin"},
                "subjects": [
                    {"kind": "User", "name": "u"},
                    {"kind": "ServiceAccount", "namespace": "n", "name": "s"},
                ],
            },
            ["x", "ClusterRole/admin", "5m3s", "u", "", "n/s"],
        ),
        ("rbac.authorization.k8s.io/v1 clusterroles", {}, ["x", ago(303)]),
    ],
)
def test_rows(resource: str, obj: dict[str, Any], cells: list[Any]) -> None:
    info = require(*resource.split())
    meta = {"name": "x", "creationTimestamp": ago(303), **obj.get("metadata", {})}
    assert table.row(info, {**obj, "metadata": meta}, NOW) == cells


def test_every_kind_fills_its_columns() -> None:
    quirk = {"IPAddress"}  # upstream's row is longer than its columns
    wrong = [
        info.kind
        for info in RESOURCES
        if len(table.row(info, {"metadata": {"name": "x"}}, NOW)) != len(table.columns(info)) and info.kind not in quirk
    ]
    assert wrong == []


def test_columns_take_their_descriptions_from_the_schema() -> None:
    columns = {column["name"]: column for column in table.columns(PODS)}
    assert columns["IP"]["priority"] == 1
    assert columns["IP"]["description"].startswith("podIP address allocated to the pod.")
    assert columns["Name"]["format"] == "name"
    assert find("", "v1", "pods") is PODS


WIDGET: dict[str, Any] = {
    "metadata": {"name": "w", "creationTimestamp": ago(303), "labels": {"a.b/c": "v"}},
    "spec": {"size": 3, "ratio": 0.5, "on": True, "tags": ["x", "y"], "ports": [{"n": 1}, {"n": 2}, {"n": 3}]},
    "status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "Idle", "status": "False"}]},
}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (".spec.size", [3]),
        (".spec.missing.deeper", []),
        (".metadata.labels.a\\.b/c", ["v"]),
        (".metadata.labels['a.b/c']", ["v"]),
        (".spec.tags[-1]", ["y"]),
        (".spec.tags[5]", []),
        (".spec.ports[*].n", [1, 2, 3]),
        (".spec.ports[0:2].n", [1, 2]),
        ('.status.conditions[?(@.type=="Ready")].status', ["True"]),
        (".status.conditions[?(@.type=='Idle')].status", ["False"]),
        (".spec.ports[?(@.n>1)].n", [2, 3]),
        ("..status.conditions[0].type", ["Ready"]),
        (".", [WIDGET]),
    ],
)
def test_json_path(path: str, found: list[Any]) -> None:
    assert jsonpath.find(path, WIDGET) == found


def test_json_path_refuses_nonsense() -> None:
    with pytest.raises(ValueError, match="no JSONPath"):
        jsonpath.find("spec", WIDGET)


def test_custom_columns() -> None:
    columns: list[dict[str, Any]] = [
        {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
        {"name": "Ratio", "type": "number", "jsonPath": ".spec.ratio"},
        {"name": "On", "type": "boolean", "jsonPath": ".spec.on"},
        {"name": "Tags", "type": "string", "jsonPath": ".spec.tags"},
        {"name": "Wrong", "type": "integer", "jsonPath": ".metadata.name"},
        {"name": "None", "type": "string", "jsonPath": ".spec.nothing"},
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp", "priority": 1},
    ]
    assert custom.row(columns, WIDGET, NOW) == ["w", 3, 0.5, True, '["x","y"]', None, None, "5m3s"]
    heads = custom.columns(columns)
    assert [head["name"] for head in heads] == ["Name", "Size", "Ratio", "On", "Tags", "Wrong", "None", "Age"]
    assert heads[1]["description"] == "Custom resource definition column (in JSONPath format): .spec.size"
    assert heads[-1]["priority"] == 1


def test_custom_kinds_without_columns_show_their_age() -> None:
    assert [head["name"] for head in custom.columns(None)] == ["Name", "Age"]
    assert custom.row(None, WIDGET, NOW) == ["w", "5m3s"]

"""Descriptions, rollouts and `why`: pure functions of objects."""

from __future__ import annotations

from typing import Any

import pytest

from skiff.ctl.commands.describe import describer
from skiff.ctl.commands.rollout_status import progress
from skiff.ctl.commands.tree import drawn
from skiff.ctl.commands.why import explained
from skiff.ctl.describe.around import Around
from skiff.ctl.failures import Failure
from skiff.ctl.printing.columns import aligned

NOW = 1767322800.0  # 2026-01-02T03:00:00Z
META = {
    "name": "x",
    "namespace": "d",
    "uid": "u",
    "labels": {"b": "2", "a": "1"},
    "creationTimestamp": "2026-01-02T02:00:00Z",
}


def pod(**status: Any) -> dict[str, Any]:
    container = {"name": "c", "image": "i", "ports": [{"containerPort": 80, "name": "http"}]}
    return {"kind": "Pod", "metadata": META, "spec": {"containers": [container], "nodeName": "n"}, "status": status}


def described(kind: str, group: str, obj: dict[str, Any], **around: Any) -> list[str]:
    return [line.rstrip() for line in aligned(describer(kind, group)(obj, Around(NOW, **around)))]


def test_a_pod() -> None:
    event = {"type": "Warning", "reason": "BackOff", "message": "m\n", "count": 3, "source": {"component": "kubelet"}}
    event |= {"firstTimestamp": "2026-01-02T02:50:00Z", "lastTimestamp": "2026-01-02T02:59:00Z"}
    state = {"name": "c", "state": {"waiting": {"reason": "CrashLoopBackOff"}}, "restartCount": 4, "ready": False}
    found = described("Pod", "", pod(phase="Running", hostIP="1.2.3.4", containerStatuses=[state]), events=[event])
    for line in (
        "Node:         n/1.2.3.4",
        "Labels:       a=1",
        "              b=2",
        "    Port:           80/TCP (http)",
        "      Reason:       CrashLoopBackOff",
        "    Restart Count:  4",
        "QoS Class:          BestEffort",
        "  Warning  BackOff  60s (x3 over 10m)  kubelet  m",
    ):
        assert line in found


def test_an_object_of_an_unknown_type_is_an_outline() -> None:
    obj = {
        "apiVersion": "x.io/v1",
        "kind": "Thing",
        "metadata": META,
        "spec": {"someField": [{"a": True}, {"a": None}], "l": [1]},
    }
    found = described("Thing", "x.io", obj)
    assert found[:3] == ["Name:         x", "Namespace:    d", "Labels:       a=1"]
    assert found[-6:] == ["Spec:", "  L:", "    1", "  Some Field:", "    A:  true", "    A:  <nil>"]


def test_a_secret_shows_sizes_only() -> None:
    found = described("Secret", "", {"kind": "Secret", "metadata": META, "type": "Opaque", "data": {"p": "c2VjcmV0"}})
    assert "p:  6 bytes" in found


def test_a_node_adds_up_what_its_pods_ask_for() -> None:
    def asking(cpu: str, memory: str) -> dict[str, Any]:
        one = pod()
        requests = {"requests": {"cpu": cpu, "memory": memory}}
        return {**one, "spec": {"containers": [{"name": "c", "image": "i", "resources": requests}]}}

    node = {"metadata": {"name": "n"}, "status": {"allocatable": {"cpu": "2", "memory": "1Gi", "pods": "10"}}}
    found = described("Node", "", node, pods=[asking("250m", "64Mi"), asking("750m", "64Mi")])
    assert "  cpu                1 (50%)      0 (0%)" in found
    assert "  memory             128Mi (12%)  0 (0%)" in found


def test_endpoints_of_a_service() -> None:
    spec = {"ports": [{"name": "h", "port": 80, "targetPort": "http"}], "clusterIP": "10.0.0.1"}
    endpoints = [{"addresses": [f"10.1.0.{n}"]} for n in range(4)] + [
        {"addresses": ["10.1.0.9"], "conditions": {"ready": False}}
    ]
    slices = [{"ports": [{"name": "h", "port": 8080}], "endpoints": endpoints}]
    found = described("Service", "", {"kind": "Service", "metadata": META, "spec": spec}, endpoint_slices=slices)
    assert "Endpoints:         10.1.0.0:8080,10.1.0.1:8080,10.1.0.2:8080 + 1 more..." in found


def deployment(generation: int = 1, **status: Any) -> dict[str, Any]:
    metadata = {"name": "d", "generation": generation}
    return {
        "kind": "Deployment",
        "metadata": metadata,
        "spec": {"replicas": 3},
        "status": {"observedGeneration": 1, **status},
    }


@pytest.mark.parametrize(
    ("obj", "line", "done"),
    [
        (deployment(2), "Waiting for deployment spec update to be observed...", False),
        (deployment(updatedReplicas=1), "1 out of 3 new replicas have been updated...", False),
        (deployment(updatedReplicas=3, replicas=4), "1 old replicas are pending termination...", False),
        (
            deployment(updatedReplicas=3, replicas=3, availableReplicas=2),
            "2 of 3 updated replicas are available...",
            False,
        ),
        (
            deployment(updatedReplicas=3, replicas=3, availableReplicas=3),
            'deployment "d" successfully rolled out',
            True,
        ),
    ],
)
def test_how_far_a_rollout_is(obj: dict[str, Any], line: str, done: bool) -> None:
    said, ended = progress(obj)
    assert said.endswith(line)
    assert ended is done


def test_a_rollout_that_never_ends() -> None:
    stuck = deployment(conditions=[{"type": "Progressing", "reason": "ProgressDeadlineExceeded"}])
    with pytest.raises(Failure, match="exceeded its progress deadline"):
        progress(stuck)
    with pytest.raises(Failure, match="no status viewer"):
        progress({"kind": "Pod", "metadata": {"name": "x", "generation": 1}})


def test_why_a_pod_is_not_running() -> None:
    message = (
        "0/2 nodes are available: 1 Insufficient cpu, 1 node(s) had untolerated taint(s). preemption: not helpful."
    )
    condition = {"type": "PodScheduled", "status": "False", "message": message}
    waiting = {**pod(conditions=[condition], phase="Pending")}
    waiting["spec"] = {"containers": []}
    assert explained(waiting) == [
        "no node takes it",
        "0/2 nodes are available",
        "- 1 Insufficient cpu",
        "- 1 node(s) had untolerated taint(s)",
        "preemption: not helpful",
    ]
    ended = {"exitCode": 137, "reason": "OOMKilled"}
    state = {"name": "c", "state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": {"terminated": ended}}
    crashing = explained(pod(phase="Running", startTime="t", containerStatuses=[state]))
    assert "container c ended before with exit code 137 (OOMKilled)" in crashing
    assert "advice: it needs more memory than its limit" in crashing
    assert explained(pod(phase="Running", startTime="t", conditions=[{"type": "Ready", "status": "True"}])) == []


def test_a_tree_of_owners() -> None:
    def thing(kind: str, uid: str, owner: str = "") -> dict[str, Any]:
        owners = [{"uid": owner}] if owner else []
        metadata = {"name": uid, "uid": uid, "ownerReferences": owners, "creationTimestamp": META["creationTimestamp"]}
        return {"kind": kind, "metadata": metadata}

    top = thing("Deployment", "d")
    rows = drawn(top, [thing("ReplicaSet", "r", "d"), thing("Pod", "p", "r"), thing("Pod", "q", "r")], NOW, "p")
    assert [row[0] for row in rows] == ["Deployment/d", "└─ReplicaSet/r", "  ├─Pod/p *", "  └─Pod/q"]

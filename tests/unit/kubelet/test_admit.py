"""Admission at the node: what fits, what is selected, what is tolerated."""

from typing import Any

import pytest

from kubelet.sync.admit import NodeOffer, admit, pod_requests
from tests.unit.kubelet.pods import make_pod

NODE = NodeOffer(
    "node-1",
    labels={"kubernetes.io/os": "linux", "disk": "ssd", "rank": "3"},
    allocatable={"cpu": "2", "memory": "1Gi", "pods": "3"},
    taints=[{"key": "gone", "value": "soon", "effect": "NoExecute"}],
)
TOLERANT: dict[str, Any] = {"tolerations": [{"operator": "Exists"}]}


def wants(cpu: str, memory: str = "1Mi") -> dict[str, dict[str, Any]]:
    return {"a": {"resources": {"requests": {"cpu": cpu, "memory": memory}}}}


def reason(refusal: Any) -> str:
    return refusal.reason if refusal is not None else ""


def test_resources_are_counted_with_those_of_the_others() -> None:
    other = make_pod("a", extra=wants("1500m"), **TOLERANT)
    assert admit(make_pod("a", extra=wants("500m"), **TOLERANT), [other], NODE) is None
    refusal = admit(make_pod("a", extra=wants("501m"), **TOLERANT), [other], NODE)
    assert refusal is not None
    assert refusal.reason == "OutOfcpu"
    assert refusal.message == "Node didn't have enough resource: cpu, requested: 501, used: 1500, capacity: 2000"


def test_the_number_of_pods_is_limited() -> None:
    others = [make_pod("a")] * 3
    assert reason(admit(make_pod("a", **TOLERANT), others, NODE)) == "OutOfpods"


def test_init_containers_and_sidecars_count_as_they_run() -> None:
    pod = make_pod(
        "a",
        init=("big", "side"),
        sidecars=("side",),
        extra={
            "a": {"resources": {"requests": {"cpu": "1"}}},
            "big": {"resources": {"requests": {"cpu": "3"}}},
            "side": {"resources": {"requests": {"cpu": "500m"}}},
        },
        overhead={"cpu": "100m"},
    )
    assert float(pod_requests(pod)["cpu"]) == pytest.approx(3.1)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"nodeSelector": {"disk": "ssd"}}, ""),
        ({"nodeSelector": {"disk": "hdd"}}, "NodeAffinity"),
        ({"nodeSelector": {"kubernetes.io/os": "windows"}}, "PodOSSelectorNodeLabelDoesNotMatch"),
        ({"os": {"name": "windows"}}, "PodOSNotSupported"),
        ({"os": {"name": "linux"}}, ""),
    ],
)
def test_selectors_and_systems(spec: dict[str, Any], expected: str) -> None:
    assert reason(admit(make_pod("a", **spec, **TOLERANT), [], NODE)) == expected


@pytest.mark.parametrize(
    ("key", "operator", "values", "fits"),
    [
        ("disk", "In", ["ssd", "nvme"], True),
        ("disk", "NotIn", ["ssd"], False),
        ("disk", "Exists", [], True),
        ("other", "DoesNotExist", [], True),
        ("rank", "Gt", ["2"], True),
        ("rank", "Lt", ["2"], False),
        ("disk", "Gt", ["2"], False),
    ],
)
def test_required_affinity(key: str, operator: str, values: list[str], fits: bool) -> None:
    term = {"matchExpressions": [{"key": key, "operator": operator, "values": values}]}
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
    pod = make_pod("a", affinity={"nodeAffinity": required}, **TOLERANT)
    assert (admit(pod, [], NODE) is None) == fits


@pytest.mark.parametrize(
    ("toleration", "fits"),
    [
        ({"key": "gone", "operator": "Equal", "value": "soon", "effect": "NoExecute"}, True),
        ({"key": "gone", "operator": "Exists"}, True),
        ({"key": "gone", "operator": "Equal", "value": "late"}, False),
        ({"key": "gone", "operator": "Exists", "effect": "NoSchedule"}, False),
    ],
)
def test_taints_that_evict_are_honoured(toleration: dict[str, Any], fits: bool) -> None:
    assert (admit(make_pod("a", tolerations=[toleration]), [], NODE) is None) == fits


@pytest.mark.parametrize(
    ("port", "expected"),
    [
        ({"hostPort": 8080}, "NodePorts"),
        ({"hostPort": 8080, "hostIP": "10.0.0.1"}, "NodePorts"),
        ({"hostPort": 8080, "hostIP": "127.0.0.1"}, ""),
        ({"hostPort": 8080, "protocol": "UDP"}, ""),
        ({"hostPort": 8081}, ""),
        ({}, ""),
    ],
)
def test_a_port_of_the_node_is_given_once(port: dict[str, Any], expected: str) -> None:
    def opens(**more: Any) -> dict[str, dict[str, Any]]:
        return {"a": {"ports": [{"containerPort": 80, **more}]}}

    holder = make_pod("a", extra=opens(hostPort=8080, hostIP="10.0.0.1"), **TOLERANT)
    assert reason(admit(make_pod("a", extra=opens(**port), **TOLERANT), [holder], NODE)) == expected

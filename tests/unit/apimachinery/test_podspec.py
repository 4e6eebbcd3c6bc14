"""What pods ask for in all, which class that makes them, and which ports they claim."""

from __future__ import annotations

from typing import Any

import pytest

from apimachinery.podspec import ports, qos, resources

Obj = dict[str, Any]


def container(name: str = "c", requests: Obj | None = None, limits: Obj | None = None, **fields: Any) -> Obj:
    amounts = {"requests": requests or {}, "limits": limits or {}}
    return {"name": name, "resources": amounts, **fields}


def sidecar(name: str, **requests: str) -> Obj:
    return container(name, requests, restartPolicy="Always")


def shown(table: resources.Amounts) -> dict[str, str]:
    return {name: str(amount) for name, amount in table.items()}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"containers": [container(requests={"cpu": "1"}), container(requests={"cpu": "500m"})]}, {"cpu": "1500m"}),
        (
            {"containers": [container(requests={"cpu": "1"})], "initContainers": [container(requests={"cpu": "3"})]},
            {"cpu": "3"},
        ),
        (
            {
                "containers": [container(requests={"cpu": "1"})],
                "initContainers": [sidecar("s", cpu="1"), container(requests={"cpu": "3"}), sidecar("t", cpu="1")],
            },
            {"cpu": "4"},
        ),
        (
            {
                "containers": [container(requests={"cpu": "3"})],
                "initContainers": [sidecar("s", cpu="1"), container(requests={"cpu": "1"}), sidecar("t", cpu="1")],
            },
            {"cpu": "5"},
        ),
        (
            {"containers": [container(requests={"cpu": "1"})], "overhead": {"cpu": "250m", "memory": "1Mi"}},
            {"cpu": "1250m", "memory": "1Mi"},
        ),
        (
            {
                "containers": [container(requests={"cpu": "1", "example.com/gpu": "2"})],
                "resources": {"requests": {"cpu": "4", "memory": "1Gi"}},
            },
            {"cpu": "4", "example.com/gpu": "2", "memory": "1Gi"},
        ),
        ({"containers": [{"name": "c"}]}, {}),
    ],
)
def test_requests(spec: Obj, expected: dict[str, str]) -> None:
    assert shown(resources.requests({"spec": spec})) == expected


def test_overhead_counts_towards_limits_only_where_there_is_one() -> None:
    spec = {"containers": [container(limits={"cpu": "1"})], "overhead": {"cpu": "1", "memory": "1Mi"}}
    assert shown(resources.limits({"spec": spec})) == {"cpu": "2"}
    assert shown(resources.requests({"spec": spec}, with_overhead=False)) == {}


def test_a_shrinking_pod_holds_what_it_had_until_it_is_resized() -> None:
    pod = {
        "spec": {"containers": [container(requests={"cpu": "1"})]},
        "status": {
            "containerStatuses": [
                {"name": "c", "resources": {"requests": {"cpu": "2"}}, "allocatedResources": {"cpu": "2"}}
            ]
        },
    }
    assert shown(resources.requests(pod, use_status=True)) == {"cpu": "2"}
    assert shown(resources.requests(pod)) == {"cpu": "1"}


@pytest.mark.parametrize(
    ("containers", "expected"),
    [
        ([container()], "BestEffort"),
        ([container(requests={"cpu": "0"})], "BestEffort"),
        ([container(requests={"example.com/gpu": "1"})], "BestEffort"),
        ([container(requests={"cpu": "1"})], "Burstable"),
        ([container(requests={"cpu": "1"}, limits={"cpu": "1"})], "Burstable"),
        ([container(requests={"cpu": "1", "memory": "1Gi"}, limits={"cpu": "1000m", "memory": "1Gi"})], "Guaranteed"),
        (
            [container(requests={"cpu": "1", "memory": "1Gi"}, limits={"cpu": "1", "memory": "1Gi"}), container("d")],
            "Burstable",
        ),
    ],
)
def test_classes(containers: list[Obj], expected: str) -> None:
    assert qos.compute({"containers": containers}) == expected


def test_the_recorded_class_stays() -> None:
    assert qos.qos_class({"status": {"qosClass": "Guaranteed"}, "spec": {"containers": []}}) == "Guaranteed"


def test_ports() -> None:
    spec = {
        "containers": [
            {
                "ports": [
                    {"containerPort": 80, "hostPort": 8080, "name": "web"},
                    {"containerPort": 53, "protocol": "UDP"},
                ]
            }
        ],
        "initContainers": [
            {"restartPolicy": "Always", "ports": [{"containerPort": 1, "hostPort": 2, "hostIP": "10.0.0.1"}]},
            {"ports": [{"containerPort": 1, "hostPort": 3}]},
        ],
    }
    assert ports.host_ports(spec) == [("", "TCP", 8080), ("10.0.0.1", "TCP", 2)]
    assert ports.target_port(spec, "web", "TCP") == 80
    assert ports.target_port(spec, "web", "UDP") is None
    assert ports.target_port(spec, 9, "UDP") == 9


def test_init_steps_need_their_own_beside_the_sidecars_before_them() -> None:
    steps = [({"cpu": 1}, True), ({"cpu": 5}, False), ({"cpu": 2}, True), ({"cpu": 1}, False)]
    assert resources.together([{"cpu": 1, "memory": 7}], steps) == {"cpu": 6, "memory": 7}
    assert resources.together([{"cpu": 4}], steps) == {"cpu": 7}

"""How much of a node a pod takes, as the scheduler counts it."""

from __future__ import annotations

from scheduler import requests
from tests.unit.scheduler.worlds import make_pod


def test_amounts_of_the_pod_itself_stand_for_those_of_its_containers() -> None:
    pod = make_pod("p", cpu="1", memory="1Gi", resources={"requests": {"cpu": "3", "example.com/gpu": "1"}})
    assert requests.of_pod(pod) == {"cpu": 3000, "memory": 1 << 30}
    assert requests.of_pod_for_scores(pod)["cpu"] == 3000


def test_overhead_comes_on_top() -> None:
    pod = make_pod("p", cpu="1", resources={"requests": {"cpu": "2"}}, overhead={"cpu": "250m"})
    assert requests.of_pod(pod)["cpu"] == 2250


def test_a_container_without_requests_weighs_in_scores_only() -> None:
    pod = make_pod("p", initContainers=[{"name": "i", "resources": {"requests": {"cpu": "50m"}}}])
    assert requests.of_pod(pod) == {"cpu": 50}
    assert requests.of_pod_for_scores(pod) == {"cpu": 100, "memory": requests.UNNAMED_MEMORY}

"""Each filter by the node it keeps and the sentence it says."""

from typing import Any

import pytest

from component_base.rng import seeded
from scheduler.cache import Cache
from scheduler.framework.cycle import Decision, decide, default_profile
from scheduler.plugins.volume_binding import VolumeBinding
from scheduler.pod_info import PodInfo
from tests.unit.scheduler.worlds import MemoryStorage, make_node, make_pod


def where(pod: Any, *nodes: Any, placed: tuple[Any, ...] = (), storage: MemoryStorage | None = None) -> Decision:
    cache = Cache()
    for node in nodes:
        cache.set_node(node)
    for other in placed:
        cache.set_pod(PodInfo(other))
    profile = default_profile(cache, lambda namespace: {}, VolumeBinding(storage or MemoryStorage()))
    return decide(PodInfo(pod), cache.table, profile, seeded(3))


NO_SCHEDULE = {"key": "dedicated", "value": "db", "effect": "NoSchedule"}
AFFINITY = {
    "nodeAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [{"matchExpressions": [{"key": "zone", "operator": "In", "values": ["east", "west"]}]}]
        }
    }
}


@pytest.mark.parametrize(
    ("pod", "other", "sentence"),
    [
        (make_pod("p", cpu="3"), make_node("b", cpu="2"), "Insufficient cpu"),
        (make_pod("p", memory="3Gi"), make_node("b", memory="2Gi"), "Insufficient memory"),
        (
            make_pod("p", nodeSelector={"disk": "ssd"}),
            make_node("b"),
            "node(s) didn't match Pod's node affinity/selector",
        ),
        (make_pod("p", affinity=AFFINITY), make_node("b", labels={"zone": "north"}), "affinity/selector"),
        (make_pod("p"), make_node("b", unschedulable=True), "node(s) were unschedulable"),
        (make_pod("p"), make_node("b", taints=[NO_SCHEDULE]), "node(s) had untolerated taint(s)"),
        (make_pod("p"), make_node("b", pods=0), "Too many pods"),
    ],
)
def test_the_node_that_does_not_fit_is_left_out(pod: Any, other: Any, sentence: str) -> None:
    good = make_node("good", cpu="8", memory="16Gi", labels={"disk": "ssd", "zone": "east"})
    assert where(pod, good, other).node == "good"
    alone = where(pod, other)
    assert alone.node is None
    assert sentence in alone.message


def test_a_toleration_lets_the_pod_in() -> None:
    pod = make_pod("p", tolerations=[{"key": "dedicated", "operator": "Equal", "value": "db", "effect": "NoSchedule"}])
    assert where(pod, make_node("b", taints=[NO_SCHEDULE])).node == "b"


def test_a_host_port_is_taken_once_on_a_node() -> None:
    taken = make_pod("first", node="a", hostPorts=(8080,))
    second = make_pod("second", hostPorts=(8080,))
    assert where(second, make_node("a"), make_node("b"), placed=(taken,)).node == "b"
    assert "didn't have free ports" in where(second, make_node("a"), placed=(taken,)).message


def test_pods_that_avoid_each_other_are_kept_apart() -> None:
    term = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "db"}}}
    apart = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    first = make_pod("first", node="a", labels={"app": "db"}, affinity=apart)
    second = make_pod("second", labels={"app": "db"}, affinity=apart)
    assert where(second, make_node("a"), make_node("b"), placed=(first,)).node == "b"
    assert where(second, make_node("a"), placed=(first,)).node is None


def test_skew_is_bounded_over_zones() -> None:
    constraint = {
        "maxSkew": 1,
        "topologyKey": "zone",
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"app": "web"}},
    }
    nodes = (make_node("a", labels={"zone": "east"}), make_node("b", labels={"zone": "west"}))
    placed = (make_pod("one", node="a", labels={"app": "web"}),)
    pod = make_pod("two", labels={"app": "web"}, topologySpreadConstraints=[constraint])
    assert where(pod, *nodes, placed=placed).node == "b"


def test_every_reason_is_counted() -> None:
    pod = make_pod("p", cpu="3")
    message = where(pod, make_node("a", cpu="1"), make_node("b", cpu="1"), make_node("c", unschedulable=True)).message
    assert message == "0/3 nodes are available: 1 node(s) were unschedulable, 2 Insufficient cpu."

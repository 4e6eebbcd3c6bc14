"""Ranges, silence, taints, evictions, orphaned pods."""

from typing import Any

import pytest

from apimachinery.placement import tolerates
from controller_manager.node.eviction import TaintEvictionController, stays_for
from controller_manager.node.ipam import NodeIpamController
from controller_manager.node.lifecycle import NodeLifecycleController
from controller_manager.node.pod_gc import QUARANTINE_SECONDS, PodGcController
from controller_manager.views import Taint, Toleration
from kubeclient.plan import Plan
from tests.unit.controller_manager.caches import NOW, THEN, Caches, condition, deletes, events, patches, pod

NODES, PODS, LEASES = "/api/v1/nodes", "/api/v1/pods", "/apis/coordination.k8s.io/v1/leases"


def node(name: str = "n1", ready: str = "True", **spec: Any) -> dict[str, Any]:
    kinds = ("MemoryPressure", "DiskPressure", "PIDPressure")
    conditions = [condition("Ready", ready), *(condition(kind, "False") for kind in kinds)]
    return {"metadata": {"name": name}, "spec": spec, "status": {"conditions": conditions}}


def lease(name: str, renewed: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "kube-node-lease"}, "spec": {"renewTime": renewed}}


# Ranges


def test_each_node_gets_the_lowest_free_range() -> None:
    caches = Caches()
    controller = NodeIpamController(caches.informers, "10.244.0.0/16", 24)
    caches.put(NODES, node("a", podCIDR="10.244.0.0/24"))
    caches.put(NODES, node("b"))
    caches.put(NODES, node("c"))
    given = [patches(controller.reconcile(name, NOW))[0].body["spec"] for name in ("b", "c")]
    assert given == [
        {"podCIDR": "10.244.1.0/24", "podCIDRs": ["10.244.1.0/24"]},
        {"podCIDR": "10.244.2.0/24", "podCIDRs": ["10.244.2.0/24"]},
    ], "also before the watch shows the first"
    assert controller.reconcile("a", NOW).is_empty


def test_a_range_is_free_again_when_its_node_is_gone() -> None:
    caches = Caches()
    controller = NodeIpamController(caches.informers, "10.244.0.0/23", 24)
    first = caches.put(NODES, node("a", podCIDR="10.244.0.0/24"))
    caches.put(NODES, node("b", podCIDR="10.244.1.0/24"))
    caches.put(NODES, node("c"))
    full = controller.reconcile("c", NOW)
    assert events(full)[0][0] == "CIDRNotAvailable"
    assert full.requeue_after
    caches.drop(NODES, first)
    controller.reconcile("a", NOW)
    assert patches(controller.reconcile("c", NOW))[0].body["spec"]["podCIDR"] == "10.244.0.0/24"


def test_a_range_that_cannot_be_cut_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot be cut"):
        NodeIpamController(Caches().informers, "10.244.0.0/24", 16)


# Life


class Life:
    def __init__(self) -> None:
        self.caches = Caches()
        self.controller = NodeLifecycleController(self.caches.informers, self.caches.clock, grace=50.0)
        self.enqueued: list[str] = []
        self.controller.watch(self.enqueued.append)
        self.node = self.caches.put(NODES, node())
        self.caches.put(LEASES, lease("n1", "1"))

    def plan(self) -> Plan:
        return self.controller.reconcile("n1", self.caches.clock.now())


def test_a_node_that_is_heard_of_is_left_alone() -> None:
    life = Life()
    assert events(life.plan()) == [("RegisteredNode", "Node n1 event: Registered Node n1 in Controller")]
    for renewal in range(5):
        life.caches.clock.advance(40)
        life.caches.put(LEASES, lease("n1", f"{renewal + 2}"))
        assert life.plan().is_empty


def test_a_node_that_leaves_is_told_of_once() -> None:
    life = Life()
    life.plan()
    life.caches.drop(NODES, life.node)
    assert events(life.plan()) == [("RemovingNode", "Node n1 event: Removing Node n1 from Controller")]
    assert life.plan().is_empty


def test_a_silent_node_becomes_unknown_tainted_and_its_pods_unready() -> None:
    life = Life()
    life.caches.put(PODS, pod("web"))
    assert 49 < (life.plan().requeue_after or 0) < 51
    life.caches.clock.advance(51)
    plan = life.plan()
    status, taints, unready = patches(plan)
    assert status.path == "/api/v1/nodes/n1/status"
    assert {c["type"]: c["status"] for c in status.body["status"]["conditions"]}["Ready"] == "Unknown"
    keys = {(t["key"], t["effect"]) for t in taints.body["spec"]["taints"]}
    unreachable = "node.kubernetes.io/unreachable"
    assert keys == {(unreachable, "NoSchedule"), (unreachable, "NoExecute")}
    assert unready.path == "/api/v1/namespaces/x/pods/web/status"
    assert events(plan) == [("NodeNotReady", "Node n1 status is now: NodeNotReady")]


def test_a_sign_of_life_brings_a_silenced_node_back_to_be_looked_at() -> None:
    life = Life()
    life.caches.clock.advance(51)
    life.caches.put(NODES, node(ready="Unknown"))
    life.plan()
    life.enqueued.clear()
    life.caches.put(LEASES, lease("n1", "2"))
    assert life.enqueued == ["n1"]
    life.caches.put(
        NODES, node(ready="True", taints=[{"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"}])
    )
    (taints,) = patches(life.plan())
    assert taints.body["spec"]["taints"] is None


def test_conditions_and_cordons_become_taints_and_foreign_taints_stay() -> None:
    life = Life()
    body = node(unschedulable=True, taints=[{"key": "mine", "effect": "NoSchedule"}])
    body["status"]["conditions"][1]["status"] = "True"
    life.caches.put(NODES, body)
    (patch,) = patches(life.plan())
    keys = {t["key"] for t in patch.body["spec"]["taints"]}
    assert keys == {"mine", "node.kubernetes.io/memory-pressure", "node.kubernetes.io/unschedulable"}


# Evictions

UNREACHABLE = Taint("node.kubernetes.io/unreachable", "NoExecute", timeAdded=THEN)


@pytest.mark.parametrize(
    ("toleration", "expected"),
    [
        (Toleration("node.kubernetes.io/unreachable", "Exists"), True),
        (Toleration("", "Exists"), True),
        (Toleration("node.kubernetes.io/unreachable", "Equal", "x"), False),
        (Toleration("node.kubernetes.io/unreachable", "Exists", effect="NoSchedule"), False),
        (Toleration("other", "Exists"), False),
    ],
)
def test_what_a_toleration_tolerates(toleration: Toleration, expected: bool) -> None:
    assert tolerates(toleration, UNREACHABLE) is expected


def eviction(caches: Caches, *tolerations: dict[str, Any]) -> TaintEvictionController:
    controller = TaintEvictionController(caches.informers)
    taint = {"key": UNREACHABLE.key, "effect": "NoExecute", "timeAdded": THEN}
    caches.put(NODES, node(taints=[taint]))
    caches.put(PODS, pod("web", spec={"tolerations": list(tolerations)}))
    return controller


def test_a_pod_that_tolerates_nothing_goes_at_once() -> None:
    plan = eviction(Caches()).reconcile("x/web", NOW)
    assert deletes(plan) == ["web"]
    assert patches(plan)[0].body["status"]["conditions"][0]["reason"] == "DeletionByTaintManager"


def test_a_pod_stays_for_its_toleration_seconds_since_the_taint() -> None:
    toleration = {"key": UNREACHABLE.key, "operator": "Exists", "tolerationSeconds": 300}
    controller = eviction(Caches(), toleration)
    assert controller.reconcile("x/web", NOW).requeue_after == 240.0, "the taint is a minute old"
    assert deletes(controller.reconcile("x/web", NOW + 240)) == ["web"]


def test_a_pod_that_tolerates_for_ever_stays() -> None:
    controller = eviction(Caches(), {"operator": "Exists"})
    assert controller.reconcile("x/web", NOW).is_empty
    assert stays_for(next(iter(controller._pods.values())), [UNREACHABLE], NOW) is None


# Pods without a node


def test_pods_of_a_node_that_is_gone_are_removed_after_a_while() -> None:
    caches = Caches()
    controller = PodGcController(caches.informers)
    caches.put(PODS, pod("web", node="gone"))
    assert controller.reconcile("gone", NOW).requeue_after == QUARANTINE_SECONDS
    plan = controller.reconcile("gone", NOW + QUARANTINE_SECONDS)
    assert deletes(plan) == ["web"]
    assert patches(plan)[0].body["status"]["phase"] == "Failed"


def test_ended_pods_beyond_the_threshold_go_oldest_first() -> None:
    caches = Caches()
    controller = PodGcController(caches.informers, terminated_threshold=1)
    caches.put(PODS, pod("old", phase="Succeeded", meta={"creationTimestamp": "2026-01-01T00:00:00Z"}))
    caches.put(PODS, pod("new", phase="Failed"))
    caches.put(PODS, pod("runs"))
    assert deletes(controller.reconcile("", NOW)) == ["old"]

"""As many pods as asked for: which are made, which go, what the status says."""

from typing import Any

from apimachinery.errors import forbidden
from controller_manager.replicaset.controller import ReplicaSetController
from controller_manager.replicaset.ranking import first_to_go
from tests.unit.controller_manager.caches import (
    NOW,
    THEN,
    Caches,
    creates,
    deletes,
    owner,
    patches,
    pod,
    status_of,
)

SETS = "/apis/apps/v1/replicasets"
PODS = "/api/v1/pods"
OWNER = owner("ReplicaSet", "web")


def replica_set(replicas: int, **more: Any) -> dict[str, Any]:
    labels = {"app": "web"}
    spec = {
        "replicas": replicas,
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}},
        **more.pop("spec", {}),
    }
    return {
        "metadata": {"name": "web", "namespace": "x", "generation": 1, **more.pop("meta", {})},
        "spec": spec,
        **more,
    }


def make(caches: Caches, replicas: int, *pods: dict[str, Any], **more: Any) -> ReplicaSetController:
    controller = ReplicaSetController(caches.informers)
    caches.put(SETS, replica_set(replicas, **more))
    for found in pods:
        caches.put(PODS, found)
    return controller


def test_missing_pods_are_made_from_the_template() -> None:
    controller = make(Caches(), 3, pod("a", OWNER))
    made = creates(controller.reconcile("x/web", NOW))
    assert len(made) == 2
    body = made[0].body
    assert body["metadata"]["generateName"] == "web-"
    assert body["metadata"]["labels"] == {"app": "web"}
    assert body["metadata"]["ownerReferences"] == [OWNER]
    assert body["spec"] == {"containers": [{"name": "c", "image": "i"}]}


def test_of_too_many_the_least_useful_go() -> None:
    pods = [
        pod("ready", OWNER),
        pod("unready", OWNER, ready=False),
        pod("pending", OWNER, ready=False, phase="Pending"),
    ]
    controller = make(Caches(), 1, *pods)
    assert deletes(controller.reconcile("x/web", NOW)) == ["pending", "unready"]


def test_a_cheaper_pod_goes_before_a_younger_one() -> None:
    caches = Caches()
    controller = make(caches, 2)
    cost = {"annotations": {"controller.kubernetes.io/pod-deletion-cost": "-5"}}
    caches.put(PODS, pod("cheap", OWNER, meta=cost))
    caches.put(PODS, pod("young", OWNER, meta={"creationTimestamp": "2027-01-15T08:00:00Z"}))
    caches.put(PODS, pod("old", OWNER))
    assert deletes(controller.reconcile("x/web", NOW)) == ["cheap"]


def test_crowded_nodes_are_thinned_first() -> None:
    caches = Caches()
    make(caches, 0, pod("a", OWNER, node="n1"), pod("b", OWNER, node="n1"), pod("c", OWNER, node="n2"))
    pods = caches.informers.at(PODS).values()  # type: ignore[union-attr]
    assert first_to_go(pods, pods, 1, NOW)[0].spec.nodeName == "n1"


def test_ended_pods_are_replaced_and_ending_ones_are_not_counted() -> None:
    ending = pod("ending", OWNER, meta={"deletionTimestamp": THEN})
    controller = make(Caches(), 1, pod("failed", OWNER, phase="Failed"), ending)
    assert len(creates(controller.reconcile("x/web", NOW))) == 1


def test_matching_orphans_are_adopted_and_strangers_released() -> None:
    controller = make(Caches(), 2, pod("orphan"), pod("moved", OWNER, labels={"app": "other"}))
    found = {
        p.path.rpartition("/")[2]: p.body["metadata"]["ownerReferences"]
        for p in patches(controller.reconcile("x/web", NOW))
        if "/pods/" in p.path
    }
    assert found["orphan"] == [OWNER]
    assert found["moved"] == [{"$patch": "delete", "uid": "uid-web"}]


def test_pods_of_another_owner_are_left_alone() -> None:
    controller = make(Caches(), 0, pod("theirs", owner("ReplicaSet", "other")))
    plan = controller.reconcile("x/web", NOW)
    assert not deletes(plan)
    assert not [p for p in patches(plan) if "/pods/" in p.path]


def test_the_status_counts_and_is_written_only_when_it_changes() -> None:
    caches = Caches()
    controller = make(caches, 2, pod("a", OWNER), pod("b", OWNER, ready=False))
    status = status_of(controller.reconcile("x/web", NOW))
    assert status is not None
    assert (status["replicas"], status["readyReplicas"], status["availableReplicas"]) == (2, 1, 1)
    caches.put(SETS, replica_set(2, status={k: v for k, v in status.items() if v is not None}))
    assert status_of(controller.reconcile("x/web", NOW)) is None


def test_a_pod_is_available_after_min_ready_seconds() -> None:
    controller = make(Caches(), 1, pod("a", OWNER), spec={"minReadySeconds": 90})
    plan = controller.reconcile("x/web", NOW)
    status = status_of(plan)
    assert status is not None
    assert status["availableReplicas"] == 0
    assert plan.requeue_after == 30.0, "ready for 60 of 90 seconds"


def test_a_refused_pod_shows_in_the_status_until_one_is_made() -> None:
    caches = Caches()
    controller = make(caches, 1)
    controller.failed("x/web", forbidden("pods", "", "web-1", "exceeded quota"))
    status = status_of(controller.reconcile("x/web", NOW))
    assert status is not None
    (failure,) = status["conditions"]
    assert (failure["type"], failure["reason"]) == ("ReplicaFailure", "FailedCreate")
    assert "exceeded quota" in failure["message"]
    caches.put(SETS, replica_set(1, status=status))
    caches.put(PODS, pod("a", OWNER))
    controller.reconcile("x/web", NOW)
    status = status_of(controller.reconcile("x/web", NOW))
    assert status is not None
    assert not status.get("conditions")


def test_a_set_that_is_being_deleted_makes_nothing() -> None:
    controller = make(Caches(), 3, pod("a", OWNER), meta={"deletionTimestamp": THEN})
    plan = controller.reconcile("x/web", NOW)
    assert not creates(plan)
    assert not deletes(plan)


def test_a_set_that_is_gone_needs_nothing() -> None:
    assert ReplicaSetController(Caches().informers).reconcile("x/web", NOW).is_empty

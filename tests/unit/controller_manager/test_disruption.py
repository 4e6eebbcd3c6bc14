"""What a budget says: how many pods are well, how many must be, how many may go."""

from typing import Any

import pytest

from controller_manager.disruption.controller import DisruptionController
from tests.unit.controller_manager.caches import NOW, THEN, condition, events, owner, patches, pod, status_of
from tests.unit.controller_manager.world import PODS, World

BUDGETS = "/apis/policy/v1/poddisruptionbudgets"
SETS = "/apis/apps/v1/replicasets"
KEY = "x/web"


class Budgets(World):
    def __init__(self, ready: int = 3, unready: int = 0, owned: str = "ReplicaSet", **spec: Any) -> None:
        super().__init__()
        self.controller = DisruptionController(self.caches.informers)
        whole = {"selector": {"matchLabels": {"app": "web"}}, **spec}
        self.put(BUDGETS, {"metadata": {"name": "web", "namespace": "x", "generation": 2}, "spec": whole})
        wanted = {"replicas": 4, "selector": {"matchLabels": {"app": "web"}}}
        self.put(SETS, {"metadata": {"name": "set", "namespace": "x"}, "spec": wanted})
        for number in range(ready + unready):
            self.put(PODS, pod(f"p{number}", owner(owned, "set") if owned else None, ready=number < ready))

    @property
    def state(self) -> dict[str, Any]:
        return self.status(BUDGETS, "web")

    def numbers(self) -> tuple[int, int, int, int]:
        fields = ("currentHealthy", "desiredHealthy", "expectedPods", "disruptionsAllowed")
        healthy, desired, expected, allowed = (self.state[field] for field in fields)
        return healthy, desired, expected, allowed


@pytest.mark.parametrize(
    ("spec", "numbers"),
    [
        ({"minAvailable": 2}, (3, 2, 3, 1)),
        ({"minAvailable": 3}, (3, 3, 3, 0)),
        ({"minAvailable": "50%"}, (3, 2, 4, 1)),
        ({"maxUnavailable": 1}, (3, 3, 4, 0)),
        ({"maxUnavailable": "50%"}, (3, 2, 4, 1)),
        ({"maxUnavailable": 10}, (3, 0, 4, 3)),
    ],
)
def test_the_numbers(spec: dict[str, Any], numbers: tuple[int, ...]) -> None:
    budgets = Budgets(**spec)
    budgets.settle(KEY)
    assert budgets.numbers() == numbers
    assert budgets.state["observedGeneration"] == 2
    (mark,) = budgets.state["conditions"]
    wanted = ("True", "SufficientPods") if numbers[3] else ("False", "InsufficientPods")
    assert (mark["type"], mark["status"], mark["reason"]) == ("DisruptionAllowed", *wanted)
    assert (mark["message"], mark["observedGeneration"]) == ("", 2)


def test_pods_that_are_not_ready_or_leave_are_not_healthy() -> None:
    budgets = Budgets(ready=2, unready=1, minAvailable=1)
    budgets.put(PODS, pod("leaving", owner("ReplicaSet", "set"), meta={"deletionTimestamp": THEN}))
    budgets.settle(KEY)
    assert budgets.numbers() == (2, 1, 4, 1)


def test_the_size_of_a_deployment_counts_not_that_of_its_sets() -> None:
    budgets = Budgets(maxUnavailable=1)
    deployment = {"replicas": 3, "selector": {"matchLabels": {"app": "web"}}}
    budgets.put("/apis/apps/v1/deployments", {"metadata": {"name": "top", "namespace": "x"}, "spec": deployment})
    body = budgets.objects[SETS, "set"]
    references = [owner("Deployment", "top")]
    budgets.put(SETS, {**body, "metadata": {**body["metadata"], "ownerReferences": references}})
    budgets.settle(KEY)
    assert budgets.numbers() == (3, 2, 3, 1)


def test_an_eviction_that_was_agreed_to_counts_until_the_pod_goes() -> None:
    budgets = Budgets(minAvailable=2)
    body = budgets.objects[BUDGETS, "web"]
    budgets.put(BUDGETS, {**body, "status": {"disruptedPods": {"p0": "2027-01-15T08:00:00Z"}}})
    plan = budgets.step(KEY)
    assert budgets.numbers() == (2, 2, 3, 0)
    assert plan.requeue_after == 120
    budgets.drop(PODS, "p0")
    budgets.settle(KEY)
    assert (budgets.numbers(), budgets.state["disruptedPods"]) == ((2, 2, 2, 0), {})


def test_an_eviction_that_did_not_happen_is_given_up() -> None:
    budgets = Budgets(minAvailable=2)
    body = budgets.objects[BUDGETS, "web"]
    budgets.put(BUDGETS, {**body, "status": {"disruptedPods": {"p0": "2027-01-15T07:50:00Z"}}})
    plan = budgets.step(KEY)
    assert budgets.numbers() == (3, 2, 3, 1)
    assert ("NotDeleted", "Pod was expected by PDB x/web to be deleted but it wasn't") in events(plan)


def test_a_budget_without_pods_allows_nothing() -> None:
    budgets = Budgets(ready=0, minAvailable=0)
    assert [reason for reason, _ in events(budgets.step(KEY))] == ["NoPods"]
    assert budgets.numbers() == (0, 0, 0, 0)


def test_where_nobody_knows_the_size_nothing_may_go() -> None:
    budgets = Budgets(maxUnavailable=1, owned="Job")
    plan = budgets.step(KEY)
    assert [reason for reason, _ in events(plan)] == ["CalculateExpectedPodCountFailed"]
    (mark,) = budgets.state["conditions"]
    assert (mark["reason"], budgets.state["disruptionsAllowed"]) == ("SyncFailed", 0)
    assert budgets.step(KEY).is_empty


def test_pods_without_a_controller_count_for_a_number_only() -> None:
    budgets = Budgets(minAvailable=2, owned="")
    budgets.settle(KEY)
    assert budgets.numbers() == (3, 2, 3, 1)
    budgets = Budgets(maxUnavailable=1, owned="")
    assert [reason for reason, _ in events(budgets.step(KEY))] == ["UnmanagedPods"]


def test_the_mark_of_an_eviction_that_came_to_nothing_is_taken_away() -> None:
    budgets = Budgets(minAvailable=2)
    body = budgets.objects[PODS, "p0"]
    mark = condition("DisruptionTarget", reason="EvictionByEvictionAPI")
    budgets.put(PODS, {**body, "status": {**body["status"], "conditions": [mark]}})
    assert budgets.controller.reconcile("pod:x/p0", NOW).requeue_after == 60
    (patch,) = patches(budgets.controller.reconcile("pod:x/p0", NOW + 60))
    assert patch.path == "/api/v1/namespaces/x/pods/p0/status"
    assert status_of(budgets.controller.reconcile("pod:x/p0", NOW + 60)) == patch.body["status"]
    (cleared,) = patch.body["status"]["conditions"]
    assert (cleared["type"], cleared["status"]) == ("DisruptionTarget", "False")

"""Numbered pods: their order, their identity, their claims, and updates from the highest number down."""

from typing import Any

import pytest

from controller_manager.statefulset.controller import StatefulSetController
from kubeclient.plan import Plan
from tests.unit.controller_manager.caches import NOW, THEN, Caches, creates, deletes, patches
from tests.unit.controller_manager.world import PODS, World

SETS = "/apis/apps/v1/statefulsets"
CLAIMS = "/api/v1/persistentvolumeclaims"
REVISIONS = "/apis/apps/v1/controllerrevisions"
KEY = "x/db"
DISK = {"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"]}}


def template(image: str) -> dict[str, Any]:
    return {"metadata": {"labels": {"app": "db"}}, "spec": {"containers": [{"name": "c", "image": image}]}}


class Stateful(World):
    def __init__(self, **spec: Any) -> None:
        super().__init__()
        self.controller = StatefulSetController(self.caches.informers)
        whole = {
            "replicas": 3,
            "serviceName": "db",
            "selector": {"matchLabels": {"app": "db"}},
            "template": template("v1"),
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}},
            **spec,
        }
        self.put(SETS, {"metadata": {"name": "db", "namespace": "x", "generation": 1}, "spec": whole})

    @property
    def state(self) -> dict[str, Any]:
        return self.status(SETS, "db")

    def images(self) -> dict[str, str]:
        return {name: body["spec"]["containers"][0]["image"] for name, body in sorted(self.pods.items())}

    def image(self, image: str) -> None:
        self.change(SETS, "db", template=template(image))

    def mark(self, name: str, **meta: Any) -> None:
        body = self.objects[PODS, name]
        self.put(PODS, {**body, "metadata": {**body["metadata"], **meta}})

    def rolled(self) -> list[str]:
        """Names in the order in which they went."""
        order: list[str] = []
        for _ in range(30):
            self.run_pods()
            plan: Plan = self.step(KEY)
            order += deletes(plan)
            if plan.is_empty:
                return order
        raise AssertionError("it does not come to rest")


@pytest.fixture
def stateful() -> Stateful:
    found = Stateful()
    found.settle(KEY)
    return found


def test_pods_come_up_one_after_the_other() -> None:
    world = Stateful()
    world.step(KEY)
    assert list(world.pods) == ["db-0"]
    world.step(KEY)
    assert list(world.pods) == ["db-0"], "not before the first is ready"
    world.run_pods()
    world.step(KEY)
    assert list(world.pods) == ["db-0", "db-1"]
    world.settle(KEY)
    assert list(world.pods) == ["db-0", "db-1", "db-2"]


def test_a_pod_has_the_identity_of_its_number(stateful: Stateful) -> None:
    pod = stateful.pods["db-1"]
    (revision,) = stateful.all(REVISIONS)
    assert pod["metadata"]["labels"] == {
        "app": "db",
        "statefulset.kubernetes.io/pod-name": "db-1",
        "apps.kubernetes.io/pod-index": "1",
        "controller-revision-hash": revision,
    }
    assert (pod["spec"]["hostname"], pod["spec"]["subdomain"]) == ("db-1", "db")
    counts = {key: stateful.state[f"{key}Replicas"] for key in ("ready", "current", "updated", "available")}
    assert counts == dict.fromkeys(counts, 3)
    assert stateful.state["currentRevision"] == stateful.state["updateRevision"] == revision


def test_in_parallel_all_come_up_and_go_at_once() -> None:
    world = Stateful(podManagementPolicy="Parallel")
    world.step(KEY)
    assert len(world.pods) == 3
    world.settle(KEY)
    world.change(SETS, "db", replicas=0)
    assert len(deletes(world.step(KEY))) == 3


def test_numbers_may_start_elsewhere() -> None:
    world = Stateful(ordinals={"start": 5}, replicas=2)
    world.settle(KEY)
    assert list(world.pods) == ["db-5", "db-6"]


def test_scaling_down_takes_the_highest_first(stateful: Stateful) -> None:
    stateful.change(SETS, "db", replicas=1)
    assert stateful.rolled() == ["db-2", "db-1"]


def test_scaling_down_waits_for_pods_that_are_not_well(stateful: Stateful) -> None:
    stateful.finish("db-0", "Running", ready=False)
    stateful.change(SETS, "db", replicas=1)
    assert not deletes(stateful.step(KEY))


def test_an_ended_pod_is_made_again_under_its_name(stateful: Stateful) -> None:
    stateful.finish("db-1", "Failed")
    assert stateful.rolled() == ["db-1"]
    assert "db-1" in stateful.pods


def test_an_update_goes_from_the_highest_to_the_lowest(stateful: Stateful) -> None:
    stateful.image("v2")
    assert stateful.rolled() == ["db-2", "db-1", "db-0"]
    assert set(stateful.images().values()) == {"v2"}
    assert stateful.state["currentRevision"] == stateful.state["updateRevision"]
    assert len(stateful.all(REVISIONS)) == 2


def test_an_update_stops_at_a_pod_that_does_not_come_up(stateful: Stateful) -> None:
    stateful.image("v2")
    stateful.settle(KEY, run=False)
    assert stateful.images() == {"db-0": "v1", "db-1": "v1", "db-2": "v2"}
    assert (stateful.state["updatedReplicas"], stateful.state["currentReplicas"]) == (1, 2)


def test_an_update_replaces_a_pod_that_never_came_up_where_nothing_waits() -> None:
    world = Stateful(podManagementPolicy="Parallel")
    world.settle(KEY)
    world.finish("db-2", "Running", ready=False)
    world.image("v2")
    assert deletes(world.step(KEY)) == ["db-2"]


def test_below_the_partition_pods_stay_and_come_back_as_they_were() -> None:
    world = Stateful(updateStrategy={"type": "RollingUpdate", "rollingUpdate": {"partition": 2}})
    world.settle(KEY)
    world.image("v2")
    assert world.rolled() == ["db-2"]
    world.drop(PODS, "db-0")
    world.settle(KEY)
    assert world.images() == {"db-0": "v1", "db-1": "v1", "db-2": "v2"}
    assert world.state["currentRevision"] != world.state["updateRevision"]


def test_more_than_one_may_be_down_for_an_update() -> None:
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"partition": 0, "maxUnavailable": 2}}
    world = Stateful(updateStrategy=strategy)
    world.settle(KEY)
    world.image("v2")
    assert deletes(world.step(KEY)) == ["db-2", "db-1"]


def test_on_delete_waits_for_somebody_to_delete() -> None:
    world = Stateful(updateStrategy={"type": "OnDelete"})
    world.settle(KEY)
    world.image("v2")
    assert world.rolled() == []
    world.drop(PODS, "db-1")
    world.settle(KEY)
    assert world.images() == {"db-0": "v1", "db-1": "v2", "db-2": "v1"}


def test_each_pod_gets_its_claims_before_it_is_made_and_keeps_them() -> None:
    world = Stateful(volumeClaimTemplates=[DISK], replicas=2)
    world.settle(KEY)
    assert world.made[1:] == ["data-db-0", "db-0", "data-db-1", "db-1"]
    assert world.all(CLAIMS)["data-db-0"]["metadata"]["labels"] == {"app": "db"}
    volume = {"name": "data", "persistentVolumeClaim": {"claimName": "data-db-0"}}
    assert world.pods["db-0"]["spec"]["volumes"] == [volume]
    world.change(SETS, "db", replicas=0)
    world.settle(KEY)
    assert sorted(world.all(CLAIMS)) == ["data-db-0", "data-db-1"]


def test_a_claim_may_go_with_the_set_or_with_a_pod_that_is_scaled_away() -> None:
    policy = {"whenDeleted": "Delete", "whenScaled": "Delete"}
    world = Stateful(volumeClaimTemplates=[DISK], replicas=2, persistentVolumeClaimRetentionPolicy=policy)
    world.settle(KEY)
    owner = world.all(CLAIMS)["data-db-1"]["metadata"]["ownerReferences"][0]
    assert (owner["kind"], owner["name"]) == ("StatefulSet", "db")
    world.change(SETS, "db", replicas=1)
    world.step(KEY)
    owner = world.all(CLAIMS)["data-db-1"]["metadata"]["ownerReferences"][0]
    assert (owner["kind"], owner["name"]) == ("Pod", "db-1")


def test_a_pod_waits_for_an_old_claim_to_go() -> None:
    world = Stateful(volumeClaimTemplates=[DISK])
    world.put(CLAIMS, {"metadata": {"name": "data-db-0", "namespace": "x", "deletionTimestamp": THEN}})
    plan = world.step(KEY)
    assert not world.pods
    assert plan.requeue_after == 2.0


def test_a_pod_that_lost_its_labels_gets_them_back(stateful: Stateful) -> None:
    labels = stateful.pods["db-0"]["metadata"]["labels"]
    stateful.mark("db-0", labels={"app": "db", "controller-revision-hash": labels["controller-revision-hash"]})
    stateful.settle(KEY)
    assert stateful.pods["db-0"]["metadata"]["labels"] == labels


def test_an_orphan_is_adopted_by_name_and_labels() -> None:
    world = Stateful(replicas=1)
    for name in ("db-0", "other"):
        world.put(PODS, {"metadata": {"name": name, "namespace": "x", "labels": {"app": "db"}}, "spec": {}})
    plan = world.step(KEY)
    assert [p.path.rpartition("/")[2] for p in patches(plan) if "/pods/" in p.path] == ["db-0"]
    assert not [c for c in creates(plan) if c.path.endswith("/pods")]


def test_old_revisions_beyond_the_limit_go(stateful: Stateful) -> None:
    stateful.change(SETS, "db", revisionHistoryLimit=1)
    for image in ("v2", "v3", "v4"):
        stateful.image(image)
        stateful.settle(KEY)
    assert sorted(r["revision"] for r in stateful.all(REVISIONS).values()) == [3, 4]


def test_one_that_is_being_deleted_moves_nothing(stateful: Stateful) -> None:
    body = stateful.objects[SETS, "db"]
    stateful.put(SETS, {**body, "metadata": {**body["metadata"], "deletionTimestamp": THEN}})
    stateful.drop(PODS, "db-2")
    plan = stateful.step(KEY)
    assert not creates(plan)
    assert stateful.state["replicas"] == 2


def test_one_that_is_gone_needs_nothing() -> None:
    assert StatefulSetController(Caches().informers).reconcile(KEY, NOW).is_empty

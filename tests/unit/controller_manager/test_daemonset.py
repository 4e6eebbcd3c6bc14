"""One pod on each node that may have one, replaced by the update strategy's rules."""

from typing import Any

import pytest

from controller_manager.daemonset.controller import DaemonSetController
from kubeclient.plan import Plan
from tests.unit.controller_manager.caches import NOW, THEN, Caches, condition, creates, deletes
from tests.unit.controller_manager.world import PODS, World

SETS = "/apis/apps/v1/daemonsets"
NODES = "/api/v1/nodes"
REVISIONS = "/apis/apps/v1/controllerrevisions"
KEY = "x/agent"


def daemon_set(image: str = "v1", pod_spec: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    labels = {"app": "agent"}
    template = {
        "metadata": {"labels": labels},
        "spec": {"containers": [{"name": "c", "image": image}], **(pod_spec or {})},
    }
    return {
        "metadata": {
            "name": "agent",
            "namespace": "x",
            "generation": 1,
            "annotations": {"deprecated.daemonset.template.generation": "1"},
        },
        "spec": {
            "selector": {"matchLabels": labels},
            "template": template,
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}},
            "revisionHistoryLimit": 10,
            **spec,
        },
    }


def node(name: str, labels: dict[str, str] | None = None, taints: list[dict[str, str]] | None = None) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "labels": labels or {}},
        "spec": {"taints": taints or []},
        "status": {"conditions": [condition("Ready")]},
    }


class Daemons(World):
    def __init__(self, *nodes: dict[str, Any], **wanted: Any) -> None:
        super().__init__()
        self.controller = DaemonSetController(self.caches.informers)
        for each in nodes:
            self.put(NODES, each)
        self.put(SETS, daemon_set(**wanted))

    def images(self) -> list[str]:
        return sorted(pod["spec"]["containers"][0]["image"] for pod in self.pods.values())

    def image(self, image: str) -> None:
        self.change(SETS, "agent", template=daemon_set(image)["spec"]["template"])

    def on(self, name: str) -> list[str]:
        return [pod for pod, body in self.pods.items() if target(body) == name]


def target(pod: dict[str, Any]) -> str:
    affinity = pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    found: str = affinity["nodeSelectorTerms"][0]["matchFields"][0]["values"][0]
    return found


@pytest.fixture
def daemons() -> Daemons:
    world = Daemons(node("n1"), node("n2"), node("n3"))
    world.settle(KEY)
    return world


def test_every_node_gets_one_pod_that_is_bound_by_the_nodes_name(daemons: Daemons) -> None:
    assert sorted(target(pod) for pod in daemons.pods.values()) == ["n1", "n2", "n3"]
    pod = next(iter(daemons.pods.values()))
    assert pod["metadata"]["generateName"] == "agent-"
    (revision,) = daemons.all(REVISIONS).values()
    assert pod["metadata"]["labels"] == {
        "app": "agent",
        "controller-revision-hash": revision["metadata"]["labels"]["controller-revision-hash"],
        "pod-template-generation": "1",
    }
    tolerated = {(t["key"], t["effect"]) for t in pod["spec"]["tolerations"]}
    assert ("node.kubernetes.io/not-ready", "NoExecute") in tolerated
    assert ("node.kubernetes.io/unschedulable", "NoSchedule") in tolerated
    assert len(tolerated) == 6
    status = daemons.status(SETS, "agent")
    assert status == {
        "desiredNumberScheduled": 3,
        "currentNumberScheduled": 3,
        "numberMisscheduled": 0,
        "numberReady": 3,
        "numberAvailable": 3,
        "numberUnavailable": 0,
        "updatedNumberScheduled": 3,
        "observedGeneration": 1,
    }


def test_only_nodes_that_the_template_selects_and_tolerates() -> None:
    taint = [{"key": "gpu", "effect": "NoSchedule"}]
    world = Daemons(
        node("plain"), node("chosen", {"disk": "ssd"}), node("tainted", {"disk": "ssd"}, taint),
        pod_spec={"nodeSelector": {"disk": "ssd"}},
    )  # fmt: skip
    world.settle(KEY)
    assert [target(pod) for pod in world.pods.values()] == ["chosen"]


def test_an_untolerated_taint_keeps_pods_away_but_only_no_execute_drives_them_off(daemons: Daemons) -> None:
    daemons.put(NODES, node("n1", taints=[{"key": "k", "effect": "NoSchedule"}]))
    daemons.settle(KEY)
    assert daemons.on("n1")
    assert daemons.status(SETS, "agent")["numberMisscheduled"] == 1
    daemons.put(NODES, node("n1", taints=[{"key": "k", "effect": "NoExecute"}]))
    daemons.settle(KEY)
    assert not daemons.on("n1")


def test_required_node_affinity_is_kept_and_then_replaced_by_the_name() -> None:
    terms = [{"matchExpressions": [{"key": "cores", "operator": "Gt", "values": ["3"]}]}]
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
    world = Daemons(
        node("small", {"cores": "2"}), node("large", {"cores": "8"}), pod_spec={"affinity": {"nodeAffinity": required}}
    )
    world.settle(KEY)
    assert [target(pod) for pod in world.pods.values()] == ["large"]


def test_a_new_node_gets_its_pod_and_a_waiting_pod_of_a_lost_node_goes(daemons: Daemons) -> None:
    daemons.put(NODES, node("n4"))
    daemons.settle(KEY)
    assert daemons.on("n4")
    daemons.drop(NODES, "n4")
    daemons.settle(KEY)
    assert not daemons.on("n4")
    assert daemons.status(SETS, "agent")["desiredNumberScheduled"] == 3


def test_a_failed_pod_is_replaced_and_the_next_one_later(daemons: Daemons) -> None:
    (first,) = daemons.on("n1")
    daemons.finish(first, "Failed")
    daemons.settle(KEY)
    (second,) = daemons.on("n1")
    assert second != first
    assert daemons.events[0][0] == "FailedDaemonPod"
    daemons.finish(second, "Failed")
    plan: Plan = daemons.step(KEY)
    assert not deletes(plan)
    assert plan.requeue_after == 1.0
    daemons.now += 1
    daemons.settle(KEY)
    assert daemons.on("n1") != [second]


def test_of_two_pods_on_a_node_the_younger_goes(daemons: Daemons) -> None:
    (first,) = daemons.on("n1")
    body = daemons.objects[PODS, first]
    twin = {**body, "metadata": {**body["metadata"], "name": "twin", "creationTimestamp": "2027-01-15T08:00:00Z"}}
    daemons.put(PODS, twin)
    assert deletes(daemons.step(KEY)) == ["twin"]


def test_a_rolling_update_replaces_one_at_a_time(daemons: Daemons) -> None:
    daemons.image("v2")
    plan = daemons.step(KEY)
    assert len(deletes(plan)) == 1
    daemons.step(KEY)  # the new pod is made
    assert not deletes(daemons.step(KEY)), "nothing more while it is not ready"
    daemons.settle(KEY)
    assert daemons.images() == ["v2"] * 3
    assert daemons.status(SETS, "agent")["updatedNumberScheduled"] == 3
    assert sorted(r["revision"] for r in daemons.all(REVISIONS).values()) == [1, 2]


def test_an_old_pod_that_does_not_serve_is_replaced_beyond_the_bound(daemons: Daemons) -> None:
    for name in list(daemons.pods):
        daemons.finish(name, "Running", ready=False)
    daemons.image("v2")
    assert len(deletes(daemons.step(KEY))) == 3


def test_with_surge_the_old_pod_stays_until_the_new_one_is_available() -> None:
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}
    world = Daemons(node("n1"), node("n2"), updateStrategy=strategy)
    world.settle(KEY)
    world.image("v2")
    plan = world.step(KEY)
    assert (len(creates(plan)), len(deletes(plan))) == (2, 0), "a revision and one pod"
    assert not deletes(world.step(KEY))
    world.run_pods()
    assert len(deletes(world.step(KEY))) == 1
    world.settle(KEY)
    assert world.images() == ["v2", "v2"]


def test_on_delete_waits_for_somebody_to_delete(daemons: Daemons) -> None:
    daemons.change(SETS, "agent", updateStrategy={"type": "OnDelete"})
    daemons.image("v2")
    daemons.settle(KEY)
    assert daemons.images() == ["v1"] * 3
    daemons.drop(PODS, daemons.on("n2")[0])
    daemons.settle(KEY)
    assert daemons.images() == ["v1", "v1", "v2"]


def test_going_back_gives_the_old_revision_the_newest_number(daemons: Daemons) -> None:
    daemons.image("v2")
    daemons.settle(KEY)
    daemons.image("v1")
    daemons.settle(KEY)
    by_image = {
        r["data"]["spec"]["template"]["spec"]["containers"][0]["image"]: r["revision"]
        for r in daemons.all(REVISIONS).values()
    }
    assert by_image == {"v1": 3, "v2": 2}
    assert daemons.images() == ["v1"] * 3


def test_old_revisions_beyond_the_limit_go(daemons: Daemons) -> None:
    daemons.change(SETS, "agent", revisionHistoryLimit=1)
    for image in ("v2", "v3", "v4"):
        daemons.image(image)
        daemons.settle(KEY)
    assert sorted(r["revision"] for r in daemons.all(REVISIONS).values()) == [3, 4]


def test_one_that_is_being_deleted_does_nothing() -> None:
    world = Daemons(node("n1"))
    body = daemon_set()
    world.put(SETS, {**body, "metadata": {**body["metadata"], "deletionTimestamp": THEN}})
    assert world.step(KEY).is_empty


def test_one_that_is_gone_needs_nothing() -> None:
    assert DaemonSetController(Caches().informers).reconcile(KEY, NOW).is_empty

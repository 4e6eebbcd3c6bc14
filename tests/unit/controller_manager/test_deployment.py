"""Roll-outs step by step: the plan for a state, the state it leads to, until nothing is left to do."""

import json
from typing import Any

import pytest

from controller_manager.deployment.controller import DeploymentController
from controller_manager.deployment.revisions import DESIRED, REVISION
from kubeclient.plan import Create, Delete, Patch, Plan
from tests.unit.controller_manager.caches import NOW, Caches, actions, events, status_of

DEPLOYMENTS = "/apis/apps/v1/deployments"
SETS = "/apis/apps/v1/replicasets"


def deployment(replicas: int = 4, image: str = "v1", **spec: Any) -> dict[str, Any]:
    labels = {"app": "web"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": image}]}}
    return {
        "metadata": {"name": "web", "namespace": "x", "generation": 1},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": template,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}},
            "revisionHistoryLimit": 10,
            "progressDeadlineSeconds": 600,
            **spec,
        },
    }


class World:
    """Carries plans out on the objects; `ready` makes every pod that is asked for available."""

    def __init__(self, wanted: dict[str, Any]) -> None:
        self.caches = Caches()
        self.controller = DeploymentController(self.caches.informers)
        self.objects: dict[str, dict[str, Any]] = {}
        self.put("deployments", wanted)
        self.history: list[dict[str, int]] = []
        self.events: list[tuple[str, str]] = []

    def put(self, plural: str, body: dict[str, Any]) -> None:
        stored = self.caches.put(f"/apis/apps/v1/{plural}", body)
        self.objects[f"{plural}/{body['metadata']['name']}"] = stored

    def change(self, **spec: Any) -> None:
        current = self.objects["deployments/web"]
        meta = {**current["metadata"], "generation": current["metadata"]["generation"] + 1}
        self.put("deployments", {**current, "metadata": meta, "spec": {**current["spec"], **spec}})

    def image(self, image: str) -> None:
        self.change(template=deployment(image=image)["spec"]["template"])

    def sizes(self) -> dict[str, int]:
        """Replicas by image."""
        return {
            body["spec"]["template"]["spec"]["containers"][0]["image"]: body["spec"]["replicas"]
            for key, body in self.objects.items()
            if key.startswith("replicasets/")
        }

    def step(self) -> Plan:
        plan = self.controller.reconcile("x/web", NOW)
        self.events += events(plan)
        for action in actions(plan):
            if isinstance(action, Create):
                body = json.loads(json.dumps(action.body))
                body["metadata"]["generation"] = 1
                self.put("replicasets", body)
            elif isinstance(action, Patch):
                self.patch(action)
            elif isinstance(action, Delete):
                key = "replicasets/" + action.path.rpartition("/")[2]
                self.caches.drop(SETS, self.objects.pop(key))
        return plan

    def patch(self, action: Patch) -> None:
        plural, name = action.path.removesuffix("/status").split("/")[-2:]
        body = self.objects[f"{plural}/{name}"]
        merged = merge(body, action.body)
        if plural == "replicasets" and "spec" in action.body:
            merged["metadata"]["generation"] += 1
        self.put(plural, merged)

    def make_ready(self) -> None:
        for key, body in list(self.objects.items()):
            if key.startswith("replicasets/"):
                count = body["spec"]["replicas"]
                counts = dict.fromkeys(("replicas", "readyReplicas", "availableReplicas"), count)
                generation = body["metadata"]["generation"]
                self.put("replicasets", {**body, "status": {**counts, "observedGeneration": generation}})

    def settle(self, ready: bool = True) -> None:
        for _ in range(60):
            plan = self.step()
            self.history.append(self.sizes())
            if ready:
                self.make_ready()
            if plan.is_empty:
                return
        raise AssertionError(f"it does not come to rest: {actions(plan)}")

    @property
    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = self.objects["deployments/web"].get("status") or {}
        return found

    def condition(self, kind: str) -> tuple[str, str]:
        found = next(c for c in self.status["conditions"] if c["type"] == kind)
        return found["status"], found["reason"]


def merge(target: Any, change: Any) -> Any:
    """RFC 7386."""
    if not isinstance(change, dict):
        return change
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in change.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge(result.get(key), value)
    return result


@pytest.fixture
def world() -> World:
    found = World(deployment())
    found.settle()
    return found


def test_a_new_deployment_comes_to_rest_with_all_it_wants(world: World) -> None:
    assert world.sizes() == {"v1": 4}
    assert (world.status["replicas"], world.status["availableReplicas"]) == (4, 4)
    assert world.condition("Available") == ("True", "MinimumReplicasAvailable")
    assert world.condition("Progressing") == ("True", "NewReplicaSetAvailable")
    assert world.objects["deployments/web"]["metadata"]["annotations"][REVISION] == "1"
    assert world.events[0][0] == "ScalingReplicaSet"


def test_a_rolling_update_keeps_its_bounds_at_every_step(world: World) -> None:
    world.history.clear()
    world.image("v2")
    world.settle()
    assert world.sizes() == {"v1": 0, "v2": 4}
    for sizes in world.history:
        assert 3 <= sum(sizes.values()) <= 5, sizes
    assert world.objects["deployments/web"]["metadata"]["annotations"][REVISION] == "2"


def test_an_update_that_never_becomes_ready_keeps_the_old_pods(world: World) -> None:
    world.image("bad")
    world.settle(ready=False)
    assert world.sizes() == {"v1": 3, "bad": 2}
    assert world.condition("Available") == ("True", "MinimumReplicasAvailable")


def test_undo_takes_the_old_set_up_again_under_a_new_number(world: World) -> None:
    world.image("v2")
    world.settle()
    world.image("v1")
    world.settle()
    assert world.sizes() == {"v1": 4, "v2": 0}
    first = next(b for k, b in world.objects.items() if k.startswith("replicasets/") and b["spec"]["replicas"] == 4)
    assert first["metadata"]["annotations"][REVISION] == "3"
    assert first["metadata"]["annotations"]["deployment.kubernetes.io/revision-history"] == "1"


def test_scaling_resizes_the_current_set_and_notes_the_size(world: World) -> None:
    world.change(replicas=7)
    world.settle()
    assert world.sizes() == {"v1": 7}
    (body,) = [b for k, b in world.objects.items() if k.startswith("replicasets/")]
    assert body["metadata"]["annotations"][DESIRED] == "7"


def test_scaling_amid_a_roll_out_is_shared_in_proportion(world: World) -> None:
    world.image("v2")
    world.settle(ready=False)
    before = world.sizes()
    world.change(replicas=8)
    world.step()
    after = world.sizes()
    assert sum(after.values()) == 10, "eight and a quarter more"
    assert after["v1"] > before["v1"]
    assert after["v2"] > before["v2"]


def test_recreate_ends_the_old_before_it_begins_the_new() -> None:
    world = World(deployment(strategy={"type": "Recreate"}))
    world.settle()
    world.history.clear()
    world.image("v2")
    world.settle()
    assert world.sizes() == {"v1": 0, "v2": 4}
    assert {"v1": 0} in world.history, "a moment without any"


def test_a_paused_deployment_scales_but_does_not_roll_out(world: World) -> None:
    world.change(paused=True)
    world.image("v2")
    world.settle()
    world.change(replicas=5)
    world.settle()
    assert world.sizes() == {"v1": 5}
    assert world.condition("Progressing")[1] == "DeploymentPaused"
    world.change(paused=False)
    world.settle()
    assert world.sizes() == {"v1": 0, "v2": 5}


def test_history_beyond_the_limit_is_removed() -> None:
    world = World(deployment(revisionHistoryLimit=1))
    world.settle()
    for image in ("v2", "v3", "v4"):
        world.image(image)
        world.settle()
    assert world.sizes() == {"v3": 0, "v4": 4}


def test_a_roll_out_past_its_deadline_is_reported() -> None:
    world = World(deployment(progressDeadlineSeconds=10))
    world.settle(ready=False)
    later = world.controller.reconcile("x/web", NOW + 20)
    status = status_of(later)
    assert status is not None
    progressing = next(c for c in status["conditions"] if c["type"] == "Progressing")
    assert (progressing["status"], progressing["reason"]) == ("False", "ProgressDeadlineExceeded")


def test_an_empty_selector_is_refused_with_an_event() -> None:
    world = World(deployment(selector={}))
    world.step()
    assert world.events == [
        ("SelectingAll", "This deployment is selecting all pods. A non-empty selector is required.")
    ]

"""Claims find volumes, keep them, lose them; volumes wait, serve and are released."""

from typing import Any

import pytest

from controller_manager.volumes.controller import PersistentVolumeBinder
from controller_manager.volumes.ephemeral import EphemeralVolumeController
from kubeclient.plan import Create
from kubeclient.volumes import CLAIMS, CLASSES, VOLUMES
from tests.unit.controller_manager.caches import THEN, Caches, actions, events, pod
from tests.unit.controller_manager.world import PODS, World


class Storage(World):
    def __init__(self) -> None:
        super().__init__()
        self.controller = PersistentVolumeBinder(self.caches.informers)
        self.keys: list[str] = []
        self.controller.watch(self.keys.append)

    def volume(self, name: str, size: str = "1Gi", phase: str = "Available", **spec: Any) -> None:
        spec = {"capacity": {"storage": size}, "accessModes": ["ReadWriteOnce"], "storageClassName": "", **spec}
        self.put(VOLUMES, {"metadata": {"name": name}, "spec": spec, "status": {"phase": phase}})

    def claim(self, name: str = "data", size: str = "1Gi", **spec: Any) -> None:
        spec = {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": size}},
            "storageClassName": "",
            **spec,
        }
        meta = {"name": name, "namespace": "x"}
        self.put(CLAIMS, {"metadata": meta, "spec": spec, "status": {"phase": "Pending"}})

    def storage_class(
        self, name: str, mode: str = "Immediate", provisioner: str = "example.com/disk", **notes: str
    ) -> None:
        meta = {"name": name, "annotations": {key.replace("_", "-"): value for key, value in notes.items()}}
        self.put(CLASSES, {"metadata": meta, "provisioner": provisioner, "volumeBindingMode": mode})

    def bound(self, claim: str = "data") -> str:
        """The volume of a claim, when both sides and both phases agree."""
        found = self.objects[CLAIMS, claim]
        name = str(found["spec"].get("volumeName", ""))
        if not name or self.status(CLAIMS, claim).get("phase") != "Bound":
            return ""
        volume = self.objects[VOLUMES, name]
        assert volume["spec"]["claimRef"]["uid"] == found["metadata"]["uid"]
        assert volume["status"]["phase"] == "Bound"
        assert found["status"]["capacity"] == volume["spec"]["capacity"]
        return name

    def until_quiet(self, key: str) -> None:
        """What is carried out for a claim that waits is the same every time; a plan without writes ends it."""
        for _ in range(10):
            if self.step(key).is_empty or self.step(key).requeue_after:
                return
        raise AssertionError(key)


def test_the_smallest_volume_that_is_large_enough_is_taken() -> None:
    world = Storage()
    world.volume("large", "10Gi")
    world.volume("small", "500Mi")
    world.volume("fits", "2Gi")
    world.claim(size="1Gi")
    world.until_quiet("x/data")
    assert world.bound() == "fits"
    notes = world.objects[CLAIMS, "data"]["metadata"]["annotations"]
    assert notes == {"pv.kubernetes.io/bind-completed": "yes", "pv.kubernetes.io/bound-by-controller": "yes"}
    assert world.objects[VOLUMES, "fits"]["metadata"]["annotations"] == {"pv.kubernetes.io/bound-by-controller": "yes"}


@pytest.mark.parametrize(
    "other",
    [
        {"storageClassName": "gold"},
        {"accessModes": ["ReadOnlyMany"]},
        {"volumeMode": "Block"},
        {"capacity": {"storage": "1Mi"}},
        {"claimRef": {"namespace": "x", "name": "another", "uid": "1"}},
        {"volumeAttributesClassName": "fast"},
    ],
)
def test_a_volume_that_differs_is_not_taken(other: dict[str, Any]) -> None:
    world = Storage()
    world.volume("other", **other)
    world.claim()
    world.until_quiet("x/data")
    assert not world.bound()
    assert world.status(CLAIMS, "data")["phase"] == "Pending"
    assert world.events[0] == (
        "FailedBinding",
        "no persistent volumes available for this claim and no storage class is set",
    )


def test_a_volume_reserved_by_name_goes_before_a_smaller_one() -> None:
    world = Storage()
    world.volume("small")
    world.volume("mine", "9Gi", claimRef={"namespace": "x", "name": "data"})
    world.claim()
    world.until_quiet("x/data")
    assert world.bound() == "mine"


def test_a_selector_chooses_by_label() -> None:
    world = Storage()
    world.volume("plain")
    world.claim(selector={"matchLabels": {"disk": "ssd"}})
    world.until_quiet("x/data")
    assert not world.bound()
    body = world.objects[VOLUMES, "plain"]
    world.put(VOLUMES, {**body, "metadata": {"name": "plain", "labels": {"disk": "ssd"}}})
    assert "x/data" in world.keys, "a volume that changes has the waiting claims looked at"
    world.until_quiet("x/data")
    assert world.bound() == "plain"


def test_a_volume_asked_for_by_name() -> None:
    world = Storage()
    world.claim(volumeName="wanted")
    world.until_quiet("x/data")
    assert not world.bound()
    world.volume("wanted", storageClassName="gold")
    world.until_quiet("x/data")
    assert world.events[-1] == (
        "VolumeMismatch",
        'Cannot bind to requested volume "wanted": storageClassName does not match',
    )
    world.volume("wanted")
    world.until_quiet("x/data")
    assert world.bound() == "wanted"


def test_a_volume_of_another_claim_is_not_given() -> None:
    world = Storage()
    world.volume("taken", phase="Bound", claimRef={"namespace": "x", "name": "other", "uid": "o"})
    world.claim(volumeName="taken")
    world.until_quiet("x/data")
    assert world.events[-1] == ("FailedBinding", 'volume "taken" already bound to a different claim.')


@pytest.mark.parametrize("after", range(5))
def test_a_crash_between_any_two_writes_is_repaired(after: int) -> None:
    world = Storage()
    world.volume("one")
    world.claim()
    plan = world.controller.reconcile("x/data", 0.0)
    for action in actions(plan)[:after]:
        world.patch(action)  # type: ignore[arg-type]
    for key in ("one", "x/data", "one", "x/data"):
        world.until_quiet(key)
    assert world.bound() == "one"


def test_a_claim_without_class_gets_the_default_one() -> None:
    world = Storage()
    world.claim(storageClassName=None)
    world.storage_class("old", **{"storageclass.kubernetes.io/is_default_class": "true"})
    world.step("x/data")
    assert world.objects[CLAIMS, "data"]["spec"]["storageClassName"] == "old"


def test_what_an_outside_provisioner_shall_make_is_told_to_it() -> None:
    world = Storage()
    world.storage_class("disk")
    world.claim(storageClassName="disk")
    world.until_quiet("x/data")
    notes = world.objects[CLAIMS, "data"]["metadata"]["annotations"]
    assert notes["volume.kubernetes.io/storage-provisioner"] == "example.com/disk"
    assert world.events[0][0] == "ExternalProvisioning"


def test_a_claim_of_an_unknown_class_says_so() -> None:
    world = Storage()
    world.claim(storageClassName="gone")
    world.until_quiet("x/data")
    assert world.events[0] == ("ProvisioningFailed", 'storageclass.storage.k8s.io "gone" not found')


def test_a_class_that_waits_for_a_consumer_binds_nothing_by_itself() -> None:
    world = Storage()
    world.storage_class("late", "WaitForFirstConsumer", "kubernetes.io/no-provisioner")
    world.volume("one", storageClassName="late")
    world.claim(storageClassName="late")
    world.until_quiet("x/data")
    assert not world.bound()
    assert world.events[0][0] == "WaitForFirstConsumer"
    volume = {"name": "data", "persistentVolumeClaim": {"claimName": "data"}}
    world.put(PODS, pod("user", node="", spec={"volumes": [volume]}))
    world.step("x/data")
    assert world.events[-1] == ("WaitForPodScheduled", "waiting for pod user to be scheduled")


def test_a_deleted_claim_releases_its_volume_and_nobody_else_gets_it() -> None:
    world = Storage()
    world.volume("one")
    world.claim()
    world.until_quiet("x/data")
    world.drop(CLAIMS, "data")
    assert "one" in world.keys
    world.until_quiet("one")
    assert world.status(VOLUMES, "one")["phase"] == "Released"
    world.claim("next")
    world.until_quiet("x/next")
    assert not world.bound("next")


@pytest.mark.parametrize(("policy", "reason"), [("Recycle", "VolumeFailedRecycle"), ("Delete", "VolumeFailedDelete")])
def test_a_policy_that_nobody_can_carry_out_fails_the_volume(policy: str, reason: str) -> None:
    world = Storage()
    gone = {"namespace": "x", "name": "gone", "uid": "g"}
    world.volume("one", phase="Bound", claimRef=gone, persistentVolumeReclaimPolicy=policy)
    world.until_quiet("one")
    assert world.status(VOLUMES, "one")["phase"] == "Failed"
    assert world.events[0][0] == reason


def test_a_bound_claim_whose_volume_is_gone_is_lost() -> None:
    world = Storage()
    world.volume("one")
    world.claim()
    world.until_quiet("x/data")
    world.drop(VOLUMES, "one")
    world.until_quiet("x/data")
    assert world.status(CLAIMS, "data") == {"phase": "Lost"}
    assert world.events[-1] == ("ClaimLost", "Bound claim has lost its PersistentVolume. Data on the volume is lost!")


def test_a_new_volume_becomes_available() -> None:
    world = Storage()
    world.volume("one", phase="Pending")
    world.until_quiet("one")
    assert world.status(VOLUMES, "one") == {"phase": "Available"}


def test_a_pod_gets_the_claims_of_its_ephemeral_volumes() -> None:
    caches = Caches()
    controller = EphemeralVolumeController(caches.informers)
    keys: list[str] = []
    controller.watch(keys.append)
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"accessModes": ["ReadWriteOnce"]}}
    caches.put(
        PODS, pod("web", spec={"volumes": [{"name": "scratch", "ephemeral": {"volumeClaimTemplate": template}}]})
    )
    assert keys == ["x/web"]
    (made,) = actions(controller.reconcile("x/web", 0.0))
    assert isinstance(made, Create)
    assert made.body["spec"] == template["spec"]
    meta = made.body["metadata"]
    assert (meta["name"], meta["labels"], meta["ownerReferences"][0]["uid"]) == ("web-scratch", {"a": "b"}, "uid-web")

    caches.put(CLAIMS, {"metadata": {"name": "web-scratch", "namespace": "x", "creationTimestamp": THEN}})
    (told,) = events(controller.reconcile("x/web", 0.0))
    assert told[0] == "FailedBinding"
    caches.put(CLAIMS, made.body | {"metadata": {**meta, "namespace": "x"}})
    assert controller.reconcile("x/web", 0.0).is_empty

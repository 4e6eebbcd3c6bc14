"""What is in use stays until it is not."""

from typing import Any

from controller_manager.protection import (
    AttributesClassProtectionController,
    ClaimProtectionController,
    VolumeProtectionController,
)
from kubeclient.plan import Plan
from kubeclient.volumes import ATTRIBUTES_CLASSES
from tests.unit.controller_manager.caches import NOW, THEN, Caches, patches, pod

CLAIMS = "/api/v1/persistentvolumeclaims"
VOLUMES = "/api/v1/persistentvolumes"
PODS = "/api/v1/pods"
HELD = {"finalizers": ["kubernetes.io/pvc-protection"]}
GOING = {"deletionTimestamp": THEN}
WANTS_FAST = {"volumeAttributesClassName": "fast"}


def user(name: str = "user", **more: Any) -> dict[str, Any]:
    volume = {"name": "data", "persistentVolumeClaim": {"claimName": "data"}}
    return pod(name, spec={"volumes": [volume]}, **more)


def after(claim: dict[str, Any], *pods: dict[str, Any]) -> Plan:
    caches = Caches()
    controller = ClaimProtectionController(caches.informers)
    caches.put(CLAIMS, {"metadata": {"name": "data", "namespace": "x", **claim}})
    for each in pods:
        caches.put(PODS, each)
    return controller.reconcile("x/data", NOW)


def test_a_claim_that_nobody_uses_may_go() -> None:
    (patch,) = patches(after({**HELD, **GOING}))
    assert patch.path == "/api/v1/namespaces/x/persistentvolumeclaims/data"
    assert patch.body["metadata"]["$deleteFromPrimitiveList/finalizers"] == HELD["finalizers"]


def test_a_claim_stays_while_a_pod_on_a_node_has_it() -> None:
    assert after({**HELD, **GOING}, user()).is_empty
    assert patches(after({**HELD, **GOING}, user(node="")))
    over = {**GOING, "deletionGracePeriodSeconds": 0}
    assert patches(after({**HELD, **GOING}, user(phase="Succeeded", meta=over)))
    ephemeral = pod("da", spec={"volumes": [{"name": "ta", "ephemeral": {}}]})
    assert patches(after({**HELD, **GOING}, ephemeral)), "da-ta is another claim"


def test_a_claim_without_the_finalizer_gets_it() -> None:
    assert after(HELD).is_empty
    (patch,) = patches(after({}))
    assert patch.body["metadata"]["finalizers"] == HELD["finalizers"]


def test_a_pod_that_leaves_has_its_claims_looked_at() -> None:
    caches = Caches()
    controller = ClaimProtectionController(caches.informers)
    keys: list[str] = []
    controller.watch(keys.append)
    body = caches.put(PODS, user())
    assert not keys
    caches.drop(PODS, body)
    assert keys == ["x/data"]


def test_a_volume_stays_while_it_is_bound() -> None:
    caches = Caches()
    controller = VolumeProtectionController(caches.informers)
    meta = {"name": "disk", "finalizers": ["kubernetes.io/pv-protection"], **GOING}
    caches.put(VOLUMES, {"metadata": meta, "status": {"phase": "Bound"}})
    assert controller.reconcile("disk", NOW).is_empty
    caches.put(VOLUMES, {"metadata": meta, "status": {"phase": "Released"}})
    assert len(patches(controller.reconcile("disk", NOW))) == 1


def test_a_class_of_attributes_stays_while_a_claim_or_a_volume_has_it() -> None:
    caches = Caches()
    controller = AttributesClassProtectionController(caches.informers)
    keys: list[str] = []
    controller.watch(keys.append)
    finalizers = ["kubernetes.io/vac-protection"]
    caches.put(ATTRIBUTES_CLASSES, {"metadata": {"name": "fast", "finalizers": finalizers, **GOING}})
    claim = caches.put(CLAIMS, {"metadata": {"name": "data", "namespace": "x"}, "spec": WANTS_FAST})
    volume = caches.put(VOLUMES, {"metadata": {"name": "disk"}, "spec": WANTS_FAST})
    assert controller.reconcile("fast", NOW).is_empty
    caches.drop(CLAIMS, claim)
    assert controller.reconcile("fast", NOW).is_empty
    keys.clear()
    caches.drop(VOLUMES, volume)
    assert keys == ["fast"]
    (patch,) = patches(controller.reconcile("fast", NOW))
    assert patch.body["metadata"]["$deleteFromPrimitiveList/finalizers"] == finalizers

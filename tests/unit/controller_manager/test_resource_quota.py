"""Recounting what quotas limit."""

from typing import Any

from apimachinery import quota
from apimachinery.podspec.resources import Amounts
from apimachinery.resources import find
from controller_manager.resource_quota import count, limited_kinds, uncounted

NOW = 1_700_000_000.0


def pod(name: str, cpu: str = "1", phase: str = "Running", **metadata: Any) -> dict[str, Any]:
    containers = [{"name": "c", "resources": {"requests": {"cpu": cpu}, "limits": {"cpu": cpu}}}]
    return {"metadata": {"name": name, **metadata}, "spec": {"containers": containers}, "status": {"phase": phase}}


def counted(hard: dict[str, str], plural: str, *items: dict[str, Any], **spec: Any) -> dict[str, str]:
    info = find("", "v1", plural)
    assert info is not None
    used: Amounts = dict.fromkeys(hard, quota.ZERO)
    count({"spec": {"hard": hard, **spec}}, info, items, used, NOW)
    return {name: str(amount) for name, amount in used.items()}


def test_ended_pods_are_objects_only() -> None:
    hard = {"pods": "9", "count/pods": "9", "requests.cpu": "9", "limits.cpu": "9"}
    assert counted(hard, "pods", pod("a"), pod("b", "500m"), pod("c", phase="Succeeded")) == {
        "pods": "2",
        "count/pods": "3",
        "requests.cpu": "1500m",
        "limits.cpu": "1500m",
    }


def test_pods_stuck_in_ending_are_given_up() -> None:
    stuck = pod("a", deletionTimestamp="2023-11-14T22:00:00Z", deletionGracePeriodSeconds=30)
    assert counted({"pods": "9"}, "pods", stuck) == {"pods": "0"}


def test_scopes() -> None:
    best_effort = {"metadata": {"name": "b"}, "spec": {"containers": [{"name": "c"}]}}
    assert counted({"pods": "9"}, "pods", pod("a"), best_effort, scopes=["BestEffort"]) == {"pods": "1"}


def test_claims_by_class() -> None:
    claim = {"metadata": {}, "spec": {"storageClassName": "fast", "resources": {"requests": {"storage": "2Gi"}}}}
    hard = {"requests.storage": "9Gi", "fast.storageclass.storage.k8s.io/requests.storage": "9Gi"}
    assert counted(hard, "persistentvolumeclaims", claim) == dict.fromkeys(hard, "2Gi")


def test_which_kinds_a_quota_limits() -> None:
    names = ["count/deployments.apps", "secrets", "requests.example.com/gpu", "services.nodeports"]
    kinds = sorted((info.group, info.plural) for info in limited_kinds(names))
    assert kinds == [("", "pods"), ("", "secrets"), ("", "services"), ("apps", "deployments")]


def test_names_of_kinds_that_are_not_built_in_are_left_for_discovery() -> None:
    names = ["count/deployments.apps", "count/crontabs.example.com", "pods", "requests.example.com/gpu"]
    assert uncounted(names, limited_kinds(names)) == {"count/crontabs.example.com"}

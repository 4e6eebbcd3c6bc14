"""What the server resets and fills in by itself when objects are written."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from apimachinery import defaults, strategies
from apimachinery.resources import RESOURCES, ResourceInfo, require

Obj = dict[str, Any]

POD = require("v1", "pods")
SERVICE = require("v1", "services")
DEPLOYMENT = require("apps/v1", "deployments")
JOB = require("batch/v1", "jobs")
TEMPLATE = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i:1"}]}}


def new(info: ResourceInfo, body: Obj) -> Obj:
    obj = copy.deepcopy(body)
    obj.setdefault("metadata", {}).update(name="x", uid="u-1", **({"namespace": "d"} if info.namespaced else {}))
    defaults.apply(info, obj)
    strategies.prepare_create(info, obj, now=0.0)
    return obj


def changed(info: ResourceInfo, old: Obj, change: Obj, subresource: str = "") -> Obj:
    obj = copy.deepcopy(old)
    for key, value in change.items():
        place = obj
        *way, last = key.split("/")
        for name in way:
            place = place.setdefault(name, {})
        place[last] = value
    strategies.prepare_subresource_update(info, subresource, obj, old, now=0.0)
    return obj


def test_a_new_pod_is_pending() -> None:
    pod = new(POD, {"spec": {"containers": [{"name": "c"}]}, "status": {"phase": "Running", "podIP": "1.2.3.4"}})
    assert pod["status"] == {"phase": "Pending", "qosClass": "BestEffort"}
    assert pod["metadata"]["generation"] == 1


def test_a_gated_pod_says_why_it_waits() -> None:
    pod = new(POD, {"spec": {"containers": [{"name": "c"}], "schedulingGates": [{"name": "g"}]}})
    (condition,) = pod["status"]["conditions"]
    assert (condition["type"], condition["status"], condition["reason"]) == ("PodScheduled", "False", "SchedulingGated")
    assert condition["lastTransitionTime"] == "1970-01-01T00:00:00Z"


def test_an_update_keeps_the_status_and_counts_changes_of_the_spec() -> None:
    old = new(DEPLOYMENT, {"spec": {"selector": {"matchLabels": {"a": "b"}}, "template": TEMPLATE}})
    old["status"] = {"replicas": 1}
    same = changed(DEPLOYMENT, old, {"status": {"replicas": 9}, "metadata/labels": {"l": "m"}})
    assert same["status"] == {"replicas": 1}
    assert same["metadata"]["generation"] == 1
    scaled = changed(DEPLOYMENT, old, {"spec/replicas": 3, "metadata/generation": 77})
    assert scaled["metadata"]["generation"] == 2
    annotated = changed(DEPLOYMENT, old, {"metadata/annotations": {"n": "o"}})
    assert annotated["metadata"]["generation"] == 2


def test_a_status_update_changes_the_status_alone() -> None:
    old = new(DEPLOYMENT, {"spec": {"selector": {"matchLabels": {"a": "b"}}, "template": TEMPLATE}})
    done = changed(DEPLOYMENT, old, {"spec/replicas": 3, "status": {"replicas": 1}}, "status")
    assert done["spec"]["replicas"] == 1
    assert done["status"] == {"replicas": 1}
    assert done["metadata"]["generation"] == 1


def test_jobs_select_their_pods_by_uid() -> None:
    job = new(JOB, {"spec": {"template": {"spec": {"containers": [], "restartPolicy": "Never"}}}})
    labels = {
        "batch.kubernetes.io/controller-uid": "u-1",
        "batch.kubernetes.io/job-name": "x",
        "controller-uid": "u-1",
        "job-name": "x",
    }
    assert job["spec"]["template"]["metadata"]["labels"] == labels
    assert job["spec"]["selector"] == {"matchLabels": {"batch.kubernetes.io/controller-uid": "u-1"}}


def test_jobs_with_their_own_selector_are_left_alone() -> None:
    spec = {"manualSelector": True, "selector": {"matchLabels": {"a": "b"}}, "template": TEMPLATE}
    job = new(JOB, {"spec": spec})
    assert job["spec"]["selector"] == {"matchLabels": {"a": "b"}}
    assert job["spec"]["template"]["metadata"]["labels"] == {"a": "b"}


def test_a_namespace_is_finalized_by_the_server() -> None:
    info = require("v1", "namespaces")
    space = new(info, {"status": {"phase": "Terminating"}})
    assert space["spec"] == {"finalizers": ["kubernetes"]}
    assert space["status"] == {"phase": "Active"}
    assert changed(info, space, {"spec/finalizers": []})["spec"]["finalizers"] == ["kubernetes"]
    assert changed(info, space, {"spec/finalizers": []}, "finalize")["spec"]["finalizers"] == []


def test_text_of_secrets_becomes_data() -> None:
    secret = new(require("v1", "secrets"), {"data": {"a": "eA==", "b": "eQ=="}, "stringData": {"a": "new"}})
    assert secret["data"] == {"a": "bmV3", "b": "eQ=="}
    assert "stringData" not in secret


def test_cluster_addresses_agree() -> None:
    service = new(SERVICE, {"spec": {"clusterIP": "10.0.0.7", "ports": [{"port": 1}]}})
    assert service["spec"]["clusterIPs"] == ["10.0.0.7"]
    service = new(SERVICE, {"spec": {"clusterIPs": ["10.0.0.7"], "ports": [{"port": 1}]}})
    assert service["spec"]["clusterIPs"] == ["10.0.0.7"]


def test_a_services_addresses_and_node_ports_survive_an_update_without_them() -> None:
    old = new(
        SERVICE, {"spec": {"type": "NodePort", "clusterIP": "10.0.0.7", "ports": [{"port": 1, "nodePort": 30001}]}}
    )
    done = changed(SERVICE, old, {"spec": {"type": "NodePort", "ports": [{"port": 1, "protocol": "TCP"}]}})
    assert (done["spec"]["clusterIP"], done["spec"]["clusterIPs"]) == ("10.0.0.7", ["10.0.0.7"])
    assert done["spec"]["ports"][0]["nodePort"] == 30001


def test_resizing_touches_resources_alone() -> None:
    container = {"name": "c", "image": "i:1", "resources": {"requests": {"cpu": "1"}}}
    old = new(POD, {"spec": {"containers": [container]}})
    bigger = [{**old["spec"]["containers"][0], "image": "other", "resources": {"requests": {"cpu": "2"}}}]
    done = changed(POD, old, {"spec/containers": bigger, "metadata/labels": {"l": "m"}}, "resize")
    assert done["spec"]["containers"][0]["image"] == "i:1"
    assert done["spec"]["containers"][0]["resources"] == {"requests": {"cpu": "2"}}
    assert "labels" not in done["metadata"]
    assert done["metadata"]["generation"] == 2


def test_a_debug_container_is_added_through_its_subresource_alone() -> None:
    old = new(POD, {"spec": {"containers": [{"name": "c", "image": "i:1"}]}})
    debug = [{"name": "d", "image": "i:1"}]
    done = changed(POD, old, {"spec/ephemeralContainers": debug, "spec/restartPolicy": "Never"}, "ephemeralcontainers")
    assert done["spec"]["ephemeralContainers"] == debug
    assert done["spec"]["restartPolicy"] == "Always"


def test_a_definition_remembers_in_which_version_objects_were_stored() -> None:
    info = require("apiextensions.k8s.io/v1", "customresourcedefinitions")
    versions = [{"name": "v1", "storage": True}, {"name": "v2", "storage": False}]
    crd = new(info, {"spec": {"names": {"kind": "W", "plural": "ws"}, "versions": versions}})
    assert crd["status"]["storedVersions"] == ["v1"]
    moved = [{"name": "v1", "storage": False}, {"name": "v2", "storage": True}]
    assert changed(info, crd, {"spec/versions": moved})["status"]["storedVersions"] == ["v1", "v2"]


def test_a_local_api_service_is_available_at_once() -> None:
    info = require("apiregistration.k8s.io/v1", "apiservices")
    local = new(info, {"spec": {"group": "apps", "version": "v1"}})
    assert [one["reason"] for one in local["status"]["conditions"]] == ["Local"]
    remote = new(info, {"spec": {"group": "a.b", "version": "v1", "service": {"name": "s", "namespace": "n"}}})
    assert not remote["status"].get("conditions")


def test_what_was_asked_of_a_signer_stays_as_it_was() -> None:
    info = require("certificates.k8s.io/v1", "certificatesigningrequests")
    old = new(info, {"spec": {"request": "cg==", "signerName": "a.b/c", "usages": ["client auth"]}})
    assert changed(info, old, {"spec/signerName": "d.e/f"})["spec"]["signerName"] == "a.b/c"
    decision = [{"type": "Approved", "status": "True", "reason": "r", "message": "m"}]
    done = changed(info, old, {"status/conditions": decision}, "approval")
    assert done["status"]["conditions"][0]["type"] == "Approved"
    assert done["status"]["conditions"][0]["lastTransitionTime"] == "1970-01-01T00:00:00Z"


@pytest.mark.parametrize("info", RESOURCES, ids=lambda info: f"{info.api_version}.{info.plural}")
def test_every_kind_is_written_without_trouble(info: ResourceInfo) -> None:
    old = new(info, {})
    for subresource in ("", "status"):
        done = changed(info, old, {}, subresource)
        assert done["metadata"] == old["metadata"]

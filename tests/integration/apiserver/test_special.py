"""What is special about some kinds: pods, Services, namespaces, scale, eviction."""

from __future__ import annotations

from typing import Any

import httpx

from tests.integration.apiserver.test_verbs import config_map, pod
from tests.integration.cluster_parts import caught_up

MERGE = {"content-type": "application/merge-patch+json"}


def service(name: str, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"ports": [{"port": 80}], "selector": {"a": "b"}, **spec}}


def test_services_take_and_give_back_addresses(api: httpx.Client, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/services"
    made = api.post(path, json=service("s", type="NodePort"))
    assert made.status_code == 201, made.text
    spec = made.json()["spec"]
    assert spec["clusterIP"].startswith("10.96.")
    assert spec["clusterIPs"] == [spec["clusterIP"]]
    assert spec["ipFamilies"] == ["IPv4"]
    assert spec["ipFamilyPolicy"] == "SingleStack"
    port = spec["ports"][0]["nodePort"]
    assert 30000 <= port <= 32767
    address = f"/apis/networking.k8s.io/v1/ipaddresses/{spec['clusterIP']}"
    assert api.get(address).json()["spec"]["parentRef"]["name"] == "s"
    taken = api.post(path, json=service("t", clusterIP=spec["clusterIP"]))
    assert taken.status_code == 422
    assert f"failed to allocate IP {spec['clusterIP']}: provided IP is already allocated" in taken.json()["message"]
    busy = api.post(path, json=service("t", type="NodePort", ports=[{"port": 1, "nodePort": port}]))
    assert "spec.ports[0].nodePort: Invalid value: " in busy.json()["message"]
    assert "provided port is already allocated" in busy.json()["message"]
    outside = api.post(path, json=service("t", clusterIP="192.0.2.1"))
    assert "is not in the valid range" in outside.json()["message"]
    back = api.patch(f"{path}/s", json={"spec": {"type": "ClusterIP"}}, headers=MERGE).json()["spec"]
    assert "nodePort" not in back["ports"][0]
    assert back["clusterIP"] == spec["clusterIP"]
    again = api.post(path, json=service("u", type="NodePort", ports=[{"port": 1, "nodePort": port}]))
    assert again.status_code == 201, again.text
    assert api.delete(f"{path}/s").status_code == 200
    assert api.get(address).status_code == 404


def test_services_without_addresses(api: httpx.Client, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/services"
    headless = api.post(path, json=service("h", clusterIP="None")).json()["spec"]
    assert headless["clusterIPs"] == ["None"]
    alias = api.post(path, json={"metadata": {"name": "e"}, "spec": {"type": "ExternalName", "externalName": "x.org"}})
    assert "clusterIP" not in alias.json()["spec"]
    failed = api.post(path, json=service("Bad_Name"))
    assert failed.status_code == 422
    left = api.get("/apis/networking.k8s.io/v1/ipaddresses").json()["items"]
    assert not [one for one in left if one["spec"]["parentRef"]["namespace"] == namespace]


def test_the_kubernetes_service_is_there(api: httpx.Client) -> None:
    found = api.get("/api/v1/namespaces/default/services/kubernetes").json()
    assert found["spec"]["clusterIP"] == "10.96.0.1"
    assert found["spec"]["ports"][0]["name"] == "https"
    ranges = api.get("/apis/networking.k8s.io/v1/servicecidrs/kubernetes").json()
    assert ranges["spec"]["cidrs"] == ["10.96.0.0/16"]
    assert ranges["status"]["conditions"][0]["type"] == "Ready"


def test_pods_are_bound_once(api: httpx.Client, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/pods"
    api.post(path, json=pod("p"))
    binding = {"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n1"}}
    assert api.post(f"{path}/p/binding", json=binding).status_code == 201
    bound = api.get(f"{path}/p").json()
    assert bound["spec"]["nodeName"] == "n1"
    assert bound["metadata"]["generation"] == 1  # to be bound is no change of what was asked for
    assert bound["status"]["conditions"][0]["type"] == "PodScheduled"
    again = api.post(f"{path}/p/binding", json=binding)
    assert again.status_code == 409
    assert "is already assigned to node" in again.json()["message"]
    bad = {"metadata": {"name": "p"}, "target": {"kind": "House", "name": "n1"}}
    assert api.post(f"{path}/p/binding", json=bad).status_code == 422


def test_running_pods_end_gracefully(api: httpx.Client, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/pods"
    api.post(path, json=pod("p", nodeName="n1"))
    leaving = api.delete(f"{path}/p").json()
    assert leaving["metadata"]["deletionGracePeriodSeconds"] == 30
    assert leaving["metadata"]["deletionTimestamp"]
    sooner = api.request("DELETE", f"{path}/p", json={"gracePeriodSeconds": 5}).json()
    assert sooner["metadata"]["deletionGracePeriodSeconds"] == 5
    later = api.request("DELETE", f"{path}/p", json={"gracePeriodSeconds": 50}).json()
    assert later["metadata"]["deletionGracePeriodSeconds"] == 5
    assert api.request("DELETE", f"{path}/p", json={"gracePeriodSeconds": 0}).status_code == 200
    assert api.get(f"{path}/p").status_code == 404
    api.post(path, json=pod("q"))
    assert api.delete(f"{path}/q").status_code == 200
    assert api.get(f"{path}/q").status_code == 404


def test_finalizers_and_policies(api: httpx.Client, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    body = config_map("f") | {"metadata": {"name": "f", "finalizers": ["example.com/wait"]}}
    api.post(path, json=body)
    marked = api.request("DELETE", f"{path}/f", json={"propagationPolicy": "Foreground"}).json()
    assert marked["metadata"]["finalizers"] == ["example.com/wait", "foregroundDeletion"]
    assert marked["metadata"]["deletionGracePeriodSeconds"] == 0
    assert api.get(f"{path}/f").status_code == 200
    api.patch(f"{path}/f", json={"metadata": {"finalizers": None}}, headers=MERGE)
    assert api.get(f"{path}/f").status_code == 404
    api.post(path, json=config_map("g"))
    wrong = api.request("DELETE", f"{path}/g", json={"preconditions": {"uid": "nope"}})
    assert wrong.status_code == 409
    assert "Precondition failed: UID in precondition: nope" in wrong.json()["message"]
    orphaning = api.request("DELETE", f"{path}/g", json={"propagationPolicy": "Orphan"}).json()
    assert orphaning["metadata"]["finalizers"] == ["orphan"]


def test_a_collection_is_deleted_by_selector(api: httpx.Client, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    for name, label in (("a", "x"), ("b", "x"), ("c", "y")):
        api.post(path, json={"metadata": {"name": name, "labels": {"l": label}}})
    answer = api.delete(path, params={"labelSelector": "l=x"})
    assert answer.json()["kind"] == "ConfigMapList"
    assert [one["metadata"]["name"] for one in api.get(path).json()["items"]] == ["c"]


def test_namespaces_end_when_finalized(api: httpx.Client, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}"
    ending = api.delete(path).json()
    assert ending["status"]["phase"] == "Terminating"
    caught_up(api)
    refused = api.post(f"{path}/configmaps", json=config_map("late"))
    assert refused.status_code == 403
    assert "because it is being terminated" in refused.json()["message"]
    ending["spec"]["finalizers"] = []
    done = api.put(f"{path}/finalize", json=ending)
    assert done.status_code == 200, done.text
    assert api.get(path).status_code == 404


def test_scale_is_read_and_written(api: httpx.Client, namespace: str) -> None:
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec = {"replicas": 1, "selector": {"matchLabels": {"a": "b"}}, "template": template}
    api.post(path, json={"metadata": {"name": "d"}, "spec": spec})
    scale = api.get(f"{path}/d/scale").json()
    assert scale["spec"] == {"replicas": 1}
    assert scale["status"]["selector"] == "a=b"
    patched = api.patch(f"{path}/d/scale", json={"spec": {"replicas": 4}}, headers=MERGE)
    assert patched.json()["spec"] == {"replicas": 4}
    deployment = api.get(f"{path}/d").json()
    assert (deployment["spec"]["replicas"], deployment["metadata"]["generation"]) == (4, 2)
    scale["spec"]["replicas"] = 5
    assert api.put(f"{path}/d/scale", json=scale).status_code == 409
    del scale["metadata"]["resourceVersion"]
    assert api.put(f"{path}/d/scale", json=scale).json()["spec"] == {"replicas": 5}
    scale["spec"]["replicas"] = -1
    assert api.put(f"{path}/d/scale", json=scale).status_code == 422


def test_status_and_spec_are_written_apart(api: httpx.Client, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/pods"
    made = api.post(path, json=pod("p") | {"status": {"phase": "Running"}}).json()
    assert made["status"]["phase"] == "Pending"
    status = {"metadata": {"labels": {"new": "1"}}, "spec": {"nodeName": "x"}, "status": {"phase": "Running"}}
    after = api.patch(f"{path}/p/status", json=status, headers=MERGE).json()
    assert after["status"]["phase"] == "Running"
    assert "nodeName" not in after["spec"]
    immutable = api.patch(f"{path}/p", json={"spec": {"restartPolicy": "Never"}}, headers=MERGE)
    assert immutable.status_code == 422
    assert "pod updates may not change fields other than" in immutable.json()["message"]


def test_evictions_ask_the_budget(api: httpx.Client, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/pods"
    budgets = f"/apis/policy/v1/namespaces/{namespace}/poddisruptionbudgets"
    api.post(path, json=pod("p", nodeName="n1"))
    ready = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    api.patch(f"{path}/p/status", json={"status": ready}, headers=MERGE)
    budget = {"metadata": {"name": "b"}, "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "p"}}}}
    assert api.post(budgets, json=budget).status_code == 201
    health = {"observedGeneration": 1, "currentHealthy": 1, "desiredHealthy": 1, "disruptionsAllowed": 0}
    api.patch(f"{budgets}/b/status", json={"status": health}, headers=MERGE)
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}}
    refused = api.post(f"{path}/p/eviction", json=eviction)
    assert refused.status_code == 429, refused.text
    assert refused.json()["details"]["causes"][0]["reason"] == "DisruptionBudget"
    api.patch(f"{budgets}/b/status", json={"status": {"disruptionsAllowed": 1}}, headers=MERGE)
    allowed = api.post(f"{path}/p/eviction", json=eviction)
    assert allowed.status_code == 201, allowed.text
    left = api.get(f"{budgets}/b").json()["status"]
    assert left["disruptionsAllowed"] == 0
    assert list(left["disruptedPods"]) == ["p"]
    going = api.get(f"{path}/p").json()
    assert going["metadata"]["deletionTimestamp"]
    assert "DisruptionTarget" in {one["type"] for one in going["status"]["conditions"]}


def test_versions_of_one_object(api: httpx.Client, namespace: str) -> None:
    spec = {"maxReplicas": 3, "scaleTargetRef": {"kind": "Deployment", "name": "d", "apiVersion": "apps/v1"}}
    one = f"/apis/autoscaling/v1/namespaces/{namespace}/horizontalpodautoscalers"
    two = one.replace("v1", "v2", 1)
    body = {"metadata": {"name": "h"}, "spec": {**spec, "targetCPUUtilizationPercentage": 70}}
    assert api.post(one, json=body).status_code == 201
    newer = api.get(f"{two}/h").json()
    assert newer["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"] == 70
    assert api.get(one).json()["items"][0]["spec"]["targetCPUUtilizationPercentage"] == 70

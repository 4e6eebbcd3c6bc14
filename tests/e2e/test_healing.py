"""What dies comes back: pods, containers, every service, the whole cluster; nothing is lost on the way."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest
import yaml

from tests.e2e.cluster import Cluster, Kubectl, eventually, is_ready

SERVICES = (
    "etcd",
    "apiserver",
    "controller_manager",
    "scheduler",
    "containerd",
    "cri_shim",
    "kubelet",
    "kube_proxy",
    "cluster_dns",
)


def web(replicas: int) -> str:
    container = {
        "name": "web",
        "image": "skiff.local/toolbox:latest",
        "imagePullPolicy": "IfNotPresent",
        "command": ["web", "8080"],
        "readinessProbe": {"httpGet": {"path": "/cgi-bin/hostname", "port": 8080}, "periodSeconds": 1},
    }
    template = {
        "metadata": {"labels": {"app": "web"}},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 1},
    }
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}}, "template": template}
    service = {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]}
    return yaml.safe_dump_all(
        [
            {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec},
            {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": service},
        ]
    )


@pytest.fixture
def application(newest: Kubectl, namespace: str) -> str:
    newest("apply", "-n", namespace, "-f", "-", input=web(2))
    newest("rollout", "status", "-n", namespace, "deployment/web", "--timeout=90s")
    return namespace


def addresses(kubectl: Kubectl, namespace: str) -> set[str]:
    subsets = kubectl.json("get", "endpoints", "web", "-n", namespace).get("subsets") or []
    return {address["ip"] for subset in subsets for address in subset.get("addresses") or []}


def ready_pods(kubectl: Kubectl, namespace: str) -> list[dict[str, Any]]:
    return [pod for pod in kubectl.pods(namespace, "app=web") if is_ready(pod)]


def test_a_deleted_pod_is_replaced_and_endpoints_follow(newest: Kubectl, application: str) -> None:
    pod = newest.pods(application, "app=web")[0]
    newest("delete", "pod", "-n", application, pod["metadata"]["name"])

    def replaced() -> bool:
        pods = ready_pods(newest, application)
        names = {p["metadata"]["name"] for p in pods}
        ips = {p["status"]["podIP"] for p in pods}
        return len(pods) == 2 and pod["metadata"]["name"] not in names and addresses(newest, application) == ips

    assert eventually(replaced, "a new pod takes over")


def test_a_killed_container_is_started_again_in_its_pod(newest: Kubectl, application: str) -> None:
    pod = newest.pods(application, "app=web")[0]["metadata"]["name"]
    newest("exec", "-n", application, pod, "--", "sh", "-c", "kill -9 -1; kill 1", check=False)

    def restarted() -> bool:
        found = newest.json("get", "pod", pod, "-n", application)
        status = found["status"]["containerStatuses"][0]
        return status["restartCount"] == 1 and is_ready(found) and "terminated" in status["lastState"]

    assert eventually(restarted, "the container runs again")
    assert len(eventually(lambda: len(addresses(newest, application)) == 2 and [1], "both are endpoints")) == 1


@pytest.mark.parametrize("service", SERVICES)
def test_a_killed_service_comes_back_and_nothing_is_lost(
    cluster: Cluster, newest: Kubectl, application: str, service: str
) -> None:
    before = {pod["metadata"]["uid"]: pod["status"] for pod in ready_pods(newest, application)}
    newest("create", "configmap", "kept", "-n", application, "--from-literal=by=" + service)
    old = cluster.pids()[service]
    os.kill(old, signal.SIGKILL)
    eventually(lambda: cluster.pids().get(service, old) != old, f"{service} is started again")
    eventually(lambda: newest.json("get", "configmap", "kept", "-n", application)["data"]["by"] == service, "reading")
    newest("scale", "-n", application, "deployment/web", "--replicas=3")
    eventually(lambda: len(ready_pods(newest, application)) == 3, "the cluster works: a third pod is ready")
    eventually(lambda: len(addresses(newest, application)) == 3, "and stands behind the Service")
    after = {pod["metadata"]["uid"]: pod["status"] for pod in ready_pods(newest, application)}
    for uid, status in before.items():
        assert uid in after, "pods that ran go on running"
        assert after[uid]["containerStatuses"][0]["restartCount"] == status["containerStatuses"][0]["restartCount"]
        assert after[uid]["podIP"] == status["podIP"]


def test_the_cluster_returns_after_down_and_up(cluster: Cluster, newest: Kubectl, application: str) -> None:
    before = {pod["metadata"]["name"] for pod in ready_pods(newest, application)}
    cluster.skiff("down")
    assert cluster.skiff("status", check=False).returncode != 0
    cluster.up()
    eventually(lambda: len(ready_pods(newest, application)) == 2, "the application is back", 120)
    eventually(lambda: len(addresses(newest, application)) == 2, "and reachable")
    assert {pod["metadata"]["name"] for pod in newest.pods(application, "app=web")} == before

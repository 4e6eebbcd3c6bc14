"""The official Python client through the kubeconfig: list, watch, create, patch, exec, delete."""

from __future__ import annotations

import sys

from tests.e2e.cluster import Cluster

PROGRAM = """
import json, sys
from kubernetes import client, config, watch
from kubernetes.stream import stream
config.load_kube_config(sys.argv[1])
namespace = sys.argv[2]
core, apps = client.CoreV1Api(), client.AppsV1Api()
core.create_namespace({"metadata": {"name": namespace}})
import time
for _ in range(600):
    if any(a.metadata.name == "default" for a in core.list_namespaced_service_account(namespace).items):
        break
    time.sleep(0.1)
pod = {
    "metadata": {"name": "one", "labels": {"app": "one"}},
    "spec": {"terminationGracePeriodSeconds": 0, "containers": [
        {"name": "c", "image": "skiff.local/toolbox:latest", "imagePullPolicy": "IfNotPresent",
         "command": ["sleep", "600"]}]},
}
core.create_namespaced_pod(namespace, pod)
phases = []
for event in watch.Watch().stream(core.list_namespaced_pod, namespace, timeout_seconds=60):
    phases.append((event["type"], event["object"].status.phase))
    if event["object"].status.phase == "Running":
        break
assert phases[0][0] == "ADDED" and phases[-1][1] == "Running", phases
said = stream(core.connect_get_namespaced_pod_exec, "one", namespace, command=["echo", "hi"], stdout=True, stderr=True,
              stdin=False, tty=False)
assert said == "hi\\n", said
patched = core.patch_namespaced_pod("one", namespace, {"metadata": {"labels": {"app": "two"}}})
assert patched.metadata.labels == {"app": "two"}
assert [p.metadata.name for p in core.list_namespaced_pod(namespace, label_selector="app=two").items] == ["one"]
assert core.list_namespaced_pod(namespace, label_selector="app=one").items == []
try:
    core.read_namespaced_pod("none", namespace)
except client.exceptions.ApiException as error:
    assert error.status == 404 and json.loads(error.body)["message"] == 'pods "none" not found'
else:
    raise AssertionError("an absent pod was found")
assert core.list_node().items[0].status.node_info.kubelet_version.startswith("v1.36")
core.delete_namespace(namespace)
print("done")
"""


def test_the_official_client_lists_watches_and_creates(cluster: Cluster) -> None:
    result = cluster.run(
        sys.executable, "-W", "ignore", "-c", PROGRAM, cluster.kubeconfig, "official-client", check=False
    )
    assert result.stdout == "done\n", result.stderr

"""The tools people use: the oldest and the newest kubectl of this machine, and the official Python client."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client, config, watch

from tests.integration.cluster_parts import ApiServer

BINARIES = sorted(Path("/usr/lib/google-cloud-sdk/bin").glob("kubectl.1.*"))
MANIFEST = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: c, image: nginx, ports: [{containerPort: 80}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {type: NodePort, selector: {app: web}, ports: [{port: 80}]}
"""


@pytest.fixture(params=[BINARIES[0], BINARIES[-1]] if BINARIES else [], ids=lambda path: path.name)
def kubectl(request: pytest.FixtureRequest, server: ApiServer, namespace: str, tmp_path: Path) -> object:
    def run(*arguments: str, text: str = "") -> str:
        argv = [str(request.param), f"--kubeconfig={server.kubeconfig()}", f"--namespace={namespace}", *arguments]
        environment = {**os.environ, "HOME": str(tmp_path)}
        done = subprocess.run(argv, input=text, capture_output=True, text=True, env=environment, check=False)
        assert done.returncode == 0, f"{' '.join(arguments)}: {done.stderr}"
        return done.stdout

    return run


def test_kubectl_works(kubectl: object) -> None:
    run = kubectl
    assert callable(run)
    assert "deployment.apps/web created" in run("apply", "-f", "-", text=MANIFEST)
    assert "deployment.apps/web unchanged" in run("apply", "-f", "-", text=MANIFEST)
    changed = MANIFEST.replace("replicas: 2", "replicas: 3")
    assert "deployment.apps/web configured" in run("apply", "-f", "-", text=changed)
    assert "0/3" in run("get", "deploy", "web")
    assert "deployment.apps/web scaled" in run("scale", "deploy/web", "--replicas=1")
    run("set", "image", "deploy/web", "c=nginx:2")
    run("label", "svc/web", "x=y")
    run("annotate", "svc/web", "x=y")
    assert "web" in run("get", "svc", "-l", "x=y", "-o", "name")
    assert "NodePort" in run("describe", "svc", "web")
    run("create", "configmap", "cm", "--from-literal=a=b")
    assert run("get", "cm", "cm", "-o", "jsonpath={.data.a}") == "b"
    run("patch", "cm", "cm", "--type=json", "-p", '[{"op":"remove","path":"/data/a"}]')
    assert "RollingUpdate" in run("explain", "deployment.spec.strategy")
    assert "serverside-applied" in run("apply", "--server-side", "--force-conflicts", "-f", "-", text=changed)
    assert "deployments" in run("api-resources")
    assert "yes" in run("auth", "can-i", "create", "pods")
    run("wait", "--for=jsonpath={.spec.replicas}=3", "deploy/web", "--timeout=5s")
    assert "deleted" in run("delete", "deploy,svc,cm", "--all")
    assert run("get", "deploy,svc,cm", "-o", "name") == ""


def test_the_official_client_works(server: ApiServer, namespace: str) -> None:
    configuration: Any = config
    made = configuration.new_client_from_config(str(server.kubeconfig()))
    core: Any = client.CoreV1Api(made)
    body = client.V1ConfigMap(metadata=client.V1ObjectMeta(name="c"), data={"a": "b"})
    core.create_namespaced_config_map(namespace, body)
    assert [one.metadata.name for one in core.list_namespaced_config_map(namespace).items] == ["c"]
    core.patch_namespaced_config_map("c", namespace, {"data": {"x": "y"}})
    watcher: Any = watch
    seen = watcher.Watch().stream(core.list_namespaced_config_map, namespace, timeout_seconds=1)
    assert [(event["type"], event["object"].data) for event in seen] == [("ADDED", {"a": "b", "x": "y"})]
    core.delete_namespaced_config_map("c", namespace)
    with pytest.raises(client.ApiException) as missing:
        core.read_namespaced_config_map("c", namespace)
    assert missing.value.status == 404
    made.close()


def test_plain_paths(server: ApiServer) -> None:
    with server.http() as http, server.anonymous() as stranger:
        assert http.get("/healthz").text == "ok"
        verbose = http.get("/readyz", params={"verbose": ""}).text
        assert "[+]etcd ok\n" in verbose
        assert verbose.endswith("readyz check passed\n")
        assert http.get("/livez/ping").text == "ok"
        assert http.get("/livez/none").status_code == 404
        assert http.get("/version").json()["minor"] == "36"
        paths = http.get("/").json()["paths"]
        assert {"/api/v1", "/apis/apps/v1", "/healthz", "/metrics", "/readyz/etcd"} <= set(paths)
        assert "apiserver_request_total{" in http.get("/metrics").text
        assert http.get("/nowhere").text == "404 page not found\n"
        assert http.post("/metrics").status_code == 405
        assert "<pre>" in http.get("/logs/").text
        assert http.get("/logs/%2e%2e/etc/passwd").status_code == 404
        assert stranger.get("/readyz").status_code == 200
        assert stranger.get("/version").status_code == 200
        refused = stranger.get("/")
        assert refused.status_code == 403
        assert refused.json()["message"] == 'forbidden: User "system:anonymous" cannot get path "/"'
        wrong = stranger.get("/", headers={"authorization": "Bearer wrong"})
        assert (wrong.status_code, wrong.json()["message"]) == (401, "Unauthorized")

"""The official Python client, and the paths that people ask by hand."""

from __future__ import annotations

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

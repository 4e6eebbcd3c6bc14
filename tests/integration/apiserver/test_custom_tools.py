"""What people do with custom resources: the oldest and the newest kubectl, and the official Python client."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from kubernetes import client, config, watch

from tests.integration.apiserver.custom_kinds import DEFINITIONS, crontab, definition, establish, wait_until_gone
from tests.integration.cluster_parts import ApiServer

BINARIES = sorted(Path("/usr/lib/google-cloud-sdk/bin").glob("kubectl.1.*"))
Run = Callable[..., str]


@pytest.fixture(params=[BINARIES[0], BINARIES[-1]] if BINARIES else [], ids=lambda path: path.name)
def kubectl(request: pytest.FixtureRequest, server: ApiServer, namespace: str, tmp_path: Path) -> Run:
    def run(*arguments: str, text: str = "", code: int = 0) -> str:
        argv = [str(request.param), f"--kubeconfig={server.kubeconfig()}", f"--namespace={namespace}", *arguments]
        environment = {**os.environ, "HOME": str(tmp_path)}
        done = subprocess.run(argv, input=text, capture_output=True, text=True, env=environment, check=False)
        assert done.returncode == code, f"{' '.join(arguments)}: {done.stderr}"
        return done.stdout + done.stderr

    return run


def test_kubectl_flow(kubectl: Run, api: httpx.Client) -> None:
    made = definition()
    name, group = made["metadata"]["name"], made["spec"]["group"]
    assert f"customresourcedefinition.apiextensions.k8s.io/{name} created" in kubectl(
        "apply", "-f", "-", text=json.dumps(made)
    )
    kubectl("wait", f"crd/{name}", "--for=condition=Established", "--timeout=30s")
    assert "crontabs" in kubectl("api-resources", f"--api-group={group}")
    explained = kubectl("explain", f"crontabs.{group}", "--recursive")
    assert "cron" in explained
    assert "ports" in explained
    assert "Minute, hour and so on." in kubectl("explain", f"crontabs.{group}.spec.cron")
    text = json.dumps(crontab(group, "a", ports=[{"name": "x", "port": 1}]))
    assert f"crontab.{group}/a created" in kubectl("apply", "-f", "-", text=text)
    assert f"crontab.{group}/a unchanged" in kubectl("apply", "-f", "-", text=text)
    assert "unchanged" not in kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", text=text)
    header, row = kubectl("get", f"crontabs.{group}").splitlines()
    assert header.split() == ["NAME", "CRON", "REPLICAS", "AGE"]
    assert row.split()[:7] == ["a", "*", "*", "*", "*", "*", "1"]
    assert "scaled" in kubectl("scale", f"crontabs.{group}/a", "--replicas=3")
    assert kubectl("get", f"crontabs.{group}/a", "-o", "jsonpath={.spec.replicas}") == "3"
    wrong = crontab(group, "b", replicas="many")
    assert "spec.replicas" in kubectl("apply", "-f", "-", text=json.dumps(wrong), code=1)
    assert "unknown field" in kubectl("apply", "-f", "-", text=json.dumps(crontab(group, "b", nope=1)), code=1)
    kubectl("label", f"crontabs.{group}/a", "x=y")
    assert "Kind:         CronTab" in kubectl("describe", f"crontabs.{group}/a")
    kubectl("delete", f"crontabs.{group}", "--all")
    kubectl("delete", f"crd/{name}", "--timeout=30s")
    wait_until_gone(api, f"{DEFINITIONS}/{name}")


def test_official_python_client(server: ApiServer, namespace: str, api: httpx.Client) -> None:
    library: Any = config
    watcher: Any = watch
    group = establish(api, definition())
    objects = client.CustomObjectsApi(library.new_client_from_config(str(server.kubeconfig())))
    where = (group, "v1", namespace, "crontabs")
    first: Any = objects.create_namespaced_custom_object(*where, crontab(group, "a"))
    objects.patch_namespaced_custom_object(*where, "a", {"spec": {"image": "x"}})
    objects.patch_namespaced_custom_object_status(*where, "a", {"status": {"replicas": 1}})
    objects.patch_namespaced_custom_object_scale(*where, "a", {"spec": {"replicas": 2}})
    objects.delete_namespaced_custom_object(*where, "a")
    seen = []
    version = first["metadata"]["resourceVersion"]
    stream = watcher.Watch().stream(
        objects.list_namespaced_custom_object, *where, resource_version=version, timeout_seconds=30
    )
    for event in stream:
        seen.append((event["type"], event["object"]["spec"].get("replicas")))
        if event["type"] == "DELETED":
            break
    assert seen == [("MODIFIED", 1), ("MODIFIED", 1), ("MODIFIED", 2), ("DELETED", 2)]

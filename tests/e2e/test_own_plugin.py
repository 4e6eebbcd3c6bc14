"""A cluster whose kubelet runs on containerd's own CRI plugin instead of the shim: one flag is the whole difference."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.cluster import NODE_IP, Cluster, Kubectl, eventually, is_ready, kubectls, need


@pytest.fixture
def other() -> Iterator[Cluster]:
    need(shutil.which("containerd") is not None, "containerd is missing; `make setup` installs it")
    folder = Path(tempfile.mkdtemp(prefix="skiff-", dir="/var/lib"))
    made = Cluster(folder / "s", namespace=os.environ.get("SKIFF_E2E_NAMESPACE", "skiff") + "-own")
    made.make_network()
    try:
        made.skiff("up", f"--node-ip={NODE_IP}", "--node-name=own", "--no-kubeconfig", "--container-runtime=containerd")
        yield made
    finally:
        made.skiff("down", "--purge", check=False)
        made.remove_network()
        shutil.rmtree(folder, ignore_errors=True)


def test_a_pod_on_containerds_own_plugin(other: Cluster) -> None:
    need(bool(kubectls()), "there is no kubectl on this machine")
    kubectl = Kubectl(other, kubectls()[-1])
    assert "cri_shim" not in other.pids()
    runtime = kubectl.json("get", "node", "own")["status"]["nodeInfo"]["containerRuntimeVersion"]
    assert runtime.startswith("containerd://")
    eventually(lambda: kubectl("get", "serviceaccount", "default"), "the default account exists")
    kubectl("run", "one", "--image=skiff.local/toolbox:latest", "--image-pull-policy=IfNotPresent", "--labels=app=one")
    eventually(lambda: is_ready(kubectl.pods("default", "app=one")[0]), "the pod is Ready")
    assert kubectl("exec", "one", "--", "hostname").stdout == "one\n"
    address = kubectl.pods("default", "app=one")[0]["status"]["podIP"]
    page = f"http://{address}:8080/cgi-bin/hostname"
    eventually(lambda: "one" in other.run("wget", "-qO-", page).stdout, "its page")  # Ready without a probe: it runs.
    kubectl("delete", "pod", "one")

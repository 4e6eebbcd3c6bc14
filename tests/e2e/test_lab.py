"""The compose lab as a user runs it. Only by `make test-lab` (LAB=1): it takes minutes and needs the docker engine.

What it shows beyond test_join.py: the image, the compose files, and nodes that are containers.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.cluster import ROOT, eventually, kubectls, need

pytestmark = pytest.mark.timeout(1500)
SCRIPT = ROOT / "deploy" / "compose" / "lab.sh"
NODES = ("control-plane", "worker-1", "worker-2")
#: Pods of the sample leave a lost node after seconds, not after the five minutes of the default.
HASTE = {
    "tolerations": [
        {"key": f"node.kubernetes.io/{what}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 2}
        for what in ("not-ready", "unreachable")
    ],
    "terminationGracePeriodSeconds": 1,
}


@dataclass(frozen=True)
class Lab:
    kubeconfig: Path

    def kubectl(self, *arguments: str) -> str:
        environment = {**os.environ, "KUBECONFIG": str(self.kubeconfig)}
        command = [str(kubectls()[-1]), *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=180, check=False)
        if done.returncode:
            raise AssertionError(f"{' '.join(command)}\n{done.stdout}\n{done.stderr}")
        return done.stdout

    def pods(self) -> dict[str, tuple[str, str]]:
        """Ready pods of the sample: name -> (node, address)."""
        found = json.loads(self.kubectl("get", "pods", "-l", "app=hello", "-o", "json"))["items"]
        return {
            pod["metadata"]["name"]: (pod["spec"]["nodeName"], pod["status"]["podIP"])
            for pod in found
            if "deletionTimestamp" not in pod["metadata"]
            and any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", ()))
        }

    def ready_nodes(self) -> set[str]:
        lines = self.kubectl("get", "nodes", "--no-headers").splitlines()
        return {line.split()[0] for line in lines if line.split()[1] == "Ready"}


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    need(os.geteuid() == 0, "the lab needs root")
    engine = subprocess.run(["docker", "info"], capture_output=True, check=False)
    need(engine.returncode == 0, "the docker engine does not answer")
    need(bool(kubectls()), "there is no kubectl on this machine")
    subprocess.run([SCRIPT, "up", "small"], check=True, timeout=1200)
    try:
        yield Lab(ROOT / "build" / "lab" / "kubeconfig")
    finally:
        subprocess.run([SCRIPT, "down", "small"], check=True, timeout=300)


def container(node: str) -> str:
    """Old and new compose join names with different characters."""
    listed = subprocess.run(
        ["docker", "ps", "-a", "--format", "{{.Names}}"], capture_output=True, text=True, check=True
    )
    names = listed.stdout.split()
    return next(name for name in names if name in (f"skiff-small_{node}_1", f"skiff-small-{node}-1"))


def test_three_nodes_traffic_everywhere_and_a_lost_worker(lab: Lab) -> None:
    assert lab.ready_nodes() == set(NODES)
    lab.kubectl("apply", "-f", str(ROOT / "deploy" / "samples" / "hello.yaml"))
    change = {"spec": {"replicas": 6, "template": {"spec": HASTE}}}
    lab.kubectl("patch", "deployment", "hello", "--type=merge", "-p", json.dumps(change))
    lab.kubectl("rollout", "status", "deployment/hello", "--timeout=120s")
    pods = eventually(lambda: p if len(p := lab.pods()) == 6 else None, "six ready pods")
    assert {node for node, _ in pods.values()} == set(NODES)

    for node in NODES:
        source = next(name for name, (on, _) in pods.items() if on == node)
        for target, (_, address) in pods.items():
            assert lab.kubectl("exec", source, "--", "wget", "-qO-", f"http://{address}:8080/").split()[-1] == target
        script = "for i in $(seq 40); do wget -qO- http://hello.default.svc.cluster.local; done"
        answers = lab.kubectl("exec", source, "--", "sh", "-c", script)
        assert {line.split()[-1] for line in answers.splitlines()} == set(pods)

    began = time.monotonic()
    subprocess.run(["docker", "stop", container("worker-2")], check=True, capture_output=True, timeout=90)
    left = {"control-plane", "worker-1"}

    def moved() -> bool:
        now = lab.pods()
        return len(now) == 6 and {node for node, _ in now.values()} <= left

    eventually(moved, "six ready pods on the nodes that are left", 120, pause=1)
    assert time.monotonic() - began < 150
    subprocess.run(["docker", "start", container("worker-2")], check=True, capture_output=True, timeout=60)
    eventually(lambda: lab.ready_nodes() == set(NODES), "the return of the worker", 90, pause=1)

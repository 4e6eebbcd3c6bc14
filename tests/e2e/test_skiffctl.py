"""skiffctl against a whole cluster: the same words as kubectl, and the same answers."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.cluster import ROOT, Cluster, Kubectl, eventually

SKIFFCTL = Path(sys.executable).parent / "skiffctl"
SAMPLE = ROOT / "deploy" / "samples" / "hello.yaml"
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def skiffctl(cluster: Cluster, namespace: str) -> Run:
    """Runs in the test's namespace. Called as a module where the script is not installed."""
    program = [str(SKIFFCTL)] if SKIFFCTL.exists() else [sys.executable, "-m", "skiff.ctl"]

    def run(*arguments: str, check: bool = True, **more: Any) -> subprocess.CompletedProcess[str]:
        return cluster.run(*program, "-n", namespace, *arguments, check=check, **more)

    eventually(lambda: run("get", "serviceaccount", "default"), "the default account exists")
    return run


def sample(replicas: int = 3) -> str:
    """The sample, on no port of the node: tests that use it may run one after the other."""
    text = SAMPLE.read_text().replace("type: NodePort", "type: ClusterIP").replace("nodePort: 30080", "protocol: TCP")
    return text.replace("replicas: 3", f"replicas: {replicas}")


def test_the_life_of_a_deployment(skiffctl: Run) -> None:
    made = skiffctl("apply", "-f", "-", input=sample()).stdout
    assert made == "configmap/hello created\ndeployment.apps/hello created\nservice/hello created\n"
    assert skiffctl("apply", "-f", "-", input=sample()).stdout.count("unchanged") == 3
    assert "successfully rolled out" in skiffctl("rollout", "status", "deploy/hello", "--timeout=90s").stdout
    assert "deployment.apps/hello configured" in skiffctl("apply", "-f", "-", input=sample(2)).stdout
    assert skiffctl("scale", "deploy", "hello", "--replicas=1").stdout == "deployment.apps/hello scaled\n"
    assert "condition met" in skiffctl("wait", "deploy/hello", "--for=condition=Available", "--timeout=60s").stdout
    eventually(lambda: len(skiffctl("get", "pods", "-o", "name").stdout.split()) == 1, "one pod is left")

    assert skiffctl("rollout", "restart", "deploy/hello").stdout == "deployment.apps/hello restarted\n"
    skiffctl("rollout", "status", "deploy/hello", "--timeout=90s")
    assert skiffctl("rollout", "history", "deploy/hello").stdout.splitlines()[1:4] == [
        "REVISION  CHANGE-CAUSE",
        "1         <none>",
        "2         <none>",
    ]
    assert skiffctl("rollout", "undo", "deploy/hello").stdout == "deployment.apps/hello rolled back\n"
    assert "ReplicaSet/hello-" in skiffctl("tree", "deploy/hello").stdout
    gone = skiffctl("delete", "-f", "-", "--timeout=60s", input=sample()).stdout
    assert 'deployment.apps "hello" deleted' in gone


def test_a_pod_is_looked_at_and_worked_in(skiffctl: Run, namespace: str, tmp_path: Path) -> None:
    script = "echo started; exec sleep 1000"
    skiffctl("run", "box", "--image=skiff.local/toolbox:latest", "--command", "--", "sh", "-c", script)
    skiffctl("wait", "pod/box", "--for=condition=Ready", "--timeout=60s")
    eventually(lambda: skiffctl("logs", "box", "--tail=1").stdout == "started\n", "the log is there")
    assert skiffctl("exec", "box", "--", "echo", "a b").stdout == "a b\n"
    assert skiffctl("exec", "-i", "box", "--", "cat", input="typed\n").stdout == "typed\n"
    failed = skiffctl("exec", "box", "--", "sh", "-c", "echo bad >&2; exit 7", check=False)
    assert (failed.returncode, failed.stderr) == (7, "bad\ncommand terminated with exit code 7\n")
    (tmp_path / "file").write_text("content")
    skiffctl("cp", str(tmp_path / "file"), f"{namespace}/box:/tmp/there")
    skiffctl("cp", f"{namespace}/box:/tmp/there", str(tmp_path / "back"))
    assert (tmp_path / "back").read_text() == "content"
    assert "Status:           Running" in skiffctl("describe", "pod", "box").stdout
    eventually(lambda: "Scheduled" in skiffctl("describe", "pod", "box").stdout, "the event is told")
    assert "is fine" in skiffctl("why", "box").stdout
    assert skiffctl("label", "pod/box", "tier=front").stdout == "pod/box labeled\n"
    assert skiffctl("get", "pods", "-l", "tier=front", "-o", "jsonpath={.items[*].metadata.name}").stdout == "box"
    assert skiffctl("delete", "pod", "box", "--now").stdout == f'pod "box" deleted from {namespace} namespace\n'


@pytest.mark.parametrize(
    "words",
    [
        "get namespaces -o name",
        "get nodes -o yaml --show-managed-fields=false",
        "get pods -A -o json",
        "get svc -A -o custom-columns=N:.metadata.name,P:.spec.ports[*].port",
        "get pods",
        "get pods nothing",
        "get nothing",
        "api-resources -o wide",
        "api-versions",
        "get svc,endpointslices -n kube-system -o name",
        "create deployment web --image=a/b:c --dry-run=client -o yaml",
        "auth can-i create pods --as=nobody",
        "config current-context",
        "rollout status deploy/nothing",
        "apply -f /nowhere.yaml",
    ],
)
def test_the_same_words_have_the_same_answers(skiffctl: Run, newest: Kubectl, namespace: str, words: str) -> None:
    def same() -> bool:
        theirs = newest("-n", namespace, *words.split(), check=False)
        ours = skiffctl(*words.split(), check=False)
        assert ours.returncode == theirs.returncode
        if "-o yaml" in words or "-o json" in words:
            assert _without_noise(ours.stdout) == _without_noise(theirs.stdout)
        else:
            assert (ours.stdout, ours.stderr.split("\n")[0]) == (theirs.stdout, theirs.stderr.split("\n")[0])
        return True

    eventually(same, "the same answer, while what earlier tests left behind goes away between two looks")


def _without_noise(text: str) -> list[str]:
    """Lines that do not change between two looks, and not the empty ones older kubectls write of an object."""
    noise = (
        "resourceVersion",
        "lastHeartbeatTime",
        "creationTimestamp: null",
        "strategy: {}",
        "resources: {}",
        "status: {}",
    )
    return [line for line in text.splitlines() if not any(word in line for word in noise)]


def test_what_kubectl_applied_is_taken_over(skiffctl: Run, newest: Kubectl, namespace: str) -> None:
    newest("apply", "-n", namespace, "-f", "-", input=sample(1))
    assert skiffctl("apply", "-f", "-", input=sample(1)).stdout.count("unchanged") == 3
    without = sample(1).replace("imagePullPolicy: IfNotPresent", "imagePullPolicy: Never")
    assert "deployment.apps/hello configured" in skiffctl("apply", "-f", "-", input=without).stdout
    assert "unchanged" in newest("apply", "-n", namespace, "-f", "-", input=without).stdout
    different = skiffctl("diff", "-f", "-", input=sample(2), check=False)
    assert different.returncode == 1
    assert "+  replicas: 2" in different.stdout


def test_a_watch_shows_what_happens(skiffctl: Run, cluster: Cluster, namespace: str) -> None:
    words = ("get", "configmaps", "-n", namespace, "-w", "-o", "json", "--field-selector=metadata.name=seen")
    watch = cluster.popen(sys.executable, "-m", "skiff.ctl", *words, stdout=subprocess.PIPE)
    try:
        skiffctl("create", "configmap", "seen", "--from-literal=a=b")
        assert watch.stdout is not None
        text = ""
        while not text.endswith("\n}\n"):
            text += watch.stdout.readline()
        assert json.loads(text)["data"] == {"a": "b"}
    finally:
        watch.kill()
        watch.communicate()

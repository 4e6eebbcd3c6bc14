"""The sample application and the commands people use on it, with the oldest and the newest kubectl."""

from __future__ import annotations

import os
import pty
import subprocess
import threading
from pathlib import Path

import pytest
import yaml

from tests.e2e.cluster import NODE_IP, ROOT, Kubectl, answers, eventually, is_ready

SAMPLE = ROOT / "deploy" / "samples" / "hello.yaml"


@pytest.fixture
def hello(kubectl: Kubectl, namespace: str) -> str:
    """The sample in a namespace of its own; returns the namespace."""
    documents = [d for d in yaml.safe_load_all(SAMPLE.read_text()) if d]
    for document in documents:
        if document["kind"] == "Service":
            del document["spec"]["ports"][0]["nodePort"]  # one for each test, chosen by the apiserver
    kubectl("apply", "-n", namespace, "-f", "-", input=yaml.safe_dump_all(documents))
    kubectl("rollout", "status", "-n", namespace, "deployment/hello", "--timeout=90s")
    return namespace


def test_an_application_is_reached_by_name_by_address_and_by_node_port(kubectl: Kubectl, hello: str) -> None:
    pods = kubectl.pods(hello, "app=hello")
    assert len(pods) == 3
    names = {f"hello from {pod['metadata']['name']}" for pod in pods}
    first = pods[0]["metadata"]["name"]
    url = f"http://hello.{hello}.svc.cluster.local"
    eventually(lambda: answers(kubectl, hello, first, url, 30) == names, "all three answer")
    assert answers(kubectl, hello, first, "http://hello", 3) <= names
    service = kubectl.json("get", "service", "hello", "-n", hello)
    assert answers(kubectl, hello, first, f"http://{service['spec']['clusterIP']}", 3) <= names
    port = service["spec"]["ports"][0]["nodePort"]
    seen = {kubectl.cluster.run("curl", "-s", f"http://{NODE_IP}:{port}").stdout.strip() for _ in range(30)}
    assert seen == names


def test_logs_exec_and_copy(kubectl: Kubectl, hello: str, tmp_path: Path) -> None:
    pod = kubectl.pods(hello, "app=hello")[0]["metadata"]["name"]
    kubectl("exec", "-n", hello, pod, "--", "sh", "-c", "echo first > /proc/1/fd/1; echo second > /proc/1/fd/1")
    eventually(lambda: "second" in kubectl("logs", "-n", hello, pod).stdout, "the log shows what was written")
    assert kubectl("logs", "-n", hello, pod, "--tail=1").stdout == "second\n"
    failing = kubectl("exec", "-n", hello, pod, "--", "sh", "-c", "echo out; echo err >&2; exit 3", check=False)
    assert (failing.stdout, failing.returncode) == ("out\n", 3)
    assert "err" in failing.stderr
    piped = kubectl("exec", "-i", "-n", hello, pod, "--", "wc", "-c", input="x" * 300_000)
    assert piped.stdout.strip() == "300000"
    source = tmp_path / "file"
    source.write_bytes(os.urandom(200_000))
    kubectl("cp", "-n", hello, str(source), f"{pod}:/tmp/file")
    kubectl("cp", "-n", hello, f"{pod}:/tmp/file", str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == source.read_bytes()


def test_a_terminal(kubectl: Kubectl, hello: str) -> None:
    pod = kubectl.pods(hello, "app=hello")[0]["metadata"]["name"]
    controller, terminal = pty.openpty()
    child = kubectl.popen(
        "exec", "-it", "-n", hello, pod, "--", "sh", stdin=terminal, stdout=terminal, stderr=terminal, close_fds=True
    )
    os.close(terminal)
    seen = bytearray()

    def read() -> None:
        try:
            while data := os.read(controller, 4096):
                seen.extend(data)
        except OSError:
            pass

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    eventually(lambda: b"#" in seen, "a prompt")
    os.write(controller, b"tty && echo $((6*7))\n")
    eventually(lambda: b"/dev/pts/" in seen and b"42" in seen, "the answer on the terminal")
    os.write(controller, b"exit 5\n")
    assert child.wait(20) == 5
    os.close(controller)


def test_port_forward(kubectl: Kubectl, hello: str) -> None:
    child = kubectl.popen(
        "port-forward", "-n", hello, "service/hello", ":80", stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    try:
        assert child.stdout is not None
        line = child.stdout.readline()
        assert line.startswith("Forwarding from 127.0.0.1:"), line
        port = int(line.split("127.0.0.1:")[1].split()[0])
        for _ in range(3):
            said = kubectl.cluster.run("curl", "-s", "-m", "10", f"http://127.0.0.1:{port}").stdout
            assert said.startswith("hello from hello-")
    finally:
        child.terminate()
        child.wait(10)


def test_scale_update_and_undo(kubectl: Kubectl, hello: str) -> None:
    kubectl("scale", "-n", hello, "deployment/hello", "--replicas=5")
    kubectl("rollout", "status", "-n", hello, "deployment/hello", "--timeout=90s")
    assert len(kubectl.pods(hello, "app=hello")) == 5
    kubectl("scale", "-n", hello, "deployment/hello", "--replicas=2")
    eventually(lambda: len(kubectl.pods(hello, "app=hello")) == 2, "two pods are left")
    before = {pod["metadata"]["labels"]["pod-template-hash"] for pod in kubectl.pods(hello, "app=hello")}
    kubectl("set", "env", "-n", hello, "deployment/hello", "COLOUR=blue")
    kubectl("rollout", "status", "-n", hello, "deployment/hello", "--timeout=90s")
    pod = kubectl.pods(hello, "app=hello")[0]["metadata"]["name"]
    assert kubectl("exec", "-n", hello, pod, "--", "sh", "-c", "echo $COLOUR").stdout == "blue\n"
    assert "2" in kubectl("rollout", "history", "-n", hello, "deployment/hello").stdout
    kubectl("rollout", "undo", "-n", hello, "deployment/hello")
    kubectl("rollout", "status", "-n", hello, "deployment/hello", "--timeout=90s")
    after = {pod["metadata"]["labels"]["pod-template-hash"] for pod in kubectl.pods(hello, "app=hello")}
    assert after == before


def test_describe_get_and_watch(kubectl: Kubectl, hello: str) -> None:
    pod = kubectl.pods(hello, "app=hello")[0]["metadata"]["name"]
    parts = ("Controlled By:  ReplicaSet/hello-", "Successfully assigned", " Started ", "QoS Class:")

    def described() -> bool:
        text = kubectl("describe", "pod", "-n", hello, pod).stdout
        return all(part in text for part in parts)

    eventually(described, "the description with its events, which come after what they tell")
    assert "MinimumReplicasAvailable" in kubectl("describe", "deployment", "-n", hello, "hello").stdout
    assert "hello" in kubectl("describe", "node", "e2e").stdout
    wide = kubectl("get", "pods", "-n", hello, "-o", "wide").stdout.splitlines()
    assert wide[0].split()[:6] == ["NAME", "READY", "STATUS", "RESTARTS", "AGE", "IP"]
    watcher = kubectl.popen("get", "pods", "-n", hello, "-w", "--output-watch-events", stdout=subprocess.PIPE)
    lines: list[str] = []
    assert watcher.stdout is not None
    reader = threading.Thread(target=lambda: lines.extend(watcher.stdout or ()), daemon=True)
    reader.start()
    eventually(lambda: len(lines) >= 4, "a head and three pods")
    kubectl("delete", "pod", "-n", hello, pod, "--wait=false")
    try:
        eventually(lambda: any("DELETED" in line and pod in line for line in lines), "the watch shows the end")
        eventually(lambda: any("ADDED" in line and pod not in line for line in lines[4:]), "and the new pod")
    finally:
        watcher.terminate()
        watcher.wait(10)


def test_delete_takes_everything_along(kubectl: Kubectl, hello: str) -> None:
    kubectl("delete", "deployment,service,configmap", "-n", hello, "hello", "--timeout=90s")

    def left() -> bool:
        return not kubectl.json("get", "pods,replicasets,endpoints,endpointslices", "-n", hello)["items"]

    assert eventually(left, "dependents are collected")


def test_the_page_follows_its_config_map(newest: Kubectl, namespace: str) -> None:
    """A volume of a ConfigMap changes while the pod runs."""
    newest("create", "configmap", "page", "-n", namespace, "--from-literal=text=old")
    body = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "reader", "namespace": namespace},
        "spec": {
            "containers": [
                {
                    "name": "c",
                    "image": "skiff.local/toolbox:latest",
                    "imagePullPolicy": "IfNotPresent",
                    "command": ["sleep", "3600"],
                    "volumeMounts": [{"name": "v", "mountPath": "/page"}],
                }
            ],
            "terminationGracePeriodSeconds": 0,
            "volumes": [{"name": "v", "configMap": {"name": "page"}}],
        },
    }
    newest("apply", "-f", "-", input=yaml.safe_dump(body))
    newest("wait", "-n", namespace, "pod/reader", "--for=condition=Ready", "--timeout=90s")
    newest("patch", "configmap", "page", "-n", namespace, "-p", '{"data":{"text":"new"}}')

    def shown() -> bool:
        return newest("exec", "-n", namespace, "reader", "--", "cat", "/page/text").stdout == "new"

    assert eventually(shown, "the new text is in the pod", 90)


def test_the_node_is_ready_and_has_its_range(newest: Kubectl) -> None:
    node = newest.json("get", "node", "e2e")
    assert is_ready(node)
    assert node["spec"]["podCIDR"] == "10.244.0.0/24"

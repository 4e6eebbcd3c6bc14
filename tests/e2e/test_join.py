"""A worker joins with a token, pods on both nodes reach each other, and its loss costs nothing but time.

In order: the module's worker joins once, and the last test takes its power.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.cluster import Cluster, Kubectl, answers, eventually, is_ready, kubectls
from tests.e2e.worker import Worker

IMAGE = "skiff.local/toolbox"


@pytest.fixture(scope="module")
def outsider(cluster: Cluster) -> Iterator[Worker]:
    """A host beside the cluster that has not joined."""
    folder = Path(tempfile.mkdtemp(prefix="skiff-", dir="/var/lib"))
    made = Worker(cluster, folder / "w")
    made.disconnect()
    made.connect()
    try:
        yield made
    finally:
        made.remove()
        cluster.run(kubectls()[-1], "delete", "node", made.name, "--ignore-not-found", check=False)
        made.disconnect()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def invitation(outsider: Worker) -> list[str]:
    return outsider.invitation()


@pytest.fixture(scope="module")
def worker(outsider: Worker, invitation: list[str]) -> Worker:
    outsider.join(*invitation, f"--node-name={outsider.name}", f"--node-ip={outsider.address}")
    return outsider


def server(name: str, node: str | None = None, replicas: int = 1) -> str:
    """A Deployment that answers HTTP with the pod's name, and its Service. It leaves a lost node after a second."""
    labels = {"app": name}
    script = "mkdir -p /www && hostname > /www/index.html && exec httpd -f -p 8080 -h /www"
    lost = [
        {"key": f"node.kubernetes.io/{what}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 1}
        for what in ("not-ready", "unreachable")
    ]
    spec: dict[str, Any] = {
        "terminationGracePeriodSeconds": 1,
        "tolerations": lost,
        "containers": [
            {
                "name": "web",
                "image": IMAGE,
                "command": ["sh", "-c", script],
                "readinessProbe": {"httpGet": {"port": 8080}, "periodSeconds": 1},
                "resources": {"requests": {"cpu": "50m", "memory": "16Mi"}},
            }
        ],
    }
    if node:
        spec["nodeSelector"] = {"kubernetes.io/hostname": node}
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    }
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": labels, "ports": [{"port": 80, "targetPort": 8080}]},
    }
    return yaml.safe_dump_all([deployment, service])


def deploy(kubectl: Kubectl, namespace: str, text: str, name: str, replicas: int = 1) -> list[dict[str, Any]]:
    kubectl("apply", "-n", namespace, "-f", "-", input=text)

    def ready() -> list[dict[str, Any]]:
        pods = kubectl.pods(namespace, f"app={name}")
        return pods if len(pods) == replicas and all(map(is_ready, pods)) else []

    found: list[dict[str, Any]] = eventually(ready, f"{replicas} ready pods of {name}")
    return found


def _answered_by(kubectl: Kubectl, namespace: str, pod: str, url: str, name: str) -> bool:
    return answers(kubectl, namespace, pod, url, 2) == {name}


def node_is_ready(kubectl: Kubectl, name: str) -> bool:
    return is_ready(kubectl.json("get", "node", name))


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        ({"--ca-hash": "sha256:" + "0" * 64}, "another cluster answers there"),
        ({"--token": "aaaaaa.0123456789abcdef"}, "it is wrong or has expired"),
        ({"--token": "short"}, "not of the form abcdef.0123456789abcdef"),
        ({"--server": "https://10.89.77.1:1"}, "no apiserver answers at https://10.89.77.1:1"),
        ({"--server": "ftp://10.89.77.1"}, "not of the form https://HOST:PORT"),
        ({"--node-name": "e2e"}, "a node e2e is in this cluster and Ready"),
    ],
)
def test_a_wrong_invitation_is_refused_in_one_sentence(
    outsider: Worker, invitation: list[str], flags: dict[str, str], sentence: str
) -> None:
    given = {**dict(zip(invitation[::2], invitation[1::2], strict=True)), "--node-name": "other", **flags}
    refused = outsider.join(
        *(f"{flag}={value}" for flag, value in given.items()), f"--node-ip={outsider.address}", check=False
    )
    assert refused.returncode == 1
    assert sentence in refused.stderr
    assert refused.stderr.count("\n") == 1, refused.stderr
    assert not outsider.folder.exists()


def test_anybody_may_read_the_authority_and_nothing_beside_it(cluster: Cluster) -> None:
    base = "https://10.89.77.1:6443/api/v1/namespaces/kube-public/configmaps"
    fetch = ("curl", "-sk", "-o", "/dev/null", "-w", "%{http_code}")
    assert cluster.run(*fetch, f"{base}/cluster-info").stdout == "200"
    assert cluster.run(*fetch, base).stdout == "403"
    assert cluster.run(*fetch, f"{base}/kube-root-ca.crt").stdout == "403"


def test_tokens_are_listed_without_their_secrets_and_deleted(cluster: Cluster) -> None:
    line = cluster.skiff("token", "create", "--description=for the test").stdout
    identifier, _, secret = line.split()[5].partition(".")
    listed = cluster.skiff("token", "list").stdout
    assert identifier in listed
    assert "for the test" in listed
    assert secret not in listed
    cluster.skiff("token", "delete", identifier)
    assert identifier not in cluster.skiff("token", "list").stdout


def test_the_worker_is_ready_with_an_identity_of_its_own(newest: Kubectl, worker: Worker) -> None:
    assert node_is_ready(newest, "e2e")
    assert node_is_ready(newest, worker.name)
    assert not (worker.folder / "kubeconfig" / "bootstrap-kubelet.conf").exists()
    cidrs = {node["spec"]["podCIDR"] for node in newest.json("get", "nodes")["items"]}
    assert len(cidrs) == 2
    refused = worker.node.run("curl", "-sk", "-o", "/dev/null", "-w", "%{http_code}", "https://10.89.77.1:6443/api")
    assert refused.stdout == "403"


def test_the_control_planes_host_cannot_join_and_a_worker_makes_no_tokens(cluster: Cluster, worker: Worker) -> None:
    refused = cluster.skiff("join", "--server=https://10.89.77.9:6443", check=False)
    assert refused.returncode == 1
    assert "this host has a control plane of its own" in refused.stderr
    refused = worker.node.skiff("token", "create", check=False)
    assert refused.returncode == 1
    assert "this host is a worker; run it on the control plane, https://10.89.77.1:6443" in refused.stderr


def test_a_worker_renews_the_certificates_of_its_agents_as_itself(worker: Worker) -> None:
    file = worker.folder / "kubeconfig" / "kube-proxy.conf"
    before = file.read_bytes()
    assert "kube-proxy.conf" in worker.node.skiff("certs", "renew").stdout
    assert file.read_bytes() != before


def test_pods_of_both_nodes_reach_each_other_and_the_services(newest: Kubectl, worker: Worker, namespace: str) -> None:
    here = deploy(newest, namespace, server("here", "e2e"), "here")[0]
    there = deploy(newest, namespace, server("there", worker.name), "there")[0]
    for source, target in ((here, there), (there, here)):
        pod, name = source["metadata"]["name"], target["metadata"]["name"]
        service = target["metadata"]["labels"]["app"]
        assert answers(newest, namespace, pod, f"http://{target['status']['podIP']}:8080", 2) == {name}
        address = newest.json("get", "service", "-n", namespace, service)["spec"]["clusterIP"]
        url = f"http://{address}"
        eventually(
            partial(_answered_by, newest, namespace, pod, url, name),
            f"an answer of Service {service} by its address",
        )
        full = f"http://{service}.{namespace}.svc.cluster.local"
        eventually(partial(_answered_by, newest, namespace, pod, full, name), f"an answer of Service {service} by name")


def test_the_address_of_the_sender_survives_the_way_to_another_node(
    newest: Kubectl, worker: Worker, namespace: str
) -> None:
    here = deploy(newest, namespace, server("here", "e2e"), "here")[0]
    there = deploy(newest, namespace, server("there", worker.name), "there")[0]
    # The shell that nc starts has the connection as its standard input: netstat tells the sender's address.
    listen = "nc -l -p 9000 -e netstat -tn"
    listener = newest.popen(
        "exec", "-n", namespace, there["metadata"]["name"], "--", "sh", "-c", listen, stdout=-1, stderr=-1
    )
    ask = f"for i in $(seq 100); do nc -w 2 {there['status']['podIP']} 9000 </dev/null && break; sleep 0.5; done"
    heard = newest("exec", "-n", namespace, here["metadata"]["name"], "--", "sh", "-c", ask, check=False).stdout
    listener.communicate(timeout=90)
    assert here["status"]["podIP"] in heard, heard


def test_logs_and_exec_reach_the_worker_over_verified_tls(newest: Kubectl, worker: Worker, namespace: str) -> None:
    newest(
        "run", "speaker", "-n", namespace, f"--image={IMAGE}", "--restart=Never", "--overrides",
        f'{{"spec":{{"nodeName":"{worker.name}"}}}}', "--", "sh", "-c", "echo spoken; sleep 600",
    )  # fmt: skip
    eventually(lambda: newest("logs", "-n", namespace, "speaker").stdout == "spoken\n", "its log")
    assert newest("exec", "-n", namespace, "speaker", "--", "hostname").stdout == "speaker\n"
    newest("delete", "pod", "-n", namespace, "speaker", "--grace-period=1")


def test_pods_of_a_lost_worker_come_back_elsewhere_and_it_rejoins_without_a_token(
    newest: Kubectl, worker: Worker, namespace: str
) -> None:
    first = deploy(newest, namespace, server("web", replicas=4), "web", 4)
    assert {pod["spec"]["nodeName"] for pod in first} == {"e2e", worker.name}
    worker.lose_power()
    eventually(lambda: not node_is_ready(newest, worker.name), "NotReady")

    def healed() -> bool:
        pods = newest.pods(namespace, "app=web")
        return [p["spec"]["nodeName"] for p in pods if is_ready(p)] == ["e2e"] * 4

    eventually(healed, "four ready pods on the node that is left")
    client = newest.pods(namespace, "app=web")[0]["metadata"]["name"]
    names = {pod["metadata"]["name"] for pod in newest.pods(namespace, "app=web")}
    assert answers(newest, namespace, client, f"http://web.{namespace}", 20) <= names
    worker.join()
    assert node_is_ready(newest, worker.name)

    def cleared() -> bool:
        pods = newest.json("get", "pods", "-n", namespace, "-l", "app=web")["items"]
        return len(pods) == 4

    eventually(cleared, "the end of the pods that the worker had")

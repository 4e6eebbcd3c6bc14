"""Mistakes get one clear sentence and the right status code, and leave nothing half done."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest

from tests.e2e.cluster import SKIFF, Cluster, Kubectl

POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "p"},
    "spec": {"containers": [{"name": "c", "image": "skiff.local/toolbox:latest"}]},
}


def post(cluster: Cluster, path: str, body: bytes, folder: Path, *headers: str) -> tuple[int, dict[str, object]]:
    """A raw request with the admin's certificate."""
    import base64

    import yaml

    content = yaml.safe_load(cluster.kubeconfig.read_text())
    user, server = content["users"][0]["user"], content["clusters"][0]["cluster"]["server"]
    pair = folder / "pair.pem"
    pair.write_bytes(base64.b64decode(user["client-certificate-data"]) + base64.b64decode(user["client-key-data"]))
    (folder / "body").write_bytes(body)
    arguments = [part for header in headers or ("Content-Type: application/json",) for part in ("-H", header)]
    result = cluster.run(
        "curl", "-sk", "-w", "\n%{http_code}", "--cert", pair, "-X", "POST", "--data-binary",
        f"@{folder / 'body'}", *arguments, server + path,
    )  # fmt: skip
    text, _, code = result.stdout.rpartition("\n")
    return int(code), json.loads(text)


PODS = "/api/v1/namespaces/default/pods"


def test_what_is_no_json_is_refused(cluster: Cluster, tmp_path: Path, newest: Kubectl) -> None:
    code, status = post(cluster, PODS, b'{"kind": "Pod"', tmp_path)
    assert (code, status["reason"]) == (400, "BadRequest")


def test_a_wrong_type_names_its_field(cluster: Cluster, tmp_path: Path, newest: Kubectl) -> None:
    body = {**POD, "spec": {**POD["spec"], "activeDeadlineSeconds": "soon"}}  # type: ignore[dict-item]
    code, status = post(cluster, PODS, json.dumps(body).encode(), tmp_path)
    assert code == 400
    assert "activeDeadlineSeconds" in str(status["message"])


def test_a_body_over_three_megabytes_is_refused(cluster: Cluster, tmp_path: Path, newest: Kubectl) -> None:
    body = {**POD, "metadata": {"name": "p", "annotations": {"a": "x" * (3 << 20)}}}
    code, status = post(cluster, PODS, json.dumps(body).encode(), tmp_path)
    assert (code, status["reason"]) == (413, "RequestEntityTooLarge")


def test_a_name_that_is_too_long_names_the_rule(newest: Kubectl) -> None:
    body = {**POD, "metadata": {"name": "p" * 254}}
    result = newest("apply", "--validate=false", "-f", "-", input=json.dumps(body), check=False)
    assert result.returncode != 0
    assert "metadata.name: Invalid value" in result.stderr


def test_unknown_fields_by_the_validation_asked_for(newest: Kubectl, namespace: str) -> None:
    body = json.dumps({**POD, "spec": {**POD["spec"], "nonsense": 1}})  # type: ignore[dict-item]
    arguments = ("create", "-n", namespace, "-f", "-")
    strict = newest(*arguments, "--validate=strict", input=body, check=False)
    assert strict.returncode != 0
    assert 'unknown field "spec.nonsense"' in strict.stderr
    warned = newest(*arguments, "--validate=warn", "--dry-run=server", input=body)
    assert 'Warning: unknown field "spec.nonsense"' in warned.stderr
    ignored = newest(*arguments, "--validate=ignore", "--dry-run=server", input=body)
    assert "Warning" not in ignored.stderr
    assert newest.json("get", "pods", "-n", namespace)["items"] == []


def test_malformed_yaml_is_the_clients_business_and_says_where(newest: Kubectl) -> None:
    result = newest("apply", "-f", "-", input="a: [1, 2\nb: 3", check=False)
    assert result.returncode != 0
    assert "yaml: line" in result.stderr


def test_what_may_not_change_says_so(newest: Kubectl, namespace: str) -> None:
    newest("create", "deployment", "d", "-n", namespace, "--image=skiff.local/toolbox:latest", "--replicas=0")
    patch = '{"spec":{"selector":{"matchLabels":{"app":"other"}}}}'
    result = newest("patch", "deployment", "d", "-n", namespace, "-p", patch, check=False)
    assert result.returncode != 0
    assert "field is immutable" in result.stderr


@pytest.mark.parametrize(
    "module", ["etcd_raft", "apiserver", "scheduler", "controller_manager", "kubelet", "kube_proxy", "cluster_dns"]
)
def test_a_bad_flag_is_named_by_every_service(cluster: Cluster, module: str) -> None:
    python = SKIFF.parent / "python"
    result = cluster.run(python, "-m", module, "--no-such-flag=1", check=False)
    assert result.returncode == 2
    assert len(result.stderr.strip().splitlines()) == 1
    assert "--no-such-flag" in result.stderr


def test_a_port_in_use_is_named(cluster: Cluster) -> None:
    """A second cluster in the same network finds the first one's ports taken."""
    with tempfile.TemporaryDirectory(prefix="sk", dir="/tmp") as folder:
        flags = (f"--state-dir={folder}/s", "--node-ip=10.89.77.1", "--no-kubeconfig")
        result = cluster.run(SKIFF, "up", *flags, check=False)
    assert result.returncode == 1
    assert "is not free: Address already in use" in result.stderr
    assert "Traceback" not in result.stderr


def test_containerd_missing_is_one_sentence(cluster: Cluster, tmp_path: Path) -> None:
    cluster_environment = {"PATH": str(tmp_path)}
    result = cluster.run(
        "env", f"PATH={cluster_environment['PATH']}", SKIFF, "up", f"--state-dir={tmp_path / 's'}", check=False
    )
    assert result.returncode == 1
    assert "missing on this host: containerd" in result.stderr
    assert not (tmp_path / "s").exists()


def test_not_root_is_one_sentence(cluster: Cluster, tmp_path: Path) -> None:
    """Imported as root, run as nobody: the interpreter itself may lie where nobody can read it."""
    program = (
        "import os, sys; from skiff.__main__ import main; import skiff.commands.up; os.setuid(65534); "
        "sys.argv = ['skiff', 'up', '--state-dir', sys.argv[1]]; main()"
    )
    state = tmp_path / "s"
    result = cluster.run(SKIFF.parent / "python", "-c", program, state, check=False)
    assert result.returncode == 1
    assert result.stderr == "skiff: starting a cluster needs root, for containers and network; run `sudo skiff up`\n"
    assert not state.exists()

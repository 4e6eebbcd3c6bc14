"""The commands that look after a running cluster."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.cluster import SKIFF, Cluster, Kubectl, eventually
from tests.e2e.test_healing import SERVICES


def test_status_names_every_service_and_the_next_certificate_to_end(cluster: Cluster) -> None:
    shown = eventually(lambda: cluster.skiff("status").stdout, "all services are ready")
    assert [line.split()[0] for line in shown.splitlines()[1 : len(SERVICES) + 1]] == [
        "etcd",
        "apiserver",
        "controller_manager",
        "scheduler",
        "containerd",
        "cri_shim",
        "kubelet",
        "kube_proxy",
        "cluster_dns",
    ]
    assert "The first certificate to end is" in shown


def test_doctor_finds_this_host_fit(cluster: Cluster) -> None:
    result = cluster.run(SKIFF, "doctor", check=False)
    assert "ok    containerd:" in result.stdout
    assert "MISS" not in result.stdout
    assert result.returncode == 0


def test_logs_of_a_service_and_of_none(cluster: Cluster) -> None:
    assert "registered node e2e" in cluster.skiff("logs", "kubelet", "--lines=100000").stdout
    wrong = cluster.skiff("logs", "nothing", check=False)
    assert wrong.returncode == 1
    assert "no log of 'nothing'; there are: apiserver" in wrong.stderr


def test_certificates_are_renewed_while_the_cluster_runs(cluster: Cluster, newest: Kubectl) -> None:
    before = (cluster.folder / "pki" / "apiserver.crt").read_bytes()
    assert "kubelet-server" in cluster.skiff("certs", "show").stdout
    assert "apiserver" in cluster.skiff("certs", "renew").stdout.split()
    assert (cluster.folder / "pki" / "apiserver.crt").read_bytes() != before
    assert newest("get", "nodes").returncode == 0


def test_images_of_the_node(cluster: Cluster, tmp_path: Path) -> None:
    listed = cluster.skiff("image", "list").stdout
    assert "skiff.local/toolbox:latest" in listed
    (tmp_path / "archive.tar").write_bytes(b"nonsense")
    wrong = cluster.skiff("image", "load", str(tmp_path / "archive.tar"), check=False)
    assert wrong.returncode == 1
    assert "is not a tar file" in wrong.stderr
    assert "Traceback" not in wrong.stderr


def test_up_again_changes_nothing(cluster: Cluster) -> None:
    before = cluster.pids()
    cluster.up()
    assert cluster.pids() == before


def test_what_is_fixed_cannot_be_changed(cluster: Cluster) -> None:
    result = cluster.skiff("up", "--no-kubeconfig", "--service-cidr=10.97.0.0/16", check=False)
    assert result.returncode == 1
    assert "--service-cidr: this cluster has 10.96.0.0/16" in result.stderr

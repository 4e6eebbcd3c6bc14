"""The flags: those that `skiff up` gives are understood, and what cannot work is said before anything starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from apiserver import options
from skiff.cluster import plan
from skiff.cluster.layout import Layout
from skiff.cluster.settings import Settings

SETTINGS = Settings(node_name="n1", node_ip="192.0.2.1")


def test_the_plan_is_understood(tmp_path: Path) -> None:
    layout = Layout(tmp_path, tmp_path, tmp_path)
    process = plan.apiserver(SETTINGS, layout)
    values = options.declare().parse_or_raise(process.argv[3:])
    assert values["authorization-mode"] == ("Node", "RBAC")
    assert values["service-cluster-ip-range"] == SETTINGS.service_cidr


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    (tmp_path / "pem").write_text("")
    pem = tmp_path / "pem"
    return [f"--tls-cert-file={pem}", f"--tls-private-key-file={pem}"]


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--etcd-servers=https://x:1"], "--etcd-cafile is required"),
        (["--etcd-servers=https://x:1,http://y:1"], "either all or none"),
        (["--etcd-servers=http://x:1", "--service-cluster-ip-range=10.0.0.1/8"], "has host bits set"),
        (["--etcd-servers=http://x:1", "--service-node-port-range=x"], "is not of the form"),
        (["--etcd-servers=http://x:1", "--advertise-address=here"], "is not an IP address"),
        (["--etcd-servers=http://x:1", "--etcd-prefix=/other"], "only /registry is supported"),
        (["--etcd-servers=http://x:1", "--allow-privileged=false"], "pod-security.kubernetes.io/enforce"),
        ([], "--etcd-servers is required"),
    ],
)
def test_bad_flags_end_in_one_sentence(
    flags: list[str], sentence: str, files: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        options.parse([*files, *flags])
    said = capsys.readouterr().err
    assert sentence in said
    assert said.count("\n") == 1


def test_what_is_derived(files: list[str]) -> None:
    flags = ["--etcd-servers=http://x:1", "--service-node-port-range=30000-30010", "--advertise-address=192.0.2.7"]
    chosen = options.parse([*files, *flags])
    assert chosen.node_ports == range(30000, 30011)
    assert chosen.address == "192.0.2.7"
    assert chosen.etcd_tls is None

"""What a cluster on a host is made of: settings, plan, certificates, first objects, context."""

import ssl
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from component_base.clock import ManualClock
from skiff.cluster import addons, certificates, host_files, plan, settings, user_kubeconfig
from skiff.cluster.layout import Layout
from skiff.cluster.settings import Settings, SettingsError

NOW = 1_800_000_000.0


def wanted(**more: Any) -> Settings:
    return Settings(**{"node_name": "n1", "node_ip": "10.0.0.1", "server": "https://10.0.0.1:6443", **more})


@pytest.fixture
def layout() -> Iterator[Layout]:
    """At a short path: unix sockets would lie below it."""
    with tempfile.TemporaryDirectory(prefix="sk", dir="/tmp") as folder:
        yield Layout.of(Path(folder) / "s")


# Settings


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"service_cidr": "10.96.0.0"}, "--service-cidr"),
        ({"service_cidr": "10.244.0.0/20"}, "overlaps"),
        ({"pod_cidr": "10.244.0.0/28"}, "--pod-cidr"),
        ({"node_ip": "here"}, "--node-ip"),
        ({"service_cidr": "fd00::/112"}, "not an IPv4 range"),
        ({"registry_mirrors": {"docker.io": "mirror"}}, "--registry-mirror: 'docker.io=mirror' is not like"),
        ({"registry_mirrors": {"docker.io": ""}}, "--registry-mirror: 'docker.io' is not like"),
        (
            {"registry_mirrors": {"docker.io": "http://m"}, "container_runtime": "containerd"},
            "--registry-mirror: containerd's own plugin",
        ),
    ],
)
def test_settings_that_cannot_work_are_refused_by_flag(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SettingsError, match=sentence):
        settings.validate(wanted(**change))


def test_an_existing_cluster_keeps_what_is_spread_over_its_certificates() -> None:
    with pytest.raises(SettingsError, match="--service-cidr: this cluster has"):
        settings.merge(wanted(), wanted(service_cidr="10.97.0.0/16"), frozenset({"service_cidr"}))
    merged = settings.merge(wanted(), wanted(extra_names=("lb",)), frozenset({"extra_names"}))
    assert merged.extra_names == ("lb",)


def test_settings_survive_the_disk(layout: Layout) -> None:
    settings.save(layout.settings, wanted(node_labels={"a": "b"}))
    assert settings.load(layout.settings) == wanted(node_labels={"a": "b"})
    layout.settings.write_text("{")
    with pytest.raises(SettingsError, match="not readable as cluster settings"):
        settings.load(layout.settings)


# Plan


def test_the_runtime_is_told_of_mirrors() -> None:
    given = {"quay.io": "https://m/q", "docker.io": "http://m:5000"}
    shim = plan.cri_shim(wanted(registry_mirrors=given), Layout.of(Path("/x")))
    assert "--registry-mirrors=docker.io=http://m:5000,quay.io=https://m/q" in shim.argv
    assert not any("mirror" in argument for argument in plan.cri_shim(wanted(), Layout.of(Path("/x"))).argv)


def names(**more: Any) -> list[str]:
    return [p.name for p in plan.processes(wanted(**more), Layout.of(Path("/x")))]


def test_a_control_plane_runs_everything_and_a_worker_its_part() -> None:
    assert names() == [
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
    assert names(role="worker") == ["containerd", "cri_shim", "kubelet", "kube_proxy", "cluster_dns"]
    assert "etcd" not in names(etcd_servers=("https://other:2379",))
    assert "cri_shim" not in names(container_runtime="containerd")


def test_every_need_is_part_of_the_plan() -> None:
    for variant in (
        {},
        {"role": "worker"},
        {"etcd_servers": ("https://other:2379",)},
        {"container_runtime": "containerd"},
    ):
        processes = plan.processes(wanted(**variant), Layout.of(Path("/x")))
        known: set[str] = set()
        for process in processes:
            assert set(process.needs) <= known, f"{process.name} needs what starts later"
            known.add(process.name)


def test_no_secret_stands_on_a_command_line() -> None:
    for process in plan.processes(wanted(), Layout.of(Path("/x"))):
        assert not any("token=" in argument or "password" in argument for argument in process.argv)


# Certificates


def test_the_apiserver_is_known_by_all_its_names(layout: Layout) -> None:
    clock = ManualClock(NOW)
    certificates.ensure(wanted(extra_names=("lb.example", "192.0.2.9")), layout, clock)
    context = ssl.create_default_context(cafile=str(layout.pki / "ca.crt"))
    context.load_cert_chain(layout.pki / "apiserver.crt", layout.pki / "apiserver.key")
    dns, ips = certificates.server_names(wanted(extra_names=("lb.example", "192.0.2.9")))
    assert {"kubernetes.default.svc.cluster.local", "lb.example", "n1", "localhost"} <= set(dns)
    assert {"10.96.0.1", "10.0.0.1", "127.0.0.1", "192.0.2.9"} == set(ips)


def test_what_is_good_is_kept_and_what_ends_is_made_again(layout: Layout) -> None:
    clock = ManualClock(NOW)
    first = certificates.ensure(wanted(), layout, clock)
    assert {"ca", "etcd/ca", "front-proxy-ca", "sa", "apiserver", "admin.conf"} <= set(first)
    assert certificates.ensure(wanted(), layout, clock) == []
    assert certificates.ensure(wanted(extra_names=("new.name",)), layout, clock) == ["apiserver"]
    clock.advance(320 * 86400)
    again = certificates.ensure(wanted(extra_names=("new.name",)), layout, clock)
    assert "etcd/peer" in again
    assert "scheduler.conf" in again
    assert not {"ca", "sa", "etcd/ca"} & set(again), "authorities and the token key stay"


def test_only_the_admin_may_do_everything(layout: Layout) -> None:
    certificates.ensure(wanted(), layout, ManualClock(NOW))
    masters = [e.name for e in certificates.expiries(layout, ManualClock(NOW)) if "system:masters" in e.subject]
    assert masters == ["admin.conf"]


def test_private_files_are_private(layout: Layout) -> None:
    host_files.prepare(wanted(), layout)
    certificates.ensure(wanted(), layout, ManualClock(NOW))
    for path in [*layout.pki.rglob("*.key"), *layout.kubeconfigs.glob("*.conf")]:
        assert path.stat().st_mode & 0o077 == 0, path
    assert layout.pki.stat().st_mode & 0o077 == 0


def test_a_path_too_long_for_sockets_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="too long a path for unix sockets"):
        host_files.prepare(wanted(), Layout.of(tmp_path / ("x" * 60)))


# First objects


def test_the_recipes_account_reads_and_changes_nothing() -> None:
    objects = addons.objects(wanted(), "PEM", "https://10.0.0.1:6443")
    ours = {body["metadata"]["name"]: body for path, body in objects if path.endswith("clusterroles")}
    assert ours["skiff:path-reader"]["rules"] == [{"nonResourceURLs": ["/"], "verbs": ["get"]}]
    bindings = [body for path, body in objects if path.endswith("clusterrolebindings")]
    account = {"kind": "ServiceAccount", "name": "default", "namespace": "kube-system"}
    granted = {b["roleRef"]["name"] for b in bindings if account in b["subjects"]}
    assert granted == {"skiff:path-reader", "view"}
    assert not any(b["roleRef"]["name"] == "cluster-admin" for b in bindings)


def test_kube_dns_carries_the_label_that_cluster_info_lists() -> None:
    service = addons.dns_service(wanted())
    assert service["metadata"]["labels"]["kubernetes.io/cluster-service"] == "true"
    assert service["spec"]["clusterIP"] == "10.96.0.10"


# The user's kubeconfig


def test_other_contexts_stay_as_they_were() -> None:
    theirs = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "work", "cluster": {"server": "https://work"}}],
        "users": [{"name": "me", "user": {}}],
        "contexts": [{"name": "work", "context": {"cluster": "work", "user": "me"}}],
        "current-context": "work",
        "extensions": [{"name": "mine"}],
    }
    ours = user_kubeconfig.admin_context("skiff", "https://10.0.0.1:6443", "Y2E=", "Y2VydA==", "a2V5")
    merged = user_kubeconfig.add_context(theirs, ours, "skiff")
    assert merged["current-context"] == "skiff"
    assert [c["name"] for c in merged["clusters"]] == ["work", "skiff"]
    assert merged["extensions"] == [{"name": "mine"}]
    left = user_kubeconfig.remove_context(merged, "skiff")
    assert left["current-context"] == "work"
    assert left["clusters"] == theirs["clusters"]

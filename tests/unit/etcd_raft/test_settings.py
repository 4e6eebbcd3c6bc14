"""The command line: etcd's flags give a checked value, and what cannot be meant is told in one sentence."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from component_base import pki
from component_base.http2.certificates import server_context
from component_base.http2.connection import Keepalive
from etcd_raft import settings
from etcd_raft.certificates import AllowedNames
from etcd_raft.compaction import Retention, Schedule
from etcd_raft.founding import founders
from etcd_raft.transport.addresses import parse_url


def test_the_defaults_are_etcds() -> None:
    found = settings.parse([])
    assert found.name == "default"
    assert found.data_dir == Path("default.etcd")
    assert [str(a) for a in found.listen_client] == ["http://localhost:2379"]
    assert found.initial_cluster == {"default": ("http://localhost:2380",)}
    assert (found.heartbeat_seconds, found.election_ticks) == (0.1, 10)
    assert found.request_seconds == 7.0


def test_the_line_that_skiff_uses(tmp_path: Path) -> None:
    for name in ("server.crt", "server.key", "ca.crt", "peer.crt", "peer.key"):
        (tmp_path / name).write_text("x")
    found = settings.parse(
        [
            "--name=node-1",
            f"--data-dir={tmp_path / 'etcd'}",
            "--listen-client-urls=https://127.0.0.1:2379,https://10.0.0.1:2379",
            "--advertise-client-urls=https://10.0.0.1:2379",
            "--listen-peer-urls=https://10.0.0.1:2380",
            "--initial-advertise-peer-urls=https://10.0.0.1:2380",
            "--initial-cluster=node-1=https://10.0.0.1:2380",
            f"--cert-file={tmp_path / 'server.crt'}",
            f"--key-file={tmp_path / 'server.key'}",
            f"--trusted-ca-file={tmp_path / 'ca.crt'}",
            "--client-cert-auth",
            f"--peer-cert-file={tmp_path / 'peer.crt'}",
            f"--peer-key-file={tmp_path / 'peer.key'}",
            f"--peer-trusted-ca-file={tmp_path / 'ca.crt'}",
            "--peer-client-cert-auth",
            "--listen-metrics-urls=http://127.0.0.1:2381",
        ]
    )
    assert found.client_tls is not None
    assert found.client_tls.require_client_certificate
    assert found.peer_client_tls is not None
    assert len(found.listen_client) == 2


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--listen-client-urls=http://0.0.0.0:1"], "neither TLS nor loopback"),
        (["--listen-client-urls=2379"], "does not begin with http"),
        (["--listen-client-urls=http://localhost"], "not of the form"),
        (["--initial-cluster=a=http://localhost:2380"], "does not name this member"),
        (["--initial-cluster=default=http://localhost:1"], "make them equal"),
        (["--initial-cluster=default"], "not of the form name="),
        (
            ["--initial-cluster=default=http://localhost:2380,b=http://localhost:2380"],
            "stands there twice",
        ),
        (["--listen-client-urls=https://localhost:1"], "--cert-file and --key-file are needed"),
        (["--election-timeout=200"], "less than 5 times"),
        (["--auto-compaction-retention=soon"], "not a duration"),
        (["--cert-file=/nowhere", "--key-file=/nowhere", "--listen-client-urls=https://localhost:1"], "no file"),
        (["--initial-cluster-state=old"], "not one of"),
        (["--auto-tls"], "make certificates"),
        (["--wal-dir=/w"], "the log lies in --data-dir"),
        (["--enable-v2=true"], "use the v3 API"),
        (["--tls-min-version=TLS1.3", "--tls-max-version=TLS1.2"], "min version (TLS1.3) is greater than"),
        (["--tls-min-version=TLS1.3", "--cipher-suites=TLS_RSA_WITH_AES_128_CBC_SHA"], "only TLS1.3 is enabled"),
        (["--cipher-suites=TLS_RSA_WITH_RC4_128_SHA"], "unexpected TLS cipher suite"),
        (["--tls-min-version=TLS1.1"], "not one of"),
        (["--feature-gates=Sparkle=true"], "unrecognized feature gate: Sparkle"),
        (["--feature-gates=InitialCorruptCheck=maybe"], "not true or false"),
        (["--max-learners=2"], "one learner at a time"),
        (["--proxy=on"], "let clients have all members"),
        (["--discovery-token=x"], "list the members"),
        (["--auth-token=jwt,pub-key=x"], "needs sign-method, one of HS256"),
        (["--peer-cert-allowed-cn=a"], "needs --peer-client-cert-auth"),
        (["--peer-client-cert-auth", "--peer-cert-allowed-cn=a", "--peer-cert-allowed-hostname=b"], "give one of them"),
    ],
)
def test_what_cannot_be_meant(arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        settings.parse(arguments)
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert len(said.strip().splitlines()) == 1


def test_plaintext_beyond_the_host_must_be_asked_for() -> None:
    found = settings.parse(["--listen-client-urls=http://0.0.0.0:2379", "--allow-plaintext"])
    assert found.listen_client[0].host == "0.0.0.0"


def test_the_environment_fills_in_for_flags(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ETCD_NAME", "from-environment")
    monkeypatch.setenv("ETCD_SNAPSHOT_COUNT", "77")
    found = settings.parse(["--snapshot-count=78"])
    assert (found.name, found.snapshot_count) == ("from-environment", 78)


def test_founders_compute_the_same_ids_whatever_the_order() -> None:
    own = "--initial-advertise-peer-urls=http://localhost:1"
    one = settings.parse(["--name=a", own, "--initial-cluster=a=http://localhost:1,b=http://localhost:2"])
    two = settings.parse(["--name=a", own, "--initial-cluster=b=http://localhost:2,a=http://localhost:1"])
    assert {m.name: m.id for m in founders(one)} == {m.name: m.id for m in founders(two)}
    other = settings.parse(["--name=a", own, "--initial-cluster=a=http://localhost:1", "--initial-cluster-token=x"])
    assert founders(other)[0].id != founders(one)[0].id


def test_addresses() -> None:
    assert parse_url("https://[::1]:2379").target == "[::1]:2379"
    assert parse_url("https://[::1]:2379").is_loopback
    assert not parse_url("http://10.0.0.1:1").is_loopback
    with pytest.raises(ValueError, match="more than a host and a port"):
        parse_url("http://localhost:1/x")


def test_keepalive_has_etcds_defaults_and_a_zero_means_grpcs() -> None:
    assert settings.parse([]).client_keepalive == Keepalive(7200.0, 20.0, min_ping_seconds=5.0)
    found = settings.parse(["--grpc-keepalive-min-time=0s", "--grpc-keepalive-interval=0s"]).client_keepalive
    assert found == Keepalive(7200.0, 20.0, min_ping_seconds=300.0)
    found = settings.parse(["--grpc-keepalive-interval=10s", "--grpc-keepalive-timeout=3s"]).client_keepalive
    assert (found.ping_seconds, found.pong_seconds) == (10.0, 3.0)


def test_retention_by_revisions_and_by_time() -> None:
    by_revision = Retention(Schedule(revisions=100))
    assert [by_revision.look(r) for r in (50, 150, 1000)] == [0, 50, 900]
    hourly = Schedule(seconds=3600.0)
    assert hourly.period == 360.0
    by_time = Retention(hourly)
    looks = [by_time.look(revision) for revision in range(100, 112)]
    assert looks == [0] * 10 + [100, 101]


def test_flags_of_etcds_deployments_are_accepted() -> None:
    found = settings.parse(
        [
            "--experimental-initial-corrupt-check=true",
            "--experimental-corrupt-check-time=4h",
            "--experimental-watch-progress-notify-interval=5s",
            "--enable-v2=false",
            "--max-snapshots=5",
            "--grpc-keepalive-min-time=5s",
            "--log-outputs=stderr",
            "--metrics=extensive",
            "--auto-compaction-retention=8",
            "--max-txn-ops=10000",
            "--listen-client-http-urls=http://localhost:2378",
            "--peer-skip-client-san-verification",
            "--proxy=off",
            "--debug",
        ]
    )
    assert found.verbosity == 4
    assert [str(address) for address in found.listen_metrics] == ["http://localhost:2378"]
    assert (found.checks_at_start, found.corruption_check_seconds) == (True, 4 * 3600.0)
    assert (found.progress_notify_seconds, found.max_txn_ops) == (5.0, 10_000)


def test_the_flags_that_kubeadm_gives_to_etcd_3_6() -> None:
    found = settings.parse(["--feature-gates=InitialCorruptCheck=true", "--watch-progress-notify-interval=5s"])
    assert (found.checks_at_start, found.progress_notify_seconds) == (True, 5.0)
    assert not settings.parse(["--feature-gates=InitialCorruptCheck=false,LeaseCheckpoint=true"]).checks_at_start


def test_versions_and_ciphers_of_tls(tmp_path: Path) -> None:
    pair = pki.CertificateAuthority.create("ca").issue("m", usages=pki.Usage.SERVER, ips=["127.0.0.1"])
    pair.write(tmp_path / "crt", tmp_path / "key")
    served = [f"--cert-file={tmp_path / 'crt'}", f"--key-file={tmp_path / 'key'}"]
    served.append("--listen-client-urls=https://localhost:2379")
    suites = "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305,TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,TLS_AES_128_GCM_SHA256"
    found = settings.parse([*served, f"--cipher-suites={suites}", "--tls-max-version=TLS1.2"]).client_tls
    assert found is not None
    context = server_context(found)
    assert context.maximum_version is ssl.TLSVersion.TLSv1_2
    names = [cipher["name"] for cipher in context.get_ciphers() if cipher["protocol"] != "TLSv1.3"]
    assert names == ["ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-RSA-AES256-GCM-SHA384"]
    found = settings.parse([*served, "--tls-min-version=TLS1.3"]).client_tls
    assert found is not None
    assert server_context(found).minimum_version is ssl.TLSVersion.TLSv1_3


def test_names_that_certificates_must_have() -> None:
    authority = pki.CertificateAuthority.create("ca")
    pair = authority.issue("etcd-peer", usages=pki.Usage.SERVER, ips=["127.0.0.1"], dns=["*.etcd.example"])
    der = ssl.PEM_cert_to_DER_cert(pair.certificate.decode())
    assert AllowedNames().admits(None)
    assert AllowedNames("etcd-peer").admits(der)
    assert not AllowedNames("other").admits(der)
    assert not AllowedNames("etcd-peer").admits(None)
    assert AllowedNames(hosts=("x", "m1.etcd.example")).admits(der)
    assert AllowedNames(hosts=("127.0.0.1",)).admits(der)
    assert not AllowedNames(hosts=("etcd.example", "a.b.etcd.example")).admits(der)

"""Certificates asked for, kept and renewed; the flags that decide where they are."""

import base64
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from component_base.clock import ManualClock
from component_base.pki import CertificateAuthority, Usage
from component_base.rng import seeded
from kubeclient.kubeconfig import KubeConfig
from kubelet.credentials import store
from kubelet.credentials.bootstrap import ServingCertificate, rotate_client
from kubelet.credentials.request import RequestRefused, client_wish, obtain, serving_wish, signing_request
from kubelet.settings import Settings, flags, from_flags, parse_taints, parse_thresholds

NOW = 1_800_000_000.0


class Signer:
    """An apiserver that signs the second time it is asked."""

    def __init__(self, clock: ManualClock, deny: bool = False) -> None:
        self.authority = CertificateAuthority.create("ca", clock=clock)
        self.clock = clock
        self.deny = deny
        self.asked: dict[str, Any] = {}
        self.looks = 0

    async def create(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        self.asked = body
        return {**body, "metadata": {"name": "csr-1"}}

    async def get(self, path: str) -> dict[str, Any]:
        self.looks += 1
        if self.deny:
            return {"status": {"conditions": [{"type": "Denied", "message": "no"}]}}
        if self.looks < 2:
            self.clock.advance(1)
            return {"status": {}}
        request = x509.load_pem_x509_csr(base64.b64decode(self.asked["spec"]["request"]))
        certificate = self.authority.sign(request.public_key(), "system:node:n", ["system:nodes"])  # type: ignore[arg-type]
        return {"status": {"certificate": base64.b64encode(certificate).decode()}}


class QuickClock(ManualClock):
    async def sleep(self, seconds: float) -> None:
        self.advance(max(0.0, seconds))


async def test_a_client_certificate_is_asked_for_and_waited_for() -> None:
    clock = QuickClock(NOW)
    signer = Signer(clock)
    pair = await obtain(signer, clock, client_wish("n"))
    assert signer.asked["spec"]["signerName"] == "kubernetes.io/kube-apiserver-client-kubelet"
    assert signer.asked["spec"]["usages"] == ["digital signature", "client auth"]
    assert (
        x509.load_pem_x509_certificate(pair.certificate).subject.rfc4514_string() == "CN=system:node:n,O=system:nodes"
    )


async def test_a_denied_request_says_so() -> None:
    clock = QuickClock(NOW)
    with pytest.raises(RequestRefused, match="Denied: no"):
        await obtain(Signer(clock, deny=True), clock, client_wish("n"))


def test_a_serving_request_names_the_node() -> None:
    from cryptography.hazmat.primitives.asymmetric import ec

    request = x509.load_pem_x509_csr(
        signing_request(serving_wish("n", ["192.0.2.1"]), ec.generate_private_key(ec.SECP256R1()))
    )
    names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["n"]
    assert [str(ip) for ip in names.get_values_for_type(x509.IPAddress)] == ["192.0.2.1"]


def test_a_kept_certificate_counts_until_it_ends(tmp_path: Path) -> None:
    clock = ManualClock(NOW)
    pair = CertificateAuthority.create("ca", clock=clock).issue("n", ips=["192.0.2.1"], usages=Usage.SERVER, days=10)
    store.write(tmp_path / "x.pem", pair)
    kept = store.read(tmp_path / "x.pem", NOW)
    assert kept is not None
    assert store.serves(kept, ["192.0.2.1"])
    assert not store.serves(kept, ["192.0.2.2"])
    assert NOW + 6.9 * 86400 < store.renewal_time(kept, seeded(1)) < NOW + 9.1 * 86400
    assert store.read(tmp_path / "x.pem", NOW + 11 * 86400) is None
    assert (tmp_path / "x.pem").stat().st_mode & 0o777 == 0o600


def test_the_written_kubeconfig_is_readable(tmp_path: Path) -> None:
    clock = ManualClock(NOW)
    authority = CertificateAuthority.create("ca", clock=clock)
    store.write(tmp_path / store.CLIENT, authority.issue("system:node:n"))
    bootstrap = KubeConfig("https://192.0.2.1:6443", authority.certificate_pem, token="t")
    store.write_kubeconfig(tmp_path / "kubelet.conf", bootstrap, tmp_path / store.CLIENT, tmp_path)
    config = KubeConfig.load(tmp_path / "kubelet.conf")
    assert (config.server, config.token, config.ca) == ("https://192.0.2.1:6443", None, authority.certificate_pem)
    assert config.client_key is not None


def test_without_flags_the_api_gets_a_self_signed_certificate(tmp_path: Path) -> None:
    serving = ServingCertificate(Settings("n", cert_dir=tmp_path), ManualClock(NOW))
    serving.prepare(["192.0.2.1"])
    first = serving.certificate.read_bytes()
    serving.prepare(["192.0.2.1"])
    assert serving.certificate.read_bytes() == first
    assert serving.key.stat().st_mode & 0o777 == 0o600


def test_flags_become_settings() -> None:
    values = flags().parse_or_raise(
        [
            "--kubeconfig=/k",
            "--hostname-override=Node-1",
            "--root-dir=/r",
            "--node-labels=a=b",
            "--cluster-dns=10.96.0.10",
        ]
    )
    settings = from_flags(values, "host")
    assert (settings.hostname, settings.cert_dir, settings.cluster_dns) == ("node-1", Path("/r/pki"), ("10.96.0.10",))
    with pytest.raises(ValueError, match="--kubeconfig is required"):
        from_flags(flags().parse_or_raise([]), "host")
    with pytest.raises(ValueError, match="belong together"):
        from_flags(flags().parse_or_raise(["--kubeconfig=/k", "--tls-cert-file=/c"]), "host")


def test_taints_and_thresholds() -> None:
    assert parse_taints(["a=b:NoSchedule", "c:NoExecute"]) == (
        {"key": "a", "effect": "NoSchedule", "value": "b"},
        {"key": "c", "effect": "NoExecute"},
    )
    with pytest.raises(ValueError, match="key=value:effect"):
        parse_taints(["a=b"])
    assert parse_thresholds("memory.available<100Mi, nodefs.available<10%") == {
        "memory.available": "100Mi",
        "nodefs.available": "10%",
    }


async def test_the_client_certificate_is_renewed_before_it_ends(tmp_path: Path) -> None:
    clock = QuickClock(NOW)
    signer = Signer(clock)
    first = signer.authority.issue("system:node:n", ["system:nodes"], days=10)
    store.write(tmp_path / store.CLIENT, first)
    bootstrap = KubeConfig("https://192.0.2.1:6443", signer.authority.certificate_pem)
    store.write_kubeconfig(tmp_path / "kubelet.conf", bootstrap, tmp_path / store.CLIENT, tmp_path)
    settings = Settings("n", kubeconfig=tmp_path / "kubelet.conf", cert_dir=tmp_path)
    used: list[KubeConfig] = []

    class Enough(Exception):
        pass

    async def renewed(config: KubeConfig) -> None:
        used.append(config)
        raise Enough

    with pytest.raises(Enough):
        await rotate_client(settings, signer, clock, seeded(1), renewed)
    assert NOW + 7 * 86400 <= clock.now() <= NOW + 9.1 * 86400
    kept = store.read(tmp_path / store.CLIENT, clock.now())
    assert kept is not None
    assert used[0].client_certificate is not None
    assert kept.certificate.strip() in used[0].client_certificate
    assert kept.certificate.strip() != first.certificate.strip()

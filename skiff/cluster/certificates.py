"""The cluster's keys and certificates, and the kubeconfigs made of them: what `kubeadm init phase certs` makes.

Authorities and the token key are made once and kept. Everything they sign is made again when it is missing, near its
end, or lacks a name that is wanted now; services notice new files by themselves.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from cryptography import x509
from cryptography.exceptions import InvalidSignature

from component_base.clock import Clock
from component_base.pki import CertificateAuthority, KeyPair, Usage, days_left, signing_key_pair, write_private
from skiff.cluster.addons import KUBELET_CLIENT
from skiff.cluster.layout import Layout
from skiff.cluster.settings import Settings

#: Renewed at `up` when less than this is left of their year.
RENEW_DAYS = 60.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """One signed certificate: where it lies below `pki`, and what it says."""

    path: str
    authority: str
    common_name: str
    organizations: tuple[str, ...] = ()
    dns: tuple[str, ...] = ()
    ips: tuple[str, ...] = ()
    usages: Usage = Usage.CLIENT


@dataclass(frozen=True, slots=True)
class WantedKubeconfig:
    file: str
    common_name: str
    organizations: tuple[str, ...] = ()


AUTHORITIES = {"ca": "kubernetes", "front-proxy-ca": "front-proxy-ca", "etcd/ca": "etcd-ca"}


def server_names(settings: Settings) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """DNS names and addresses under which clients know the apiserver."""
    domain = settings.cluster_domain
    service = ("kubernetes", "kubernetes.default", "kubernetes.default.svc", f"kubernetes.default.svc.{domain}")
    extra_ips = [name for name in settings.extra_names if _is_address(name)]
    extra_dns = [name for name in settings.extra_names if not _is_address(name)]
    dns = ("localhost", settings.node_name, *service, *extra_dns)
    return dns, ("127.0.0.1", settings.node_ip, settings.kubernetes_ip, *extra_ips)


def _is_address(name: str) -> bool:
    return all(c in "0123456789abcdefABCDEF.:" for c in name) and (name.count(".") == 3 or ":" in name)


def wanted(settings: Settings) -> list[Wanted]:
    dns, ips = server_names(settings)
    both = Usage.SERVER | Usage.CLIENT
    local_dns, local_ips = ("localhost", settings.node_name), ("127.0.0.1", settings.node_ip)
    return [
        Wanted("apiserver", "ca", "kube-apiserver", (), dns, ips, Usage.SERVER),
        Wanted("apiserver-kubelet-client", "ca", KUBELET_CLIENT),
        Wanted("apiserver-etcd-client", "etcd/ca", "kube-apiserver-etcd-client"),
        Wanted("front-proxy-client", "front-proxy-ca", "front-proxy-client"),
        Wanted(
            "kubelet-server",
            "ca",
            f"system:node:{settings.node_name}",
            ("system:nodes",),
            local_dns[1:],
            local_ips[1:],
            Usage.SERVER,
        ),
        Wanted("etcd/server", "etcd/ca", settings.node_name, (), local_dns, local_ips, both),
        Wanted("etcd/peer", "etcd/ca", settings.node_name, (), local_dns, local_ips, both),
    ]


def wanted_kubeconfigs(settings: Settings) -> list[WantedKubeconfig]:
    return [
        WantedKubeconfig("admin.conf", "kubernetes-admin", ("system:masters",)),
        WantedKubeconfig("controller-manager.conf", "system:kube-controller-manager"),
        WantedKubeconfig("scheduler.conf", "system:kube-scheduler"),
        WantedKubeconfig("kubelet.conf", f"system:node:{settings.node_name}", ("system:nodes",)),
        WantedKubeconfig("kube-proxy.conf", "system:kube-proxy"),
        WantedKubeconfig("cluster-dns.conf", "system:cluster-dns"),
    ]


def ensure(settings: Settings, layout: Layout, clock: Clock, renew: bool = False) -> list[str]:
    """Make what is missing or must be made again; returns what was written, by name. `renew` makes all leaves new."""
    written: list[str] = []
    authorities = {name: _authority(layout, name, title, clock, written) for name, title in AUTHORITIES.items()}
    _ensure_token_key(layout, written)
    for item in wanted(settings):
        certificate, key = layout.pki / f"{item.path}.crt", layout.pki / f"{item.path}.key"
        if renew or not _is_good(certificate, key, item, authorities[item.authority], clock):
            _issue(authorities[item.authority], item).write(certificate, key)
            written.append(item.path)
    for entry in wanted_kubeconfigs(settings):
        path = layout.kubeconfigs / entry.file
        if renew or not _kubeconfig_is_good(path, settings.server, authorities["ca"], clock):
            pair = authorities["ca"].issue(entry.common_name, entry.organizations)
            write_private(path, kubeconfig(settings.server, authorities["ca"].certificate_pem, pair))
            written.append(entry.file)
    return written


def _authority(layout: Layout, name: str, title: str, clock: Clock, written: list[str]) -> CertificateAuthority:
    certificate, key = layout.pki / f"{name}.crt", layout.pki / f"{name}.key"
    if certificate.exists() and key.exists():
        return CertificateAuthority.load(certificate, key, clock)
    authority = CertificateAuthority.create(title, clock=clock)
    authority.pair().write(certificate, key)
    written.append(name)
    return authority


def _ensure_token_key(layout: Layout, written: list[str]) -> None:
    private, public = layout.pki / "sa.key", layout.pki / "sa.pub"
    if private.exists() and public.exists():
        return
    private_pem, public_pem = signing_key_pair()
    write_private(private, private_pem)
    public.write_bytes(public_pem)
    written.append("sa")


def _issue(authority: CertificateAuthority, item: Wanted) -> KeyPair:
    return authority.issue(item.common_name, item.organizations, item.dns, item.ips, item.usages)


def _is_good(certificate: Path, key: Path, item: Wanted, authority: CertificateAuthority, clock: Clock) -> bool:
    if not certificate.exists() or not key.exists():
        return False
    try:
        pem = certificate.read_bytes()
        parsed = x509.load_pem_x509_certificate(pem)
        parsed.verify_directly_issued_by(authority.certificate)
    except (ValueError, TypeError, x509.InvalidVersion, InvalidSignature):
        return False
    return days_left(pem, clock.now()) > RENEW_DAYS and _names(parsed) >= {*item.dns, *item.ips}


def _names(certificate: x509.Certificate) -> set[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return set()
    addresses: Sequence[Any] = names.get_values_for_type(x509.IPAddress)
    return {*names.get_values_for_type(x509.DNSName), *(str(address) for address in addresses)}


def _kubeconfig_is_good(path: Path, server: str, authority: CertificateAuthority, clock: Clock) -> bool:
    try:
        content = yaml.safe_load(path.read_text())
        cluster = content["clusters"][0]["cluster"]
        pem = base64.b64decode(content["users"][0]["user"]["client-certificate-data"])
        ca = base64.b64decode(cluster["certificate-authority-data"])
        left = days_left(pem, clock.now())
    except (OSError, ValueError, KeyError, IndexError, TypeError, yaml.YAMLError):
        return False
    return ca == authority.certificate_pem and cluster["server"] == server and left > RENEW_DAYS


def kubeconfig(server: str, ca: bytes, pair: KeyPair | None = None, token: str = "", name: str = "skiff") -> bytes:
    """One cluster, one user, everything inline: the file can be carried elsewhere."""

    def text(data: bytes) -> str:
        return base64.b64encode(data).decode()

    user: dict[str, str] = {"token": token} if token else {}
    if pair is not None:
        user = {"client-certificate-data": text(pair.certificate), "client-key-data": text(pair.key)}
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": {"server": server, "certificate-authority-data": text(ca)}}],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "current-context": name,
    }
    return yaml.safe_dump(content, sort_keys=False).encode()


@dataclass(frozen=True, slots=True)
class Expiry:
    name: str
    subject: str
    days: float


def expiries(layout: Layout, clock: Clock) -> list[Expiry]:
    """Every certificate of the cluster on this host, soonest end first."""
    found: list[Expiry] = []

    def note(name: str, pem: bytes) -> None:
        subject = x509.load_pem_x509_certificate(pem).subject.rfc4514_string()
        found.append(Expiry(name, subject, days_left(pem, clock.now())))

    for path in sorted(layout.pki.rglob("*.crt")):
        note(str(path.relative_to(layout.pki).with_suffix("")), path.read_bytes())
    for path in sorted(layout.kubeconfigs.glob("*.conf")):
        user = yaml.safe_load(path.read_text())["users"][0]["user"]
        if "client-certificate-data" in user:
            note(path.name, base64.b64decode(user["client-certificate-data"]))
    return sorted(found, key=lambda e: e.days)

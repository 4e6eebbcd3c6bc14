"""Certificates on disk, in upstream's places: <cert-dir>/kubelet-client-current.pem and kubelet-server-current.pem.

Each file holds the certificate and its key, replaced whole. When to renew is decided by the certificate itself.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path

import yaml
from cryptography import x509

from component_base.clock import Clock
from component_base.pki import CertificateAuthority, KeyPair, Usage, write_file, write_private
from component_base.rng import Rng
from kubeclient.kubeconfig import KubeConfig

CLIENT = "kubelet-client-current.pem"
SERVER = "kubelet-server-current.pem"


def read(path: Path, now: float) -> KeyPair | None:
    """None when there is none, or it has ended, or it is no certificate."""
    try:
        content = path.read_bytes()
        end = x509.load_pem_x509_certificate(content).not_valid_after_utc
    except (OSError, ValueError):
        return None
    marker = content.find(b"-----BEGIN PRIVATE KEY-----")
    if marker < 0 or end.timestamp() <= now:
        return None
    return KeyPair(content[:marker], content[marker:])


def write(path: Path, pair: KeyPair) -> None:
    write_private(path, pair.certificate.rstrip() + b"\n" + pair.key)


def renewal_time(pair: KeyPair, rng: Rng) -> float:
    """At 70 to 90 per cent of its life, spread so that a cluster's nodes do not all ask at once."""
    certificate = x509.load_pem_x509_certificate(pair.certificate)
    begin, end = certificate.not_valid_before_utc.timestamp(), certificate.not_valid_after_utc.timestamp()
    return begin + (end - begin) * (0.7 + 0.2 * rng.random())


def serves(pair: KeyPair, ips: Sequence[str]) -> bool:
    """Whether a serving certificate names all addresses of the node."""
    certificate = x509.load_pem_x509_certificate(pair.certificate)
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return False
    return {ip_address(ip) for ip in ips} <= set(names.get_values_for_type(x509.IPAddress))


def write_kubeconfig(path: Path, bootstrap: KubeConfig, pem: Path, cert_dir: Path) -> None:
    """The node's own kubeconfig: the bootstrap's server; the certificate by reference: renewal needs no rewrite."""
    cluster: dict[str, object] = {"server": bootstrap.server}
    if bootstrap.ca is not None:
        authority = cert_dir / "ca.crt"
        write_file(authority, bootstrap.ca, 0o644)
        cluster["certificate-authority"] = str(authority)
    if bootstrap.insecure:
        cluster["insecure-skip-tls-verify"] = True
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "default-cluster", "cluster": cluster}],
        "users": [{"name": "default-auth", "user": {"client-certificate": str(pem), "client-key": str(pem)}}],
        "contexts": [{"name": "default-context", "context": {"cluster": "default-cluster", "user": "default-auth"}}],
        "current-context": "default-context",
    }
    write_private(path, yaml.safe_dump(document, sort_keys=False).encode())


def self_signed(node: str, ips: Sequence[str], clock: Clock) -> KeyPair:
    """For an API nobody has given a certificate: clients have to trust it blindly, as with upstream's kubelet."""
    stamp = int(datetime.fromtimestamp(clock.now(), UTC).timestamp())
    authority = CertificateAuthority.create(f"{node}-ca@{stamp}", days=365, clock=clock)
    pair = authority.issue(f"{node}@{stamp}", dns=[node], ips=list(ips), usages=Usage.SERVER, days=365)
    return KeyPair(pair.certificate + authority.certificate_pem, pair.key)

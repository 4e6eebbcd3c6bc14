"""One certificate from the cluster's signers: a CertificateSigningRequest, created and waited for."""

import base64
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, Protocol

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from component_base.clock import Clock
from component_base.pki import KeyPair

log = logging.getLogger(__name__)
JSON = dict[str, Any]
COLLECTION = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
CLIENT_SIGNER = "kubernetes.io/kube-apiserver-client-kubelet"
SERVING_SIGNER = "kubernetes.io/kubelet-serving"
WAIT_SECONDS = 900.0


class RequestRefused(Exception):
    """The signer denied the certificate, or let the request lie for too long."""


class Requests(Protocol):
    """As much of the apiserver as a request needs; a bootstrap token allows no more than this."""

    async def get(self, path: str) -> JSON: ...
    async def create(self, path: str, body: JSON) -> JSON: ...


@dataclass(frozen=True, slots=True)
class Wish:
    signer: str
    common_name: str
    organization: str = "system:nodes"
    dns: Sequence[str] = ()
    ips: Sequence[str] = ()

    @property
    def usages(self) -> list[str]:
        return ["digital signature", "server auth" if self.signer == SERVING_SIGNER else "client auth"]


def client_wish(node: str) -> Wish:
    return Wish(CLIENT_SIGNER, f"system:node:{node}")


def serving_wish(node: str, ips: Sequence[str]) -> Wish:
    return Wish(SERVING_SIGNER, f"system:node:{node}", dns=(node,), ips=tuple(ips))


def signing_request(wish: Wish, key: ec.EllipticCurvePrivateKey) -> bytes:
    subject = [x509.NameAttribute(NameOID.COMMON_NAME, wish.common_name)]
    if wish.organization:
        subject.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, wish.organization))
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(subject))
    names: list[x509.GeneralName] = [x509.DNSName(name) for name in wish.dns]
    names += [x509.IPAddress(ip_address(ip)) for ip in wish.ips]
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


async def obtain(api: Requests, clock: Clock, wish: Wish, patience: float = WAIT_SECONDS) -> KeyPair:
    """A new key and the certificate for it. Raises RequestRefused, StatusError, or a transport error."""
    key = ec.generate_private_key(ec.SECP256R1())
    body = {
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {"generateName": "csr-"},
        "spec": {
            "request": base64.b64encode(signing_request(wish, key)).decode(),
            "signerName": wish.signer,
            "usages": wish.usages,
        },
    }
    created = await api.create(COLLECTION, body)
    name = created["metadata"]["name"]
    log.info("asked %s for a certificate: %s", wish.signer, name)
    certificate = await _wait(api, clock, name, patience)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return KeyPair(certificate, private)


async def _wait(api: Requests, clock: Clock, name: str, patience: float) -> bytes:
    until = clock.monotonic() + patience
    delay = 0.1
    while clock.monotonic() < until:
        status = (await api.get(f"{COLLECTION}/{name}")).get("status") or {}
        for condition in status.get("conditions") or ():
            if condition["type"] in ("Denied", "Failed"):
                raise RequestRefused(f"{name}: {condition['type']}: {condition.get('message', '')}")
        if status.get("certificate"):
            return base64.b64decode(status["certificate"])
        await clock.sleep(delay)
        delay = min(delay * 1.5, 5.0)
    raise RequestRefused(f"nobody has decided about {name}; approve it with: kubectl certificate approve {name}")

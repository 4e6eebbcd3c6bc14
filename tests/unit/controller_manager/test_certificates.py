"""Whose signing requests are approved without a person, and what a signer refuses."""

import base64
import ipaddress
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519
from cryptography.x509.oid import NameOID

from component_base.clock import ManualClock
from component_base.pki import CertificateAuthority
from controller_manager.certificates import approval
from controller_manager.certificates.approval import questions, subject_of
from controller_manager.certificates.signing import CleaningController, refusal
from controller_manager.views import CertificateSigningRequest
from kubeclient.informer import Informers
from kubeclient.rest import WatchEvent
from tests.unit.kubeclient.memory_api import MemoryApi

CLIENT = ["key encipherment", "digital signature", "client auth"]
SERVING = ["key encipherment", "digital signature", "server auth"]


def request(name: str, organizations: Sequence[str] = (), dns: Sequence[str] = (), ips: Sequence[str] = ()) -> str:
    parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, o) for o in organizations]
    subject = x509.Name([*parts, x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    names: list[x509.GeneralName] = [x509.DNSName(d) for d in dns]
    names += [x509.IPAddress(ipaddress.ip_address(ip)) for ip in ips]
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    signed = builder.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    return base64.b64encode(signed.public_bytes(serialization.Encoding.PEM)).decode()


def request_with(key: ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey) -> str:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ann")])
    signed = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, None)
    return base64.b64encode(signed.public_bytes(serialization.Encoding.PEM)).decode()


def csr(body: str, signer: str, usages: Sequence[str], username: str = "system:bootstrap:abc", **more: Any) -> Any:
    spec = {"request": body, "signerName": signer, "usages": list(usages), "username": username}
    return msgspec.convert({"metadata": {"name": "c"}, "spec": spec, **more}, CertificateSigningRequest)


NODE = request("system:node:n1", ["system:nodes"])


def asked(found: Any) -> list[str]:
    return [subresource for subresource, _ in questions(found)]


def test_a_node_may_ask_for_its_first_certificate_and_renew_it() -> None:
    assert asked(csr(NODE, approval.KUBELET_CLIENT_SIGNER, CLIENT)) == ["nodeclient"]
    renewal = csr(NODE, approval.KUBELET_CLIENT_SIGNER, CLIENT, "system:node:n1")
    assert asked(renewal) == ["selfnodeclient", "nodeclient"]


@pytest.mark.parametrize(
    ("body", "signer", "usages"),
    [
        (request("system:node:n1"), approval.KUBELET_CLIENT_SIGNER, CLIENT),
        (request("admin", ["system:nodes"]), approval.KUBELET_CLIENT_SIGNER, CLIENT),
        (request("system:node:n1", ["system:nodes", "system:masters"]), approval.KUBELET_CLIENT_SIGNER, CLIENT),
        (request("system:node:n1", ["system:nodes"], ["kubernetes"]), approval.KUBELET_CLIENT_SIGNER, CLIENT),
        (NODE, approval.KUBELET_CLIENT_SIGNER, [*CLIENT, "server auth"]),
        (request("admin", ["system:masters"]), approval.CLIENT_SIGNER, CLIENT),
        (request("system:kube-proxy", ["system:masters"]), approval.CLIENT_SIGNER, CLIENT),
        ("bm90IGEgcmVxdWVzdA==", approval.KUBELET_CLIENT_SIGNER, CLIENT),
    ],
)
def test_nobody_else_is_even_asked_about(body: str, signer: str, usages: list[str]) -> None:
    assert asked(csr(body, signer, usages)) == []


def test_a_request_must_be_signed_by_its_own_key() -> None:
    pem = bytearray(base64.b64decode(NODE))
    der = bytearray(x509.load_pem_x509_csr(bytes(pem)).public_bytes(serialization.Encoding.DER))
    der[-3] ^= 1
    forged = (
        b"-----BEGIN CERTIFICATE REQUEST-----\n"
        + base64.encodebytes(bytes(der))
        + b"-----END CERTIFICATE REQUEST-----\n"
    )
    assert subject_of(base64.b64encode(forged).decode()) is None


@pytest.mark.parametrize(
    ("found", "may"),
    [
        (csr(NODE, approval.KUBELET_CLIENT_SIGNER, CLIENT), True),
        (csr(NODE, approval.KUBELET_CLIENT_SIGNER, SERVING), False),
        (
            csr(
                request("system:node:n1", ["system:nodes"], ["n1"]),
                approval.KUBELET_SERVING_SIGNER,
                SERVING,
                "system:node:n1",
            ),
            True,
        ),
        (
            csr(
                request("system:node:n1", ["system:nodes"], ["n1"]),
                approval.KUBELET_SERVING_SIGNER,
                SERVING,
                "system:node:n2",
            ),
            False,
        ),
        (csr(request("ann"), approval.CLIENT_SIGNER, CLIENT), True),
        (csr(request("ann"), approval.CLIENT_SIGNER, [*CLIENT, "server auth"]), False),
    ],
)
def test_each_signer_keeps_to_its_limits(found: Any, may: bool) -> None:
    subject = subject_of(found.spec.request)
    assert subject is not None
    assert (refusal(found, subject) == "") is may


def test_old_requests_are_removed() -> None:
    informers = Informers(MemoryApi().client(), ManualClock())
    controller = CleaningController(informers)
    created = {"name": "c", "creationTimestamp": "2027-01-15T07:00:00Z"}
    body = {"metadata": created, "spec": {"request": "", "signerName": "x"}}
    informers.of(approval.COLLECTION, CertificateSigningRequest).apply(WatchEvent("ADDED", msgspec.json.encode(body)))
    now = 1_800_000_000.0  # an hour later
    assert controller.reconcile("c", now).requeue_after == pytest.approx(23 * 3600 + 1)
    assert not controller.reconcile("c", now + 23 * 3600).is_empty


def test_what_is_signed_says_what_was_asked() -> None:
    authority = CertificateAuthority.create("ca")
    parsed = x509.load_pem_x509_csr(base64.b64decode(NODE))
    subject = subject_of(NODE)
    assert subject is not None
    pem = authority.sign(parsed.public_key(), subject.name, subject.organizations)  # type: ignore[arg-type]
    found = x509.load_pem_x509_certificate(pem)
    assert found.subject.rfc4514_string() == "CN=system:node:n1,O=system:nodes"


def test_keys_of_a_kind_that_clients_can_use_are_certified_and_others_refused() -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    subject = subject_of(request_with(key))
    assert subject is not None
    pem = CertificateAuthority.create("ca").sign(key.public_key(), subject.name)
    assert x509.load_pem_x509_certificate(pem).public_key() == key.public_key()
    assert subject_of(request_with(ed448.Ed448PrivateKey.generate())) is None

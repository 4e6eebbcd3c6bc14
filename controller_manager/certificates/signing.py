"""Signs approved requests with the cluster's authority, each signer within its own limits; old requests are removed."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

from cryptography import x509

from apimachinery import timestamps
from component_base.pki import CertificateAuthority, PublicKey, Usage
from controller_manager.certificates import approval
from controller_manager.certificates.approval import COLLECTION, Subject, subject_of
from controller_manager.views import CertificateSigningRequest, condition
from kubeclient.informer import Informers
from kubeclient.plan import NOTHING, Delete, Plan
from kubeclient.rest import MERGE, RestClient

MIN_SECONDS = 600
HOUR = 3600.0
#: How long requests stay, by what became of them (upstream's csrcleaner).
DECIDED_SECONDS, PENDING_SECONDS = HOUR, 24 * HOUR


def usages_of(csr: CertificateSigningRequest) -> Usage:
    usages = Usage(0)
    if "server auth" in csr.spec.usages:
        usages |= Usage.SERVER
    if "client auth" in csr.spec.usages:
        usages |= Usage.CLIENT
    return usages


def refusal(csr: CertificateSigningRequest, subject: Subject) -> str:
    """Why this signer must not sign it; empty when it may."""
    signer, usages = csr.spec.signerName, csr.spec.usages
    if signer == approval.KUBELET_CLIENT_SIGNER and not approval.is_node_client(usages, subject):
        return "the request is not for a node's client certificate"
    if signer == approval.KUBELET_SERVING_SIGNER and not approval.is_node_serving(usages, subject, csr.spec.username):
        return "the request is not for the serving certificate of the node that sent it"
    if signer == approval.CLIENT_SIGNER and set(usages) - {"key encipherment", "digital signature", "client auth"}:
        return "usages beyond client auth are not allowed"
    return ""


class SigningController:
    name = "csrsigning"
    SIGNERS = frozenset(
        {
            approval.CLIENT_SIGNER,
            approval.KUBELET_CLIENT_SIGNER,
            approval.KUBELET_SERVING_SIGNER,
            approval.LEGACY_SIGNER,
        }
    )

    def __init__(
        self, informers: Informers, client: RestClient, authority: CertificateAuthority, max_seconds: float
    ) -> None:
        self._requests = informers.of(COLLECTION, CertificateSigningRequest)
        self._client = client
        self._authority = authority
        self._max_seconds = max_seconds

    def watch(self, enqueue: Callable[[str], None]) -> None:
        self._requests.add_key_handler(enqueue)

    async def sync(self, key: str, now: float) -> float | None:
        csr = self._requests.get(key)
        if csr is None or csr.status.certificate or csr.spec.signerName not in self.SIGNERS:
            return None
        conditions = csr.status.conditions
        if (
            condition(conditions, "Approved") is None
            or condition(conditions, "Denied")
            or condition(conditions, "Failed")
        ):
            return None
        subject = subject_of(csr.spec.request)
        problem = "the request is not valid" if subject is None else refusal(csr, subject)
        if subject is None or problem:
            await self._fail(csr, problem, now)
            return None
        certificate = self._sign(csr, subject)
        status = {"certificate": base64.b64encode(certificate).decode()}
        await self._client.patch(f"{COLLECTION}/{key}/status", {"status": status}, MERGE)
        return None

    def _sign(self, csr: CertificateSigningRequest, subject: Subject) -> bytes:
        parsed = x509.load_pem_x509_csr(base64.b64decode(csr.spec.request))
        key = parsed.public_key()
        assert isinstance(key, PublicKey), type(key)  # or it would have no subject
        asked = csr.spec.expirationSeconds
        seconds = self._max_seconds if asked is None else min(self._max_seconds, max(MIN_SECONDS, asked))
        return self._authority.sign(
            key,
            subject.name,
            subject.organizations,
            subject.dns,
            subject.ips,
            usages_of(csr),
            seconds / 86400,
        )

    async def _fail(self, csr: CertificateSigningRequest, problem: str, now: float) -> None:
        path = f"{COLLECTION}/{csr.metadata.name}"
        current: dict[str, Any] = await self._client.get(path)
        current.setdefault("status", {}).setdefault("conditions", []).append(
            {
                "type": "Failed",
                "status": "True",
                "reason": "SignerValidationFailure",
                "message": problem,
                "lastUpdateTime": timestamps.format(now),
            }
        )
        await self._client.replace(f"{path}/status", current)


class CleaningController:
    name = "csrcleaner"

    def __init__(self, informers: Informers) -> None:
        self._requests = informers.of(COLLECTION, CertificateSigningRequest)

    def watch(self, enqueue: Callable[[str], None]) -> None:
        self._requests.add_key_handler(enqueue)

    def reconcile(self, key: str, now: float) -> Plan:
        csr = self._requests.get(key)
        if csr is None:
            return NOTHING
        conditions = csr.status.conditions
        decided = (
            condition(conditions, "Approved") or condition(conditions, "Denied") or condition(conditions, "Failed")
        )
        since = timestamps.parse_or(
            decided.lastUpdateTime if decided is not None else csr.metadata.creationTimestamp, now
        )
        left = since + (DECIDED_SECONDS if decided is not None else PENDING_SECONDS) - now
        if left > 0:
            return Plan(requeue_after=left + 1)
        return Plan([[Delete(f"{COLLECTION}/{key}", csr.metadata.uid)]])

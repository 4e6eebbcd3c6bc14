"""Which signing requests of nodes are approved without a person, after asking whether the requester may have one.

The questions are upstream's: `create` on certificatesigningrequests/nodeclient for a first certificate (bootstrap
tokens), /selfnodeclient for a renewal (nodes), and /nodeagent, an addition of ours, for the proxy and DNS of a node.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cryptography import x509
from cryptography.x509.oid import NameOID

from apimachinery import timestamps
from apimachinery.errors import StatusError
from component_base.pki import PublicKey
from controller_manager.views import CertificateSigningRequest, condition
from kubeclient.informer import Informers
from kubeclient.rest import RestClient

CLIENT_SIGNER = "kubernetes.io/kube-apiserver-client"
KUBELET_CLIENT_SIGNER = "kubernetes.io/kube-apiserver-client-kubelet"
KUBELET_SERVING_SIGNER = "kubernetes.io/kubelet-serving"
LEGACY_SIGNER = "kubernetes.io/legacy-unknown"
COLLECTION = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
#: Not upstream's: it leaves serving certificates to people, since it does not compare names with addresses.
SELF_SERVING = "selfnodeserving"
SERVING_PATIENCE_SECONDS = 60.0
AGENTS = frozenset({"system:kube-proxy", "system:cluster-dns"})


@dataclass(frozen=True, slots=True)
class Subject:
    name: str
    organizations: tuple[str, ...]
    dns: tuple[str, ...] = ()
    ips: tuple[str, ...] = ()
    others: bool = False


def subject_of(request: str) -> Subject | None:
    """None for what is no PEM certificate request, is not signed by its own key, or has a key that nobody certifies."""
    try:
        parsed = x509.load_pem_x509_csr(base64.b64decode(request))
    except ValueError:
        return None
    if not parsed.is_signature_valid or not isinstance(parsed.public_key(), PublicKey):
        return None
    names = [str(a.value) for a in parsed.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    groups = tuple(str(a.value) for a in parsed.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME))
    try:
        alternative = parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return Subject(names[0] if names else "", groups)
    dns = tuple(alternative.get_values_for_type(x509.DNSName))
    ips = tuple(str(ip) for ip in alternative.get_values_for_type(x509.IPAddress))
    return Subject(names[0] if names else "", groups, dns, ips, len(dns) + len(ips) != len(list(alternative)))


CLIENT_USAGES = ({"key encipherment", "digital signature", "client auth"}, {"digital signature", "client auth"})
SERVING_USAGES = ({"key encipherment", "digital signature", "server auth"}, {"digital signature", "server auth"})


def is_node_client(spec_usages: list[str], subject: Subject) -> bool:
    return (
        subject.organizations == ("system:nodes",)
        and subject.name.startswith("system:node:")
        and not subject.dns
        and not subject.ips
        and not subject.others
        and set(spec_usages) in CLIENT_USAGES
    )


def is_node_serving(spec_usages: list[str], subject: Subject, username: str) -> bool:
    return (
        subject.organizations == ("system:nodes",)
        and subject.name.startswith("system:node:")
        and subject.name == username
        and bool(subject.dns or subject.ips)
        and not subject.others
        and set(spec_usages) in SERVING_USAGES
    )


def is_node_agent(spec_usages: list[str], subject: Subject) -> bool:
    return subject.name in AGENTS and not subject.organizations and set(spec_usages) in CLIENT_USAGES


def questions(csr: CertificateSigningRequest) -> list[tuple[str, str]]:
    """(subresource to ask about, sentence for the condition), in order; the first yes approves."""
    subject = subject_of(csr.spec.request)
    if subject is None:
        return []
    found = []
    if csr.spec.signerName == KUBELET_CLIENT_SIGNER and is_node_client(csr.spec.usages, subject):
        if csr.spec.username == subject.name:
            found.append(
                ("selfnodeclient", "Auto approving self kubelet client certificate after SubjectAccessReview.")
            )
        found.append(("nodeclient", "Auto approving kubelet client certificate after SubjectAccessReview."))
    elif csr.spec.signerName == CLIENT_SIGNER and is_node_agent(csr.spec.usages, subject):
        found.append(("nodeagent", "Auto approving the certificate of a node's agent after SubjectAccessReview."))
    elif csr.spec.signerName == KUBELET_SERVING_SIGNER and is_node_serving(csr.spec.usages, subject, csr.spec.username):
        found.append((SELF_SERVING, "Auto approving self kubelet serving certificate after SubjectAccessReview."))
    return found


def names_only_itself(subject: Subject, node: dict[str, Any]) -> bool:
    """Whether a node asks to serve as nothing but its own name and addresses."""
    addresses = (node.get("status") or {}).get("addresses") or ()
    own = {str(a.get("address")) for a in addresses} | {str(node["metadata"]["name"])}
    return set(subject.dns) | set(subject.ips) <= own


class ApprovalController:
    name = "csrapproving"

    def __init__(self, informers: Informers, client: RestClient) -> None:
        self._requests = informers.of(COLLECTION, CertificateSigningRequest)
        self._client = client

    def watch(self, enqueue: Callable[[str], None]) -> None:
        self._requests.add_key_handler(enqueue)

    async def sync(self, key: str, now: float) -> float | None:
        csr = self._requests.get(key)
        if csr is None or csr.status.certificate:
            return None
        if any(condition(csr.status.conditions, kind) for kind in ("Approved", "Denied")):
            return None
        for subresource, message in questions(csr):
            if subresource == SELF_SERVING and not await self._is_its_own(csr):
                # A new node may ask a moment before its addresses are known here.
                age = now - timestamps.parse_or(csr.metadata.creationTimestamp, 0.0)
                return SERVING_PATIENCE_SECONDS / 20 if age < SERVING_PATIENCE_SECONDS else None
            if await self._may(csr, subresource):
                await self._approve(csr, message, now)
                return None
        return None

    async def _is_its_own(self, csr: CertificateSigningRequest) -> bool:
        subject = subject_of(csr.spec.request)
        if subject is None:
            return False
        try:
            node = await self._client.get(f"/api/v1/nodes/{subject.name.removeprefix('system:node:')}")
        except StatusError:
            return False
        return names_only_itself(subject, node)

    async def _may(self, csr: CertificateSigningRequest, subresource: str) -> bool:
        attributes = {
            "verb": "create",
            "group": "certificates.k8s.io",
            "version": "*",
            "resource": "certificatesigningrequests",
            "subresource": subresource,
        }
        spec = {"user": csr.spec.username, "groups": csr.spec.groups, "resourceAttributes": attributes}
        body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}
        answer = await self._client.create("/apis/authorization.k8s.io/v1/subjectaccessreviews", body)
        return bool((answer.get("status") or {}).get("allowed"))

    async def _approve(self, csr: CertificateSigningRequest, message: str, now: float) -> None:
        path = f"{COLLECTION}/{csr.metadata.name}"
        current: dict[str, Any] = await self._client.get(path)
        status = current.setdefault("status", {})
        status.setdefault("conditions", []).append(
            {
                "type": "Approved",
                "status": "True",
                "reason": "AutoApproved",
                "message": message,
                "lastUpdateTime": timestamps.format(now),
            }
        )
        await self._client.replace(f"{path}/approval", current)

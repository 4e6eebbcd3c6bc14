"""CertificateApproval, CertificateSigning: by signer, who may approve and sign; CertificateSubjectRestriction.

The rights are `approve` and `sign` on the virtual resource `signers`, by name or for all signers of a domain.
"""

from __future__ import annotations

import base64
import binascii
from typing import ClassVar

from cryptography import x509
from cryptography.x509.oid import NameOID

from apimachinery.fields import quote
from apiserver.admission.chain import Plugin, refuse
from apiserver.authz.rbac import MASTERS
from apiserver.ports import AdmissionRequest, Attributes, Authorizer, Operation, User, Verdict

GROUP = "certificates.k8s.io"
REQUESTS = frozenset({(GROUP, "certificatesigningrequests")})
CLIENT_SIGNER = "kubernetes.io/kube-apiserver-client"


async def may(authorizer: Authorizer, user: User, verb: str, signer: str) -> bool:
    domain = signer.partition("/")[0]
    for name in (signer, f"{domain}/*"):
        question = Attributes(user, verb, group=GROUP, version="*", resource="signers", name=name)
        verdict, _ = await authorizer.authorize(question)
        if verdict is Verdict.ALLOW:
            return True
    return False


class CertificateApproval(Plugin):
    name: ClassVar[str] = "CertificateApproval"
    handles: ClassVar[frozenset[tuple[str, str]] | None] = REQUESTS
    operations: ClassVar[frozenset[Operation]] = frozenset({Operation.UPDATE})

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer

    async def validate(self, request: AdmissionRequest) -> None:
        if request.subresource != "approval":
            return
        signer = ((request.old or {}).get("spec") or {}).get("signerName") or ""
        if not await may(self._authorizer, request.user, "approve", signer):
            raise refuse(request, f"user not permitted to approve requests with signerName {quote(signer)}")


class CertificateSigning(Plugin):
    name: ClassVar[str] = "CertificateSigning"
    handles: ClassVar[frozenset[tuple[str, str]] | None] = REQUESTS
    operations: ClassVar[frozenset[Operation]] = frozenset({Operation.UPDATE})

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer

    async def validate(self, request: AdmissionRequest) -> None:
        if request.subresource != "status":
            return
        before, after = ((obj or {}).get("status") or {} for obj in (request.old, request.obj))
        if all((before.get(key) or None) == (after.get(key) or None) for key in ("certificate", "conditions")):
            return
        signer = ((request.old or {}).get("spec") or {}).get("signerName") or ""
        if not await may(self._authorizer, request.user, "sign", signer):
            raise refuse(request, f"user not permitted to sign requests with signerName {quote(signer)}")


class CertificateSubjectRestriction(Plugin):
    """No signer makes anybody a master of the cluster."""

    name: ClassVar[str] = "CertificateSubjectRestriction"
    handles: ClassVar[frozenset[tuple[str, str]] | None] = REQUESTS
    operations: ClassVar[frozenset[Operation]] = frozenset({Operation.CREATE})

    async def validate(self, request: AdmissionRequest) -> None:
        spec = (request.obj or {}).get("spec") or {}
        if request.subresource or spec.get("signerName") != CLIENT_SIGNER:
            return
        try:
            asked = x509.load_pem_x509_csr(base64.b64decode(spec.get("request") or "", validate=True))
        except (ValueError, binascii.Error) as error:
            raise refuse(request, f"failed to parse CSR: {error}") from error
        groups = [one.value for one in asked.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]
        if MASTERS in groups:
            raise refuse(request, f"use of {CLIENT_SIGNER} signer with {MASTERS} group is not allowed")

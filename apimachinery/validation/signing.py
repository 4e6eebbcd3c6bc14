"""Rules of CertificateSigningRequests."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any

from apimachinery.fields import FieldError, Path, duplicate, forbidden, invalid, not_supported, quote, required
from apimachinery.strategies.equality import same
from apimachinery.validation.differences import differences
from apimachinery.validation.signers import signer_name

Obj = dict[str, Any]
Errors = list[FieldError]

SPEC = Path("spec")
CONDITIONS = Path("status", "conditions")
CERTIFICATE = Path("status", "certificate")
LEGACY_SIGNER = "kubernetes.io/legacy-unknown"
SHORTEST = 600
DECISIONS = ("Approved", "Denied")
USAGES = (
    "any", "cert sign", "client auth", "code signing", "content commitment", "crl sign", "data encipherment",
    "decipher only", "digital signature", "email protection", "encipher only", "ipsec end system", "ipsec tunnel",
    "ipsec user", "key agreement", "key encipherment", "microsoft sgc", "netscape sgc", "ocsp signing", "s/mime",
    "server auth", "signing", "timestamping",
)  # fmt: skip
_EXCLUSIVE = "Approved and Denied conditions are mutually exclusive"
_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----\r?\n(.*?)-----END \1-----", re.DOTALL)


def any_name(name: str) -> list[str]:
    return []


def create(obj: Obj) -> Errors:
    return _judge(obj, None)


def update(new: Obj, old: Obj) -> Errors:
    return _changed(new, old)


def status_update(new: Obj, old: Obj) -> Errors:
    return _changed(new, old, certificate=True)


def approval_update(new: Obj, old: Obj) -> Errors:
    return _changed(new, old, decisions=True)


def _conditions_of(obj: Obj | None) -> list[Obj]:
    return ((obj or {}).get("status") or {}).get("conditions") or []


def _judge(obj: Obj, old: Obj | None) -> Errors:
    """What is wrong with the object itself; what was wrong in `old` already is tolerated."""
    spec = obj.get("spec") or {}
    before = (old or {}).get("spec") or {}
    found: Errors = []
    wrong = _bad_request(spec.get("request") or "")
    if wrong:
        found.append(invalid(SPEC.child("request"), spec.get("request") or "", wrong))
    found += _usages(spec.get("usages") or [], before.get("usages") or [])
    signer = spec.get("signerName") or ""
    if signer == LEGACY_SIGNER and before.get("signerName") != LEGACY_SIGNER:
        detail = "the legacy signerName is not allowed via this API version"
        found.append(invalid(SPEC.child("signerName"), signer, detail))
    else:
        found += signer_name(signer, SPEC.child("signerName"))
    seconds = spec.get("expirationSeconds")
    if seconds is not None and seconds < SHORTEST:
        detail = "may not specify a duration less than 600 seconds (10 minutes)"
        found.append(invalid(SPEC.child("expirationSeconds"), seconds, detail))
    found += _conditions(_conditions_of(obj), _conditions_of(old))
    certificate = (obj.get("status") or {}).get("certificate") or ""
    if certificate and (old is None or certificate != ((old.get("status") or {}).get("certificate") or "")):
        wrong = _bad_certificate(certificate)
        if wrong:
            found.append(invalid(CERTIFICATE, "<certificate data>", wrong))
    return found


def _usages(listed: list[str], before: list[str]) -> Errors:
    place = SPEC.child("usages")
    found: Errors = [] if listed else [required(place)]
    if all(usage in USAGES for usage in before):
        found += [
            not_supported(place.index(index), usage, USAGES)
            for index, usage in enumerate(listed)
            if usage not in USAGES
        ]
    if len(set(before)) == len(before):
        found += [duplicate(place.index(index), usage) for index, usage in enumerate(listed) if usage in listed[:index]]
    return found


def _conditions(listed: list[Obj], before: list[Obj]) -> Errors:
    types = [one.get("type") or "" for one in before]
    decided: set[str] = set()
    seen: set[str] = set()
    found: Errors = []
    for index, condition in enumerate(listed):
        place = CONDITIONS.index(index)
        kind, status = condition.get("type") or "", condition.get("status") or ""
        if not kind and "" not in types:
            found.append(required(place.child("type")))
        allowed = ("True",) if kind in {*DECISIONS, "Failed"} else ("False", "True", "Unknown")
        if not status:
            found.append(required(place.child("status")))
        elif status not in allowed:
            found.append(not_supported(place.child("status"), status, allowed))
        if kind in DECISIONS and not set(DECISIONS) <= set(types):
            decided.add(kind)
            if len(decided) == 2:
                found.append(invalid(CONDITIONS, kind, _EXCLUSIVE))
        if kind in seen and len(set(types)) == len(types):
            found.append(duplicate(place.child("type"), kind))
        seen.add(kind)
    return found


def _changed(new: Obj, old: Obj, *, certificate: bool = False, decisions: bool = False) -> Errors:
    found = _judge(new, old)
    after, before = _conditions_of(new), _conditions_of(old)
    for kind in (*DECISIONS, "Failed"):
        if len(_of_type(after, kind)) < len(_of_type(before, kind)):
            found.append(forbidden(CONDITIONS, f"updates may not remove a condition of type {quote(kind)}"))
    if not decisions:
        for kind in DECISIONS:
            now, then = _of_type(after, kind), _of_type(before, kind)
            if len(now) > len(then):
                found.append(forbidden(CONDITIONS, f"updates may not add a condition of type {quote(kind)}"))
            elif len(now) == len(then) and not same(now, then):
                changes = differences(then, now)
                detail = f"updates may not modify a condition of type {quote(kind)}\n{changes}"
                found.append(forbidden(CONDITIONS, detail))
    signed = (old.get("status") or {}).get("certificate") or ""
    if ((new.get("status") or {}).get("certificate") or "") != signed:
        if not certificate:
            found.append(forbidden(CERTIFICATE, "updates may not set certificate content"))
        elif signed:
            found.append(forbidden(CERTIFICATE, "updates may not modify existing certificate content"))
    return found


def _of_type(listed: list[Obj], kind: str) -> list[Obj]:
    return [one for one in listed if one.get("type") == kind]


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text)
    except (binascii.Error, ValueError):
        return b""


def _bad_request(encoded: str) -> str:
    """Why the request is not a signed PKCS#10 request; empty when it is."""
    pem = _decoded(encoded)
    block = _BLOCK.search(pem)
    if block is None or block[1] != b"CERTIFICATE REQUEST":
        return "PEM block type must be CERTIFICATE REQUEST"
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

    try:
        request = x509.load_pem_x509_csr(block[0])
        if not request.is_signature_valid:
            return "x509: signature does not verify"
    except InvalidSignature:
        return "x509: signature does not verify"
    except UnsupportedAlgorithm as wrong:
        return f"x509: {wrong}"
    except ValueError as wrong:
        return f"asn1: {wrong}"
    return ""


def _bad_certificate(encoded: str) -> str:
    blocks = list(_BLOCK.finditer(_decoded(encoded)))
    if not blocks:
        return "must contain at least one CERTIFICATE PEM block"
    from cryptography import x509

    for block in blocks:
        kind = block[1].decode()
        if kind != "CERTIFICATE":
            return f"only CERTIFICATE PEM blocks are allowed, found {quote(kind)}"
        if b":" in block[2].split(b"\n", 1)[0]:
            return "no PEM block headers are permitted"
        try:
            x509.load_pem_x509_certificate(block[0])
        except ValueError as wrong:
            return f"x509: malformed certificate: {wrong}"
    return ""

"""Client certificates: the common name is the user, the organisations are the groups.

TLS has checked the chain when the connection began. It is checked again for each request, since a connection may
outlive its certificate, and since TLS accepts certificates of several authorities that mean different things.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from apiserver.authn.chain import TokenRefused
from apiserver.ports import Credentials, User
from component_base.clock import Clock

CREDENTIAL_ID = "authentication.kubernetes.io/credential-id"
UID_OID = ObjectIdentifier("1.3.6.1.4.1.57683.2")  # kubernetes.io's own subject attribute
REMEMBERED = 512
RECHECK_SECONDS = 10.0
log = logging.getLogger(__name__)


def load_authorities(path: str | Path) -> list[x509.Certificate]:
    """Raises FileNotFoundError, or ValueError naming the file."""
    try:
        return x509.load_pem_x509_certificates(Path(path).read_bytes())
    except ValueError as error:
        raise ValueError(f"{path} holds no PEM certificates: {error}") from error


class AuthorityFile:
    """The authorities of a file, read again when it changes; a broken file leaves those that were read before."""

    def __init__(self, path: str | Path, clock: Clock) -> None:
        """Raises FileNotFoundError, or ValueError naming the file."""
        self._path = Path(path)
        self._clock = clock
        self._stamp = self._path.stat().st_mtime_ns
        self._looked = clock.monotonic()
        self.authorities: Sequence[x509.Certificate] = load_authorities(path)

    def refresh(self) -> bool:
        """Whether others are believed now than before."""
        now = self._clock.monotonic()
        if now - self._looked < RECHECK_SECONDS:
            return False
        self._looked = now
        try:
            stamp = self._path.stat().st_mtime_ns
            if stamp == self._stamp:
                return False
            self.authorities = load_authorities(self._path)
        except (OSError, ValueError) as error:
            log.warning("keeping the authorities that were read before: %s", error)
            return False
        self._stamp = stamp
        log.info("client certificates are now checked by what %s holds", self._path)
        return True


@dataclass(frozen=True, slots=True)
class _Checked:
    certificate: x509.Certificate
    issued_by_us: bool


@dataclass(slots=True)
class AuthorityPool:
    """Tells whether a certificate was issued by one of these authorities and is good for clients at this moment."""

    file: AuthorityFile
    clock: Clock
    _seen: OrderedDict[bytes, _Checked] = field(default_factory=OrderedDict)

    def verify(self, der: bytes) -> x509.Certificate | None:
        """None: of another authority. Raises TokenRefused for one of ours that is expired or not for clients."""
        if self.file.refresh():
            self._seen.clear()
        checked = self._seen.get(der)
        if checked is None:
            try:
                certificate = x509.load_der_x509_certificate(der)
                checked = _Checked(certificate, self._chains(certificate))
            except ValueError as error:  # TLS is content with some certificates that are malformed
                raise TokenRefused(f"x509: {error}") from error
            self._seen[der] = checked
            if len(self._seen) > REMEMBERED:
                self._seen.popitem(last=False)
        if not checked.issued_by_us:
            return None
        certificate, now = checked.certificate, self.clock.now()
        if now > certificate.not_valid_after_utc.timestamp():
            raise TokenRefused("x509: certificate has expired")
        if now < certificate.not_valid_before_utc.timestamp():
            raise TokenRefused("x509: certificate is not yet valid")
        if not _for_clients(certificate):
            raise TokenRefused("x509: certificate specifies an incompatible key usage")
        return certificate

    def _chains(self, certificate: x509.Certificate) -> bool:
        for authority in self.file.authorities:
            if certificate.issuer != authority.subject:
                continue
            try:
                certificate.verify_directly_issued_by(authority)
            except (InvalidSignature, ValueError, TypeError):
                continue
            return True
        return False


class ClientCertificates:
    """Users named by certificates of `--client-ca-file`."""

    def __init__(self, pool: AuthorityPool) -> None:
        self._pool = pool

    async def authenticate(self, credentials: Credentials) -> User | None:
        if credentials.client_certificate is None:
            return None
        certificate = self._pool.verify(credentials.client_certificate)
        return None if certificate is None else user_of(certificate, credentials.client_certificate)


def user_of(certificate: x509.Certificate, der: bytes) -> User | None:
    """None without a common name. At most one uid attribute is allowed."""
    names = _values(certificate, NameOID.COMMON_NAME)
    if not names or not names[0]:
        return None
    uids = _values(certificate, UID_OID)
    if len(uids) > 1:
        raise TokenRefused("expected 1 UID, but found multiple")
    if uids and not uids[0]:
        raise TokenRefused("UID cannot be an empty string")
    return User(
        names[-1],
        tuple(_values(certificate, NameOID.ORGANIZATION_NAME)),
        uids[0] if uids else "",
        {CREDENTIAL_ID: (f"X509SHA256={sha256(der).hexdigest()}",)},
    )


def common_name(certificate: x509.Certificate) -> str:
    names = _values(certificate, NameOID.COMMON_NAME)
    return names[-1] if names else ""


def _values(certificate: x509.Certificate, oid: ObjectIdentifier) -> list[str]:
    return [str(attribute.value) for attribute in certificate.subject.get_attributes_for_oid(oid)]


def _for_clients(certificate: x509.Certificate) -> bool:
    try:
        purposes = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return True
    except ValueError:
        return False
    return ExtendedKeyUsageOID.CLIENT_AUTH in purposes or ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE in purposes

"""Certificate authorities, certificates and keys: ECDSA P-256, files written whole or not at all.

Private keys are 0600. Validity begins a little in the past, so that hosts whose clocks differ by minutes agree.
"""

from __future__ import annotations

import datetime
import hashlib
import ipaddress
import os
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Flag, auto
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from component_base.clock import Clock, SystemClock

#: Keys of others that are certified.
PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey
CA_DAYS = 3650
LEAF_DAYS = 365
BACKDATE = datetime.timedelta(minutes=5)


class Usage(Flag):
    SERVER = auto()
    CLIENT = auto()


@dataclass(frozen=True, slots=True)
class KeyPair:
    """PEM of a certificate and of its key; several certificates in a chain are allowed."""

    certificate: bytes
    key: bytes

    def write(self, certificate_path: Path, key_path: Path) -> None:
        """The key first: whoever sees a new certificate finds the key that belongs to it."""
        write_private(key_path, self.key)
        write_file(certificate_path, self.certificate, 0o644)


class CertificateAuthority:
    def __init__(
        self, certificate: x509.Certificate, key: CertificateIssuerPrivateKeyTypes, clock: Clock | None = None
    ) -> None:
        self.certificate = certificate
        self._key = key
        self._clock = clock or SystemClock()

    @classmethod
    def create(cls, common_name: str, days: int = CA_DAYS, clock: Clock | None = None) -> CertificateAuthority:
        clock = clock or SystemClock()
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
        builder = _validity(x509.CertificateBuilder(), days, clock)
        builder = builder.subject_name(name).issuer_name(name).public_key(key.public_key())
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        builder = builder.add_extension(_key_usage(ca=True), critical=True)
        identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        builder = builder.add_extension(identifier, critical=False)
        return cls(builder.sign(key, hashes.SHA256()), key, clock)

    @classmethod
    def load(cls, certificate_path: Path, key_path: Path, clock: Clock | None = None) -> CertificateAuthority:
        """Raises FileNotFoundError, or ValueError naming the file that is no certificate or key."""
        try:
            certificate = x509.load_pem_x509_certificate(certificate_path.read_bytes())
        except ValueError as error:
            raise ValueError(f"{certificate_path} is not a PEM certificate: {error}") from error
        try:
            key = serialization.load_pem_private_key(key_path.read_bytes(), None)
        except (ValueError, TypeError) as error:
            raise ValueError(f"{key_path} is not an unencrypted PEM key: {error}") from error
        if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
            raise ValueError(f"{key_path} is neither an ECDSA nor an RSA key")
        return cls(certificate, key, clock)

    @property
    def certificate_pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def pair(self) -> KeyPair:
        return KeyPair(self.certificate_pem, _private_pem(self._key))

    def issue(
        self,
        common_name: str,
        organizations: Sequence[str] = (),
        dns: Sequence[str] = (),
        ips: Sequence[str] = (),
        usages: Usage = Usage.CLIENT,
        days: int = LEAF_DAYS,
    ) -> KeyPair:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self.sign(key.public_key(), common_name, organizations, dns, ips, usages, days)
        return KeyPair(certificate, _private_pem(key))

    def sign(
        self,
        public_key: PublicKey,
        common_name: str,
        organizations: Sequence[str] = (),
        dns: Sequence[str] = (),
        ips: Sequence[str] = (),
        usages: Usage = Usage.CLIENT,
        days: float = LEAF_DAYS,
    ) -> bytes:
        """PEM of a certificate for somebody else's key; it never outlives the authority."""
        subject = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization) for organization in organizations]
        subject.append(x509.NameAttribute(NameOID.COMMON_NAME, common_name))
        builder = _validity(x509.CertificateBuilder(), days, self._clock, self.certificate.not_valid_after_utc)
        builder = builder.subject_name(x509.Name(subject)).issuer_name(self.certificate.subject)
        builder = builder.public_key(public_key)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(_key_usage(ca=False), critical=True)
        purposes = []
        if Usage.SERVER in usages:
            purposes.append(ExtendedKeyUsageOID.SERVER_AUTH)
        if Usage.CLIENT in usages:
            purposes.append(ExtendedKeyUsageOID.CLIENT_AUTH)
        builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.certificate.public_key())  # type: ignore[arg-type]
        builder = builder.add_extension(issuer, critical=False)
        names: list[x509.GeneralName] = [x509.DNSName(name) for name in dict.fromkeys(dns)]
        names += [x509.IPAddress(ipaddress.ip_address(ip)) for ip in dict.fromkeys(ips)]
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _validity(
    builder: x509.CertificateBuilder, days: float, clock: Clock, limit: datetime.datetime | None = None
) -> x509.CertificateBuilder:
    now = datetime.datetime.fromtimestamp(clock.now(), datetime.UTC).replace(microsecond=0)
    end = now + datetime.timedelta(days=days)
    if limit is not None:
        end = min(end, limit)
    builder = builder.not_valid_before(now - BACKDATE).not_valid_after(end)
    return builder.serial_number(x509.random_serial_number())


def _key_usage(ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_encipherment=not ca,
        key_cert_sign=ca,
        crl_sign=ca,
        content_commitment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _private_pem(key: CertificateIssuerPrivateKeyTypes) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def signing_key_pair() -> tuple[bytes, bytes]:
    """(private, public) PEM for signing ServiceAccount tokens; RSA, since every JWT library verifies RS256."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return _private_pem(key), public


def spki_hash(certificate_pem: bytes) -> str:
    """`sha256:<hex>` over the public key, as `kubeadm join --discovery-token-ca-cert-hash` takes it."""
    certificate = x509.load_pem_x509_certificate(certificate_pem)
    public = certificate.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return "sha256:" + hashlib.sha256(public).hexdigest()


def days_left(certificate_pem: bytes, now: float) -> float:
    """Days until the first certificate of a PEM file ends; negative after its end."""
    end = x509.load_pem_x509_certificate(certificate_pem).not_valid_after_utc
    return (end.timestamp() - now) / 86400


def write_private(path: Path, content: bytes) -> None:
    write_file(path, content, 0o600)


def write_file(path: Path, content: bytes, mode: int) -> None:
    """Atomic, and never readable by more than `mode` allows, not even for a moment."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(file.fileno(), mode)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)

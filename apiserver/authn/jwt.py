"""JSON Web Signatures as ServiceAccount tokens use them: compact form, RS256 and ES256/384/512, keys by `kid`.

Kept apart from any JWT library, since only the header's `kid` and our own key's kind may choose how to verify.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey
PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

_CURVES: Mapping[str, tuple[str, Callable[[], hashes.HashAlgorithm], int]] = {
    "secp256r1": ("ES256", hashes.SHA256, 32),
    "secp384r1": ("ES384", hashes.SHA384, 48),
    "secp521r1": ("ES512", hashes.SHA512, 66),
}


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A public key and the identifier derived from it, which is the same in every implementation of Kubernetes."""

    key: PublicKey
    key_id: str

    @classmethod
    def of(cls, key: PublicKey) -> VerificationKey:
        return cls(key, key_id(key))

    @property
    def algorithm(self) -> str:
        return algorithm(self.key)


@dataclass(frozen=True, slots=True)
class Unverified:
    """The parts of a token that has the right form; nothing in it may be believed yet."""

    header: dict[str, Any]
    claims: dict[str, Any]
    signed: bytes
    signature: bytes


def encode_segment(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decode_segment(text: str) -> bytes:
    """Raises ValueError."""
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from error


def key_id(key: PublicKey) -> str:
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return encode_segment(hashlib.sha256(der).digest())


def algorithm(key: PublicKey | PrivateKey) -> str:
    if isinstance(key, rsa.RSAPublicKey | rsa.RSAPrivateKey):
        return "RS256"
    return _CURVES[key.curve.name][0]


def sign(claims: Mapping[str, Any], key: PrivateKey) -> str:
    header = {"alg": algorithm(key), "kid": key_id(key.public_key())}
    signed = f"{encode_segment(_compact(header))}.{encode_segment(_compact(claims))}".encode()
    if isinstance(key, rsa.RSAPrivateKey):
        signature = key.sign(signed, padding.PKCS1v15(), hashes.SHA256())
    else:
        _, digest, size = _CURVES[key.curve.name]
        r, s = decode_dss_signature(key.sign(signed, ec.ECDSA(digest())))
        signature = r.to_bytes(size, "big") + s.to_bytes(size, "big")
    return f"{signed.decode()}.{encode_segment(signature)}"


def parse(token: str) -> Unverified | None:
    """None: no JWS in compact form with objects inside."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        header, claims = (json.loads(decode_segment(part)) for part in parts[:2])
        signature = decode_segment(parts[2])
    except (ValueError, RecursionError):
        return None
    if not isinstance(header, dict) or not isinstance(claims, dict):
        return None
    return Unverified(header, claims, f"{parts[0]}.{parts[1]}".encode(), signature)


def verified(token: Unverified, keys: Sequence[VerificationKey]) -> bool:
    """Whether one of the keys made the signature. A `kid` in the header narrows the choice."""
    wanted = token.header.get("kid")
    return any(_verify(token, key) for key in keys if not wanted or key.key_id == wanted)


def _verify(token: Unverified, key: VerificationKey) -> bool:
    if token.header.get("alg") != key.algorithm:
        return False
    try:
        if isinstance(key.key, rsa.RSAPublicKey):
            key.key.verify(token.signature, token.signed, padding.PKCS1v15(), hashes.SHA256())
            return True
        _, digest, size = _CURVES[key.key.curve.name]
        if len(token.signature) != 2 * size:
            return False
        r, s = (int.from_bytes(half, "big") for half in (token.signature[:size], token.signature[size:]))
        key.key.verify(encode_dss_signature(r, s), token.signed, ec.ECDSA(digest()))
    except InvalidSignature:
        return False
    return True


def load_public_keys(path: str | Path) -> list[VerificationKey]:
    """All keys of a PEM file: public, private or certificates. Raises FileNotFoundError, ValueError naming the file."""
    blocks = _pem_blocks(Path(path).read_bytes())
    keys: list[VerificationKey] = []
    for block in blocks:
        try:
            keys.append(VerificationKey.of(_supported(_load(block))))
        except (ValueError, TypeError) as error:
            raise ValueError(f"{path} holds a key that cannot be used: {error}") from error
    if not keys:
        raise ValueError(f"{path} holds no PEM key")
    return keys


def load_private_key(path: str | Path) -> PrivateKey:
    """Raises FileNotFoundError, or ValueError naming the file."""
    try:
        key = serialization.load_pem_private_key(Path(path).read_bytes(), None)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path} is not an unencrypted PEM key: {error}") from error
    if isinstance(key, rsa.RSAPrivateKey):
        return key
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name in _CURVES:
        return key
    raise ValueError(f"{path} is neither an RSA nor a NIST ECDSA key")


def _load(block: bytes) -> object:
    if b"CERTIFICATE" in block:
        return x509.load_pem_x509_certificate(block).public_key()
    if b"PRIVATE KEY" in block:
        return serialization.load_pem_private_key(block, None).public_key()
    return serialization.load_pem_public_key(block)


def _supported(key: object) -> PublicKey:
    if isinstance(key, rsa.RSAPublicKey):
        return key
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in _CURVES:
        return key
    raise ValueError("only RSA and NIST ECDSA keys are understood")


def _pem_blocks(data: bytes) -> list[bytes]:
    blocks: list[bytes] = []
    current: list[bytes] = []
    for line in data.splitlines(keepends=True):
        if line.startswith(b"-----BEGIN "):
            current = []
        current.append(line)
        if line.startswith(b"-----END "):
            blocks.append(b"".join(current))
            current = []
    return [block for block in blocks if b"EC PARAMETERS" not in block]


def _compact(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()

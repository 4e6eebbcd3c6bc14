"""The OpenID documents by which others verify our ServiceAccount tokens."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa

from apiserver.authn.jwt import VerificationKey, encode_segment

JWKS_PATH = "/openid/v1/jwks"
CONFIGURATION_PATH = "/.well-known/openid-configuration"
CACHE_CONTROL = "public, max-age=3600"
_CURVE_NAMES = {"secp256r1": ("P-256", 32), "secp384r1": ("P-384", 48), "secp521r1": ("P-521", 66)}


@dataclass(frozen=True, slots=True)
class Document:
    """What a GET of a plain path answers."""

    content_type: str
    body: bytes
    cache_control: str = CACHE_CONTROL


def build(issuer: str, jwks_uri: str, keys: Sequence[VerificationKey]) -> dict[str, Document]:
    """None at all for an issuer that is no https URL: OpenID does not know such issuers."""
    if not issuer.startswith("https://") or "?" in issuer or "#" in issuer or not keys:
        return {}
    configuration = {
        "issuer": issuer,
        "jwks_uri": jwks_uri,
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": sorted({key.algorithm for key in keys}),
    }
    return {
        CONFIGURATION_PATH: Document("application/json", _dump(configuration)),
        JWKS_PATH: Document("application/jwk-set+json", _dump({"keys": [jwk(key) for key in keys]})),
    }


def jwk(key: VerificationKey) -> dict[str, str]:
    described = {"use": "sig", "kid": key.key_id, "alg": key.algorithm}
    if isinstance(key.key, rsa.RSAPublicKey):
        numbers = key.key.public_numbers()
        return described | {"kty": "RSA", "n": _number(numbers.n), "e": _number(numbers.e)}
    name, size = _CURVE_NAMES[key.key.curve.name]
    point = key.key.public_numbers()
    coordinates = {"x": _number(point.x, size), "y": _number(point.y, size)}
    return described | {"kty": "EC", "crv": name} | coordinates


def _number(value: int, size: int = 0) -> str:
    return encode_segment(value.to_bytes(size or (value.bit_length() + 7) // 8, "big"))


def _dump(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()

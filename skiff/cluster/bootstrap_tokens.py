"""Bootstrap tokens: Secrets of kube-system by which a new node may ask for certificates, laid out as kubeadm does.

A token is `<id>.<secret>`; the apiserver makes it the user system:bootstrap:<id> until its expiration.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Any

from apimachinery import timestamps
from component_base.rng import Rng

SECRETS = "/api/v1/namespaces/kube-system/secrets"
SECRET_TYPE = "bootstrap.kubernetes.io/token"
PREFIX = "bootstrap-token-"
USAGES = ("authentication", "signing")
DEFAULT_TTL = "24h"
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
TOKEN = re.compile(r"[a-z0-9]{6}\.[a-z0-9]{16}")
IDENTIFIER = re.compile(r"[a-z0-9]{6}")
_PART = re.compile(r"(\d+(?:\.\d+)?)(h|m|s)")
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0}


@dataclass(frozen=True, slots=True)
class BootstrapToken:
    """What one Secret says. `expires` is None for a token without an end; `secret` is never shown by a repr."""

    identifier: str
    secret: str
    expires: float | None
    usages: tuple[str, ...]
    groups: tuple[str, ...]
    description: str = ""

    def __repr__(self) -> str:
        return f"BootstrapToken({self.identifier!r})"

    @property
    def text(self) -> str:
        return f"{self.identifier}.{self.secret}"


def draw(rng: Rng) -> str:
    """A token nobody can guess: 16 of 36 letters are 82 bits."""
    identifier, secret = ("".join(rng.choice(LETTERS) for _ in range(length)) for length in (6, 16))
    return f"{identifier}.{secret}"


def parse_ttl(text: str) -> float:
    """Seconds of `24h`, `1h30m`, `90s`; 0 is a token without an end. Raises ValueError."""
    if text == "0":
        return 0.0
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"{text!r} is no duration; write it like 24h, 1h30m or 90s, or 0 for a token without an end")
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


def secret_object(token: BootstrapToken) -> dict[str, Any]:
    identifier, secret = token.identifier, token.secret
    data = {"token-id": identifier, "token-secret": secret}
    if token.expires is not None:
        data["expiration"] = timestamps.format(token.expires)
    data |= {f"usage-bootstrap-{usage}": "true" for usage in token.usages}
    if token.groups:
        data["auth-extra-groups"] = ",".join(token.groups)
    if token.description:
        data["description"] = token.description
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": PREFIX + identifier, "namespace": "kube-system"},
        "type": SECRET_TYPE,
        "data": {key: base64.b64encode(value.encode()).decode() for key, value in data.items()},
    }


def read(secret: dict[str, Any]) -> BootstrapToken | None:
    """None for a Secret that is no complete bootstrap token. An expiration that cannot be read counts as past."""
    data = secret.get("data") or {}
    try:
        values = {key: base64.b64decode(value, validate=True).decode() for key, value in data.items()}
    except (binascii.Error, UnicodeDecodeError, TypeError):
        return None
    identifier, password = values.get("token-id", ""), values.get("token-secret", "")
    if secret.get("type") != SECRET_TYPE or not TOKEN.fullmatch(f"{identifier}.{password}"):
        return None
    expiration = values.get("expiration", "")
    usages = [key.removeprefix("usage-bootstrap-") for key in sorted(values) if key.startswith("usage-bootstrap-")]
    return BootstrapToken(
        identifier,
        password,
        timestamps.parse_or(expiration, 0.0) if expiration else None,
        tuple(usage for usage in usages if values[f"usage-bootstrap-{usage}"] == "true"),
        tuple(filter(None, values.get("auth-extra-groups", "").split(","))),
        values.get("description", ""),
    )


def join_command(server: str, token: str, ca_hash: str) -> str:
    return f"skiff join --server {server} --token {token} --ca-hash {ca_hash}"

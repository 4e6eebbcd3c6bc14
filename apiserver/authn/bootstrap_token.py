"""Bootstrap tokens `abcdef.0123456789abcdef`, by which a new node asks for its first certificate.

The token lives in the Secret kube-system/bootstrap-token-<id>; the user is system:bootstrap:<id>.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from collections.abc import Sequence
from typing import Any

from apimachinery import resources, timestamps
from apiserver.authn.chain import TokenIdentity
from apiserver.ports import Objects, User
from component_base.clock import Clock

TOKEN = re.compile(r"([a-z0-9]{6})\.([a-z0-9]{16})")
GROUP = re.compile(r"system:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]")
SECRET_TYPE = "bootstrap.kubernetes.io/token"
BASE_GROUP = "system:bootstrappers"


class BootstrapTokens:
    def __init__(self, objects: Objects, clock: Clock) -> None:
        self._objects = objects
        self._clock = clock
        self._secrets = resources.find("", "v1", "secrets")

    async def authenticate_token(self, token: str, audiences: Sequence[str]) -> TokenIdentity | None:
        match = TOKEN.fullmatch(token)
        if match is None or self._secrets is None:
            return None
        identifier, password = match.groups()
        secret = self._objects.get(self._secrets, "kube-system", f"bootstrap-token-{identifier}")
        if secret is None or not self._accepts(secret, identifier, password):
            return None
        groups = bootstrap_groups(value(secret, "auth-extra-groups"))
        if groups is None:
            return None
        return TokenIdentity(User(f"system:bootstrap:{identifier}", groups), tuple(audiences))

    def _accepts(self, secret: dict[str, Any], identifier: str, password: str) -> bool:
        if secret.get("type") != SECRET_TYPE or "deletionTimestamp" in secret["metadata"]:
            return False
        stored = value(secret, "token-secret")
        if not stored or not hmac.compare_digest(stored.encode(), password.encode()):
            return False
        if value(secret, "token-id") != identifier or value(secret, "usage-bootstrap-authentication") != "true":
            return False
        return not self._expired(value(secret, "expiration"))

    def _expired(self, expiration: str) -> bool:
        """An expiration that cannot be read counts as past."""
        if not expiration:
            return False
        try:
            return timestamps.parse(expiration) <= self._clock.now()
        except ValueError:
            return True


def bootstrap_groups(extra: str) -> tuple[str, ...] | None:
    """None: a group that a bootstrap token may not give."""
    names = [name.strip() for name in extra.split(",") if name.strip()]
    if not all(GROUP.fullmatch(name) for name in names):
        return None
    return tuple(sorted({BASE_GROUP, *names}))


def value(secret: dict[str, Any], key: str) -> str:
    """A value of the Secret as text, "" if it is absent or no text."""
    try:
        return base64.b64decode((secret.get("data") or {}).get(key, ""), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""

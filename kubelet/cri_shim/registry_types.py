"""What pulling is about, apart from the HTTP client, which only a node that pulls needs to load."""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from typing import Any

MANIFEST_TYPES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
INDEX_TYPES = (MANIFEST_TYPES[0], MANIFEST_TYPES[2])


class RegistryError(Exception):
    """The registry could not or would not give what was asked; `not_found` and `denied` tell the two common cases."""

    def __init__(self, message: str, *, not_found: bool = False, denied: bool = False) -> None:
        super().__init__(message)
        self.not_found, self.denied = not_found, denied


@dataclass(frozen=True, slots=True)
class Credentials:
    username: str = ""
    password: str = ""
    identity_token: str = ""
    registry_token: str = ""

    @classmethod
    def decode(cls, username: str, password: str, auth: str, identity_token: str, registry_token: str) -> Credentials:
        if auth and not username:
            try:
                username, _, password = base64.b64decode(auth, validate=True).decode().rstrip("\0").partition(":")
            except (binascii.Error, UnicodeDecodeError) as error:
                raise ValueError("the auth field of the image credentials is not base64") from error
        return cls(username, password, identity_token, registry_token)


@dataclass(frozen=True, slots=True)
class Manifest:
    media_type: str
    digest: str
    body: bytes

    def document(self) -> dict[str, Any]:
        loaded = json.loads(self.body)
        if not isinstance(loaded, dict):
            raise RegistryError("the registry's manifest is not a JSON object")
        return loaded

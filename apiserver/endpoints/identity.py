"""Remembers for a few seconds whose credentials are whose: verifying a signature costs more than the request.

Refusals are never remembered. As upstream, a token that was revoked may be good for these seconds.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping, Sequence

from apiserver.ports import Authenticator, Credentials, User
from component_base.clock import Clock

SECONDS = 10.0
ENTRIES = 4096
Key = tuple[bytes, bytes | None]


class RememberedIdentities:
    def __init__(
        self, authenticator: Authenticator, clock: Clock, names: Sequence[str] = (), prefixes: Sequence[str] = ()
    ) -> None:
        """`names` and `prefixes` of headers in which a proxy says whom it speaks for: those are never remembered."""
        self._names = frozenset(names)
        self._prefixes = tuple(prefixes)
        self._authenticator = authenticator
        self._clock = clock
        self._secret = secrets.token_bytes(32)
        self._known: dict[Key, tuple[User, float]] = {}
        """By a digest of the token: no token lies in memory longer than its request takes."""

    async def authenticate(self, credentials: Credentials) -> User | None:
        headers = credentials.headers
        token, certificate = headers.get("authorization", ""), credentials.client_certificate
        if credentials.websocket_token or not (token or certificate) or self._forwarded(headers):
            return await self._authenticator.authenticate(credentials)
        key = (hashlib.blake2b(token.encode(), key=self._secret).digest() if token else b"", certificate)
        found = self._known.get(key)
        now = self._clock.monotonic()
        if found is not None and now < found[1]:
            return found[0]
        user = await self._authenticator.authenticate(credentials)
        if user is not None:
            if len(self._known) >= ENTRIES:
                self._known.clear()
            self._known[key] = (user, now + SECONDS)
        return user

    def _forwarded(self, headers: Mapping[str, str]) -> bool:
        if not self._names.isdisjoint(headers):
            return True
        return bool(self._prefixes) and any(name.startswith(self._prefixes) for name in headers)

"""The order in which proofs of identity are tried, and what a refusal among them means.

A proof that is present and wrong refuses the request, even when anonymous requests are welcome: a client with an
expired token must learn of it, not be told that "system:anonymous" may not do something.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from apimachinery import errors
from apiserver.ports import ANONYMOUS, Authenticator, Credentials, User

log = logging.getLogger(__name__)

AUTHENTICATED = "system:authenticated"
UNAUTHENTICATED = "system:unauthenticated"


class TokenRefused(Exception):
    """A credential was understood and is no good; the sentence may be shown by TokenReview and never holds secrets."""


@dataclass(frozen=True, slots=True)
class TokenIdentity:
    """Whose token it is, and for which of the asked audiences."""

    user: User
    audiences: tuple[str, ...] = ()


class TokenAuthenticator(Protocol):
    async def authenticate_token(self, token: str, audiences: Sequence[str]) -> TokenIdentity | None:
        """None: not a token of this kind. Raises TokenRefused. Empty `audiences` means the apiserver's own."""
        ...


class TokenChain:
    """The first that knows the token answers; refusals count only when nobody knows it."""

    def __init__(self, members: Sequence[TokenAuthenticator]) -> None:
        self._members = tuple(members)

    async def authenticate_token(self, token: str, audiences: Sequence[str]) -> TokenIdentity | None:
        refusals: list[str] = []
        for member in self._members:
            try:
                identity = await member.authenticate_token(token, audiences)
            except TokenRefused as refused:
                refusals.append(str(refused))
                continue
            if identity is not None:
                return replace(identity, user=with_group(identity.user))
        if refusals:
            raise TokenRefused(refusals[0] if len(refusals) == 1 else f"[{', '.join(refusals)}]")
        return None


class BearerToken:
    """The token of an `Authorization: Bearer …` header or of a WebSocket subprotocol."""

    def __init__(self, tokens: TokenAuthenticator) -> None:
        self._tokens = tokens

    async def authenticate(self, credentials: Credentials) -> User | None:
        token = bearer(credentials.headers.get("authorization", "")) or credentials.websocket_token
        if not token:
            return None
        identity = await self._tokens.authenticate_token(token, ())
        if identity is None:
            raise TokenRefused("invalid bearer token")
        return identity.user


class RequestAuthenticator:
    """What endpoints ask. Raises StatusError 401; returns None only where anonymous requests are turned off."""

    def __init__(self, members: Sequence[Authenticator], tokens: TokenAuthenticator, anonymous: bool = True) -> None:
        self._members = tuple(members)
        self.tokens = tokens
        self._anonymous = anonymous

    async def authenticate(self, credentials: Credentials) -> User | None:
        refused = False
        for member in self._members:
            try:
                user = await member.authenticate(credentials)
            except TokenRefused as refusal:
                log.info("Unable to authenticate the request: %s", refusal)
                refused = True
                continue
            if user is not None:
                return with_group(user)
        if refused or not self._anonymous:
            raise errors.unauthorized()
        return ANONYMOUS


def with_group(user: User) -> User:
    """Everybody who proved who they are is in system:authenticated, the anonymous user excepted."""
    if user.name == ANONYMOUS.name or AUTHENTICATED in user.groups or UNAUTHENTICATED in user.groups:
        return user
    return replace(user, groups=(*user.groups, AUTHENTICATED))


def bearer(header: str) -> str:
    """The token of an Authorization header, "" for another scheme."""
    scheme, _, rest = header.strip().partition(" ")
    return rest.strip().split(" ", 1)[0] if scheme.lower() == "bearer" else ""

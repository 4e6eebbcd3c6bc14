"""`--authentication-token-webhook-config-file`: another server says whose a token is (TokenReview)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from apiserver.authn.chain import TokenIdentity, TokenRefused
from apiserver.ports import User
from apiserver.webhooks.client import WebhookError
from apiserver.webhooks.reviews import Remembered, ReviewClient
from component_base.clock import Clock

JSON = dict[str, Any]
VERSIONS = ("v1", "v1beta1")
Key = tuple[bytes, tuple[str, ...]]


class TokenWebhook:
    """Tokens are remembered as digests, good and bad ones alike, for `seconds`."""

    def __init__(
        self, client: ReviewClient, version: str, audiences: Sequence[str], clock: Clock, seconds: float
    ) -> None:
        self._client = client
        self._version = version
        self._own = tuple(audiences)
        self._seconds = seconds
        self._known: Remembered[TokenIdentity | TokenRefused] = Remembered(clock)

    async def authenticate_token(self, token: str, audiences: Sequence[str]) -> TokenIdentity | None:
        wanted = tuple(audiences) or self._own
        key = (hashlib.sha256(token.encode()).digest(), wanted)
        found = self._known.get(key)
        if found is None:
            try:
                found = answer_of(await self._client.ask(self._question(token, wanted)), wanted)
            except WebhookError as error:
                raise TokenRefused(str(error)) from None  # not remembered: the server may be back at once
            self._known.put(key, found, self._seconds)
        if isinstance(found, TokenRefused):
            raise found
        return found

    def _question(self, token: str, audiences: tuple[str, ...]) -> JSON:
        spec: JSON = {"token": token}
        if audiences:
            spec["audiences"] = list(audiences)
        return {"apiVersion": f"authentication.k8s.io/{self._version}", "kind": "TokenReview", "spec": spec}


def answer_of(status: JSON, wanted: tuple[str, ...]) -> TokenIdentity | TokenRefused:
    """What a TokenReview's status says of a token for the audiences that were asked about."""
    if not status.get("authenticated"):
        return TokenRefused(str(status.get("error") or "invalid bearer token"))
    told = tuple(str(one) for one in status.get("audiences") or ())
    if told and wanted and not set(told) & set(wanted):
        return TokenRefused("the token is for other audiences")
    user = status.get("user") or {}
    extra = {str(key): tuple(map(str, values)) for key, values in (user.get("extra") or {}).items()}
    groups = tuple(map(str, user.get("groups") or ()))
    identity = User(str(user.get("username") or ""), groups, str(user.get("uid") or ""), extra)
    return TokenIdentity(identity, tuple(one for one in wanted if not told or one in told))

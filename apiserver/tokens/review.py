"""Who is it: TokenReview about a token, SelfSubjectReview about the asker."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from apimachinery import errors, timestamps
from apiserver.authn.chain import TokenAuthenticator, TokenRefused
from apiserver.ports import JSON, Call, User
from component_base.clock import Clock

GROUP = "authentication.k8s.io"


class TokenReviews:
    def __init__(self, tokens: TokenAuthenticator, audiences: Sequence[str]) -> None:
        self._tokens = tokens
        self._audiences = tuple(audiences)

    async def __call__(self, call: Call, body: JSON) -> JSON:
        spec = dict(body.get("spec") or {})
        token = spec.get("token") or ""
        if not token:
            raise errors.bad_request("token is required for TokenReview in authentication")
        audiences = tuple(spec.get("audiences") or self._audiences)
        status: dict[str, Any] = {"user": {}}
        try:
            identity = await self._tokens.authenticate_token(token, audiences)
        except TokenRefused as refused:
            status["error"] = str(refused)
        else:
            if identity is None:
                status["error"] = "invalid bearer token"
            else:
                status = {"authenticated": True, "user": user_info(identity.user)}
                if identity.audiences:
                    status["audiences"] = list(identity.audiences)
        return {
            "kind": "TokenReview",
            "apiVersion": body.get("apiVersion") or f"{GROUP}/v1",
            "metadata": _metadata(body),
            "spec": spec,
            "status": status,
        }


class SelfSubjectReviews:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def __call__(self, call: Call, body: JSON) -> JSON:
        return {
            "kind": "SelfSubjectReview",
            "apiVersion": body.get("apiVersion") or f"{GROUP}/v1",
            "metadata": {"creationTimestamp": timestamps.format(self._clock.now())},
            "status": {"userInfo": user_info(call.user)},
        }


def user_info(user: User) -> dict[str, Any]:
    info: dict[str, Any] = {"username": user.name}
    if user.uid:
        info["uid"] = user.uid
    if user.groups:
        info["groups"] = list(user.groups)
    if user.extra:
        info["extra"] = {key: list(values) for key, values in user.extra.items()}
    return info


def _metadata(body: JSON) -> JSON:
    return dict(body.get("metadata") or {})

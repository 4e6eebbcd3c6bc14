"""ServiceAccount tokens: signed by our key, and still true of the objects that they name.

Two forms: those of TokenRequest, bound to a pod, node or Secret and limited in time, and those kept in Secrets of type
`kubernetes.io/service-account-token`, which live until the Secret is deleted.
"""

from __future__ import annotations

import base64
import hmac
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from apimachinery import resources, timestamps
from apimachinery.resources import ResourceInfo
from apiserver.authn import jwt
from apiserver.authn.certificates import CREDENTIAL_ID
from apiserver.authn.chain import TokenIdentity, TokenRefused
from apiserver.ports import JSON, Objects, User
from component_base.clock import Clock

log = logging.getLogger(__name__)

LEGACY_ISSUER = "kubernetes/serviceaccount"
PREFIX = "system:serviceaccount:"
ALL_ACCOUNTS = "system:serviceaccounts"
LEEWAY = 60.0  # seconds by which clocks may differ; the same in upstream
LAST_USED_LABEL = "kubernetes.io/legacy-token-last-used"
INVALID_SINCE_LABEL = "kubernetes.io/legacy-token-invalid-since"
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_CLAIM = "kubernetes.io/serviceaccount/"
_EXTRA = "authentication.kubernetes.io/"


def username(namespace: str, name: str) -> str:
    return f"{PREFIX}{namespace}:{name}"


def group_names(namespace: str) -> tuple[str, str]:
    return ALL_ACCOUNTS, f"{ALL_ACCOUNTS}:{namespace}"


def split_username(text: str) -> tuple[str, str] | None:
    """(namespace, name) of a ServiceAccount's user name, None for any other user."""
    parts = text.removeprefix(PREFIX).split(":") if text.startswith(PREFIX) else []
    if len(parts) != 2 or not _LABEL.fullmatch(parts[0]):
        return None
    if len(parts[1]) > 253 or not _SUBDOMAIN.fullmatch(parts[1]):
        return None
    return parts[0], parts[1]


@dataclass(frozen=True, slots=True)
class Keys:
    """What tokens are verified with: keys, the issuers that we answer for, and the audiences that are us."""

    verification: Sequence[jwt.VerificationKey]
    issuers: Sequence[str]
    audiences: Sequence[str]


class ServiceAccountTokens:
    """Both forms of token. The objects named in one are looked up in the store when the cache disagrees with it."""

    def __init__(self, keys: Keys, objects: Objects, clock: Clock, lookup: bool = True) -> None:
        self._keys = keys
        self._issuers = frozenset((*keys.issuers, LEGACY_ISSUER))
        self._lookup = lookup
        self._clock = clock
        self._bound = BoundClaims(objects, clock)
        self._legacy = LegacyClaims(objects, clock)

    async def authenticate_token(self, token: str, audiences: Sequence[str]) -> TokenIdentity | None:
        parsed = jwt.parse(token)
        if parsed is None or _issuer(parsed.claims) not in self._issuers:
            return None
        if not jwt.verified(parsed, self._keys.verification):
            raise TokenRefused("invalid signature")
        claims = parsed.claims
        own = _strings(claims.get("aud")) or tuple(self._keys.audiences)
        asked = tuple(audiences) or tuple(self._keys.audiences)
        shared = tuple(audience for audience in own if audience in asked)
        if not shared:
            raise TokenRefused(f"token audiences {_list(own)} is invalid for the target audiences {_list(asked)}")
        if claims["iss"] == LEGACY_ISSUER:
            user = await self._legacy.validate(token, claims, self._lookup)
        else:
            user = await self._bound.validate(claims)
        return TokenIdentity(user, shared)


class BoundClaims:
    """Tokens of TokenRequest."""

    def __init__(self, objects: Objects, clock: Clock) -> None:
        self._objects = objects
        self._clock = clock

    async def validate(self, claims: Mapping[str, Any]) -> User:
        self._check_times(claims)
        private = claims.get("kubernetes.io")
        if not isinstance(private, dict):
            raise TokenRefused("service account token claims could not be validated")
        namespace, account = str(private.get("namespace", "")), _reference(private.get("serviceaccount"))
        await self._check_account(namespace, account)
        extra: dict[str, tuple[str, ...]] = {}
        pod, node = _reference(private.get("pod")), _reference(private.get("node"))
        secret = _reference(private.get("secret"))
        if secret is not None:
            await self._check_bound("secrets", "secret", namespace, secret)
        if pod is not None:
            await self._check_bound("pods", "pod", namespace, pod)
            extra |= {f"{_EXTRA}pod-name": (pod.name,), f"{_EXTRA}pod-uid": (pod.uid,)}
        if node is not None:
            if pod is None:
                await self._check_bound("nodes", "node", "", node)
            extra[f"{_EXTRA}node-name"] = (node.name,)
            if node.uid:
                extra[f"{_EXTRA}node-uid"] = (node.uid,)
        if claims.get("jti"):
            extra[CREDENTIAL_ID] = (f"JTI={claims['jti']}",)
        assert account is not None
        return User(username(namespace, account.name), group_names(namespace), account.uid, extra)

    def _check_times(self, claims: Mapping[str, Any]) -> None:
        now = self._clock.now()
        expiry, not_before, issued = (_number(claims.get(key)) for key in ("exp", "nbf", "iat"))
        if not_before is not None and now + LEEWAY < not_before:
            raise TokenRefused("service account token is not valid yet")
        if expiry is not None and now - LEEWAY > expiry:
            raise TokenRefused("service account token has expired")
        if issued is not None and now + LEEWAY < issued:
            raise TokenRefused("service account token is issued in the future")

    async def _check_account(self, namespace: str, account: Reference | None) -> None:
        if account is None:
            raise TokenRefused("service account token claims could not be validated")
        found = await self._find("serviceaccounts", namespace, account)
        if found is None:
            raise TokenRefused(f'serviceaccounts "{account.name}" not found')
        if found["metadata"].get("uid") != account.uid:
            actual = found["metadata"].get("uid", "")
            raise TokenRefused(f"service account UID ({actual}) does not match claim ({account.uid})")
        if self._long_deleted(found):
            raise TokenRefused(f"service account {namespace}/{account.name} has been deleted")

    async def _check_bound(self, plural: str, word: str, namespace: str, bound: Reference) -> None:
        found = await self._find(plural, namespace, bound)
        if found is None or self._long_deleted(found):
            raise TokenRefused("service account token has been invalidated")
        actual = found["metadata"].get("uid", "")
        if actual != bound.uid:
            shown = "secret UID" if word == "secret" else f"{word} UID"
            raise TokenRefused(f"{shown} ({actual}) does not match service account {word} ref claim ({bound.uid})")

    async def _find(self, plural: str, namespace: str, wanted: Reference) -> JSON | None:
        """The cache's copy if it is the one meant, else the store's: a new pod's token must work at once."""
        info = resource(plural)
        found = self._objects.get(info, namespace, wanted.name)
        if found is not None and found["metadata"].get("uid") == wanted.uid:
            return found
        return await self._objects.get_latest(info, namespace, wanted.name)

    def _long_deleted(self, obj: JSON) -> bool:
        deleted = obj["metadata"].get("deletionTimestamp")
        return deleted is not None and timestamps.parse(deleted) < self._clock.now() - LEEWAY


class LegacyClaims:
    """Tokens kept in Secrets."""

    def __init__(self, objects: Objects, clock: Clock) -> None:
        self._objects = objects
        self._clock = clock

    async def validate(self, token: str, claims: Mapping[str, Any], lookup: bool) -> User:
        subject = str(claims.get("sub") or "")
        namespace, secret_name, name, uid = (
            str(claims.get(_CLAIM + key) or "")
            for key in ("namespace", "secret.name", "service-account.name", "service-account.uid")
        )
        present = {
            "sub": subject,
            "namespace": namespace,
            "secretName": secret_name,
            "serviceAccountName": name,
            "serviceAccountUID": uid,
        }
        for claim, value in present.items():
            if not value:
                raise TokenRefused(f"{claim} claim is missing")
        if split_username(subject) != (namespace, name):
            raise TokenRefused("sub claim is invalid")
        if lookup:
            secret = await self._check_secret(namespace, secret_name, token)
            await self._check_account(namespace, name, uid)
            await self._check_use(secret, namespace, name)
        return User(subject, group_names(namespace), uid)

    async def _check_secret(self, namespace: str, name: str, token: str) -> JSON:
        info = resource("secrets")
        secret = self._objects.get(info, namespace, name) or await self._objects.get_latest(info, namespace, name)
        if secret is None or "deletionTimestamp" in secret["metadata"]:
            raise TokenRefused("Token has been invalidated")
        stored = base64.b64decode((secret.get("data") or {}).get("token", ""))
        if not hmac.compare_digest(stored, token.encode()):
            raise TokenRefused("Token does not match server's copy")
        return secret

    async def _check_account(self, namespace: str, name: str, uid: str) -> None:
        info = resource("serviceaccounts")
        account = self._objects.get(info, namespace, name) or await self._objects.get_latest(info, namespace, name)
        if account is None:
            raise TokenRefused(f'serviceaccounts "{name}" not found')
        if "deletionTimestamp" in account["metadata"]:
            raise TokenRefused(f"ServiceAccount {namespace}/{name} has been deleted")
        actual = account["metadata"].get("uid", "")
        if actual != uid:
            raise TokenRefused(f"ServiceAccount UID ({actual}) does not match claim ({uid})")

    async def _check_use(self, secret: JSON, namespace: str, account: str) -> None:
        labels = secret["metadata"].get("labels") or {}
        name = secret["metadata"]["name"]
        await self._note_use(secret, labels)
        if labels.get(INVALID_SINCE_LABEL):
            raise TokenRefused(
                f"the token in secret {namespace}/{name} for service account {namespace}/{account} has been marked "
                "invalid. Use tokens from the TokenRequest API or manually created secret-based tokens, or remove the "
                f"'{INVALID_SINCE_LABEL}' label from the secret to temporarily allow use of this token"
            )

    async def _note_use(self, secret: JSON, labels: Mapping[str, str]) -> None:
        """Once a day, so that an administrator sees which Secrets are still in use."""
        now = self._clock.now()
        today, tomorrow = (timestamps.format(moment)[:10] for moment in (now, now + 86400))
        if labels.get(LAST_USED_LABEL) in (today, tomorrow):
            return
        uid = secret["metadata"].get("uid")

        def change(current: JSON) -> JSON | None:
            if current["metadata"].get("uid") != uid:
                return None
            current["metadata"].setdefault("labels", {})[LAST_USED_LABEL] = today
            return current

        metadata = secret["metadata"]
        try:
            await self._objects.update(resource("secrets"), metadata["namespace"], metadata["name"], change)
        except Exception:  # noqa: BLE001  a label that could not be written must not refuse a good token
            log.warning("cannot note the use of the token in secret %s/%s", metadata["namespace"], metadata["name"])


@dataclass(frozen=True, slots=True)
class Reference:
    """A name and uid out of a claim."""

    name: str
    uid: str


def resource(plural: str) -> ResourceInfo:
    info = resources.find("", "v1", plural)
    assert info is not None, plural
    return info


def _reference(claim: object) -> Reference | None:
    if not isinstance(claim, dict):
        return None
    return Reference(str(claim.get("name") or ""), str(claim.get("uid") or ""))


def _issuer(claims: Mapping[str, Any]) -> str:
    issuer = claims.get("iss")
    return issuer if isinstance(issuer, str) else ""


def _strings(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    return tuple(str(item) for item in value) if isinstance(value, list) else ()


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _list(values: Sequence[str]) -> str:
    return "[" + " ".join(f'"{value}"' for value in values) + "]"

"""Authentication and authorisation by the apiserver, for the HTTPS ports of other services.

Client certificates are verified by TLS already; tokens go to TokenReview, questions to SubjectAccessReview. Answers are
kept for a short while (as by upstream's kubelet: tokens 2 minutes, a yes 5, a no 30 s), never more than `MAX_KEPT`.
While the apiserver does not answer, nobody new is let in.
"""

from __future__ import annotations

import hashlib
import logging
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import httpx
from cryptography import x509
from cryptography.x509.oid import NameOID

from apimachinery.errors import StatusError
from component_base.clock import Clock
from kubeclient.rest import RestClient

log = logging.getLogger(__name__)

TOKEN_SECONDS = 120.0
ALLOWED_SECONDS = 300.0
DENIED_SECONDS = 30.0
MAX_KEPT = 4096
ANONYMOUS = "system:anonymous"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class User:
    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: tuple[tuple[str, tuple[str, ...]], ...] = ()


@dataclass(frozen=True, slots=True)
class ResourceAttributes:
    """As a SubjectAccessReview asks: for the kubelet the resource is `nodes`, the subresource what is touched."""

    verb: str
    resource: str
    subresource: str = ""
    name: str = ""
    group: str = ""
    version: str = "v1"
    namespace: str = ""


@dataclass(frozen=True, slots=True)
class PathAttributes:
    verb: str
    path: str


class _Kept(Generic[T]):
    """Answers with an end; the oldest go first."""

    def __init__(self) -> None:
        self._entries: OrderedDict[object, tuple[float, T]] = OrderedDict()

    def get(self, key: object, now: float) -> T | None:
        entry = self._entries.get(key)
        return entry[1] if entry is not None and now < entry[0] else None

    def put(self, key: object, value: T, until: float) -> None:
        self._entries[key] = (until, value)
        self._entries.move_to_end(key)
        if len(self._entries) > MAX_KEPT:
            self._entries.popitem(last=False)


class DelegatedAuth:
    """One for each service. `anonymous` lets requests without credentials reach the authorizer as system:anonymous.

    Without `tokens` a bearer token is no credential.
    """

    def __init__(self, client: RestClient, clock: Clock, anonymous: bool = True, tokens: bool = True) -> None:
        self._client = client
        self._clock = clock
        self._anonymous = anonymous
        self._takes_tokens = tokens
        self._tokens: _Kept[User] = _Kept()
        self._verdicts: _Kept[tuple[bool, str]] = _Kept()

    async def authenticate(self, headers: Mapping[str, str], certificate: bytes | None) -> User | None:
        """None: the answer is 401. `headers` by lower-case name, `certificate` in DER as TLS verified it."""
        if certificate is not None:
            return certificate_user(certificate)
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if self._takes_tokens and scheme.lower() == "bearer" and token.strip():
            return await self._review(token.strip())
        return User(ANONYMOUS, ("system:unauthenticated",)) if self._anonymous else None

    async def authorize(self, user: User, attributes: ResourceAttributes | PathAttributes) -> tuple[bool, str]:
        """Whether the user may, and a reason for people."""
        if "system:masters" in user.groups:
            return True, ""
        now = self._clock.monotonic()
        kept = self._verdicts.get((user, attributes), now)
        if kept is not None:
            return kept
        try:
            answer = await self._client.create(
                "/apis/authorization.k8s.io/v1/subjectaccessreviews", _question(user, attributes)
            )
        except (StatusError, httpx.HTTPError, OSError) as error:
            log.warning("cannot ask the apiserver whether %s may %s: %s", user.name, attributes, error)
            return False, "the apiserver cannot be asked"
        status = answer.get("status") or {}
        verdict = (bool(status.get("allowed")) and not status.get("denied"), str(status.get("reason", "")))
        self._verdicts.put((user, attributes), verdict, now + (ALLOWED_SECONDS if verdict[0] else DENIED_SECONDS))
        return verdict

    async def _review(self, token: str) -> User | None:
        key = hashlib.sha256(token.encode()).digest()
        now = self._clock.monotonic()
        kept = self._tokens.get(key, now)
        if kept is not None:
            return kept
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}}
        try:
            answer = await self._client.create("/apis/authentication.k8s.io/v1/tokenreviews", body)
        except (StatusError, httpx.HTTPError, OSError) as error:
            log.warning("cannot have a token reviewed by the apiserver: %s", error)
            return None
        status = answer.get("status") or {}
        if not status.get("authenticated"):
            return None
        found = status.get("user") or {}
        extra = tuple((k, tuple(v)) for k, v in sorted((found.get("extra") or {}).items()))
        user = User(found.get("username", ""), tuple(found.get("groups") or ()), found.get("uid", ""), extra)
        self._tokens.put(key, user, now + TOKEN_SECONDS)
        return user


def certificate_user(der: bytes) -> User:
    """Common name and organizations, as every Kubernetes service reads client certificates."""
    subject = x509.load_der_x509_certificate(der).subject
    names = [str(a.value) for a in subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    groups = [str(a.value) for a in subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]
    return User(names[0] if names else "", (*groups, "system:authenticated"))


def _question(user: User, attributes: ResourceAttributes | PathAttributes) -> dict[str, Any]:
    spec: dict[str, Any] = {"user": user.name, "groups": list(user.groups)}
    if user.uid:
        spec["uid"] = user.uid
    if user.extra:
        spec["extra"] = {key: list(values) for key, values in user.extra}
    if isinstance(attributes, PathAttributes):
        spec["nonResourceAttributes"] = {"path": attributes.path, "verb": attributes.verb}
    else:
        names = ("verb", "group", "version", "resource", "subresource", "name", "namespace")
        spec["resourceAttributes"] = {n: getattr(attributes, n) for n in names if getattr(attributes, n)}
    return {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}

"""Bootstrap tokens: expired ones are removed, and the rest sign kube-public/cluster-info.

The signature (a detached JWS for each token, in kubeadm's layout) lets a host that knows a token check the authority it
is shown without knowing its hash. Upstream leaves both controllers off unless they are asked for; so do we.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping

from apimachinery import timestamps
from controller_manager.views import ConfigMap, Secret
from kubeclient.informer import Informers
from kubeclient.plan import NOTHING, Delete, Plan
from kubeclient.rest import RestClient

SECRET_TYPE = "bootstrap.kubernetes.io/token"
NAMESPACE = "kube-system"
CLUSTER_INFO = "kube-public/cluster-info"
CONTENT, SIGNATURE_PREFIX = "kubeconfig", "jws-kubeconfig-"
OFF_BY_DEFAULT = frozenset({"bootstrap-signer-controller", "token-cleaner-controller"})


def is_token(secret: Secret) -> bool:
    return secret.type == SECRET_TYPE and secret.metadata.namespace == NAMESPACE


def value(secret: Secret, key: str) -> str:
    """A value as text, "" where it is absent or no text."""
    try:
        return base64.b64decode(secret.data.get(key, ""), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""


def end_of(secret: Secret) -> float | None:
    """None for a token without an end; an end that cannot be read has passed."""
    expiration = value(secret, "expiration")
    return timestamps.parse_or(expiration, 0.0) if expiration else None


def _part(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def signature(content: str, identifier: str, secret: str) -> str:
    """A JWS (HS256) whose payload is left out: the reader has it."""
    header = _part(json.dumps({"alg": "HS256", "kid": identifier}, separators=(",", ":")).encode())
    signed = f"{header}.{_part(content.encode())}".encode()
    return f"{header}..{_part(hmac.new(secret.encode(), signed, hashlib.sha256).digest())}"


class TokenCleaner:
    name = "tokencleaner"

    def __init__(self, informers: Informers) -> None:
        self._secrets = informers.of("/api/v1/secrets", Secret)

    def watch(self, enqueue: Callable[[str], None]) -> None:
        def on_secret(old: Secret | None, new: Secret | None) -> None:
            if new is not None and is_token(new):
                enqueue(new.metadata.key)

        self._secrets.add_handler(on_secret)

    def reconcile(self, key: str, now: float) -> Plan:
        secret = self._secrets.get(key)
        end = end_of(secret) if secret is not None and is_token(secret) else None
        if secret is None or end is None:
            return NOTHING
        if end > now:
            return Plan(requeue_after=end - now)
        path = f"/api/v1/namespaces/{NAMESPACE}/secrets/{secret.metadata.name}"
        return Plan([[Delete(path, secret.metadata.uid, secret.metadata.resourceVersion)]])


class BootstrapSigner:
    name = "bootstrapsigner"

    def __init__(self, informers: Informers, client: RestClient) -> None:
        self._secrets = informers.of("/api/v1/secrets", Secret)
        self._maps = informers.of("/api/v1/configmaps", ConfigMap)
        self._client = client

    def watch(self, enqueue: Callable[[str], None]) -> None:
        def on_secret(old: Secret | None, new: Secret | None) -> None:
            if any(secret is not None and is_token(secret) for secret in (old, new)):
                enqueue(CLUSTER_INFO)

        def on_map(old: ConfigMap | None, new: ConfigMap | None) -> None:
            if new is not None and new.metadata.key == CLUSTER_INFO:
                enqueue(CLUSTER_INFO)

        self._secrets.add_handler(on_secret)
        self._maps.add_handler(on_map)

    async def sync(self, key: str, now: float) -> float | None:
        found = self._maps.get(key)
        if found is None or CONTENT not in found.data:
            return None
        wanted, next_end = self._signatures(found.data[CONTENT], now)
        if wanted != _signatures_in(found.data):
            namespace, _, name = key.partition("/")
            path = f"/api/v1/namespaces/{namespace}/configmaps/{name}"
            # Whole: the Role of this controller has `update` only. A conflict is tried again.
            current = await self._client.get(path)
            rest = {k: v for k, v in (current.get("data") or {}).items() if not k.startswith(SIGNATURE_PREFIX)}
            if rest.get(CONTENT) != found.data[CONTENT]:
                return None  # the change is on its way to the cache
            await self._client.replace(path, {**current, "data": {**rest, **wanted}})
        return next_end - now if next_end is not None else None

    def _signatures(self, content: str, now: float) -> tuple[dict[str, str], float | None]:
        """(key -> signature, when the first of these tokens ends)."""
        made: dict[str, str] = {}
        ends = []
        for _, secret in self._secrets.items():
            if not is_token(secret) or value(secret, "usage-bootstrap-signing") != "true":
                continue
            identifier, password, end = value(secret, "token-id"), value(secret, "token-secret"), end_of(secret)
            if not identifier or not password or (end is not None and end <= now):
                continue
            made[SIGNATURE_PREFIX + identifier] = signature(content, identifier, password)
            if end is not None:
                ends.append(end)
        return made, min(ends, default=None)


def _signatures_in(data: Mapping[str, str]) -> dict[str, str]:
    return {key: text for key, text in data.items() if key.startswith(SIGNATURE_PREFIX)}

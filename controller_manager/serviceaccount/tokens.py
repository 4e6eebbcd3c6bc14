"""Secrets of type kubernetes.io/service-account-token: filled with a token, removed with their account.

Such tokens do not expire.

Since 1.24 upstream makes none by itself. Here the `default` account of each namespace gets one, called
`default-token-…`, so that the classic recipes for a bearer token still work; see README.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from component_base.rng import Rng
from controller_manager.views import Secret, ServiceAccount
from kubeclient.informer import Informers
from kubeclient.plan import NOTHING, Action, Create, Delete, Patch, Plan
from kubeclient.rest import MERGE
from kubeclient.views import Meta

TOKEN_TYPE = "kubernetes.io/service-account-token"
ACCOUNT_NAME = "kubernetes.io/service-account.name"
ACCOUNT_UID = "kubernetes.io/service-account.uid"
ISSUER = "kubernetes/serviceaccount"
ALPHABET = "bcdfghjklmnpqrstvwxz2456789"


class TokenSigner:
    """Signs with --service-account-private-key-file. The key id is how verifiers pick the public key (RFC 7517)."""

    def __init__(self, private_key_pem: bytes) -> None:
        key = serialization.load_pem_private_key(private_key_pem, None)
        if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
            raise ValueError("the key is neither RSA nor ECDSA")
        self._key = key
        self._algorithm = "RS256" if isinstance(key, rsa.RSAPrivateKey) else "ES256"
        public = key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        self._key_id = base64.urlsafe_b64encode(hashlib.sha256(public).digest()).rstrip(b"=").decode()

    def legacy_token(self, account: Meta, secret_name: str) -> str:
        claims = {
            "iss": ISSUER,
            "kubernetes.io/serviceaccount/namespace": account.namespace,
            "kubernetes.io/serviceaccount/secret.name": secret_name,
            "kubernetes.io/serviceaccount/service-account.name": account.name,
            "kubernetes.io/serviceaccount/service-account.uid": account.uid,
            "sub": f"system:serviceaccount:{account.namespace}:{account.name}",
        }
        return jwt.encode(claims, self._key, self._algorithm, headers={"kid": self._key_id})


class TokensController:
    name = "serviceaccount-token"

    def __init__(
        self, informers: Informers, signer: TokenSigner, root_ca: bytes, rng: Rng, with_token: str = "default"
    ) -> None:
        """`with_token`: accounts of this name get a Secret without asking."""
        self._signer = signer
        self._root_ca = base64.b64encode(root_ca).decode()
        self._rng = rng
        self._with_token = with_token
        self._accounts = informers.of("/api/v1/serviceaccounts", ServiceAccount)
        self._secrets = informers.of("/api/v1/secrets", Secret)
        self._secrets.add_index("account", _account_of)

    def watch(self, enqueue: Callable[[str], None]) -> None:
        self._accounts.add_key_handler(enqueue)

        def on_secret(old: Secret | None, new: Secret | None) -> None:
            for secret in (old, new):
                for key in _account_of(secret) if secret is not None else ():
                    enqueue(key)

        self._secrets.add_handler(on_secret)

    def reconcile(self, key: str, now: float) -> Plan:
        account = self._accounts.get(key)
        batch: list[Action] = []
        has_one = False
        for secret in self._secrets.indexed("account", key):
            noted = secret.metadata.annotations.get(ACCOUNT_UID)
            if account is None or noted not in (None, "", account.metadata.uid):
                batch.append(Delete(_path(secret.metadata), secret.metadata.uid))
                continue
            has_one = True
            if (fill := self._filled(secret, account.metadata)) is not None:
                batch.append(fill)
        if account is not None and not has_one and account.metadata.deletionTimestamp is None:
            batch += self._first(account.metadata)
        return Plan([batch]) if batch else NOTHING

    def _first(self, account: Meta) -> list[Action]:
        if account.name != self._with_token:
            return []
        suffix = "".join(self._rng.choice(ALPHABET) for _ in range(5))
        name = f"{account.name}-token-{suffix}"
        body = {
            "apiVersion": "v1",
            "kind": "Secret",
            "type": TOKEN_TYPE,
            "metadata": {
                "name": name,
                "namespace": account.namespace,
                "annotations": {ACCOUNT_NAME: account.name, ACCOUNT_UID: account.uid},
            },
            "data": self._content(account, name),
        }
        return [Create(f"/api/v1/namespaces/{account.namespace}/secrets", body)]

    def _filled(self, secret: Secret, account: Meta) -> Patch | None:
        wanted = {"ca.crt", "namespace", "token"}
        current = secret.data.get("ca.crt") == self._root_ca and wanted <= secret.data.keys()
        if current and secret.metadata.annotations.get(ACCOUNT_UID) == account.uid:
            return None
        content = self._content(account, secret.metadata.name)
        if secret.data.get("token"):
            del content["token"]
        meta = {"uid": secret.metadata.uid, "annotations": {ACCOUNT_UID: account.uid}}
        return Patch(_path(secret.metadata), {"metadata": meta, "data": content}, MERGE)

    def _content(self, account: Meta, secret_name: str) -> dict[str, str]:
        token = self._signer.legacy_token(account, secret_name)
        return {
            "ca.crt": self._root_ca,
            "namespace": base64.b64encode(account.namespace.encode()).decode(),
            "token": base64.b64encode(token.encode()).decode(),
        }


def _account_of(secret: Secret) -> list[str]:
    name = secret.metadata.annotations.get(ACCOUNT_NAME)
    return [f"{secret.metadata.namespace}/{name}"] if secret.type == TOKEN_TYPE and name else []


def _path(meta: Meta) -> str:
    return f"/api/v1/namespaces/{meta.namespace}/secrets/{meta.name}"

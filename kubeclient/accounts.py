"""Clients that work as ServiceAccounts of kube-system: each controller with its own, and no more than its rights.

As upstream's `--use-service-account-credentials`: the account is made when it is missing, its token is asked for by
TokenRequest when it is first needed and again after four fifths of its life, or when the apiserver refuses it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace

import httpx

from apimachinery import timestamps
from apimachinery.errors import StatusError
from component_base.clock import Clock
from kubeclient.rest import JSON, RestClient

NAMESPACE = "kube-system"
_ACCOUNTS = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts"
#: What is asked for; the apiserver may grant another time.
TOKEN_SECONDS = 3600
#: The part of a token's life after which the next one is asked for.
SPENT = 0.8


class AccountToken(httpx.Auth):
    """The bearer token of one account. Requests raise StatusError when none can be had."""

    def __init__(self, client: RestClient, name: str, clock: Clock) -> None:
        """`client` is who asks: it needs `create` on serviceaccounts and serviceaccounts/token."""
        self._client = client
        self._name = name
        self._clock = clock
        self._asking = asyncio.Lock()
        self._token = ""
        self._until = 0.0

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        token = await self._current()
        request.headers["Authorization"] = f"Bearer {token}"
        response = yield request
        if response.status_code == 401:  # the account was made anew, or the key that signs was changed
            self._forget(token)
            request.headers["Authorization"] = f"Bearer {await self._current()}"
            yield request

    def _forget(self, token: str) -> None:
        if token == self._token:
            self._token = ""

    async def _current(self) -> str:
        async with self._asking:
            if not self._token or self._clock.now() >= self._until:
                status = (await self._ask())["status"]
                now = self._clock.now()
                self._token = status["token"]
                self._until = now + SPENT * (timestamps.parse(status["expirationTimestamp"]) - now)
            return self._token

    async def _ask(self) -> JSON:
        body = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": TOKEN_SECONDS},
        }
        try:
            return await self._client.create(f"{_ACCOUNTS}/{self._name}/token", body)
        except StatusError as error:
            if error.reason != "NotFound":
                raise
        await self._make()
        return await self._client.create(f"{_ACCOUNTS}/{self._name}/token", body)

    async def _make(self) -> None:
        body = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": self._name, "namespace": NAMESPACE}}
        try:
            await self._client.create(_ACCOUNTS, body)
        except StatusError as error:
            if error.reason != "AlreadyExists":
                raise


class Accounts:
    """Clients by account; all of them share one pool of connections, which show no certificate."""

    def __init__(self, client: RestClient, user_agent: str, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        nobody = replace(client.config, client_certificate=None, client_key=None, token=None, token_file=None)
        self._shared = RestClient(nobody, user_agent, clock)
        self._clients: dict[str, RestClient] = {}

    def client(self, name: str) -> RestClient:
        if name not in self._clients:
            self._clients[name] = self._shared.with_auth(AccountToken(self._client, name, self._clock))
        return self._clients[name]

    async def close(self) -> None:
        await self._shared.close()

"""Controllers work as ServiceAccounts: tokens are asked for once, in time, and again when they are refused."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import httpx
import pytest

from apimachinery import timestamps
from apimachinery.errors import StatusError
from component_base.clock import ManualClock
from kubeclient.accounts import TOKEN_SECONDS, AccountToken
from kubeclient.kubeconfig import KubeConfig
from kubeclient.rest import RestClient

HERE = "/api/v1/namespaces/kube-system/serviceaccounts"


@dataclass
class Api:
    """Accounts, numbered tokens, and who may: everybody with the newest token."""

    clock: ManualClock
    accounts: set[str] = field(default_factory=set)
    tokens: int = 0
    asked: list[str] = field(default_factory=list)
    is_forbidden: bool = False

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        self.asked.append(f"{request.method} {path}")
        if path == HERE:
            self.accounts.add(json.loads(request.content)["metadata"]["name"])
            return httpx.Response(201, json={})
        if path.startswith(HERE):
            return self._token(path.split("/")[-2])
        if request.headers.get("authorization") != f"Bearer token-{self.tokens}":
            return httpx.Response(401, json={"kind": "Status", "reason": "Unauthorized", "code": 401})
        return httpx.Response(200, json={"who": self.tokens})

    def _token(self, name: str) -> httpx.Response:
        if self.is_forbidden:
            return httpx.Response(403, json={"kind": "Status", "reason": "Forbidden", "code": 403})
        if name not in self.accounts:
            return httpx.Response(404, json={"kind": "Status", "reason": "NotFound", "code": 404})
        self.tokens += 1
        ends = timestamps.format(self.clock.now() + TOKEN_SECONDS)
        return httpx.Response(201, json={"status": {"token": f"token-{self.tokens}", "expirationTimestamp": ends}})


@pytest.fixture
def api() -> Api:
    return Api(ManualClock(1_700_000_000.0))


def client_of(api: Api) -> RestClient:
    transport = httpx.MockTransport(api)
    manager = RestClient(KubeConfig("http://api"), transport=transport)
    nobody = RestClient(KubeConfig("http://api"), transport=transport)
    return nobody.with_auth(AccountToken(manager, "job-controller", api.clock))


async def test_a_missing_account_is_made_and_one_token_serves_many_requests(api: Api) -> None:
    client = client_of(api)
    for _ in range(3):
        assert await client.get("/x") == {"who": 1}
    token = f"POST {HERE}/job-controller/token"
    assert api.asked == [token, f"POST {HERE}", token, "GET /x", "GET /x", "GET /x"]


async def test_the_token_is_renewed_before_it_ends(api: Api) -> None:
    client = client_of(api)
    await client.get("/x")
    api.clock.advance(TOKEN_SECONDS * 0.75)
    assert await client.get("/x") == {"who": 1}
    api.clock.advance(TOKEN_SECONDS * 0.1)
    assert await client.get("/x") == {"who": 2}


async def test_a_refused_token_is_replaced_once_within_the_request(api: Api) -> None:
    client = client_of(api)
    await client.get("/x")
    api.tokens += 1  # what was given is no longer the newest: as after the account was deleted
    assert await client.get("/x") == {"who": 3}


async def test_who_may_not_ask_is_told_so(api: Api) -> None:
    api.is_forbidden = True
    with pytest.raises(StatusError) as refused:
        await client_of(api).get("/x")
    assert refused.value.reason == "Forbidden"

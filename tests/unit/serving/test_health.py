"""Health answers in upstream's words, and who may read the rest."""

import json
from typing import Any

import httpx
import pytest

from component_base.clock import ManualClock
from kubeclient.kubeconfig import KubeConfig
from kubeclient.rest import RestClient
from serving.delegated import DelegatedAuth, ResourceAttributes, User
from serving.health import Health, HealthApp


class Reviews(httpx.AsyncBaseTransport):
    """An apiserver that knows one token and allows one user."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.down = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self.down:
            raise httpx.ConnectError("down")
        self.asked.append(request.url.path.rpartition("/")[2])
        body: Any = json.loads(request.content)
        if request.url.path.endswith("tokenreviews"):
            known = body["spec"]["token"] == "good"
            user = {"username": "ann", "groups": ["devs"]} if known else {}
            return httpx.Response(201, json={"status": {"authenticated": known, "user": user}})
        return httpx.Response(201, json={"status": {"allowed": body["spec"]["user"] == "ann"}})


@pytest.fixture
def reviews() -> Reviews:
    return Reviews()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def auth(reviews: Reviews, clock: ManualClock) -> DelegatedAuth:
    return DelegatedAuth(RestClient(KubeConfig("http://memory"), transport=reviews), clock)


async def ask(app: Any, path: str, token: str = "") -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x") as client:
        return await client.get(path, headers=headers)


async def test_health_by_check() -> None:
    health = Health()
    problem: list[str] = []
    health.add("informers", lambda: problem[0] if problem else None)
    app = HealthApp(health)
    assert (await ask(app, "/readyz")).text == "ok"
    problem.append("not synced")
    failing = await ask(app, "/readyz")
    assert failing.status_code == 500
    assert failing.text == "[+]ping ok\n[-]informers failed: not synced\nreadyz check failed\n"
    assert (await ask(app, "/livez")).text == "ok", "it lives, it is only not ready"
    assert (await ask(app, "/readyz/ping")).text == "ok"
    assert (await ask(app, "/readyz/nothing")).status_code == 404
    assert (await ask(app, "/livez?verbose")).text == "[+]ping ok\nlivez check passed\n"


async def test_metrics_are_for_those_who_may(auth: DelegatedAuth) -> None:
    app = HealthApp(Health(), auth)
    assert (await ask(app, "/healthz")).status_code == 200, "health is for everybody"
    assert (await ask(app, "/metrics")).status_code == 403
    assert (await ask(app, "/metrics", "bad")).status_code == 401
    assert "# HELP" in (await ask(app, "/metrics", "good")).text


async def test_answers_are_kept_for_a_while(auth: DelegatedAuth, reviews: Reviews, clock: ManualClock) -> None:
    question = ResourceAttributes("get", "nodes", "proxy", "n1")
    for _ in range(3):
        user = await auth.authenticate({"authorization": "Bearer good"}, None)
        assert user == User("ann", ("devs",))
        assert (await auth.authorize(user, question))[0]
    assert reviews.asked == ["tokenreviews", "subjectaccessreviews"]
    clock.advance(301)
    await auth.authenticate({"authorization": "Bearer good"}, None)
    assert reviews.asked[-1] == "tokenreviews"


async def test_without_the_apiserver_nobody_new_is_let_in(auth: DelegatedAuth, reviews: Reviews) -> None:
    reviews.down = True
    assert await auth.authenticate({"authorization": "Bearer good"}, None) is None
    allowed, _ = await auth.authorize(User("ann"), ResourceAttributes("get", "nodes"))
    assert not allowed
    assert (await auth.authorize(User("root", ("system:masters",)), ResourceAttributes("get", "nodes")))[0]


async def test_a_token_is_no_credential_where_tokens_are_not_taken(reviews: Reviews, clock: ManualClock) -> None:
    client = RestClient(KubeConfig("http://memory"), transport=reviews)
    headers = {"authorization": "Bearer good"}
    assert await DelegatedAuth(client, clock, anonymous=False, tokens=False).authenticate(headers, None) is None
    anonymous = await DelegatedAuth(client, clock, tokens=False).authenticate(headers, None)
    assert anonymous is not None
    assert anonymous.name == "system:anonymous"

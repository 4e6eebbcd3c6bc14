"""Tokens and rights decided by another server, asked over real HTTPS."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from apiserver.authn.chain import TokenRefused
from apiserver.authn.webhook import TokenWebhook
from apiserver.authz.webhook import WebhookAuthorizer
from apiserver.ports import Attributes, User, Verdict
from apiserver.webhooks.reviews import ReviewClient
from component_base.clock import ManualClock
from tests.integration.https_server import Answer, HttpsServer, Request
from tests.integration.ports import free_port

JSON = dict[str, Any]
READ = Attributes(User("jane", ("g",), "7", {"k": ("v",)}), "get", "", "apps", "v1", "deployments", "scale", "ns", "d")


def decide(request: Request) -> Answer:
    review = request.object
    spec = review["spec"]
    if review["kind"] == "TokenReview":
        user = {"username": "jane", "uid": "7", "groups": ["g"], "extra": {"k": ["v"]}}
        status: JSON = {"authenticated": True, "user": user, "audiences": ["api"]}
        if spec["token"] != "good":
            status = {"authenticated": False, "error": "never heard of it"}
    elif spec.get("nonResourceAttributes"):
        status = {"denied": True, "allowed": False, "reason": "no paths"}
    else:
        status = {"allowed": spec["resourceAttributes"]["verb"] == "get", "reason": "because"}
    return Answer(200, {**review, "status": status})


@pytest.fixture
def server() -> Iterator[HttpsServer]:
    with HttpsServer(decide) as running:
        yield running


def kubeconfig(folder: Path, url: str, authority: bytes = b"") -> str:
    cluster = {"server": url}
    if authority:
        cluster["certificate-authority-data"] = base64.b64encode(authority).decode()
    document = {
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": {"token": "mine"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    path = folder / "webhook.conf"
    path.write_text(yaml.safe_dump(document))
    return str(path)


async def test_tokens(tmp_path: Path, server: HttpsServer) -> None:
    clock = ManualClock()
    client = ReviewClient(kubeconfig(tmp_path, f"{server.url}/tokens", server.authority), clock)
    webhook = TokenWebhook(client, "v1", ("api",), clock, 60.0)
    for _ in range(3):
        identity = await webhook.authenticate_token("good", ())
        assert identity is not None
        assert identity.user == User("jane", ("g",), "7", {"k": ("v",)})
        assert identity.audiences == ("api",)
        with pytest.raises(TokenRefused, match="never heard of it"):
            await webhook.authenticate_token("bad", ())
    assert len(server.requests) == 2
    asked = server.requests[0]
    assert asked.headers["authorization"] == "Bearer mine"
    assert asked.path == "/tokens"
    assert asked.object == {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenReview",
        "spec": {"token": "good", "audiences": ["api"]},
    }
    with pytest.raises(TokenRefused, match="other audiences"):
        await webhook.authenticate_token("good", ("elsewhere",))
    clock.advance(61.0)
    await webhook.authenticate_token("good", ())
    assert len(server.requests) == 4
    await client.close()


async def test_rights(tmp_path: Path, server: HttpsServer) -> None:
    clock = ManualClock()
    client = ReviewClient(kubeconfig(tmp_path, server.url, server.authority), clock)
    authorizer = WebhookAuthorizer(client, "v1beta1", clock, 300.0, 30.0)
    write = Attributes(User("jane"), "create", "", "", "v1", "pods", "", "ns")
    for _ in range(2):
        assert await authorizer.authorize(READ) == (Verdict.ALLOW, "because")
        assert await authorizer.authorize(write) == (Verdict.NO_OPINION, "because")
        assert await authorizer.authorize(Attributes(User("jane"), "get", "/x")) == (Verdict.DENY, "no paths")
    assert len(server.requests) == 3
    assert server.requests[0].object["spec"] == {
        "user": "jane",
        "group": ["g"],
        "uid": "7",
        "extra": {"k": ["v"]},
        "resourceAttributes": {
            "namespace": "ns",
            "verb": "get",
            "group": "apps",
            "version": "v1",
            "resource": "deployments",
            "subresource": "scale",
            "name": "d",
        },
    }
    clock.advance(31.0)
    await authorizer.authorize(READ)
    await authorizer.authorize(write)
    assert len(server.requests) == 4
    await client.close()


class ImpatientClock(ManualClock):
    """Nobody sleeps."""

    def __init__(self) -> None:
        super().__init__()
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


async def test_a_silent_server_has_no_opinion(tmp_path: Path) -> None:
    clock = ImpatientClock()
    client = ReviewClient(kubeconfig(tmp_path, f"https://127.0.0.1:{free_port()}"), clock)
    verdict, reason = await WebhookAuthorizer(client, "v1", clock, 300.0, 30.0).authorize(READ)
    assert verdict is Verdict.NO_OPINION
    assert reason.endswith("connect: connection refused")
    assert clock.slept == [0.5, 0.75, 1.125, 1.6875]
    with pytest.raises(TokenRefused, match="connection refused"):
        await TokenWebhook(client, "v1", (), clock, 60.0).authenticate_token("t", ())
    await client.close()


def test_files_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="does not exist"):
        ReviewClient(str(tmp_path / "none"), ManualClock())

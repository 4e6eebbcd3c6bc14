"""The webhook client against real HTTPS servers on loopback."""

from __future__ import annotations

import base64
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest

from apiserver.webhooks.client import WebhookClient, WebhookError, hook_of
from apiserver.webhooks.services import ServiceResolver
from component_base.rng import system_rng
from tests.integration.https_server import Answer, HttpsServer, Request
from tests.integration.ports import free_port
from tests.unit.apiserver.memory_objects import MemoryObjects

JSON = dict[str, Any]


def echo(request: Request) -> Answer:
    return Answer(200, {"path": request.path, "host": request.headers["host"], "got": request.object})


def bundle(server: HttpsServer) -> str:
    return base64.b64encode(server.authority).decode()


@pytest.fixture
def objects() -> MemoryObjects:
    return MemoryObjects()


@pytest.fixture
async def client(objects: MemoryObjects) -> AsyncIterator[WebhookClient]:
    made = WebhookClient(ServiceResolver(objects, system_rng()))
    yield made
    await made.close()


def put_service(objects: MemoryObjects, port: int, ready: bool = True) -> None:
    objects.put("services", "hook", "web", spec={"ports": [{"port": 443, "targetPort": 8443}]})
    objects.put(
        "endpointslices",
        "hook-1",
        "web",
        "discovery.k8s.io",
        metadata={"labels": {"kubernetes.io/service-name": "hook"}},
        addressType="IPv4",
        ports=[{"port": port}],
        endpoints=[{"addresses": ["127.0.0.1"], "conditions": {"ready": ready}}],
    )


async def fails(client: WebhookClient, config: JSON, timeout: float = 10.0) -> str:
    with pytest.raises(WebhookError) as caught:
        await client.call(hook_of(config), {}, timeout)
    return str(caught.value)


async def test_a_url_is_called_and_its_connection_kept(client: WebhookClient) -> None:
    with HttpsServer(echo) as server:
        hook = hook_of({"url": f"{server.url}/a?b=c", "caBundle": bundle(server)})
        for number in range(3):
            answer = await client.call(hook, {"n": number}, 5)
            assert answer == {"path": "/a?b=c&timeout=5s", "host": f"127.0.0.1:{server.port}", "got": {"n": number}}
        assert len({request.connection for request in server.requests}) == 1
        assert server.requests[0].headers["content-type"] == "application/json"


async def test_a_service_is_reached_at_a_ready_endpoint_under_its_own_name(
    client: WebhookClient, objects: MemoryObjects
) -> None:
    with HttpsServer(echo, dns=["hook.web.svc"]) as server:
        put_service(objects, server.port)
        config = {"service": {"namespace": "web", "name": "hook", "path": "/v"}, "caBundle": bundle(server)}
        answer = await client.call(hook_of(config), {}, 10)
        assert answer == {"path": "/v?timeout=10s", "host": "hook.web.svc:443", "got": {}}
    with HttpsServer(echo, dns=["other.web.svc"]) as server:
        put_service(objects, server.port)
        text = await fails(client, {**config, "caBundle": bundle(server)})
        assert text.startswith('Post "https://hook.web.svc:443/v?timeout=10s": tls: failed to verify certificate: ')


async def test_services_without_endpoints_or_port(client: WebhookClient, objects: MemoryObjects) -> None:
    config: JSON = {"service": {"namespace": "web", "name": "hook"}}
    url = 'Post "https://hook.web.svc:443/?timeout=10s": '
    assert await fails(client, config) == f'{url}service "hook" not found'
    put_service(objects, 1, ready=False)
    assert await fails(client, config) == f'{url}no endpoints available for service "hook"'
    config["service"]["port"] = 8080
    assert (await fails(client, config)).endswith(': no service port 8080 found for service "hook"')


async def test_what_cannot_be_reached_or_trusted(client: WebhookClient) -> None:
    port = free_port()
    text = await fails(client, {"url": f"https://127.0.0.1:{port}/"})
    assert text == (
        f'Post "https://127.0.0.1:{port}/?timeout=10s": dial tcp 127.0.0.1:{port}: connect: connection refused'
    )
    with HttpsServer(echo) as server, HttpsServer(echo) as stranger:
        text = await fails(client, {"url": server.url, "caBundle": bundle(stranger)})
        assert text.endswith("tls: failed to verify certificate: x509: certificate signed by unknown authority")
    assert await fails(client, {"url": "http://127.0.0.1/"}) == (
        'Post "http://127.0.0.1/?timeout=10s": the URL of a webhook must be https://host[:port]/path'
    )


async def test_late_answers(client: WebhookClient) -> None:
    release = threading.Event()

    def wait(request: Request) -> Answer:
        del request
        release.wait(30)
        return Answer(200, {})

    with HttpsServer(wait) as server:
        text = await fails(client, {"url": f"{server.url}/x", "caBundle": bundle(server)}, 0.1)
        assert text == f'Post "{server.url}/x?timeout=0.1s": context deadline exceeded'
        release.set()


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (Answer(404, b"no"), "the server could not find the requested resource"),
        (
            Answer(500, b"boom"),
            'an error on the server ("boom") has prevented the request from succeeding',
        ),
        (Answer(200, b"[]"), "the answer is not a JSON object"),
        (Answer(200, b"x" * 1001), "the answer is longer than 1000 bytes"),
        (
            Answer(307, b"", {"location": "https://127.0.0.1:1/"}),
            "the server responded with the status code 307 but did not return more information",
        ),
    ],
)
async def test_useless_answers(client: WebhookClient, answer: Answer, text: str) -> None:
    with HttpsServer(lambda request: answer) as server:
        hook = hook_of({"url": server.url, "caBundle": bundle(server)})
        with pytest.raises(WebhookError) as caught:
            await client.call(hook, {}, 10, limit=1000)
        assert str(caught.value) == text
        assert len(server.requests) == 1

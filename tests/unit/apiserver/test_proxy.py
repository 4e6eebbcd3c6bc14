"""Logs, streams and proxied requests, against a server that plays the kubelet on a real socket with real TLS."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar

import httpx
import pytest

from apimachinery.errors import StatusError
from apiserver import proxy
from apiserver.ports import Attributes, Call, User, Verdict
from apiserver.proxy import Proxies
from apiserver.proxy.logs import kubelet_query
from apiserver.proxy.splice import forwarded
from apiserver.proxy.target import Addressing, Locator, Target, choose_container
from apiserver.proxy.transport import KubeletFiles, Transport
from component_base.flags import FlagSet
from component_base.pki import CertificateAuthority, Usage
from component_base.rng import seeded
from serving.host import HttpServer, HttpsServer
from tests.unit.apiserver.memory_objects import MemoryObjects, info

JANE = User("jane")
UPGRADED = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n"


class Kubelet:
    """Remembers what it was asked; echoes what comes over upgraded connections."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        headers = {name.decode().lower(): value.decode() for name, value in scope["headers"]}
        certificate = scope["extensions"]["skiff.tls"]["client_certificate"]
        path = scope["path"] + "?" + scope["query_string"].decode()
        self.asked.append({"method": scope["method"], "path": path, "headers": headers, "certificate": certificate})
        upgrade = scope["extensions"].get("skiff.upgrade")
        if upgrade is not None:
            reader, writer = await upgrade.hijack()
            writer.write(UPGRADED)
            while data := await reader.read(1000):
                writer.write(data.upper())
                await writer.drain()
            writer.close()
            return
        status, body = (400, b'container "c" is waiting to start') if "waiting" in path else (200, b"one\ntwo\n")
        body += (await receive()).get("body", b"")
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"text/plain")]})
        await send({"type": "http.response.body", "body": body[:3], "more_body": True})
        await send({"type": "http.response.body", "body": body[3:]})


class Allowing:
    def __init__(self) -> None:
        self.verbs = {"create"}

    async def authorize(self, attributes: Attributes) -> tuple[Verdict, str]:
        return (Verdict.ALLOW if attributes.verb in self.verbs else Verdict.NO_OPINION), ""


class Cluster:
    """An apiserver's front that knows one request, and a node whose kubelet it dials."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.objects = MemoryObjects()
        self.kubelet = Kubelet()
        self.authorizer = Allowing()
        self.authority = CertificateAuthority.create("ca")

    async def start(self) -> None:
        folder = self.folder
        self.authority.issue("kubelet", ips=["127.0.0.1"], usages=Usage.SERVER).write(
            folder / "k.crt", folder / "k.key"
        )
        self.authority.issue("apiserver").write(folder / "c.crt", folder / "c.key")
        (folder / "ca.crt").write_bytes(self.authority.certificate_pem)
        self.node = HttpsServer(self.kubelet, "127.0.0.1", 0, folder / "k.crt", folder / "k.key", [folder / "ca.crt"])
        await self.node.start()
        self.front = HttpServer(self.answer, "127.0.0.1", 0)
        await self.front.start()
        self.objects.put(
            "nodes",
            "n1",
            status={
                "addresses": [{"type": "Hostname", "address": "n1"}, {"type": "InternalIP", "address": "127.0.0.1"}],
                "daemonEndpoints": {"kubeletEndpoint": {"Port": self.node.port}},
            },
        )
        self.objects.put("pods", "p", "web", spec={"nodeName": "n1", "containers": [{"name": "c"}]})
        self.proxies = self.build()

    def build(self, *arguments: str) -> Proxies:
        flags = FlagSet("apiserver", "")
        proxy.declare(flags)
        values = flags.parse_or_raise(
            [
                f"--kubelet-certificate-authority={self.folder / 'ca.crt'}",
                f"--kubelet-client-certificate={self.folder / 'c.crt'}",
                f"--kubelet-client-key={self.folder / 'c.key'}",
                "--kubelet-preferred-address-types=InternalIP,Hostname",
                *arguments,
            ]
        )
        return proxy.build(values, self.objects, self.authorizer, seeded(1))

    async def answer(self, scope: Any, receive: Any, send: Any) -> None:
        """What endpoints do for `/api/v1/namespaces/NS/pods/NAME/SUBRESOURCE[/REST]`."""
        parts = scope["path"].split("/")
        query = list(httpx.QueryParams(scope["query_string"].decode()).multi_items())
        verb = "create" if scope["method"] == "POST" else "get"
        call = Call(info(parts[5]), parts[7], parts[4], parts[6], verb, "/".join(parts[8:]), JANE, query, {})
        try:
            await self.proxies.connectors[parts[5], parts[7]](call, scope, receive, send)
        except StatusError as error:
            body = json.dumps(error.body()).encode()
            await send({"type": "http.response.start", "status": error.code, "headers": []})
            await send({"type": "http.response.body", "body": body})

    async def get(self, path: str, method: str = "GET", **more: Any) -> httpx.Response:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.front.port}", trust_env=False) as client:
            return await client.request(method, f"/api/v1/namespaces/web/{path}", **more)

    async def upgrade(self, path: str, method: str = "POST", *headers: str) -> tuple[Any, Any]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.front.port)
        lines = [
            f"{method} /api/v1/namespaces/web/{path} HTTP/1.1",
            "Host: x",
            "Connection: Upgrade",
            "Upgrade: SPDY/3.1",
            *headers,
        ]
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        return reader, writer

    async def stop(self) -> None:
        await self.proxies.close()
        await self.front.stop(0.1)
        await self.node.stop(0.1)


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    cluster = Cluster(tmp_path)
    await cluster.start()
    yield cluster
    await cluster.stop()


class TestLogs:
    async def test_stream_from_the_kubelet(self, cluster: Cluster) -> None:
        answer = await cluster.get("pods/p/log?follow=true&tailLines=5", headers={"authorization": "Bearer secret"})
        assert (answer.status_code, answer.text, answer.headers["content-type"]) == (200, "one\ntwo\n", "text/plain")
        (asked,) = cluster.kubelet.asked
        assert asked["path"] == "/containerLogs/web/p/c?follow=true&tailLines=5"
        assert "authorization" not in asked["headers"]
        assert asked["certificate"]

    async def test_a_kubelets_refusal_is_a_status(self, cluster: Cluster) -> None:
        cluster.objects.put("pods", "waiting", "web", spec={"nodeName": "n1", "containers": [{"name": "c"}]})
        answer = await cluster.get("pods/waiting/log")
        body = answer.json()
        assert (answer.status_code, body["reason"]) == (400, "BadRequest")
        assert body["message"] == 'container "c" is waiting to start'

    async def test_a_pod_without_a_node_has_none_yet(self, cluster: Cluster) -> None:
        cluster.objects.put("pods", "new", "web", spec={"containers": [{"name": "c"}]})
        answer = await cluster.get("pods/new/log")
        assert (answer.status_code, answer.text) == (200, "")

    async def test_an_absent_pod(self, cluster: Cluster) -> None:
        answer = await cluster.get("pods/ghost/log")
        assert (answer.status_code, answer.json()["message"]) == (404, 'pods "ghost" not found')

    async def test_a_kubelet_of_another_authority_is_not_believed(self, cluster: Cluster) -> None:
        other = CertificateAuthority.create("other")
        (cluster.folder / "other.crt").write_bytes(other.certificate_pem)
        cluster.proxies = cluster.build(f"--kubelet-certificate-authority={cluster.folder / 'other.crt'}")
        answer = await cluster.get("pods/p/log")
        assert answer.status_code == 500
        assert "error dialing backend" in answer.json()["message"]
        answer = await cluster.get("pods/p/log?insecureSkipTLSVerifyBackend=true")
        assert answer.status_code == 200

    async def test_a_silent_node(self, cluster: Cluster) -> None:
        await cluster.node.stop(0.1)
        answer = await cluster.get("pods/p/log")
        assert (answer.status_code, answer.json()["reason"]) == (500, "InternalError")

    @pytest.mark.parametrize(
        ("query", "code", "text"),
        [
            ([("tailLines", "-1")], 422, "tailLines: Invalid value: -1: must be greater than or equal to 0"),
            ([("limitBytes", "0")], 422, "limitBytes: Invalid value: 0: must be greater than 0"),
            ([("tailLines", "many")], 400, 'parsing "many": invalid syntax'),
            ([("sinceSeconds", "1"), ("sinceTime", "2024-01-01T00:00:00Z")], 422, "at most one of"),
        ],
    )
    def test_options_that_are_wrong(self, query: list[tuple[str, str]], code: int, text: str) -> None:
        with pytest.raises(StatusError) as caught:
            kubelet_query("p", query)
        assert caught.value.code == code
        assert text in caught.value.message


class TestStreams:
    async def test_exec_is_spliced(self, cluster: Cluster) -> None:
        path = "pods/p/exec?command=sh&command=-c&command=echo+hi&stdin=true&stdout=true&tty=false&container=c"
        reader, writer = await cluster.upgrade(
            path, "POST", "Authorization: Bearer secret", "Cookie: a=b", "X-Stream-Protocol-Version: v4.channel.k8s.io"
        )
        assert await reader.readuntil(b"\r\n\r\n") == UPGRADED
        writer.write(b"ping")
        assert await reader.readexactly(4) == b"PING"
        writer.close()
        (asked,) = cluster.kubelet.asked
        assert asked["method"] == "POST"
        assert asked["path"] == "/exec/web/p/c?input=1&output=1&command=sh&command=-c&command=echo+hi"
        assert asked["headers"]["x-stream-protocol-version"] == "v4.channel.k8s.io"
        assert asked["headers"]["upgrade"] == "SPDY/3.1"
        assert not {"authorization", "cookie"} & set(asked["headers"])

    async def test_much_data_goes_both_ways(self, cluster: Cluster) -> None:
        reader, writer = await cluster.upgrade("pods/p/attach?stdin=true")
        await reader.readuntil(b"\r\n\r\n")
        sent = b"abcdefgh" * 100_000

        async def write() -> None:
            writer.write(sent)
            await writer.drain()

        async with asyncio.TaskGroup() as group:
            group.create_task(write())
            assert await reader.readexactly(len(sent)) == sent.upper()
        writer.close()

    async def test_port_forward(self, cluster: Cluster) -> None:
        reader, writer = await cluster.upgrade("pods/p/portforward?ports=80&ports=81")
        await reader.readuntil(b"\r\n\r\n")
        assert cluster.kubelet.asked[0]["path"] == "/portForward/web/p?port=80%2C81"
        writer.close()

    async def test_ends_when_the_kubelet_ends(self, cluster: Cluster) -> None:
        reader, writer = await cluster.upgrade("pods/p/exec?command=x")
        await reader.readuntil(b"\r\n\r\n")
        await cluster.node.stop(0.0)
        assert await reader.read() == b""
        writer.close()

    async def test_reading_alone_runs_no_commands(self, cluster: Cluster) -> None:
        cluster.authorizer.verbs = {"get"}
        reader, writer = await cluster.upgrade("pods/p/exec?command=x", "GET")
        assert b" 403 " in await reader.readline()
        writer.close()
        assert not cluster.kubelet.asked

    async def test_without_an_upgrade(self, cluster: Cluster) -> None:
        answer = await cluster.get("pods/p/exec?command=x", "POST")
        assert (answer.status_code, answer.json()["message"]) == (400, "Upgrade request required")

    async def test_a_pod_without_a_node(self, cluster: Cluster) -> None:
        cluster.objects.put("pods", "new", "web", spec={"containers": [{"name": "c"}]})
        answer = await cluster.get("pods/new/exec?command=x", "POST")
        assert answer.json()["message"] == "pod new does not have a host assigned"


def test_a_token_in_a_websocket_protocol_stays_here() -> None:
    headers = [(b"Sec-WebSocket-Protocol", b"v5.channel.k8s.io, base64url.bearer.authorization.k8s.io.c2VjcmV0")]
    assert forwarded(headers) == [(b"Sec-WebSocket-Protocol", b"v5.channel.k8s.io")]


class TestContainers:
    POD: ClassVar[dict[str, Any]] = {
        "metadata": {"name": "p"},
        "spec": {"initContainers": [{"name": "i"}], "containers": [{"name": "a"}, {"name": "b"}]},
    }

    def refusal(self, wanted: str) -> str:
        with pytest.raises(StatusError) as caught:
            choose_container(self.POD, wanted)
        assert caught.value.code == 400
        return caught.value.message

    def test_several_need_a_choice(self) -> None:
        assert self.refusal("") == "a container name must be specified for pod p, choose one of: [i a b]"

    def test_the_choice_must_exist(self) -> None:
        assert self.refusal("x") == "container x is not valid for pod p"
        assert choose_container(self.POD, "i") == "i"


class TestRelays:
    @pytest.fixture
    def locator(self) -> Locator:
        objects = MemoryObjects()
        ports = [{"containerPort": 8080}]
        objects.put(
            "pods",
            "p",
            "web",
            spec={"containers": [{"name": "c", "ports": ports}]},
            status={"podIP": "10.1.0.5", "podIPs": [{"ip": "10.1.0.5"}]},
        )
        objects.put("pods", "evil", "web", spec={"containers": []}, status={"podIP": "169.254.169.254"})
        objects.put("services", "s", "web", spec={"ports": [{"name": "http", "port": 80}]})
        address = {"ip": "10.1.0.5", "targetRef": {"kind": "Pod", "name": "p", "namespace": "web"}}
        foreign = {"ip": "192.0.2.7"}
        subset = {"addresses": [foreign, address], "ports": [{"name": "http", "port": 8080}]}
        objects.put("endpoints", "s", "web", subsets=[subset])
        return Locator(objects, Addressing(), seeded(1))

    async def test_pods(self, locator: Locator) -> None:
        target = await locator.pod_port("web", "p")
        assert (target.scheme, target.authority) == ("http", "10.1.0.5:8080")
        target = await locator.pod_port("web", "https:p:9443")
        assert (target.scheme, target.authority, target.is_kubelet) == ("https", "10.1.0.5:9443", False)

    async def test_not_to_addresses_that_trust_us(self, locator: Locator) -> None:
        with pytest.raises(StatusError, match="address not allowed"):
            await locator.pod_port("web", "evil:80")

    async def test_services_only_to_real_pods(self, locator: Locator) -> None:
        for name in ("s:http", "s:80", "http:s:http"):
            assert (await locator.service_port("web", name)).authority == "10.1.0.5:8080"
        with pytest.raises(StatusError, match='no service port 81 found for service "s"') as caught:
            await locator.service_port("web", "s:81")
        assert caught.value.code == 503

    async def test_a_request_is_passed_on(self, cluster: Cluster) -> None:
        reached: list[dict[str, Any]] = []

        async def pod(scope: Any, receive: Any, send: Any) -> None:
            body = (await receive()).get("body", b"")
            reached.append({"raw": scope["raw_path"], "query": scope["query_string"], "body": body})
            await send({"type": "http.response.start", "status": 418, "headers": [(b"x-pod", b"yes")]})
            await send({"type": "http.response.body", "body": b"short and stout"})

        async with application(cluster, pod):
            answer = await cluster.get("pods/p/proxy/a%20b/c?x=1", "POST", content=b"tea")
        assert (answer.status_code, answer.headers["x-pod"], answer.text) == (418, "yes", "short and stout")
        assert reached == [{"raw": b"/a%20b/c", "query": b"x=1", "body": b"tea"}]

    async def test_links_and_redirects_of_a_page_stay_behind_the_proxy(self, cluster: Cluster) -> None:
        async def pod(scope: Any, receive: Any, send: Any) -> None:
            moved = scope["path"] == "/old"
            headers = [(b"location", b"/new")] if moved else [(b"content-type", b"text/html; charset=utf-8")]
            await send({"type": "http.response.start", "status": 302 if moved else 200, "headers": headers})
            await send({"type": "http.response.body", "body": b'<a href="/rewriteme">test</a>'})

        prefix = "/api/v1/namespaces/web/pods/p/proxy"
        async with application(cluster, pod):
            assert (await cluster.get("pods/p/proxy/")).text == f'<a href="{prefix}/rewriteme">test</a>'
            assert (await cluster.get("pods/p/proxy/old")).headers["location"] == f"{prefix}/new"

    async def test_without_a_slash_a_reader_is_sent_to_where_relative_links_work(self, cluster: Cluster) -> None:
        async def pod(scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": scope["path"].encode()})

        async with application(cluster, pod):
            answer = await cluster.get("pods/p/proxy?a=b")
            assert (answer.status_code, answer.headers["location"]) == (
                301,
                "/api/v1/namespaces/web/pods/p/proxy/?a=b",
            )
            assert (await cluster.get("pods/p/proxy", "POST")).text == "/", "what writes is passed on as it is"


@asynccontextmanager
async def application(cluster: Cluster, pod: Any) -> AsyncIterator[None]:
    """What listens behind every pod's proxy: on loopback, which is refused as a pod's address."""
    server = HttpServer(pod, "127.0.0.1", 0)
    await server.start()

    async def find(locator: Locator, call: Call) -> Any:
        return Target("127.0.0.1", server.port, "http")

    cluster.proxies.connectors["pods", "proxy"]._find = find  # type: ignore[attr-defined]
    yield
    await server.stop(0.1)


def test_contexts_check_kubelets_by_default(tmp_path: Path) -> None:
    authority = CertificateAuthority.create("ca")
    (tmp_path / "ca.crt").write_bytes(authority.certificate_pem)
    transport = Transport(KubeletFiles(authority=str(tmp_path / "ca.crt")))
    context = transport._context(Target("h", 1, is_kubelet=True))
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname

"""The registry client against a registry of a few lines: tokens, ranges, refusals."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable

import pytest

from kubelet.cri_shim.image_build import digest_of
from kubelet.cri_shim.image_refs import parse_reference
from kubelet.cri_shim.registry_client import RegistryClient
from kubelet.cri_shim.registry_types import Credentials, RegistryError

Answer = tuple[int, dict[str, str], bytes]
Handler = Callable[[str, dict[str, str]], Answer]
MANIFEST = json.dumps({"schemaVersion": 2, "config": {}, "layers": []}).encode()


class SmallServer:
    """Answers GET requests by a function of path and headers, and remembers them."""

    def __init__(self) -> None:
        self.handler: Handler = lambda path, headers: (404, {}, b"")
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.address = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        except asyncio.IncompleteReadError:
            writer.close()
            return
        path = head[0].split(" ")[1]
        headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in head[1:] if line)}
        self.requests.append((path, headers))
        code, extra, body = self.handler(path, headers)
        fields = {"Content-Length": str(len(body)), "Connection": "close", **extra}
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        writer.write(f"HTTP/1.1 {code} x\r\n{lines}\r\n".encode() + body)
        await writer.drain()
        writer.close()


@pytest.fixture
async def server() -> AsyncIterator[SmallServer]:
    small = SmallServer()
    listening = await asyncio.start_server(small.serve, "127.0.0.1", 0)
    small.address = f"127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    yield small
    listening.close()
    await listening.wait_closed()


def client_of(server: SmallServer, credentials: Credentials | None = None) -> RegistryClient:
    return RegistryClient(parse_reference(f"{server.address}/team/app:1"), credentials)


async def test_a_token_is_fetched_once_and_used(server: SmallServer) -> None:
    def handler(path: str, headers: dict[str, str]) -> Answer:
        if path.startswith("/token"):
            return 200, {}, json.dumps({"token": "t0k3n"}).encode()
        if headers.get("authorization") != "Bearer t0k3n":
            challenge = f'Bearer realm="http://{server.address}/token",service="reg",scope="repository:team/app:pull"'
            return 401, {"WWW-Authenticate": challenge}, b""
        return 200, {"Content-Type": "application/vnd.oci.image.manifest.v1+json"}, MANIFEST

    server.handler = handler
    client = client_of(server, Credentials("me", "secret"))
    manifest = await client.manifest("1")
    assert manifest.digest == digest_of(MANIFEST)
    await client.manifest("1")
    await client.close()
    tokens = [(path, headers) for path, headers in server.requests if path.startswith("/token")]
    assert len(tokens) == 1
    assert "service=reg" in tokens[0][0]
    assert "scope=repository" in tokens[0][0]
    assert tokens[0][1]["authorization"] == "Basic " + base64.b64encode(b"me:secret").decode()


async def test_a_refused_login_is_denied_not_retried(server: SmallServer) -> None:
    server.handler = lambda path, headers: (401, {"WWW-Authenticate": 'Basic realm="x"'}, b"")
    client = client_of(server, Credentials("me", "wrong"))
    with pytest.raises(RegistryError) as refused:
        await client.manifest("1")
    assert refused.value.denied
    assert len(server.requests) == 2
    assert "wrong" not in str(refused.value)
    await client.close()


@pytest.mark.parametrize("heeds_ranges", [True, False])
async def test_a_blob_goes_on_where_it_stopped(server: SmallServer, heeds_ranges: bool) -> None:
    blob = bytes(range(256)) * 100

    def handler(path: str, headers: dict[str, str]) -> Answer:
        if heeds_ranges:
            start = int(headers["range"].removeprefix("bytes=").rstrip("-"))
            return 206, {}, blob[start:]
        return 200, {}, blob

    server.handler = handler
    client = client_of(server)
    async with client.blob(digest_of(blob), 1000) as chunks:
        received = b"".join([chunk async for chunk in chunks])
    assert received == blob[1000:]
    await client.close()


async def test_a_manifest_that_is_not_what_was_asked_for(server: SmallServer) -> None:
    server.handler = lambda path, headers: (200, {}, MANIFEST)
    client = client_of(server)
    with pytest.raises(RegistryError, match="has digest"):
        await client.manifest("sha256:" + "0" * 64)
    await client.close()


async def test_credentials_are_not_carried_to_another_host(server: SmallServer) -> None:
    other = SmallServer()
    other.handler = lambda path, headers: (200, {}, b"blob")
    listening = await asyncio.start_server(other.serve, "127.0.0.1", 0)
    elsewhere = f"localhost:{listening.sockets[0].getsockname()[1]}"

    def handler(path: str, headers: dict[str, str]) -> Answer:
        if "authorization" not in headers:
            return 401, {"WWW-Authenticate": 'Basic realm="x"'}, b""
        return 307, {"Location": f"http://{elsewhere}/blob"}, b""

    server.handler = handler
    client = client_of(server, Credentials("me", "secret"))
    async with client.blob(digest_of(b"blob")) as chunks:
        assert b"".join([chunk async for chunk in chunks]) == b"blob"
    assert "authorization" not in other.requests[0][1]
    await client.close()
    listening.close()
    await listening.wait_closed()


def test_packed_credentials() -> None:
    packed = base64.b64encode(b"user:pa:ss\0").decode()
    assert Credentials.decode("", "", packed, "", "") == Credentials("user", "pa:ss")
    with pytest.raises(ValueError, match="base64"):
        Credentials.decode("", "", "***", "", "")

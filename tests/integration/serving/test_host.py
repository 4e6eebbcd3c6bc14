"""The HTTPS host on real sockets: client certificates, upgrades, limits, reload, stop."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from component_base.clock import ManualClock
from component_base.pki import CertificateAuthority, Usage
from serving.host import HttpServer, HttpsServer


class App:
    """Says whose certificate it saw; `/slow` waits for ever; `/echo` takes the connection over."""

    def __init__(self) -> None:
        self.ended = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/echo" and (upgrade := scope["extensions"].get("skiff.upgrade")) is not None:
            reader, writer = await upgrade.hijack()
            writer.write(f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: {upgrade.protocol}\r\n\r\n".encode())
            while data := await reader.read(1024):
                writer.write(data.upper())
            writer.close()
            self.ended.set()
            return
        if scope["path"] == "/slow":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await asyncio.Event().wait()
        certificate = scope["extensions"]["skiff.tls"]["client_certificate"]
        body = b"anonymous" if certificate is None else b"%d bytes" % len(certificate)
        headers = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


@pytest.fixture
def authority(tmp_path: Path) -> CertificateAuthority:
    authority = CertificateAuthority.create("test")
    (tmp_path / "ca.crt").write_bytes(authority.certificate_pem)
    write_server_pair(authority, tmp_path)
    authority.issue("ann").write(tmp_path / "ann.crt", tmp_path / "ann.key")
    return authority


def write_server_pair(authority: CertificateAuthority, folder: Path, name: str = "localhost") -> None:
    pair = authority.issue(name, dns=("localhost",), ips=("127.0.0.1",), usages=Usage.SERVER)
    pair.write(folder / "server.crt", folder / "server.key")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(1_800_000_000.0)


@pytest.fixture
async def server(tmp_path: Path, authority: CertificateAuthority, clock: ManualClock) -> AsyncIterator[HttpsServer]:
    host = HttpsServer(
        App(), "127.0.0.1", 0, tmp_path / "server.crt", tmp_path / "server.key", [tmp_path / "ca.crt"], clock=clock
    )
    await host.start()
    yield host
    await host.stop(0.1)


def client_context(folder: Path, name: str = "") -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(folder / "ca.crt"))
    if name:
        context.load_cert_chain(folder / f"{name}.crt", folder / f"{name}.key")
    return context


async def test_the_application_sees_the_verified_client_certificate(server: HttpsServer, tmp_path: Path) -> None:
    async with httpx.AsyncClient(verify=client_context(tmp_path, "ann")) as client:
        assert (await client.get(f"https://127.0.0.1:{server.port}/")).text.endswith(" bytes")
    async with httpx.AsyncClient(verify=client_context(tmp_path)) as client:
        answer = await client.get(f"https://127.0.0.1:{server.port}/")
    assert answer.text == "anonymous"
    assert answer.headers["date"] == "Fri, 15 Jan 2027 08:00:00 GMT"


async def test_a_certificate_of_a_stranger_is_refused_in_the_handshake(server: HttpsServer, tmp_path: Path) -> None:
    CertificateAuthority.create("other").issue("eve").write(tmp_path / "eve.crt", tmp_path / "eve.key")
    async with httpx.AsyncClient(verify=client_context(tmp_path, "eve")) as client:
        with pytest.raises(httpx.TransportError):
            await client.get(f"https://127.0.0.1:{server.port}/")


async def test_a_connection_is_handed_over_with_the_bytes_already_sent(server: HttpsServer, tmp_path: Path) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=client_context(tmp_path))
    writer.write(b"POST /echo HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\nearly ")
    assert b"101 Switching" in await reader.readuntil(b"\r\n\r\n")
    writer.write(b"late")
    assert await reader.readexactly(10) == b"EARLY LATE"
    writer.close()
    await writer.wait_closed()


async def test_an_upgrade_nobody_takes_is_answered_as_plain_http(server: HttpsServer, tmp_path: Path) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=client_context(tmp_path))
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
    answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"connection: close" in answer
    writer.close()


async def test_a_new_certificate_is_served_within_ten_seconds(
    server: HttpsServer, authority: CertificateAuthority, clock: ManualClock, tmp_path: Path
) -> None:
    async def subject() -> Any:
        _, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=client_context(tmp_path))
        certificate = writer.get_extra_info("peercert")
        writer.close()
        return certificate["subject"]

    before = await subject()
    write_server_pair(authority, tmp_path, "renewed")
    clock.advance(10.0)
    assert before != await subject()
    (tmp_path / "server.crt").write_text("broken")
    clock.advance(10.0)
    assert "renewed" in str(await subject()), "a broken file must not stop the service"


async def test_an_endless_head_is_refused(server: HttpsServer, tmp_path: Path) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=client_context(tmp_path))
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n")
    for number in range(1100):
        writer.write(b"X-%d: %s\r\n" % (number, b"v" * 1000))
    assert (await reader.read()).startswith(b"HTTP/1.1 431")
    writer.close()


async def test_what_is_not_http_is_refused_without_a_trace_in_the_log(
    server: HttpsServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=client_context(tmp_path))
    writer.write(b"\x16\x03\x01 nonsense\r\n\r\n")
    assert (await reader.read()).startswith(b"HTTP/1.1 400")
    writer.close()
    assert not caplog.records


async def test_stop_cuts_what_does_not_end_by_itself(clock: ManualClock, caplog: pytest.LogCaptureFixture) -> None:
    host = HttpServer(App(), "127.0.0.1", 0, clock=clock)
    await host.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", host.port)
    writer.write(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
    await reader.readuntil(b"\r\n\r\n")
    await host.stop(0.05)
    assert await reader.read() == b""
    writer.close()
    assert not caplog.records


async def test_a_port_in_use_is_named(clock: ManualClock) -> None:
    first = HttpServer(App(), "127.0.0.1", 0, clock=clock)
    await first.start()
    with pytest.raises(OSError, match=rf"127.0.0.1:{first.port}: Address already in use"):
        await HttpServer(App(), "127.0.0.1", first.port, clock=clock).start()
    await first.stop(0)


async def said_to(server: HttpServer, request: bytes) -> bytes:
    """All that is answered until the server ends the connection, or falls silent for a moment."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(request)
    answer = b""
    try:
        while piece := await asyncio.wait_for(reader.read(65536), 5.0):
            answer += piece
        return answer + b"<end>"
    finally:
        writer.close()


CHUNKED = b"Host: a\r\nTransfer-Encoding: chunked\r\n"


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde", b"400"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -4\r\n\r\nabcde", b"400"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n", b"400"),
        (b"POST /slow HTTP/1.1\r\n" + CHUNKED + b"\r\nZZ\r\nabc\r\n", b"400"),
        (b"POST /slow HTTP/1.1\r\n" + CHUNKED + b"\r\nFFFFFFFFFFFFFFFFFF\r\nabc\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\nHost: a\n\n", b"400"),
        (b"GET / HTTP/1.2\r\nHost: a\r\n\r\n", b"400"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"400"),
        (bytes(range(256)), b"400"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"400"),
        (b"GET /" + b"a" * (1 << 20) + b" HTTP/1.1\r\nHost: a\r\n\r\n", b"431"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: %b\r\n" % (b"x" * 1000) * 1100 + b"\r\n", b"431"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n", b"200"),
        (b"GET / HTTP/1.0\r\n\r\n", b"200"),
    ],
    ids=range(19),
)
async def test_what_is_no_clean_request_ends_its_connection(request_: bytes, status: bytes) -> None:
    """Nothing after it could be trusted to begin where a request begins."""
    server = HttpServer(App(), "127.0.0.1", 0)
    await server.start()
    try:
        answer = await said_to(server, request_)
        assert answer.startswith(b"HTTP/1.1 " + status), answer
        assert answer.endswith(b"<end>")
    finally:
        await server.stop(grace=0)


@pytest.mark.parametrize(
    "request_",
    [
        b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: %b\r\n" % (b"x" * 1000) * 1100,
        b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 99999999\r\n\r\nabc",
    ],
    ids=["head", "body"],
)
async def test_a_client_that_is_still_sending_can_read_its_answer(request_: bytes) -> None:
    """Closing at once would reset the connection under it."""
    server = HttpServer(App(), "127.0.0.1", 0)
    await server.start()
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(request_)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 ")
        writer.write(b"y" * 200_000)
        await writer.drain()
        writer.write_eof()
        await reader.read()
        writer.close()
    finally:
        await server.stop(grace=0)


async def test_a_body_that_goes_on_after_its_answer_is_not_read_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.protocol.LINGER_SECONDS", 0.05)
    server = HttpServer(App(), "127.0.0.1", 0)
    await server.start()
    try:
        endless = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999\r\n\r\nabc"
        assert (await said_to(server, endless)).endswith(b"anonymous<end>")
    finally:
        await server.stop(grace=0)


async def test_pipelined_requests_are_answered_in_their_order() -> None:
    server = HttpServer(App(), "127.0.0.1", 0)
    await server.start()
    try:
        last = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        answer = await said_to(server, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 20 + last)
        assert answer.count(b"HTTP/1.1 200 OK") == 21
    finally:
        await server.stop(grace=0)

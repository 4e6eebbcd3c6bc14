"""Plain requests to pods, services and nodes: body and answer are streamed as they come."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from apiserver.ports import Receive, Scope, Send
from apiserver.proxy.presence import while_present
from apiserver.proxy.rewriting import Links, Page, Unpacked
from apiserver.proxy.splice import forwarded
from apiserver.proxy.target import Target
from apiserver.proxy.transport import Transport, dial_failed
from component_base.lazy import lazily

if TYPE_CHECKING:
    import httpx
else:
    httpx = lazily("httpx")

HOP = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade", b"te", b"trailer"}
)


async def forward(
    transport: Transport, target: Target, scope: Scope, receive: Receive, send: Send, prefix: str = ""
) -> None:
    """Raises StatusError as long as nothing has been answered. Links of pages are made to begin with `prefix`."""
    client = await transport.client(target)
    headers = [(name, value) for name, value in forwarded(scope["headers"]) if name.lower() not in HOP]
    headers.append((b"host", target.authority.encode()))
    if scope.get("client"):
        headers.append((b"x-forwarded-for", str(scope["client"][0]).encode()))
    headers.append((b"x-forwarded-uri", scope["path"].encode()))
    request = client.build_request(
        scope["method"],
        f"{target.scheme}://{target.authority}{target.path}",
        headers=headers,
        content=body_of(scope, receive),
    )
    try:
        response = await client.send(request, stream=True)
    except httpx.TransportError as error:
        raise dial_failed(target, error) from error
    try:
        links = _links(target, scope, prefix) if prefix else None
        await while_present(receive, relay(response, send, links))
    finally:
        await response.aclose()


def _links(target: Target, scope: Scope, prefix: str) -> Links:
    asked = dict(scope["headers"]).get(b"host", b"").decode("latin-1")
    return Links(prefix, frozenset((target.authority, asked)))


async def relay(response: httpx.Response, send: Send, links: Links | None = None) -> None:
    """The answer as it is, encodings included; with `links` pages and redirects are rewritten."""
    headers = [(name.lower(), value) for name, value in response.headers.raw if name.lower() not in HOP]
    page = unpacked = None
    if links is not None:
        headers = [
            (k, links.rewrite(v.decode("latin-1")).encode("latin-1") if k == b"location" else v) for k, v in headers
        ]
        unpacked = _page_body(response)
        if unpacked is not None:
            page = Page(links)
            headers = [(name, value) for name, value in headers if name not in (b"content-length", b"content-encoding")]
    await send({"type": "http.response.start", "status": response.status_code, "headers": headers})
    try:
        async for chunk in response.aiter_raw():
            for piece in (chunk,) if unpacked is None else unpacked.feed(chunk):
                sent = piece if page is None else page.feed(piece)
                await send({"type": "http.response.body", "body": sent, "more_body": True})
    except (httpx.TransportError, zlib.error):
        pass  # the head has been sent: an answer that ends early is all that can be said
    await send({"type": "http.response.body", "body": page.end() if page is not None else b""})


def _page_body(response: httpx.Response) -> Unpacked | None:
    """Of a page that can be rewritten."""
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "text/html" or response.request.method == "HEAD":
        return None
    try:
        return Unpacked(response.headers.get("content-encoding", ""))
    except KeyError:
        return None


def body_of(scope: Scope, receive: Receive) -> AsyncIterator[bytes] | None:
    """The request's body as a stream, None where there is none."""
    headers = dict(scope["headers"])
    if headers.get(b"content-length", b"0") == b"0" and b"transfer-encoding" not in headers:
        return None
    return _body(receive)


async def _body(receive: Receive) -> AsyncIterator[bytes]:
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return
        if message.get("body"):
            yield message["body"]
        if not message.get("more_body"):
            return

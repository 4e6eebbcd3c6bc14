"""Plain requests to pods, services and nodes: body and answer are streamed as they come."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx

from apiserver.ports import Receive, Scope, Send
from apiserver.proxy.splice import forwarded
from apiserver.proxy.target import Target
from apiserver.proxy.transport import Transport, dial_failed

HOP = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade", b"te", b"trailer"}
)


async def forward(transport: Transport, target: Target, scope: Scope, receive: Receive, send: Send) -> None:
    """Raises StatusError as long as nothing has been answered."""
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
        await relay(response, send)
    finally:
        await response.aclose()


async def relay(response: httpx.Response, send: Send) -> None:
    """The answer as it is, encodings included."""
    headers = [(name.lower(), value) for name, value in response.headers.raw if name.lower() not in HOP]
    await send({"type": "http.response.start", "status": response.status_code, "headers": headers})
    try:
        async for chunk in response.aiter_raw():
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
    except httpx.TransportError:
        pass  # the head has been sent: an answer that ends early is all that can be said
    await send({"type": "http.response.body", "body": b""})


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

"""Upgraded connections: the request head goes to the other server, then bytes go both ways until one side ends.

SPDY and WebSocket end in the container runtime's streaming server; nothing here understands them.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable

from apimachinery import errors
from apiserver.ports import Scope
from apiserver.proxy.target import Target
from apiserver.proxy.transport import Transport

CHUNK = 64 * 1024
#: Who the client is, is between him and us; the rest concerns this hop only.
DROPPED = frozenset({b"authorization", b"cookie", b"host", b"proxy-authorization", b"te", b"trailer", b"keep-alive"})
DROPPED_PREFIXES = (b"impersonate-", b"x-remote-")
BEARER_PROTOCOL = b"base64url.bearer.authorization.k8s.io."

Header = tuple[bytes, bytes]
Headers = list[Header]


async def splice(transport: Transport, target: Target, scope: Scope) -> None:
    """Raises StatusError as long as nothing has been answered."""
    upgrade = scope.get("extensions", {}).get("skiff.upgrade")
    if upgrade is None:
        raise errors.bad_request("Upgrade request required")
    await join(await transport.open(target), scope, target)


async def join(
    far: tuple[asyncio.StreamReader, asyncio.StreamWriter], scope: Scope, target: Target, extra: Iterable[Header] = ()
) -> None:
    """Joins the client's connection to one that is open; `extra` headers are added to the request's head."""
    far_reader, far_writer = far
    try:
        far_writer.write(request_head(scope, target, extra))
        near_reader, near_writer = await scope["extensions"]["skiff.upgrade"].hijack()
        for writer in (near_writer, far_writer):
            watch_peer(writer)
        try:
            await _both_ways((near_reader, near_writer), (far_reader, far_writer))
        finally:
            near_writer.close()
    except ConnectionError:
        return
    finally:
        far_writer.close()


async def _both_ways(
    near: tuple[asyncio.StreamReader, asyncio.StreamWriter], far: tuple[asyncio.StreamReader, asyncio.StreamWriter]
) -> None:
    async with asyncio.TaskGroup() as group:
        up = group.create_task(_copy(near[0], far[1]))
        down = group.create_task(_copy(far[0], near[1]))
        await asyncio.wait((up, down), return_when=asyncio.FIRST_COMPLETED)
        up.cancel()
        down.cancel()


def watch_peer(writer: asyncio.StreamWriter) -> None:
    """Sessions have no end of their own: without this, peers that lost their power would hold connections for ever."""
    connection = writer.get_extra_info("socket")
    if connection is None or connection.family not in (socket.AF_INET, socket.AF_INET6):
        return
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 15)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4)


async def _copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    try:
        while data := await source.read(CHUNK):
            sink.write(data)
            await sink.drain()
    except (ConnectionError, OSError):
        return


def request_head(scope: Scope, target: Target, extra: Iterable[Header] = ()) -> bytes:
    lines = [f"{scope['method']} {target.path} HTTP/1.1".encode(), b"Host: " + target.authority.encode()]
    lines += [name + b": " + value for name, value in (*forwarded(scope["headers"]), *extra)]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def forwarded(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    """What the other server may see: no credentials, in whatever header they came."""
    kept: Headers = []
    for name, value in headers:
        lower = name.lower()
        if lower in DROPPED or lower.startswith(DROPPED_PREFIXES):
            continue
        if lower == b"sec-websocket-protocol":
            protocols = [one.strip() for one in value.split(b",")]
            value = b", ".join(one for one in protocols if not one.startswith(BEARER_PROTOCOL))
            if not value:
                continue
        kept.append((name, value))
    return kept

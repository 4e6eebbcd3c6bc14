"""A load generator that costs less than what it measures: prepared requests over kept TLS connections.

httpx spends about a millisecond of CPU on a request; on a machine whose cores the server shares, it would be measured
instead of the server. Only answers with a Content-Length or in chunks are understood.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import uvloop

from kubeclient.kubeconfig import KubeConfig


class Connection:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str) -> None:
        self._reader = reader
        self._writer = writer
        self._host = host

    @classmethod
    async def open(cls, config: KubeConfig, context: ssl.SSLContext) -> Connection:
        server = urlsplit(config.server)
        assert server.hostname is not None
        reader, writer = await asyncio.open_connection(server.hostname, server.port, ssl=context, limit=1 << 24)
        return cls(reader, writer, server.netloc)

    def prepared(self, method: str, path: str, body: Any = None) -> bytes:
        content = json.dumps(body).encode() if body is not None else b""
        kind = "Content-Type: application/json\r\n" if content else ""
        head = f"{method} {path} HTTP/1.1\r\nHost: {self._host}\r\n{kind}Content-Length: {len(content)}\r\n\r\n"
        return head.encode() + content

    async def exchange(self, request: bytes) -> bytes:
        """The body of the answer. Raises RuntimeError for anything but success."""
        self._writer.write(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        status = int(head[9:12])
        lower = head.lower()
        at = lower.find(b"\r\ncontent-length:")
        if at >= 0:
            end = lower.index(b"\r\n", at + 2)
            body = await self._reader.readexactly(int(lower[at + 17 : end]))
        else:
            body = b"".join([chunk async for chunk in self._chunks()])
        if status >= 400:
            raise RuntimeError(f"{status}: {body[:200]!r}")
        return body

    async def _chunks(self) -> Any:
        while True:
            size = int(await self._reader.readline(), 16)
            yield await self._reader.readexactly(size)
            await self._reader.readexactly(2)
            if size == 0:
                return

    async def discard(self, request: bytes) -> int:
        """As `exchange` for answers that are too big to be kept: the size of the body, which is read and dropped."""
        self._writer.write(request)
        head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        if int(head[9:12]) >= 400:
            raise RuntimeError(f"{head[:200]!r}")
        size = left = int(head.partition(b"\r\ncontent-length:")[2].split(b"\r\n")[0])
        while left:
            left -= len(await self._reader.read(min(left, 1 << 20)))
        return size

    async def count_lines(self, request: bytes, count: int) -> None:
        """Read a watch until it has brought `count` events."""
        self._writer.write(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head[:40]
        seen = 0
        while seen < count:
            data = await self._reader.read(1 << 20)
            assert data, "the watch ended early"
            seen += data.count(b'{"type":')

    def close(self) -> None:
        self._writer.close()


Request = Callable[[Connection, int], bytes]


async def rate(config: KubeConfig, connections: int, count: int, request: Request) -> float:
    """Requests per second: `count` in all over `connections`, each sending its next when answered."""
    context = config.ssl_context()
    opened = [await Connection.open(config, context) for _ in range(connections)]
    numbers: Iterator[int] = iter(range(count))

    async def work(connection: Connection) -> None:
        for number in numbers:
            await connection.exchange(request(connection, number))

    began = time.monotonic()
    await asyncio.gather(*(work(connection) for connection in opened))
    took = time.monotonic() - began
    for connection in opened:
        connection.close()
    return count / took


async def fan_out(config: KubeConfig, watchers: int, count: int, watch: str, request: Request) -> float:
    """Events per second received by all watchers together while `count` objects are written over 16 connections."""
    context = config.ssl_context()
    opened = [await Connection.open(config, context) for _ in range(watchers)]
    reading = [asyncio.ensure_future(c.count_lines(c.prepared("GET", watch), count)) for c in opened]
    await asyncio.sleep(0.5)
    began = time.monotonic()
    await rate(config, 16, count, request)
    await asyncio.gather(*reading)
    took = time.monotonic() - began
    for connection in opened:
        connection.close()
    return watchers * count / took


def run(work: Any) -> Any:
    return uvloop.run(work)

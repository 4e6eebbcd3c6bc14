"""An upgraded connection, joined to the runtime's streaming server byte for byte.

The request is sent on as it came, with another target; whatever protocol client and runtime agree on passes through.
"""

import asyncio
import contextlib
from collections.abc import Iterable
from urllib.parse import urlsplit

CHUNK = 1 << 16
CONNECT_SECONDS = 10.0
_DROPPED = {b"host", b"authorization", b"content-length"}


def request_head(method: str, url: str, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    parts = urlsplit(url)
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    lines = [f"{method} {target} HTTP/1.1".encode(), b"Host: " + parts.netloc.encode()]
    for name, value in headers:
        if name.lower() not in _DROPPED:
            lines.append(_title(name) + b": " + value)
    return b"\r\n".join([*lines, b"", b""])


def _title(name: bytes) -> bytes:
    return b"-".join(word.capitalize() for word in name.split(b"-"))


async def splice(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    method: str,
    url: str,
    headers: Iterable[tuple[bytes, bytes]],
) -> None:
    """Returns when either side has closed."""
    parts = urlsplit(url)
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            back_reader, back_writer = await asyncio.open_connection(parts.hostname, parts.port)
    except (OSError, TimeoutError) as error:
        body = f"the runtime's streaming server does not answer: {error}".encode()
        writer.write(b"HTTP/1.1 502 Bad Gateway\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        with contextlib.suppress(OSError):
            await writer.drain()
        writer.close()
        return
    back_writer.write(request_head(method, url, headers))
    try:
        await asyncio.gather(_copy(reader, back_writer), _copy(back_reader, writer))
    finally:
        back_writer.close()
        writer.close()


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    try:
        while data := await source.read(CHUNK):
            target.write(data)
            await target.drain()
    except OSError:
        pass
    finally:
        with contextlib.suppress(OSError, RuntimeError):
            if target.can_write_eof():
                target.write_eof()
            else:
                target.close()

"""Request bodies: read within limits, and turned into the JSON that schemas decode."""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable
from typing import TypeVar

from apimachinery import errors
from apiserver.aside import ASIDE_BYTES, aside
from apiserver.endpoints.accept import JSON, PROTOBUF, YAML
from apiserver.endpoints.exchange import Exchange

#: What upstream accepts of one object; the store takes no more either.
MAX_BODY_BYTES = 3 * 1024 * 1024
#: YAML is read a hundred times slower than JSON.
YAML_ASIDE_BYTES = 32 * 1024
T = TypeVar("T")


async def read(exchange: Exchange, limit: int = MAX_BODY_BYTES) -> bytes:
    """Raises StatusError 413 as soon as it is too long, without reading the rest."""
    declared = exchange.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit:
        raise errors.too_large(limit)
    parts: list[bytes] = []
    size = 0
    while True:
        message = await exchange.receive()
        if message["type"] == "http.disconnect":
            raise errors.bad_request("the client went away before its request was complete")
        piece: bytes = message.get("body", b"")
        size += len(piece)
        if size > limit:
            raise errors.too_large(limit)
        parts.append(piece)
        if not message.get("more_body"):
            break
    data = parts[0] if len(parts) == 1 else b"".join(parts)
    if exchange.headers.get("content-encoding", "") == "gzip":
        data = _expand(data, limit)
    exchange.body_size = len(data)
    return data


def _expand(data: bytes, limit: int) -> bytes:
    try:
        expanded = gzip.GzipFile(fileobj=io.BytesIO(data)).read(limit + 1)
    except (OSError, EOFError) as error:
        raise errors.bad_request(f"the request body is not valid gzip: {error}") from None
    if len(expanded) > limit:
        raise errors.too_large(limit)
    return expanded


def media_type(exchange: Exchange, default: str = JSON) -> str:
    text = exchange.headers.get("content-type", "").split(";")[0].strip().lower()
    return text or default


def object_media_type(exchange: Exchange) -> str:
    """The type of a body that holds an object. Raises StatusError 415."""
    found = media_type(exchange)
    if found in ("text/yaml", "application/x-yaml"):
        return YAML
    if found not in (JSON, YAML, PROTOBUF):
        raise errors.unsupported_media_type((JSON, YAML, PROTOBUF))
    return found


async def decoded(decode: Callable[[], T], data: bytes) -> T:
    """What `decode` makes of `data`; other requests are answered meanwhile, however big it is."""
    return await aside(decode, len(data), ASIDE_BYTES if data[:1] in (b"{", b"k") else YAML_ASIDE_BYTES)

"""Between an object and its stored bytes.

A stored value is compact JSON which begins with kind, apiVersion and metadata, without a resourceVersion: that is the
revision of the key, and is spliced into the bytes when they are read.
"""

from __future__ import annotations

import re
from typing import Any

import orjson

JSON = dict[str, Any]
_HEAD = re.compile(
    rb'\{"kind":"[^"\\]*","apiVersion":"[^"\\]*","metadata":\{|\{"apiVersion":"[^"\\]*","kind":"[^"\\]*","metadata":\{'
)
_REVISION = re.compile(rb'"resourceVersion":"[0-9]+",?')


def decode(data: bytes) -> JSON:
    found: JSON = orjson.loads(data)
    return found


def encode(obj: JSON) -> bytes:
    """As clients see it: kind, apiVersion and metadata first."""
    head = {"kind": obj.get("kind", ""), "apiVersion": obj.get("apiVersion", "")}
    if "metadata" in obj:
        head["metadata"] = obj["metadata"]
    return orjson.dumps({**head, **obj})


def for_storage(obj: JSON) -> bytes:
    metadata = obj["metadata"]
    if "resourceVersion" in metadata or "selfLink" in metadata:
        metadata = {k: v for k, v in metadata.items() if k not in ("resourceVersion", "selfLink")}
    ordered = {"kind": obj["kind"], "apiVersion": obj["apiVersion"], "metadata": metadata, **obj}
    ordered["metadata"] = metadata
    return orjson.dumps(ordered)


def with_revision(value: bytes, revision: int) -> bytes:
    """The stored value as clients see it. Values of other writers may have another order: they are written anew."""
    match = _HEAD.match(value)
    if match is None:
        value = for_storage(decode(value))
        match = _HEAD.match(value)
        assert match is not None, value[:80]
    end = match.end()
    comma = b"" if value[end : end + 1] == b"}" else b","
    return b'%b"resourceVersion":"%d"%b%b' % (value[:end], revision, comma, value[end:])


def replace_revision(data: bytes, revision: int) -> bytes:
    """Bytes made by `with_revision`, as of another revision."""
    match = _HEAD.match(data)
    assert match is not None, data[:80]
    end = match.end()
    old = _REVISION.match(data, end)
    assert old is not None, data[:120]
    comma = b"," if old.group().endswith(b",") else b""
    return b'%b"resourceVersion":"%d"%b%b' % (data[:end], revision, comma, data[old.end() :])

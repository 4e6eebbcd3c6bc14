"""Lists that are rendered in pieces are what they would be as a whole, in every representation."""

from __future__ import annotations

import gzip
from collections.abc import MutableMapping
from typing import Any

import orjson
import pytest

from apimachinery import protobuf
from apimachinery.resources import ResourceInfo
from apiserver.endpoints.accept import JSON, PROTOBUF, YAML, Representation
from apiserver.endpoints.exchange import Exchange, as_yaml
from apiserver.endpoints.list import answer_page
from apiserver.endpoints.render import STORED_BATCH_BYTES, Renderer
from apiserver.registry.catalog import Catalog
from apiserver.storage import encoding
from apiserver.storage.cache import Entry
from apiserver.storage.index import Indexer
from apiserver.storage.listing import Page
from component_base.clock import ManualClock

MANY = 4 * STORED_BATCH_BYTES // 1000


def info_of(group: str, version: str, kind: str) -> ResourceInfo:
    found = Catalog().find_kind(group, version, kind)
    assert found is not None
    return found


def page_of(count: int) -> Page:
    indexer, entries = Indexer("configmaps"), []
    for number in range(count):
        metadata = {"name": f"m-{number:05}", "namespace": "a"}
        value = {"kind": "ConfigMap", "apiVersion": "v1", "metadata": metadata, "data": {"text": "line\n" * 200}}
        data = encoding.with_revision(encoding.for_storage(value), number + 1)
        entries.append(Entry(f"a/m-{number:05}", data, number + 1, indexer.summary(data)))
    return Page(entries, count + 1)


def plain_list(page: Page) -> dict[str, Any]:
    items = [orjson.loads(entry.data) for entry in page.entries]
    head = {"kind": "ConfigMapList", "apiVersion": "v1", "metadata": {"resourceVersion": str(page.revision)}}
    return {**head, "items": items}


class Asked:
    """A request by a client who takes `accept`, and what it is sent."""

    def __init__(self, method: str = "GET", **headers: str) -> None:
        lines = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        scope = {"method": method, "path": "/api/v1/namespaces/a/configmaps", "headers": lines, "query_string": b""}
        self.head: dict[bytes, bytes] = {}
        self.pieces: list[bytes] = []
        self.exchange = Exchange(scope, self._receive, self._send)

    async def _receive(self) -> dict[str, Any]:
        raise AssertionError("a list has no body to read")

    async def _send(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.head = dict(message["headers"])
        elif message["body"]:
            self.pieces.append(bytes(message["body"]))

    async def list(self, page: Page) -> bytes:
        self.exchange.choose()
        info = info_of("", "v1", "ConfigMap")
        await answer_page(_Core(), self.exchange, info, page)  # type: ignore[arg-type]
        return b"".join(self.pieces)


class _Core:
    def renderer(self, exchange: Exchange, info: ResourceInfo) -> Renderer:
        return Renderer(info, exchange.representation, "", ManualClock())


@pytest.mark.parametrize("count", [0, 1, MANY])
async def test_plain_and_pretty(count: int) -> None:
    page, asked = page_of(count), Asked()
    body = await asked.list(page)
    assert orjson.loads(body) == plain_list(page)
    pretty = await Asked(user_agent="curl/8").list(page)
    assert pretty == orjson.dumps(plain_list(page), option=orjson.OPT_INDENT_2)
    if count == MANY:
        assert len(asked.pieces) > 3
        assert max(map(len, asked.pieces)) < 2 * STORED_BATCH_BYTES
        assert asked.head[b"content-length"] == b"%d" % len(body)


async def test_packed_pieces_are_one_stream() -> None:
    page, asked = page_of(MANY), Asked(accept_encoding="gzip")
    assert orjson.loads(gzip.decompress(await asked.list(page))) == plain_list(page)
    assert asked.head[b"content-encoding"] == b"gzip"
    assert b"content-length" not in asked.head


@pytest.mark.parametrize("transform", ["Table", "PartialObjectMetadataList"])
def test_rows_and_bare_metadata(transform: str) -> None:
    page, info = page_of(MANY), info_of("", "v1", "ConfigMap")
    pieces, size = Renderer(info, Representation(JSON, transform), "", ManualClock()).list_parts(page)
    made = list(pieces)
    assert size is None
    assert len(made) > 3
    body = orjson.loads(b"".join(made))
    items = body["rows"] if transform == "Table" else body["items"]
    names = [(item["object"] if transform == "Table" else item)["metadata"]["name"] for item in items]
    assert names == [entry.name for entry in page.entries]
    assert body["kind"] == transform


async def test_yaml_and_protobuf() -> None:
    page = page_of(7)
    body = await Asked(accept=YAML).list(page)
    assert body == as_yaml(orjson.dumps(plain_list(page)))
    page = page_of(MANY)
    decoded = protobuf.decode(await Asked(accept=PROTOBUF).list(page))
    assert [item["metadata"]["name"] for item in decoded["items"]] == [entry.name for entry in page.entries]
    assert decoded["metadata"]["resourceVersion"] == str(page.revision)


async def test_head_says_the_length_and_no_more() -> None:
    page, asked = page_of(MANY), Asked("HEAD")
    assert await asked.list(page) == b""
    assert int(asked.head[b"content-length"]) > STORED_BATCH_BYTES

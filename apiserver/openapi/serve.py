"""Answers `/openapi/v2` and `/openapi/v3…`.

Documents are big and rarely read: each is built when it is first asked for, off the loop's thread, and kept compressed.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import orjson

from apimachinery import errors
from apimachinery.gvk import join_api_version
from apimachinery.schema import definitions
from apiserver.endpoints.exchange import Exchange
from apiserver.openapi import documents, wire
from apiserver.registry.catalog import Catalog

#: Clients ask with an `@` in the place of the first dot of `v2.v1`, which is no valid media type in an answer.
JSON = dict[str, Any]
_PROTOBUF = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"


class Others(Protocol):
    """The documents of group versions that other servers answer."""

    @property
    def generation(self) -> int: ...

    def answers(self, group: str, version: str) -> bool: ...

    async def index(self) -> JSON:
        """Their entries of `/openapi/v3`."""
        ...

    async def v3(self, group: str, version: str) -> JSON | None: ...

    async def v2(self, own: JSON) -> JSON:
        """Ours with theirs."""
        ...


class OpenApi:
    def __init__(self, catalog: Catalog, server_version: str, others: Others | None = None) -> None:
        self._catalog = catalog
        self._others = others
        self._version = server_version
        self._kept: dict[str, bytes] = {}
        self._generation = (-1, -1)
        self._building = asyncio.Lock()

    async def __call__(self, exchange: Exchange) -> bool:
        """Whether the path was one of OpenAPI's."""
        path = exchange.path.rstrip("/")
        if not path.startswith("/openapi/v"):
            return False
        if exchange.method not in ("GET", "HEAD"):
            raise errors.method_not_allowed()
        if path == "/openapi/v2":
            await self._v2(exchange)
        elif path == "/openapi/v3":
            await exchange.answer_object(200, await self._index())
        elif path.startswith("/openapi/v3/"):
            await self._v3(exchange, path.removeprefix("/openapi/v3/"))
        else:
            return False
        return True

    async def _v2(self, exchange: Exchange) -> None:
        accept = exchange.headers.get("accept", "")
        if "protobuf" in accept.split(",")[0]:
            data = await self._get("v2.pb", self._whole, wire.document)
            await self._send(exchange, data, _PROTOBUF, self._etag("v2"))
            return
        data = await self._get("v2", self._whole, orjson.dumps)
        await self._send(exchange, data, "application/json", self._etag("v2"))

    async def _v3(self, exchange: Exchange, name: str) -> None:
        group, version = self._group_version(name)

        async def build() -> JSON:
            if self._others is not None and self._others.answers(group, version):
                found = await self._others.v3(group, version)
                if found is None:
                    raise errors.path_not_found()
                return found
            return await asyncio.to_thread(documents.v3, self._catalog, group, version, self._version)

        data = await self._get(f"v3/{name}", build, orjson.dumps)
        await self._send(exchange, data, "application/json", self._etag(name))

    async def _whole(self) -> JSON:
        own = await asyncio.to_thread(documents.v2, self._catalog, self._version)
        return await self._others.v2(own) if self._others is not None else own

    def _group_version(self, name: str) -> tuple[str, str]:
        parts = name.split("/")
        if parts[0] == "api" and len(parts) == 2:
            group, version = "", parts[1]
        elif parts[0] == "apis" and len(parts) == 3:
            group, version = parts[1], parts[2]
        else:
            raise errors.path_not_found()
        elsewhere = self._others is not None and self._others.answers(group, version)
        if not elsewhere and not self._catalog.has_group_version(group, version):
            raise errors.path_not_found()
        return group, version

    async def _index(self) -> JSON:
        paths: JSON = {}
        for group, versions in self._catalog.groups():
            for version in versions:
                name = f"apis/{join_api_version(group, version)}" if group else f"api/{version}"
                paths[name] = {"serverRelativeURL": f"/openapi/v3/{name}?hash={self._etag(name)}"}
        if self._others is not None:
            paths |= await self._others.index()
        return {"paths": paths}

    def _etag(self, name: str) -> str:
        """Of what the document is made of, so that the index needs no documents."""
        parts = name.split("/")
        described = self._catalog if name == "v2" else self._catalog.of("/".join(parts[1:-1]), parts[-1])
        served = ",".join(
            f"{info.plural}:{info.custom.digest if info.custom else ','.join(one.name for one in info.subresources)}"
            for info in described
        )
        others = self._others.generation if self._others and (name == "v2" or not served) else 0
        text = f"{definitions.VERSION} {self._version} {name} {served} {others}"
        return hashlib.sha512(text.encode()).hexdigest().upper()

    async def _get(self, name: str, build: Callable[[], Awaitable[JSON]], encode: Callable[[JSON], bytes]) -> bytes:
        async with self._building:
            generation = (self._catalog.generation, self._others.generation if self._others else 0)
            if self._generation != generation:
                self._kept.clear()
                self._generation = generation
            if name not in self._kept:
                document = await build()
                self._kept[name] = await asyncio.to_thread(lambda: gzip.compress(encode(document), 1))
            return self._kept[name]

    @staticmethod
    async def _send(exchange: Exchange, data: bytes, content_type: str, etag: str) -> None:
        if exchange.headers.get("if-none-match", "").strip('"') == etag:
            await exchange.answer(304, b"", content_type, [(b"etag", f'"{etag}"'.encode())])
            return
        extra = [(b"etag", f'"{etag}"'.encode()), (b"vary", b"Accept-Encoding, Accept")]
        if "gzip" in exchange.headers.get("accept-encoding", ""):
            await exchange.answer(200, data, content_type, [*extra, (b"content-encoding", b"gzip")], compress=False)
        else:
            await exchange.answer(200, await asyncio.to_thread(gzip.decompress, data), content_type, extra)

"""The shell around the API: discovery, OpenAPI, health, documents, and the pages that FastAPI hosts."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from pathlib import Path
from typing import Any

import orjson

from apiserver.discovery.serve import Discovery
from apiserver.endpoints.exchange import Exchange
from apiserver.health import Health
from apiserver.openapi.serve import OpenApi
from apiserver.registry.catalog import Catalog
from apiserver.tokens.documents import Document
from apiserver.workers import Worker

VERSION = {
    "major": "1",
    "minor": "36",
    "emulationMajor": "1",
    "emulationMinor": "36",
    "minCompatibilityMajor": "1",
    "minCompatibilityMinor": "35",
    "gitVersion": "v1.36.0+skiff",
    "gitCommit": "",
    "gitTreeState": "clean",
    "buildDate": "2026-04-22T00:00:00Z",
    "goVersion": "",
    "compiler": "cpython",
    "platform": "linux/amd64",
}
Application = Callable[[Any, Any, Any], Awaitable[None]]
Message = MutableMapping[str, Any]


class Shell:
    """What answers paths that are no resources."""

    def __init__(
        self,
        catalog: Catalog,
        discovery: Discovery,
        openapi: OpenApi,
        health: Health,
        documents: Mapping[str, Document],
        log_folder: Path,
        worker: Worker,
    ) -> None:
        self._catalog = catalog
        self._discovery = discovery
        self._openapi = openapi
        self._health = health
        self._documents = documents
        self._log_folder = log_folder
        self._worker = worker
        self._pages: Application | None = None
        self._importing = asyncio.Lock()

    async def __call__(self, exchange: Exchange) -> None:
        if await self._discovery(exchange) or await self._openapi(exchange) or await self._health(exchange):
            return
        document = self._documents.get(exchange.path)
        if document is not None and exchange.method == "GET":
            cache = (b"cache-control", document.cache_control.encode())
            await exchange.answer(200, document.body, document.content_type, [cache])
            return
        if exchange.path.rstrip("/") == "/version" and exchange.method == "GET":
            await exchange.answer(200, orjson.dumps(VERSION, option=orjson.OPT_INDENT_2))
            return
        async with self._importing:
            if self._pages is None:
                self._pages = await asyncio.to_thread(self._build)

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                exchange.started, exchange.status = True, message["status"]
                message["headers"] = [*exchange.standing_headers(), *message["headers"]]
            await exchange.send(message)

        await self._pages(exchange.scope, exchange.receive, send)

    def _build(self) -> Application:
        from apiserver import pages

        return pages.build(self._catalog, self._health, self._documents, self._log_folder, self._worker)

"""Answers `/api`, `/apis` and what lies right under them, in the form the Accept header prefers."""

from __future__ import annotations

import hashlib

import orjson

from apimachinery import errors
from apiserver.discovery import documents
from apiserver.endpoints.exchange import Exchange
from apiserver.registry.catalog import Catalog

_AGGREGATED = "apidiscovery.k8s.io"


class Discovery:
    """Documents are encoded once for each state of the catalog."""

    def __init__(self, catalog: Catalog, server_address: str, others: documents.Others | None = None) -> None:
        self._catalog = catalog
        self._others = others
        self._address = server_address
        self._cache: dict[tuple[str, str], tuple[bytes, str]] = {}
        self._generation = (-1, -1)

    async def __call__(self, exchange: Exchange) -> bool:
        """Whether the path was one of discovery's."""
        path = exchange.path.rstrip("/")
        parts = path.strip("/").split("/")
        if parts[0] not in ("api", "apis") or len(parts) > (2 if parts[0] == "api" else 3):
            return False
        if exchange.method not in ("GET", "HEAD"):
            raise errors.method_not_allowed()
        version = aggregated_version(exchange.headers.get("accept", "")) if len(parts) == 1 else ""
        body, etag = self._document(path, parts, version)
        if not version:
            exchange.choose()
            await exchange.answer_json(200, body)
            return True
        content = f"application/json;g={_AGGREGATED};v={version};as=APIGroupDiscoveryList"
        extra = [(b"etag", f'"{etag}"'.encode()), (b"vary", b"Accept")]
        if exchange.headers.get("if-none-match", "").strip('"') == etag:
            await exchange.answer(304, b"", content, extra)
        else:
            await exchange.answer(200, body, content, extra)
        return True

    def _document(self, path: str, parts: list[str], version: str) -> tuple[bytes, str]:
        generation = (self._catalog.generation, self._others.generation if self._others else 0)
        if self._generation != generation:
            self._cache.clear()
            self._generation = generation
        found = self._cache.get((path, version))
        if found is None:
            body = orjson.dumps(self._build(parts, version))
            found = self._cache[path, version] = (body, hashlib.sha512(body).hexdigest().upper())
        return found

    def _build(self, parts: list[str], version: str) -> documents.JSON:
        legacy = parts[0] == "api"
        served = self._catalog.groups()
        if self._others is not None:
            served = self._others.order(served)
        if version:
            return documents.aggregated(self._catalog, served, self._others, legacy, version)
        if len(parts) == 1:
            return documents.api_versions(self._address) if legacy else documents.group_list(served)
        if legacy:
            found = documents.resource_list(self._catalog, "", parts[1])
        elif len(parts) == 2:
            found = documents.group(served, parts[1])
        else:
            found = documents.resource_list(self._catalog, parts[1], parts[2])
        if found is None:
            raise errors.path_not_found()
        return found


def aggregated_version(accept: str) -> str:
    """The version of aggregated discovery that a client asks for before the plain form; "" for the plain form."""
    for clause in accept.split(","):
        media, *rest = (part.strip() for part in clause.split(";"))
        parameters = dict(item.partition("=")[::2] for item in rest)
        if media != "application/json":
            continue
        if parameters.get("g") == _AGGREGATED and parameters.get("as") == "APIGroupDiscoveryList":
            if parameters.get("v") in ("v2", "v2beta1"):
                return parameters["v"]
            continue
        return ""
    return ""

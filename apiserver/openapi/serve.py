"""Answers `/openapi/v2` and `/openapi/v3…`."""

from __future__ import annotations

from apiserver.endpoints.exchange import Exchange
from apiserver.registry.catalog import Catalog


class OpenApi:
    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    async def __call__(self, exchange: Exchange) -> bool:
        """Whether the path was one of OpenAPI's."""
        return False

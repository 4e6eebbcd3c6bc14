"""What people and tools ask a service now and then: metrics and version, on FastAPI. Imported when first asked for."""

from __future__ import annotations

from fastapi import FastAPI, Response

from component_base import metrics
from serving.health import VERSION


def pages() -> FastAPI:
    app = FastAPI(title="metrics and version", docs_url=None, redoc_url=None, openapi_url=None)

    @app.get("/metrics")
    async def show_metrics() -> Response:
        return Response(metrics.exposition(), media_type=metrics.CONTENT_TYPE)

    @app.get("/version")
    async def version() -> dict[str, str]:
        return VERSION

    return app

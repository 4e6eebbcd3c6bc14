"""The pages for people and their tools: metrics, logs and the index, on FastAPI.

Imported when the first of them is asked for: FastAPI and pydantic take a third of the time an apiserver has to start.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import orjson
from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse, Response

from apimachinery import errors
from apiserver import worker_metrics
from apiserver.app import VERSION
from apiserver.endpoints.exchange import NO_PAGE
from apiserver.health import Health
from apiserver.registry.catalog import Catalog
from apiserver.tokens.documents import Document
from apiserver.workers import Worker
from component_base import metrics

_PLAIN_PATHS = ("/healthz", "/livez", "/readyz", "/logs", "/metrics", "/openapi/v2", "/openapi/v3", "/version")


def build(
    catalog: Catalog, health: Health, documents: Mapping[str, Document], log_folder: Path, worker: Worker
) -> FastAPI:
    app = FastAPI(title="Kubernetes", version=VERSION["gitVersion"], docs_url=None, redoc_url=None, openapi_url=None)

    @app.exception_handler(404)
    @app.exception_handler(405)
    async def missing(request: Request, error: Exception) -> Response:
        if getattr(error, "status_code", 404) == 405:
            return JSONResponse(errors.method_not_allowed().body(), 405)
        return _not_found()

    @app.get("/")
    async def index() -> Response:
        body = orjson.dumps({"paths": paths(catalog, health, documents)}, option=orjson.OPT_INDENT_2)
        return Response(body, media_type="application/json")

    @app.get("/metrics")
    async def exposition() -> Response:
        return Response(await worker_metrics.exposition(worker), media_type=metrics.CONTENT_TYPE)

    _add_logs(app, log_folder)
    return app


def _not_found() -> Response:
    return PlainTextResponse(NO_PAGE.decode(), 404, {"x-content-type-options": "nosniff"})


def paths(catalog: Catalog, health: Health, documents: Mapping[str, Document]) -> list[str]:
    found = ["/api", "/api/v1", "/apis", "/apis/"]
    for group, versions in catalog.groups():
        if group:
            found += [f"/apis/{group}", *(f"/apis/{group}/{version}" for version in versions)]
    for kind in ("healthz", "livez", "readyz"):
        found += [f"/{kind}/{name}" for name in health.checks]
    return sorted({*found, *_PLAIN_PATHS, *documents})


def _add_logs(app: FastAPI, folder: Path) -> None:
    """The files of the log folder, as `kubectl get --raw /logs/` shows them."""

    @app.get("/logs")
    @app.get("/logs/")
    def listing() -> Response:
        names = (
            sorted(path.name + ("/" if path.is_dir() else "") for path in folder.iterdir()) if folder.is_dir() else []
        )
        lines = "".join(f'<a href="{name}">{name}</a>\n' for name in names)
        return Response(f"<!doctype html>\n<pre>\n{lines}</pre>\n", media_type="text/html")

    @app.get("/logs/{name:path}")
    def one(name: str) -> Response:
        path = (folder / name).resolve()
        if not path.is_relative_to(folder.resolve()) or not path.is_file():
            return _not_found()
        return FileResponse(path, media_type="text/plain")

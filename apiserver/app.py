"""The shell around the API: health, version, metrics, logs and the index, on FastAPI."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse, Response

from apimachinery import errors
from apiserver.discovery.serve import Discovery
from apiserver.endpoints.exchange import Exchange
from apiserver.health import Health
from apiserver.openapi.serve import OpenApi
from apiserver.registry.catalog import Catalog
from apiserver.tokens.documents import Document
from component_base import metrics

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
_PLAIN_PATHS = ("/healthz", "/livez", "/readyz", "/logs", "/metrics", "/openapi/v2", "/openapi/v3", "/version")


class Shell:
    """What answers paths that are no resources: discovery, documents, then the FastAPI application."""

    def __init__(
        self,
        discovery: Discovery,
        openapi: OpenApi,
        documents: Mapping[str, Document],
        app: FastAPI,
    ) -> None:
        self._discovery = discovery
        self._openapi = openapi
        self._documents = documents
        self._app = app

    async def __call__(self, exchange: Exchange) -> None:
        if await self._discovery(exchange) or await self._openapi(exchange):
            return
        document = self._documents.get(exchange.path)
        if document is not None and exchange.method == "GET":
            cache = (b"cache-control", document.cache_control.encode())
            await exchange.answer(200, document.body, document.content_type, [cache])
            return
        await self._app(exchange.scope, exchange.receive, _watching(exchange))


def _watching(exchange: Exchange):  # type: ignore[no-untyped-def]
    async def send(message):  # type: ignore[no-untyped-def]
        if message["type"] == "http.response.start":
            exchange.started, exchange.status = True, message["status"]
        await exchange.send(message)

    return send


def build(catalog: Catalog, health: Health, documents: Mapping[str, Document], log_folder: Path) -> FastAPI:
    app = FastAPI(title="Kubernetes", version=VERSION["gitVersion"], docs_url=None, redoc_url=None, openapi_url=None)

    @app.exception_handler(404)
    @app.exception_handler(405)
    async def missing(request: Request, error: Exception) -> JSONResponse:
        code = getattr(error, "status_code", 404)
        status = errors.method_not_allowed() if code == 405 else errors.path_not_found()
        return JSONResponse(status.body(), status.code)

    @app.get("/")
    async def index() -> JSONResponse:
        return JSONResponse({"paths": paths(catalog, health, documents)})

    @app.get("/version")
    @app.get("/version/")
    async def version() -> JSONResponse:
        return JSONResponse(VERSION)

    @app.get("/metrics")
    def exposition() -> Response:
        return Response(metrics.exposition(), media_type=metrics.CONTENT_TYPE)

    _add_health(app, health)
    _add_logs(app, log_folder)
    return app


def paths(catalog: Catalog, health: Health, documents: Mapping[str, Document]) -> list[str]:
    found = ["/api", "/api/v1", "/apis", "/apis/"]
    for group, versions in catalog.groups():
        if group:
            found += [f"/apis/{group}", *(f"/apis/{group}/{version}" for version in versions)]
    for kind in ("healthz", "livez", "readyz"):
        found += [f"/{kind}/{name}" for name in health.checks]
    return sorted({*found, *_PLAIN_PATHS, *documents})


def _add_health(app: FastAPI, health: Health) -> None:
    async def answer(kind: str, request: Request) -> PlainTextResponse:
        well, text = await health.report(kind, set(request.query_params.getlist("exclude")))
        headers = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-cache, private"}
        if not well:
            return PlainTextResponse(text, 500, headers)
        return PlainTextResponse(text if "verbose" in request.query_params else "ok", 200, headers)

    async def one(kind: str, name: str) -> PlainTextResponse:
        check = health.checks.get(name)
        if check is None:
            return PlainTextResponse("404 page not found\n", 404)
        problem = await check()
        return PlainTextResponse(f"internal server error: {problem}\n" if problem else "ok", 500 if problem else 200)

    def add(kind: str) -> None:
        @app.get(f"/{kind}")
        @app.get(f"/{kind}/")
        async def all_checks(request: Request) -> PlainTextResponse:
            return await answer(kind, request)

        @app.get(f"/{kind}/{{name:path}}")
        async def one_check(name: str) -> PlainTextResponse:
            return await one(kind, name)

    for kind in ("healthz", "livez", "readyz"):
        add(kind)


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
            return JSONResponse(errors.path_not_found().body(), 404)
        return FileResponse(path, media_type="text/plain")

"""What every service answers besides its work: health with named checks, metrics, version.

/readyz            ok
/readyz?verbose    [+]ping ok, [-]informers failed: reason withheld …
/readyz/informers  one check alone
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI, Request, Response

from component_base import metrics
from serving.delegated import DelegatedAuth, PathAttributes

Check = Callable[[], str | None]
"""None when well, else a sentence for the log and for those who may read it."""

#: Paths anybody may ask, as upstream's --authorization-always-allow-paths.
OPEN_PATHS = ("/healthz", "/livez", "/readyz")
VERSION = {
    "major": "1",
    "minor": "36",
    "gitVersion": "v1.36.0+skiff",
    "gitCommit": "",
    "gitTreeState": "clean",
    "buildDate": "2026-04-22T00:00:00Z",
    "goVersion": "none",
    "compiler": "python",
    "platform": "linux/amd64",
}


class Health:
    """Checks by name; a check belongs to `/livez`, to `/readyz`, or to both. `/healthz` runs all."""

    def __init__(self) -> None:
        self._checks: dict[str, tuple[Check, bool, bool]] = {"ping": (lambda: None, True, True)}

    def add(self, name: str, check: Check, live: bool = False, ready: bool = True) -> None:
        self._checks[name] = (check, live, ready)

    def run(self, endpoint: str) -> dict[str, str | None]:
        at = {"livez": 1, "readyz": 2}.get(endpoint)
        return {name: entry[0]() for name, entry in self._checks.items() if at is None or entry[at]}

    def answer(self, endpoint: str, verbose: bool, only: str = "") -> tuple[int, str]:
        """The status code and the text that upstream's services answer with."""
        results = self.run(endpoint)
        if only:
            if only not in results:
                return 404, "404 page not found\n"
            results = {only: results[only]}
        failed = [name for name, problem in results.items() if problem is not None]
        if not failed and not verbose:
            return 200, "ok"
        lines = [
            f"[+]{name} ok" if problem is None else f"[-]{name} failed: {problem}" for name, problem in results.items()
        ]
        lines.append(f"{endpoint} check {'failed' if failed else 'passed'}\n")
        return (500 if failed else 200), "\n".join(lines)


def health_app(
    health: Health,
    auth: DelegatedAuth | None = None,
    more: Callable[[FastAPI], None] | None = None,
) -> FastAPI:
    """The application of a service's health and metrics port. With `auth`, all but the open paths need permission."""
    app = FastAPI(title="health and metrics", docs_url=None, redoc_url=None, openapi_url=None)

    async def checks(request: Request, only: str = "") -> Response:
        endpoint = request.url.path.split("/")[1]
        code, text = health.answer(endpoint, "verbose" in request.query_params, only)
        return Response(
            text, code, media_type="text/plain; charset=utf-8", headers={"cache-control": "no-cache, private"}
        )

    for endpoint in ("healthz", "livez", "readyz"):
        app.add_api_route(f"/{endpoint}", checks, methods=["GET", "HEAD"])
        app.add_api_route(f"/{endpoint}/{{only}}", checks, methods=["GET", "HEAD"])

    @app.get("/metrics")
    async def show_metrics() -> Response:
        return Response(metrics.exposition(), media_type=metrics.CONTENT_TYPE)

    @app.get("/version")
    async def version() -> dict[str, str]:
        return VERSION

    if more is not None:
        more(app)
    if auth is not None:
        _guard(app, auth)
    return app


def _guard(app: FastAPI, auth: DelegatedAuth) -> None:
    @app.middleware("http")
    async def check(request: Request, proceed: Callable[[Request], Awaitable[Response]]) -> Response:
        path = request.url.path
        if not any(path == open_path or path.startswith(open_path + "/") for open_path in OPEN_PATHS):
            tls: dict[str, Any] = request.scope.get("extensions", {}).get("skiff.tls", {})
            user = await auth.authenticate(dict(request.headers), tls.get("client_certificate"))
            if user is None:
                return Response("Unauthorized", 401)
            allowed, _ = await auth.authorize(user, PathAttributes(request.method.lower(), path))
            if not allowed:
                return Response(f'Forbidden: user "{user.name}" cannot {request.method.lower()} path "{path}"', 403)
        return await proceed(request)

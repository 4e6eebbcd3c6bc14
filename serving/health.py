"""What every service answers besides its work: health with named checks, metrics, version.

/readyz            ok
/readyz?verbose    [+]ping ok, [-]informers failed: reason withheld …
/readyz/informers  one check alone
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

from serving.delegated import DelegatedAuth, PathAttributes

Check = Callable[[], str | None]
"""None when well, else a sentence for the log and for those who may read it."""

App = Callable[[Any, Any, Any], Any]

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


class HealthApp:
    """The ASGI application of a service's health and metrics port.

    Health is for everybody and answered here. The rest is on FastAPI, imported by its first request (decision 9), and
    with `auth` for those only whom the apiserver lets.
    """

    def __init__(self, health: Health, auth: DelegatedAuth | None = None) -> None:
        self._health = health
        self._auth = auth
        self._pages: App | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        path = str(scope["path"])
        endpoint, _, only = path.strip("/").partition("/")
        if f"/{endpoint}" in OPEN_PATHS:
            verbose = any(key == "verbose" for key, _ in parse_qsl(scope["query_string"].decode(), True))
            code, text = self._health.answer(endpoint, verbose, only)
            await answer(send, code, text)
            return
        refusal = await self._refusal(scope, path) if self._auth is not None else None
        if refusal is not None:
            await answer(send, *refusal)
            return
        if self._pages is None:
            self._pages = await asyncio.to_thread(_pages)
        await self._pages(scope, receive, send)

    async def _refusal(self, scope: Any, path: str) -> tuple[int, str] | None:
        assert self._auth is not None
        tls = (scope.get("extensions") or {}).get("skiff.tls") or {}
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        user = await self._auth.authenticate(headers, tls.get("client_certificate"))
        if user is None:
            return 401, "Unauthorized"
        verb = str(scope["method"]).lower()
        allowed, _ = await self._auth.authorize(user, PathAttributes(verb, path))
        return None if allowed else (403, f'Forbidden: user "{user.name}" cannot {verb} path "{path}"')


def _pages() -> App:
    """A third of a second and megabytes, so only when somebody asks and beside the loop."""
    from serving.pages import pages

    return pages()


async def answer(send: Any, code: int, text: str) -> None:
    body = text.encode()
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"cache-control", b"no-cache, private"),
        (b"content-length", str(len(body)).encode()),
    ]
    await send({"type": "http.response.start", "status": code, "headers": headers})
    await send({"type": "http.response.body", "body": body})

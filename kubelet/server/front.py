"""What stands before the API's pages: health, authentication and authorization, in plain ASGI.

The pages themselves (`app`) are imported by the first request for one: a node's start and its idle memory should not
pay for a web framework that nobody has asked anything yet.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from component_base.clock import Clock
from kubelet.agent import Agent
from kubelet.server import access
from kubelet.server.stats import Stats
from serving.delegated import DelegatedAuth, ResourceAttributes

HEALTH_PATHS = ("/healthz", "/healthz/ping", "/healthz/log", "/healthz/syncloop")


async def answer(send: Any, code: int, text: str) -> None:
    body = text.encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": code, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class HealthApp:
    """The plain port for probes on the node itself, and the same paths of the HTTPS API."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        pleg = self._agent.pleg
        if scope["path"] not in HEALTH_PATHS:
            await answer(send, 404, "404 page not found\n")
        elif not pleg.healthy:
            await answer(send, 500, f"pleg was last seen active {pleg.silent_for:.0f}s ago")
        else:
            await answer(send, 200, "ok")


class Pages:
    """The HTTPS API, whose routes are imported when they are first wanted."""

    def __init__(self, agent: Agent, stats: Stats, clock: Clock) -> None:
        self._health = HealthApp(agent)
        self._make = _maker(agent, stats, clock, clock.now())
        self._app: Any = None
        self._lock = asyncio.Lock()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] in HEALTH_PATHS:
            await self._health(scope, receive, send)
            return
        async with self._lock:
            if self._app is None:
                self._app = await asyncio.to_thread(self._make)
        await self._app(scope, receive, send)


def _maker(agent: Agent, stats: Stats, clock: Clock, started: float) -> Callable[[], Any]:
    def make() -> Any:
        from kubelet.server.app import api

        return api(agent, stats, clock, started)

    return make


class Guard:
    """Authentication and authorization around the whole application."""

    def __init__(self, app: Any, auth: DelegatedAuth, node: str) -> None:
        self._app = app
        self._auth = auth
        self._node = node

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        refusal = await self._refusal(scope)
        if refusal is not None:
            await answer(send, *refusal)
        else:
            await self._app(scope, receive, send)

    async def _refusal(self, scope: Any) -> tuple[int, str] | None:
        headers = {k.decode("latin-1"): v.decode("latin-1") for k, v in scope["headers"]}
        certificate = scope.get("extensions", {}).get("skiff.tls", {}).get("client_certificate")
        user = await self._auth.authenticate(headers, certificate)
        if user is None:
            return 401, "Unauthorized"
        verb = access.verb(scope["method"])
        wanted = access.subresources(scope["path"])
        for subresource in wanted:
            attributes = ResourceAttributes(
                verb=verb, group="", version="v1", resource="nodes", subresource=subresource, name=self._node
            )
            if (await self._auth.authorize(user, attributes))[0]:
                return None
        names = "[" + " ".join(wanted) + "]"
        return 403, f"Forbidden (user={user.name}, verb={verb}, resource=nodes, subresource(s)={names})"

"""`pods/proxy`, `services/proxy`, `nodes/proxy`: any request, upgraded or not, to a port of the cluster."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

from apiserver.ports import Call, Receive, Scope, Send
from apiserver.proxy.forward import forward
from apiserver.proxy.splice import splice
from apiserver.proxy.target import Locator, Target
from apiserver.proxy.transport import Transport

Find = Callable[[Locator, Call], Awaitable[Target]]


class Relay:
    def __init__(self, locator: Locator, transport: Transport, find: Find) -> None:
        self._locator = locator
        self._transport = transport
        self._find = find

    async def __call__(self, call: Call, scope: Scope, receive: Receive, send: Send) -> None:
        target = await self._find(self._locator, call)
        prefix, path = _split(call, scope)
        upgrade = scope.get("extensions", {}).get("skiff.upgrade") is not None
        if not path and not upgrade and scope["method"] in ("GET", "HEAD"):
            # Relative links of a page at `…/proxy` would leave the application; at `…/proxy/` they stay inside.
            await _redirect(f"{prefix}/{_query(scope)}", send)
            return
        target = replace(target, path=(path or "/") + _query(scope))
        if upgrade:
            await splice(self._transport, target, scope)
        else:
            await forward(self._transport, target, scope, receive, send, prefix)


async def pod(locator: Locator, call: Call) -> Target:
    return await locator.pod_port(call.namespace, call.name)


async def service(locator: Locator, call: Call) -> Target:
    return await locator.service_port(call.namespace, call.name)


async def node(locator: Locator, call: Call) -> Target:
    return await locator.node(call.name)


def _split(call: Call, scope: Scope) -> tuple[str, str]:
    """The path up to `/proxy` and what follows, as the client wrote it: decoding and encoding again changes some."""
    raw = (scope.get("raw_path") or scope["path"].encode()).decode("latin-1").partition("?")[0]
    parts = raw.split("/")
    before = 8 if call.info.namespaced else 6  # parts up to and including "proxy"
    rest = parts[before:]
    return "/".join(parts[:before]), "/" + "/".join(rest) if rest else ""


def _query(scope: Scope) -> str:
    query = scope.get("query_string", b"").decode("latin-1")
    return f"?{query}" if query else ""


async def _redirect(location: str, send: Send) -> None:
    headers = [(b"location", location.encode("latin-1")), (b"content-length", b"0")]
    await send({"type": "http.response.start", "status": 301, "headers": headers})
    await send({"type": "http.response.body", "body": b""})

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
        target = replace(target, path=_path(call, scope))
        if scope.get("extensions", {}).get("skiff.upgrade") is not None:
            await splice(self._transport, target, scope)
        else:
            await forward(self._transport, target, scope, receive, send)


async def pod(locator: Locator, call: Call) -> Target:
    return await locator.pod_port(call.namespace, call.name)


async def service(locator: Locator, call: Call) -> Target:
    return await locator.service_port(call.namespace, call.name)


async def node(locator: Locator, call: Call) -> Target:
    return await locator.node(call.name)


def _path(call: Call, scope: Scope) -> str:
    """What follows `…/proxy` as the client wrote it: decoding and encoding again would change some paths."""
    raw = (scope.get("raw_path") or scope["path"].encode()).decode("latin-1").partition("?")[0]
    before = 8 if call.info.namespaced else 6  # parts up to and including "proxy"
    rest = "/".join(raw.split("/")[before:])
    query = scope.get("query_string", b"").decode("latin-1")
    return f"/{rest}?{query}" if query else f"/{rest}"

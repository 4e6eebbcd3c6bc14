"""Whole requests for another server's part of the API: body and answer as streams, watches and upgrades included."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any

from apimachinery.errors import StatusError
from apiserver.aggregation.backends import Backend
from apiserver.aggregation.transport import BackendTransport, Unreachable
from apiserver.authn.request_header import HeaderNames
from apiserver.endpoints.exchange import Exchange
from apiserver.proxy import forward, splice
from apiserver.proxy.presence import while_present
from apiserver.proxy.target import Target
from apiserver.webhooks.failures import describe
from apiserver.webhooks.services import Address
from component_base.lazy import lazily

if TYPE_CHECKING:
    import httpx
else:
    httpx = lazily("httpx")

TEXT = "text/plain; charset=utf-8"
_OPTIONS = [(b"x-content-type-options", b"nosniff")]


class Forwarder:
    def __init__(self, transport: BackendTransport, believed: HeaderNames) -> None:
        """`believed` are the headers in which other servers look for who asks: not the client's to fill in."""
        self._transport = transport
        self._names = frozenset(name.encode() for name in (*believed.username, *believed.uid, *believed.group))
        self._prefixes = tuple(prefix.encode() for prefix in believed.extra_prefix)

    async def __call__(self, backend: Backend, exchange: Exchange) -> None:
        """The exchange is authenticated and authorised; who it is, the other server is told in headers."""
        if not backend.available:
            await refuse(exchange, "service unavailable")
            return
        try:
            address = self._transport.resolve(backend)
        except StatusError:
            await refuse(exchange, "service unavailable")
            return
        headers = exchange.scope["headers"]
        exchange.scope = {**exchange.scope, "headers": [one for one in headers if not self._claims(one[0].lower())]}
        if exchange.on_begin is not None:
            exchange.on_begin()  # a watch is the other server's work from here on
        try:
            if exchange.scope.get("extensions", {}).get("skiff.upgrade") is not None:
                await self._upgrade(backend, address, exchange)
            else:
                await self._forward(backend, address, exchange)
        except Unreachable as error:
            await refuse(exchange, f"error trying to reach service: {error}")

    def _claims(self, name: bytes) -> bool:
        """Whether the header says who asks."""
        return name in self._names or name.startswith(self._prefixes)

    async def _forward(self, backend: Backend, address: Address, exchange: Exchange) -> None:
        client = await self._transport.client(backend)
        request = client.build_request(
            exchange.method,
            f"https://{address.authority}{raw_path(exchange)}",
            headers=self._headers(address, exchange),
            content=forward.body_of(exchange.scope, exchange.receive),
            extensions={"sni_hostname": backend.server_name},
        )
        try:
            response = await client.send(request, stream=True)
        except (httpx.TransportError, OSError) as error:
            raise Unreachable(describe(error, address.authority, backend.server_name)) from error
        exchange.started, exchange.status = True, response.status_code

        async def send(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *exchange.marks]
            await exchange.send(message)

        try:
            await while_present(exchange.receive, forward.relay(response, send))
        finally:
            await response.aclose()

    def _headers(self, address: Address, exchange: Exchange) -> list[tuple[bytes, bytes]]:
        scope = exchange.scope
        headers = [(name, value) for name, value in splice.forwarded(scope["headers"]) if name not in forward.HOP]
        headers.append((b"host", address.authority.encode()))
        headers += self._transport.identity.headers(exchange.user)
        if scope.get("client"):
            headers.append((b"x-forwarded-for", str(scope["client"][0]).encode()))
        return headers

    async def _upgrade(self, backend: Backend, address: Address, exchange: Exchange) -> None:
        target = Target(address.host, address.port, path=raw_path(exchange))
        far = await self._transport.open(backend, address)
        exchange.started = True
        await splice.join(far, exchange.scope, target, self._transport.identity.headers(exchange.user))


def raw_path(exchange: Exchange) -> str:
    """As the client wrote it: decoding and encoding again would change some paths."""
    scope = exchange.scope
    raw = (scope.get("raw_path") or exchange.path.encode()).decode("latin-1").partition("?")[0]
    query = scope.get("query_string", b"").decode("latin-1")
    return f"{raw}?{query}" if query else str(raw)


async def refuse(exchange: Exchange, why: str) -> None:
    await exchange.answer(503, f"{why}\n".encode(), TEXT, _OPTIONS)

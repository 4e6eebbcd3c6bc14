"""The way of every request through the server: limits, identity, rights, the verb, the log.

A raw ASGI application; what is no API path goes on to the shell (health, version, metrics, documents).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from apimachinery import errors
from apiserver.authn.impersonation import impersonate
from apiserver.authz.denial import forbidden
from apiserver.endpoints import api, request_metrics
from apiserver.endpoints.core import Core
from apiserver.endpoints.exchange import TEXT, Exchange
from apiserver.endpoints.path import Target
from apiserver.flowcontrol.gate import Busy, Gate, InFlight
from apiserver.ports import Attributes, Authenticator, Authorizer, Credentials, Receive, Scope, Send, User, Verdict

log = logging.getLogger(__name__)

MASTERS = "system:masters"
_READS = frozenset(("get", "list"))
#: Without limit in time: streams and connections.
_LONG_SUBRESOURCES = frozenset(("proxy", "exec", "attach", "portforward", "log"))
SLOW_SECONDS = 1.0
BUSY_TEXT = b"Too many requests, please try again later.\n"
_TOKEN_PROTOCOL = "base64url.bearer.authorization.k8s.io."
#: Everybody may ask these, even where anonymous requests are off.
_ALWAYS_OPEN = frozenset(("/healthz", "/livez", "/readyz"))


#: Who answers a request in the place of this server, None where it does so itself.
Elsewhere = Callable[[Exchange], Callable[[Exchange], Awaitable[None]] | None]


@dataclass(frozen=True, slots=True)
class Limits:
    reads: int = 400
    writes: int = 200
    seconds: float = 60.0


class ApiServer:
    def __init__(
        self,
        core: Core,
        authenticator: Authenticator,
        authorizer: Authorizer,
        shell: Callable[[Exchange], Awaitable[None]],
        limits: Limits,
        elsewhere: Elsewhere | None = None,
        gate: Gate | None = None,
    ) -> None:
        """Without a gate only the numbers of reads and writes at a time are limited."""
        self._core = core
        self._authenticator = authenticator
        self._authorizer = authorizer
        self._shell = shell
        self._limits = limits
        self._elsewhere = elsewhere
        self._gate = gate
        self._in_flight = InFlight(limits.reads, limits.writes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self.answer(Exchange(scope, receive, send))

    async def answer(self, exchange: Exchange) -> None:
        started = self._core.clock.monotonic()
        try:
            if is_long(exchange.target):
                await self._handle(exchange)
            else:
                async with asyncio.timeout(self._limits.seconds):
                    await self._handle(exchange)
        except asyncio.CancelledError:
            raise
        except Busy as busy:
            headers = [(b"retry-after", b"%d" % busy.retry_after), (b"x-content-type-options", b"nosniff")]
            await exchange.answer(429, BUSY_TEXT, TEXT, headers)
        except Exception as error:  # noqa: BLE001 - the last place: whatever it is becomes an answer and a log line
            await self._fail(exchange, error)
        self._record(exchange, self._core.clock.monotonic() - started)

    async def _handle(self, exchange: Exchange) -> None:
        exchange.user = await self._who(exchange)
        target = exchange.target
        gate = self._gate
        if target.verb != "watch" and target.subresource in _LONG_SUBRESOURCES:
            await self._serve(exchange)
            return
        if gate is None:
            leave = self._in_flight.enter(
                target.verb not in _READS and target.is_resource, MASTERS in exchange.user.groups
            )
            try:
                await self._serve(exchange)
            finally:
                leave()
            return
        flow = gate.flow(exchange)
        ticket = gate.enter(flow, exchange)
        if ticket.state == ticket.WAITING:
            await gate.wait(flow, ticket)
        if target.verb == "watch":
            exchange.on_begin = partial(gate.leave, flow, ticket)
        try:
            await self._serve(exchange)
        finally:
            gate.leave(flow, ticket)

    async def _serve(self, exchange: Exchange) -> None:
        target = exchange.target
        if target.path.rstrip("/") not in _ALWAYS_OPEN:
            await self._may(exchange.user, exchange)
        if self._elsewhere is not None and (answer := self._elsewhere(exchange)) is not None:
            await answer(exchange)
        elif target.is_resource:
            await api.dispatch(self._core, exchange)
        else:
            await self._shell(exchange)

    async def _who(self, exchange: Exchange) -> User:
        """Whom the request acts as."""
        user, headers = await self._proven(exchange), exchange.headers
        if "impersonate-user" in headers or any(name.startswith("impersonate-") for name in headers):
            user = await impersonate(user, headers, self._authorizer)
        return user

    async def _proven(self, exchange: Exchange) -> User:
        """Who sent the request. Raises StatusError 401."""
        headers = exchange.headers
        credentials = Credentials(headers, exchange.client_certificate, websocket_token(headers))
        user = await self._authenticator.authenticate(credentials)
        if user is None:
            raise errors.unauthorized()
        return user

    async def _may(self, user: User, exchange: Exchange) -> None:
        if MASTERS in user.groups:
            return
        attributes = attributes_of(user, exchange)
        verdict, reason = await self._authorizer.authorize(attributes)
        if verdict is not Verdict.ALLOW:
            raise forbidden(attributes, reason)

    async def _fail(self, exchange: Exchange, error: Exception) -> None:
        status = api.explained(error, f"{exchange.method} {exchange.path}")
        if exchange.started:
            log.debug("%s %s ended after its answer had begun: %s", exchange.method, exchange.path, status.message)
            return
        try:
            await exchange.refuse(status)
        except (OSError, RuntimeError):  # nobody is listening any more
            log.debug("%s %s: the client left before its answer", exchange.method, exchange.path)

    def _record(self, exchange: Exchange, seconds: float) -> None:
        target = exchange.target
        request_metrics.record(target, exchange.status, seconds)
        level = logging.INFO if seconds >= SLOW_SECONDS and not is_long(target) else logging.DEBUG
        if exchange.status >= 500:
            level = logging.WARNING
        if log.isEnabledFor(level):
            log.log(
                level,
                "%s %s %d %.1f ms by %s (%s)",
                exchange.method,
                exchange.path,
                exchange.status,
                seconds * 1000,
                exchange.user.name,
                exchange.headers.get("user-agent", "")[:60],
            )


def is_long(target: Target) -> bool:
    return target.verb == "watch" or target.subresource in _LONG_SUBRESOURCES


def websocket_token(headers: dict[str, str]) -> str | None:
    """Browsers cannot set headers on WebSockets: the token travels as a subprotocol."""
    offered = headers.get("sec-websocket-protocol", "")
    if _TOKEN_PROTOCOL not in offered:
        return None
    for protocol in offered.replace("\n", ",").split(","):
        if protocol.strip().startswith(_TOKEN_PROTOCOL):
            return protocol.strip()[len(_TOKEN_PROTOCOL) :]
    return None


def attributes_of(user: User, exchange: Exchange) -> Attributes:
    target = exchange.target
    if not target.is_resource:
        return Attributes(user, target.verb, target.path)
    query = exchange.query
    return Attributes(
        user,
        target.verb,
        target.path,
        target.group,
        target.version,
        target.resource,
        target.subresource,
        target.namespace,
        target.name,
        query.get("fieldSelector", ""),
        query.get("labelSelector", ""),
    )

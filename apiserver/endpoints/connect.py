"""Requests that others answer: reviews and tokens (a body in, a body out), and connections to kubelets and pods."""

from __future__ import annotations

from apimachinery import errors
from apimachinery.resources import ResourceInfo
from apiserver.endpoints import decode
from apiserver.endpoints.core import Core
from apiserver.endpoints.exchange import Exchange
from apiserver.ports import Call


def call_of(exchange: Exchange, info: ResourceInfo) -> Call:
    target = exchange.target
    return Call(
        info,
        target.subresource,
        target.namespace,
        target.name,
        target.verb,
        target.rest,
        exchange.user,
        exchange.pairs,
        exchange.headers,
    )


def key_of(exchange: Exchange, info: ResourceInfo) -> tuple[str, str]:
    return info.plural, exchange.target.subresource


async def answer(core: Core, exchange: Exchange, info: ResourceInfo) -> None:
    exchange.choose()
    kind = info
    if known := info.subresource(exchange.target.subresource):
        kind = decode.as_resource(core.catalog, known.api_version, known.kind)
    body = await decode.read_object(exchange, kind)
    result = await core.answerers[key_of(exchange, info)](call_of(exchange, info), body)
    await exchange.answer_object(201, result)


async def connect(core: Core, exchange: Exchange, info: ResourceInfo) -> None:
    """The connector owns the exchange from here on; only errors before its answer come back."""
    connector = core.connectors.get(key_of(exchange, info))
    if connector is None:
        raise errors.path_not_found()
    exchange.started = True
    try:
        await connector(call_of(exchange, info), exchange.scope, exchange.receive, exchange.send)
    except errors.StatusError:
        exchange.started = False
        raise

"""Requests that others answer: reviews and tokens (a body in, a body out), and connections to kubelets and pods."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from apimachinery import errors
from apimachinery.resources import ResourceInfo
from apiserver.endpoints import decode
from apiserver.endpoints.core import Core
from apiserver.endpoints.exchange import Exchange
from apiserver.endpoints.queries import check_write
from apiserver.ports import Admission, AdmissionRequest, Call, Operation

#: Subresources that connect, and how the kinds of their options end.
_CONNECTIONS = {
    "exec": "ExecOptions",
    "attach": "AttachOptions",
    "portforward": "PortForwardOptions",
    "proxy": "ProxyOptions",
}
_FLAGS = frozenset(("stdin", "stdout", "stderr", "tty"))


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
    exchange.choose(tables=False)
    check_write(exchange)
    kind = info
    if known := info.subresource(exchange.target.subresource):
        kind = decode.as_resource(core.catalog, known.api_version, known.kind)
    body = await decode.read_object(exchange, kind)
    result = await core.answerers[key_of(exchange, info)](call_of(exchange, info), body)
    await exchange.answer_object(201, result)


async def _admit(admission: Admission, exchange: Exchange, info: ResourceInfo) -> None:
    """Admission sees the query of a connection as an object of its own."""
    target = exchange.target
    kind = info.kind + _CONNECTIONS[target.subresource]
    obj = {"kind": kind, "apiVersion": "v1", **options_of(kind, exchange.pairs, target.rest)}
    request = AdmissionRequest(
        Operation.CONNECT, info, target.subresource, target.namespace, target.name, obj, None, exchange.user
    )
    request.kind, request.warnings, request.annotations = ("", "v1", kind), exchange.warnings, exchange.annotations
    await admission.mutate(request)
    await admission.validate(request)


def options_of(kind: str, pairs: Sequence[tuple[str, str]], rest: str) -> dict[str, Any]:
    """The fields of an options kind that a query gives."""
    if kind.endswith("ProxyOptions"):
        return {"path": f"/{rest}"} if rest else {}
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in _FLAGS:
            found[name] = value.lower() in ("", "1", "t", "true")
        elif name == "container":
            found[name] = value
        elif name == "command" and kind == "PodExecOptions":
            found.setdefault(name, []).append(value)
        elif name == "ports" and kind == "PodPortForwardOptions":
            found.setdefault(name, []).extend(int(one) for one in value.split(",") if one.isdigit())
    return found


async def connect(core: Core, exchange: Exchange, info: ResourceInfo) -> None:
    """The connector owns the exchange from here on; only errors before its answer come back."""
    connector = core.connectors.get(key_of(exchange, info))
    if connector is None:
        raise errors.path_not_found()
    if core.writer.admission is not None and exchange.target.subresource in _CONNECTIONS:
        await _admit(core.writer.admission, exchange, info)
    exchange.started = True
    try:
        await connector(call_of(exchange, info), exchange.scope, exchange.receive, exchange.send)
    except errors.StatusError:
        exchange.started = False
        raise

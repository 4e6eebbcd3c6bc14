"""Subresources that read or write their parent, each in its own way."""

from __future__ import annotations

from apimachinery import errors
from apimachinery.resources import ResourceInfo, SubresourceInfo
from apiserver.endpoints import binding, eviction, get, patch, scale, update
from apiserver.endpoints.core import Core
from apiserver.endpoints.exchange import Exchange

#: Their body is the parent itself; which of its parts they may write, strategies say.
_PARTS = ("status", "ephemeralcontainers", "resize", "approval", "finalize")


async def handle(core: Core, exchange: Exchange, info: ResourceInfo, known: SubresourceInfo) -> None:
    verb = exchange.target.verb
    if known.name in _PARTS:
        handler = {"get": get.get, "update": update.update, "patch": patch.patch}[verb]
        await handler(core, exchange, info)
    elif known.name == "scale":
        await scale.handle(core, exchange, info)
    elif known.name == "binding":
        await binding.bind(core, exchange, info, known)
    elif known.name == "eviction":
        await eviction.evict(core, exchange, info, known)
    else:
        raise errors.path_not_found()

"""GET of one object."""

from __future__ import annotations

from apimachinery import errors
from apimachinery.resources import ResourceInfo
from apiserver.endpoints.core import Core
from apiserver.endpoints.exchange import Exchange
from apiserver.endpoints.queries import revision_of
from apiserver.registry.versions import is_cached_version
from apiserver.storage.cache import Entry


async def get(core: Core, exchange: Exchange, info: ResourceInfo) -> None:
    shape = exchange.choose()
    entry = await read(core, exchange, info)
    if shape.plain:
        data = entry.data if is_cached_version(info) else core.renderer(exchange, info).native(entry)
        await exchange.answer(200, data)
        return
    await exchange.answer_json(200, core.renderer(exchange, info).object(entry))


async def read(core: Core, exchange: Exchange, info: ResourceInfo) -> Entry:
    """The object of the URL, as new as the query asks. Raises StatusError 404."""
    target = exchange.target
    revision = revision_of(exchange)
    cache = core.feed.cache(info)
    if revision is None:
        await core.feed.fresh(cache)
    elif revision:
        await core.feed.reached(revision, cache)
    entry = cache.get(target.namespace if info.namespaced else "", target.name)
    if entry is None:
        raise errors.not_found(info.plural, info.group, target.name)
    return entry

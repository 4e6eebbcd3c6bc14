"""GET of a collection."""

from __future__ import annotations

from apimachinery.resources import ResourceInfo
from apiserver.endpoints.core import Core, selection
from apiserver.endpoints.exchange import Exchange
from apiserver.endpoints.queries import list_options
from apiserver.storage.listing import ListQuery, Page, parse_token


async def list_objects(core: Core, exchange: Exchange, info: ResourceInfo) -> None:
    exchange.choose()
    page = await read_page(core, exchange, info)
    await exchange.answer_parts(200, core.renderer(exchange, info).list_parts(page))


async def read_page(core: Core, exchange: Exchange, info: ResourceInfo) -> Page:
    cache = core.feed.cache(info)
    return await core.lister.list(cache, list_query(core, exchange, info))


def list_query(core: Core, exchange: Exchange, info: ResourceInfo) -> ListQuery:
    """Raises StatusError 400 and 422 for options that do not go together."""
    options = list_options(exchange)
    limit = options.limit
    token = parse_token(options.continuing) if options.continuing else None
    if options.revision == 0 and token is None:
        limit = 0  # informers begin like this: what lies in memory is sent whole, as upstream does
    chosen = selection(exchange, info, core.feed.cache(info).indexer)
    namespace = exchange.target.namespace if info.namespaced else ""
    return ListQuery(namespace, limit, token, options.revision, options.match, chosen.matches, chosen.hint)

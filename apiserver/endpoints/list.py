"""GET of a collection."""

from __future__ import annotations

from apimachinery import errors, protobuf
from apimachinery.resources import ResourceInfo
from apiserver.endpoints.accept import JSON, PROTOBUF, YAML
from apiserver.endpoints.core import Core, selection
from apiserver.endpoints.exchange import Exchange
from apiserver.endpoints.queries import list_options
from apiserver.storage.listing import ListQuery, Page, parse_token


async def list_objects(core: Core, exchange: Exchange, info: ResourceInfo) -> None:
    exchange.choose()
    page = await read_page(core, exchange, info)
    await answer_page(core, exchange, info, page)


async def answer_page(core: Core, exchange: Exchange, info: ResourceInfo, page: Page) -> None:
    renderer = core.renderer(exchange, info)
    if exchange.representation.media_type != PROTOBUF:
        await exchange.answer_parts(200, *renderer.list_parts(page))
        return
    try:
        data = await renderer.protobuf_list(page)
    except protobuf.WireError as error:
        raise errors.not_acceptable((JSON, YAML)) from error
    await exchange.answer(200, data, PROTOBUF)


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

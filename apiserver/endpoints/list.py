"""GET of a collection."""

from __future__ import annotations

from apimachinery import errors
from apimachinery.resources import ResourceInfo
from apiserver.endpoints.core import Core, is_true, limit_of, revision_of, selection
from apiserver.endpoints.exchange import Exchange
from apiserver.storage.listing import ListQuery, Page, parse_token


async def list_objects(core: Core, exchange: Exchange, info: ResourceInfo) -> None:
    exchange.choose()
    page = await read_page(core, exchange, info)
    await exchange.answer_parts(200, core.renderer(exchange, info).list_parts(page))


async def read_page(core: Core, exchange: Exchange, info: ResourceInfo) -> Page:
    cache = core.feed.cache(info)
    return await core.lister.list(cache, list_query(core, exchange, info))


def list_query(core: Core, exchange: Exchange, info: ResourceInfo) -> ListQuery:
    """Raises StatusError 400 for options that do not go together."""
    query = exchange.query
    match, revision = query.get("resourceVersionMatch", ""), revision_of(exchange)
    limit, continuing = limit_of(exchange), query.get("continue", "")
    if is_true(query.get("sendInitialEvents")):
        raise refused_option("sendInitialEvents", "sendInitialEvents is forbidden for list")
    if match:
        if match not in ("Exact", "NotOlderThan"):
            raise errors.bad_request(
                f'resourceVersionMatch: Unsupported value: "{match}": supported values: "Exact", "NotOlderThan"'
            )
        if revision is None:
            raise refused_option(
                "resourceVersionMatch", "resourceVersionMatch is forbidden unless resourceVersion is provided"
            )
        if continuing:
            raise refused_option("resourceVersionMatch", "resourceVersionMatch is forbidden when continue is provided")
        if match == "Exact" and revision == 0:
            raise refused_option(
                "resourceVersionMatch", 'resourceVersionMatch "Exact" is forbidden for resourceVersion "0"'
            )
    if continuing and revision:
        raise errors.bad_request("specifying resource version is not allowed when using continue")
    token = parse_token(continuing) if continuing else None
    if revision == 0 and token is None:
        limit = 0  # informers begin like this: what lies in memory is sent whole, as upstream does
    chosen = selection(exchange, info, core.feed.cache(info).indexer)
    namespace = exchange.target.namespace if info.namespaced else ""
    return ListQuery(namespace, limit, token, revision, match, chosen.matches, chosen.hint)


def refused_option(field: str, why: str) -> errors.StatusError:
    return errors.StatusError(
        422,
        "Invalid",
        f'ListOptions.meta.k8s.io "" is invalid: {field}: Forbidden: {why}',
        {
            "group": "meta.k8s.io",
            "kind": "ListOptions",
            "causes": [{"reason": "FieldValueForbidden", "message": f"Forbidden: {why}", "field": field}],
        },
    )

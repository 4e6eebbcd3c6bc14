"""DELETE of an object, and of all objects of a collection that a selector matches."""

from __future__ import annotations

import asyncio
from typing import Any

from apimachinery import errors, schema
from apimachinery.resources import ResourceInfo
from apiserver.endpoints import body
from apiserver.endpoints.core import Core, write_of
from apiserver.endpoints.exchange import Exchange
from apiserver.endpoints.list import answer_page, read_page
from apiserver.endpoints.path import is_true
from apiserver.endpoints.queries import number_of
from apiserver.registry import deletion, traits
from apiserver.registry.writer import Write, Written
from apiserver.storage.cache import Entry
from apiserver.storage.listing import Page

JSON = dict[str, Any]
#: How many objects of a collection are removed at a time.
WORKERS = 16
MAX_OPTIONS_BYTES = 256 * 1024


async def delete(core: Core, exchange: Exchange, info: ResourceInfo) -> None:
    exchange.choose()
    target = exchange.target
    write = write_of(exchange)
    options = await read_options(exchange, write)
    written = await core.writer.delete(info, target.namespace, target.name, options, write)
    await answer(core, exchange, info, options, written)


async def answer(
    core: Core, exchange: Exchange, info: ResourceInfo, options: deletion.Options, written: Written
) -> None:
    if not written.removed or traits.answers_delete_with_object(info):
        status = 202 if not written.removed and options.orphan_dependents is False else 200
        await exchange.answer_json(status, core.renderer(exchange, info).object(written.entry))
        return
    await exchange.answer_object(200, success(info, written.entry))


def success(info: ResourceInfo, entry: Entry) -> JSON:
    details = {"name": entry.name, "group": info.group, "kind": info.plural}
    details["uid"] = entry.shared()["metadata"].get("uid", "")
    if not info.group:
        del details["group"]
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}


async def read_options(exchange: Exchange, write: Write) -> deletion.Options:
    """DeleteOptions from the body, or from the query where there is no body. Raises StatusError 400 and 422."""
    data = await body.read(exchange, MAX_OPTIONS_BYTES)
    given: JSON = {}
    if data:
        given = schema.decode_options("DeleteOptions", data, body.object_media_type(exchange)).obj
        exchange.note_object(given)
        write.dry_run = write.dry_run or bool(given.get("dryRun"))
    else:
        query = exchange.query
        if (grace := number_of(exchange, "gracePeriodSeconds")) is not None:
            given["gracePeriodSeconds"] = grace
        if "propagationPolicy" in query:
            given["propagationPolicy"] = query["propagationPolicy"]
        if "orphanDependents" in query:
            given["orphanDependents"] = is_true(query["orphanDependents"])
        wanted = {name: query[name] for name in ("uid", "resourceVersion") if query.get(name)}
        if wanted:
            given["preconditions"] = wanted
    write.options = {**given, **({"dryRun": ["All"]} if write.dry_run else {})}
    return deletion.parse_options(given)


async def delete_collection(core: Core, exchange: Exchange, info: ResourceInfo) -> None:
    exchange.choose()
    write = write_of(exchange)
    options = await read_options(exchange, write)
    page = await read_page(core, exchange, info)
    room = asyncio.Semaphore(WORKERS)
    namespace_of = (lambda entry: entry.namespace) if info.namespaced else (lambda entry: "")

    async def remove(entry: Entry) -> Entry | None:
        async with room:
            try:
                written = await core.writer.delete(info, namespace_of(entry), entry.name, options, write)
            except errors.StatusError as error:
                if error.code != 404:
                    raise
                return None
            return written.entry

    results = await asyncio.gather(*(remove(entry) for entry in page.entries), return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    removed = [entry for entry in results if isinstance(entry, Entry)]
    await answer_page(core, exchange, info, Page(removed, page.revision))

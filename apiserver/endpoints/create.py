"""POST to a collection."""

from __future__ import annotations

from apimachinery import errors
from apimachinery.fields import Path, required
from apimachinery.resources import ResourceInfo
from apiserver.endpoints import decode, managed
from apiserver.endpoints.core import Core, write_of
from apiserver.endpoints.exchange import Exchange


async def create(core: Core, exchange: Exchange, info: ResourceInfo) -> None:
    exchange.choose()
    write = write_of(exchange)
    obj = await decode.read_object(exchange, info)
    decode.settle_names(exchange, info, obj)
    if info.namespaced and not exchange.target.namespace:
        raise errors.bad_request("an empty namespace may not be set during creation")
    if not obj["metadata"].get("name") and not obj["metadata"].get("generateName"):
        problem = required(Path("metadata").child("name"), "name or generateName is required")
        raise errors.invalid(info.group, info.kind, "", [problem])
    write.size = exchange.body_size
    write.manage = managed.recorder(exchange, info, core.clock)
    entry = await core.writer.create(info, obj, write)
    await exchange.answer_json(201, core.renderer(exchange, info).object(entry))

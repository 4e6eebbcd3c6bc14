"""PUT of an object or of one of its subresources."""

from __future__ import annotations

from typing import Any

import orjson

from apimachinery import errors
from apimachinery.resources import ResourceInfo
from apiserver.endpoints import decode, managed
from apiserver.endpoints.core import Core, write_of
from apiserver.endpoints.exchange import Exchange
from apiserver.registry import traits

JSON = dict[str, Any]


async def update(core: Core, exchange: Exchange, info: ResourceInfo) -> None:
    """Also of status and the other subresources whose body is the object itself."""
    exchange.choose()
    target = exchange.target
    write = write_of(exchange)
    body = await decode.read_object(exchange, info)
    decode.settle_names(exchange, info, body, target.name)

    async def change(old: JSON) -> JSON:
        if old and not target.subresource:
            check_unconditional(core, info, body)
        return fresh(body)

    write.size = exchange.body_size
    write.manage = managed.recorder(exchange, info, core.clock)
    create = traits.creates_on_update(info) and not target.subresource
    written = await core.writer.update(info, target.namespace, target.name, change, write, target.subresource, create)
    await exchange.answer_json(201 if written.created else 200, core.renderer(exchange, info).object(written.entry))


def fresh(body: JSON) -> JSON:
    """A copy that a try may change: admission and strategies write in place."""
    copy: JSON = orjson.loads(orjson.dumps(body))
    return copy


def check_unconditional(core: Core, info: ResourceInfo, body: JSON) -> None:
    """Raises StatusError 422 when the kind insists on a resourceVersion."""
    if body["metadata"].get("resourceVersion") or traits.updates_unconditionally(info, core.catalog.is_builtin(info)):
        return
    message = "metadata.resourceVersion: Invalid value: 0x0: must be specified for an update"
    cause = {
        "reason": "FieldValueInvalid",
        "message": "Invalid value: 0x0: must be specified for an update",
        "field": "metadata.resourceVersion",
    }
    name = body["metadata"]["name"]
    kind = f"{info.kind}.{info.group}" if info.group else info.kind
    details = {"name": name, "kind": info.kind, "causes": [cause], **({"group": info.group} if info.group else {})}
    raise errors.StatusError(422, "Invalid", f'{kind} "{name}" is invalid: {message}', details)

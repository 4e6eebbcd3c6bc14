"""Who owns which fields: managedFields as writes leave them, and server-side apply."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from apimachinery import errors, fields, timestamps
from apimachinery.patch import apply, managed, result
from apimachinery.resources import ResourceInfo
from apiserver.endpoints import body, decode
from apiserver.endpoints.exchange import Exchange
from apiserver.endpoints.path import is_true
from component_base.clock import Clock

JSON = dict[str, Any]
Record = Callable[[JSON, JSON | None, str], None]


def manager_name(exchange: Exchange) -> str:
    return exchange.query.get("fieldManager", "") or managed.default_manager(exchange.headers.get("user-agent", ""))


def recorder(exchange: Exchange, info: ResourceInfo, clock: Clock) -> Record:
    """Notes in managedFields what a create, an update or a patch has written."""
    name = manager_name(exchange)
    now = timestamps.format(clock.now())

    def record(new: JSON, old: JSON | None, subresource: str) -> None:
        managed.update(info, old, new, name, now, subresource)

    return record


async def applier(
    exchange: Exchange, info: ResourceInfo, data: bytes, mode: str, clock: Clock
) -> Callable[[JSON], Awaitable[JSON]]:
    """The change that a server-side apply makes. Raises StatusError 400, 422."""
    manager = exchange.query.get("fieldManager", "")
    if not manager:
        problem = fields.required(fields.Path("fieldManager"), "is required for apply patch")
        raise errors.invalid("meta.k8s.io", "PatchOptions", "", [problem])
    config, duplicates = await body.decoded(lambda: apply.decode(info, data), data)
    exchange.note_object(config)
    decode.complain(exchange, info, duplicates, mode)
    if not isinstance(config.get("metadata"), dict):
        config["metadata"] = {}
    decode.settle_names(exchange, info, config, exchange.target.name)
    force = is_true(exchange.query.get("force"))
    now = timestamps.format(clock.now())
    subresource = exchange.target.subresource

    async def change(old: JSON) -> JSON:
        live = old or None
        if live is None and config["metadata"].get("uid"):
            uid = config["metadata"]["uid"]
            cause = f"uid mismatch: the provided object specified uid {uid}, and no existing object was found"
            raise errors.conflict(info.plural, info.group, exchange.target.name, cause)
        applied = apply.apply(info, live, config, manager, force, now, subresource)
        return result.retyped(info, applied, lambda: applied).obj

    return change

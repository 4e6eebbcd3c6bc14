"""Who owns which fields: managedFields as writes leave them, and server-side apply."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from apimachinery import errors
from apimachinery.resources import ResourceInfo
from apiserver.endpoints.core import Core
from apiserver.endpoints.exchange import Exchange
from component_base.clock import Clock

JSON = dict[str, Any]
Record = Callable[[JSON, JSON | None, str], None]


def recorder(exchange: Exchange, info: ResourceInfo, clock: Clock) -> Record | None:
    del exchange, info, clock
    return None


def applier(
    core: Core, exchange: Exchange, info: ResourceInfo, data: bytes, mode: str
) -> tuple[Callable[[JSON], Awaitable[JSON]], Record | None]:
    del core, exchange, info, data, mode
    raise errors.unsupported_media_type(("application/json-patch+json", "application/merge-patch+json"))

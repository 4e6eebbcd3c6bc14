"""ComponentStatus: a deprecated virtual resource, made by asking the control plane's parts how they are."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from apimachinery import errors
from apimachinery.resources import ResourceInfo
from apiserver.endpoints.core import Core
from apiserver.endpoints.exchange import Exchange
from apiserver.endpoints.list import answer_page
from apiserver.storage import encoding
from apiserver.storage.cache import Entry
from apiserver.storage.index import Summary
from apiserver.storage.listing import Page
from component_base.lazy import lazily

if TYPE_CHECKING:
    import httpx
else:
    httpx = lazily("httpx")

JSON = dict[str, Any]
Probe = Callable[[], Awaitable[str]]
"""Answers "" for a healthy part, else what is wrong."""
PROBE_SECONDS = 5.0


def https_probe(port: int) -> Probe:
    """Of a part on this host; its certificate is its own affair, as nothing is trusted from it but its health."""

    async def ask() -> str:
        try:
            async with httpx.AsyncClient(verify=False, timeout=PROBE_SECONDS, trust_env=False) as client:
                answer = await client.get(f"https://127.0.0.1:{port}/healthz")
        except httpx.HTTPError as error:
            return f'Get "https://127.0.0.1:{port}/healthz": {error}'
        return "" if answer.status_code == 200 else answer.text[:200]

    return ask


async def read(core: Core, exchange: Exchange, info: ResourceInfo) -> None:
    exchange.choose()
    renderer = core.renderer(exchange, info)
    name = exchange.target.name
    if exchange.target.verb == "get":
        if name not in core.components:
            raise errors.not_found(info.plural, info.group, name)
        await exchange.answer_json(200, renderer.object(await _entry(info, name, core.components[name])))
        return
    names = [one for one in core.components if name in ("", one)]
    entries = await asyncio.gather(*(_entry(info, one, core.components[one]) for one in names))
    await answer_page(core, exchange, info, Page(list(entries), core.feed.revision))


async def _entry(info: ResourceInfo, name: str, probe: Probe) -> Entry:
    problem = await probe()
    condition = {"type": "Healthy", "status": "False" if problem else "True", "message": problem or "ok"}
    if problem:
        condition["error"] = problem
    obj = {
        "kind": info.kind,
        "apiVersion": info.api_version,
        "metadata": {"name": name, "uid": str(uuid.uuid5(uuid.NAMESPACE_DNS, name)), "creationTimestamp": None},
        "conditions": [condition],
    }
    return Entry(name, encoding.encode(obj), 0, Summary("", name, {}, {}))

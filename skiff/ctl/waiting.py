"""Waiting for an object to change: one look, then a watch, taken up again for as long as it takes."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx

from apimachinery.errors import StatusError
from skiff.ctl.session import Session
from skiff.ctl.targets import Target

_PAUSE = 0.5


async def versions(session: Session, target: Target) -> AsyncIterator[dict[str, Any] | None]:
    """Each state of an object from now on; None when it is not there."""
    collection = target.type.path(target.namespace)
    params = {"fieldSelector": f"metadata.name={target.name}"}
    while True:
        listing = await session.client.get(collection, params)
        items = listing.get("items") or []
        head = {"apiVersion": target.type.api_version, "kind": target.type.kind}
        yield {**head, **items[0]} if items else None
        version = str(listing["metadata"]["resourceVersion"])
        try:
            async for event in session.client.watch(collection, {**params, "resourceVersion": version}):
                if event.type == "ERROR":
                    break
                if event.type != "BOOKMARK":
                    yield None if event.type == "DELETED" else json.loads(event.object)
        except (httpx.TransportError, StatusError):
            await session.clock.sleep(_PAUSE)


async def gone(session: Session, target: Target, uid: str = "") -> None:
    """Until the object is not there, or another one of its name is."""
    try:
        async for obj in versions(session, target):
            if obj is None or (uid and obj["metadata"].get("uid") != uid):
                return
    except StatusError as error:
        if error.code not in (403, 405):
            raise  # who may delete but not look cannot wait, and need not

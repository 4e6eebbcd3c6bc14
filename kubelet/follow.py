"""List, then watch, then again: one resource collection followed for as long as the task lives.

Used for this node's pods, its Node, the services, and single ConfigMaps and Secrets. The callbacks run on the event
loop and must not block. After a broken stream the list is taken anew, so no change is ever missed, only delayed.
"""

import json
import logging
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import httpx

from apimachinery.errors import StatusError
from component_base.clock import Clock
from kubelet.api import Api

log = logging.getLogger(__name__)
T = TypeVar("T")
WATCH_SECONDS = 480
MAX_DELAY = 15.0


class _Expired(Exception):
    """The watch cannot go on from where it was."""


async def follow(
    api: Api,
    clock: Clock,
    path: str,
    params: Mapping[str, str],
    *,
    decode: Callable[[bytes], T],
    on_change: Callable[[str, T | None], None],
    on_synced: Callable[[set[str]], None],
    last_words: bool = False,
) -> None:
    """`on_change(uid, object or None when deleted)`; `on_synced(uids)` after each list, with all that exist.

    With `last_words` a deleted object is told as it was at its end before it is told as gone.
    """
    delay = 0.5
    while True:
        try:
            version = await _list(api, path, params, decode, on_change, on_synced)
            delay = 0.5
            while True:
                version = await _watch(api, path, params, version, decode, on_change, last_words)
        except _Expired:
            continue
        except (StatusError, httpx.HTTPError, OSError) as error:
            log.warning("watch of %s broke, retrying in %.1f s: %s", path, delay, error)
            await clock.sleep(delay)
            delay = min(delay * 2, MAX_DELAY)


async def _list(
    api: Api,
    path: str,
    params: Mapping[str, str],
    decode: Callable[[bytes], T],
    on_change: Callable[[str, T | None], None],
    on_synced: Callable[[set[str]], None],
) -> str:
    answer = await api.get(path, params)
    present: set[str] = set()
    for item in answer.get("items") or ():
        item.setdefault("kind", answer.get("kind", "").removesuffix("List"))
        uid = item["metadata"]["uid"]
        present.add(uid)
        on_change(uid, decode(json.dumps(item).encode()))
    on_synced(present)
    return str(answer["metadata"]["resourceVersion"])


async def _watch(
    api: Api,
    path: str,
    params: Mapping[str, str],
    version: str,
    decode: Callable[[bytes], T],
    on_change: Callable[[str, T | None], None],
    last_words: bool,
) -> str:
    query = {**params, "resourceVersion": version, "allowWatchBookmarks": "true", "timeoutSeconds": str(WATCH_SECONDS)}
    async for kind, body in api.watch(path, query):
        if kind == "ERROR":
            raise _Expired
        head: dict[str, Any] = json.loads(body)
        version = head["metadata"]["resourceVersion"]
        if kind == "BOOKMARK":
            continue
        if kind != "DELETED" or last_words:
            on_change(head["metadata"]["uid"], decode(body))
        if kind == "DELETED":
            on_change(head["metadata"]["uid"], None)
    return version

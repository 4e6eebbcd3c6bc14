"""The ConfigMaps and Secrets that this node's pods name, kept current by one narrow watch each.

A pod acquires what it refers to and releases it at its end; the last release ends the watch. A change wakes the pods
that hold the object. The node authorizer allows a kubelet to see exactly these objects.
"""

import asyncio
import base64
import json
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from apimachinery.errors import StatusError
from component_base.clock import Clock
from component_base.tasks import spawn
from kubelet.api import Api
from kubelet.containers.facts import ConfigObjects
from kubelet.follow import follow

log = logging.getLogger(__name__)
Key = tuple[str, str, str]
"""(configmaps | secrets, namespace, name)"""


@dataclass(slots=True)
class _Watched:
    task: asyncio.Task[None]
    first: asyncio.Event
    holders: set[str] = field(default_factory=set)
    value: Mapping[str, bytes] | None = None
    kind: str = ""


class ObjectStore:
    def __init__(self, api: Api, clock: Clock, changed: Callable[[str], None]) -> None:
        self._api = api
        self._clock = clock
        self._changed = changed
        self._watched: dict[Key, _Watched] = {}

    async def acquire(
        self, uid: str, namespace: str, config_maps: Iterable[str], secrets: Iterable[str]
    ) -> ConfigObjects:
        """Exactly these are held by the pod from now on. Waits until each is known to exist or not."""
        wanted: set[Key] = {("configmaps", namespace, name) for name in config_maps}
        wanted |= {("secrets", namespace, name) for name in secrets}
        for key in wanted:
            entry = self._watched.get(key) or self._start(key)
            entry.holders.add(uid)
        for key in [k for k, e in self._watched.items() if uid in e.holders and k not in wanted]:
            self._release(uid, key)
        for key in wanted:
            await asyncio.wait_for(self._watched[key].first.wait(), 30)
        return self.current(namespace, wanted)

    def current(self, namespace: str, keys: Iterable[Key]) -> ConfigObjects:
        maps: dict[str, Mapping[str, bytes] | None] = {}
        secrets: dict[str, Mapping[str, bytes] | None] = {}
        for kind, _, name in keys:
            (maps if kind == "configmaps" else secrets)[name] = self._watched[(kind, namespace, name)].value
        return ConfigObjects(maps, secrets)

    def release(self, uid: str) -> None:
        for key in [k for k, e in self._watched.items() if uid in e.holders]:
            self._release(uid, key)

    def close(self) -> None:
        """Ends all watches, when the kubelet stops."""
        for entry in self._watched.values():
            entry.task.cancel()
        self._watched.clear()

    def _release(self, uid: str, key: Key) -> None:
        entry = self._watched[key]
        entry.holders.discard(uid)
        if not entry.holders:
            entry.task.cancel()
            del self._watched[key]

    def _start(self, key: Key) -> _Watched:
        first = asyncio.Event()
        kind, namespace, name = key

        def update(_: str, body: dict[str, Any] | None) -> None:
            entry = self._watched.get(key)
            if entry is None:
                return
            value = None if body is None else object_data(body)
            if first.is_set() and value == entry.value:
                return
            news = first.is_set()
            entry.value = value
            first.set()
            for uid in list(entry.holders) if news else ():
                self._changed(uid)

        async def run() -> None:
            path = f"/api/v1/namespaces/{namespace}/{kind}"
            await follow(
                self._api,
                self._clock,
                path,
                {"fieldSelector": f"metadata.name={name}"},
                decode=json.loads,
                on_change=lambda uid, body: update(uid, body),
                on_synced=lambda present: None if present else update("", None),
            )

        task = spawn(run(), f"watch {kind}/{namespace}/{name}")
        entry = self._watched[key] = _Watched(task, first)
        return entry


def object_data(body: Mapping[str, Any]) -> dict[str, bytes]:
    """The data of a ConfigMap (data, binaryData) or of a Secret (base64), as bytes."""
    if body.get("kind") == "Secret" or "type" in body:
        return {k: base64.b64decode(v or "") for k, v in (body.get("data") or {}).items()}
    out = {k: str(v).encode() for k, v in (body.get("data") or {}).items()}
    out |= {k: base64.b64decode(v or "") for k, v in (body.get("binaryData") or {}).items()}
    return out


async def fetch_secret(api: Api, namespace: str, name: str) -> tuple[str, dict[str, bytes]] | None:
    """(type, data) of a secret, None when there is none: for imagePullSecrets, which no pod holds open."""
    try:
        body = await api.get(f"/api/v1/namespaces/{namespace}/secrets/{name}")
    except StatusError as error:
        if error.code in (403, 404):
            return None
        raise
    return body.get("type", ""), {k: base64.b64decode(v or "") for k, v in (body.get("data") or {}).items()}

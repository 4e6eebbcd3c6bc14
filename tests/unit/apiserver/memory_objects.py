"""ports.Objects in a dictionary: what the parts behind the endpoints see of the store, without one."""

from __future__ import annotations

import copy
import uuid
from collections.abc import Callable, Sequence
from typing import Any

from apimachinery import errors, timestamps
from apimachinery.resources import ResourceInfo, find
from component_base.clock import Clock, ManualClock

JSON = dict[str, Any]
Callback = Callable[[JSON | None, JSON | None], None]
START = 1_700_000_000.0


def info(plural: str, group: str = "", version: str = "v1") -> ResourceInfo:
    found = find(group, version, plural)
    assert found is not None, plural
    return found


class MemoryObjects:
    """`hidden` names objects that the cache has not seen yet: only get_latest finds them."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock = clock or ManualClock(START)
        self.hidden: set[str] = set()
        self.writes = 0
        self._objects: dict[tuple[str, str], dict[tuple[str, str], JSON]] = {}
        self._callbacks: dict[tuple[str, str], list[Callback]] = {}

    def put(
        self, plural: str, name: str, namespace: str = "", group: str = "", version: str = "v1", **rest: Any
    ) -> JSON:
        """A stored object from its parts; `metadata` among the rest is merged."""
        metadata = {"name": name, "uid": f"uid-{name}", **rest.pop("metadata", {})}
        if namespace:
            metadata["namespace"] = namespace
        metadata.setdefault("creationTimestamp", timestamps.format(self.clock.now()))
        obj = {"metadata": metadata, **rest}
        self._set(info(plural, group, version), obj)
        return obj

    def get(self, info: ResourceInfo, namespace: str, name: str) -> JSON | None:
        return None if name in self.hidden else self._of(info).get((namespace, name))

    def list(self, info: ResourceInfo, namespace: str = "") -> Sequence[JSON]:
        return [
            obj
            for (where, name), obj in sorted(self._of(info).items())
            if namespace in ("", where) and name not in self.hidden
        ]

    def labelled(self, info: ResourceInfo, namespace: str, label: str, value: str) -> Sequence[JSON]:
        found = self.list(info, namespace)
        return [obj for obj in found if (obj["metadata"].get("labels") or {}).get(label) == value]

    async def get_latest(self, info: ResourceInfo, namespace: str, name: str) -> JSON | None:
        return self._of(info).get((namespace, name))

    async def create(self, info: ResourceInfo, obj: JSON) -> JSON:
        obj = copy.deepcopy(obj)
        metadata = obj["metadata"]
        key = (metadata.get("namespace", ""), metadata["name"])
        if key in self._of(info):
            raise errors.already_exists(info.plural, info.group, metadata["name"])
        metadata.setdefault("uid", str(uuid.uuid4()))
        metadata.setdefault("creationTimestamp", timestamps.format(self.clock.now()))
        self.writes += 1
        self._set(info, obj)
        return obj

    async def update(
        self, info: ResourceInfo, namespace: str, name: str, change: Callable[[JSON], JSON | None]
    ) -> JSON:
        present = self._of(info).get((namespace, name))
        if present is None:
            raise errors.not_found(info.plural, info.group, name)
        changed = change(copy.deepcopy(present))
        if changed is None:
            return present
        self.writes += 1
        self._set(info, changed)
        return changed

    async def update_raw(
        self, info: ResourceInfo, namespace: str, name: str, change: Callable[[JSON], JSON | None]
    ) -> JSON:
        return await self.update(info, namespace, name, change)

    async def delete(self, info: ResourceInfo, namespace: str, name: str) -> None:
        old = self._of(info).pop((namespace, name), None)
        if old is not None:
            self.writes += 1
            for callback in self._callbacks.get(self._key(info), ()):
                callback(old, None)

    def on_change(self, info: ResourceInfo, callback: Callback) -> None:
        for obj in self._of(info).values():
            callback(None, obj)
        self._callbacks.setdefault(self._key(info), []).append(callback)

    async def synced(self, info: ResourceInfo) -> None:
        return

    def _set(self, info: ResourceInfo, obj: JSON) -> None:
        metadata = obj["metadata"]
        key = (metadata.get("namespace", ""), metadata["name"])
        old = self._of(info).get(key)
        self._of(info)[key] = obj
        for callback in self._callbacks.get(self._key(info), ()):
            callback(old, obj)

    def _of(self, info: ResourceInfo) -> dict[tuple[str, str], JSON]:
        return self._objects.setdefault(self._key(info), {})

    @staticmethod
    def _key(info: ResourceInfo) -> tuple[str, str]:
        return info.group, info.plural

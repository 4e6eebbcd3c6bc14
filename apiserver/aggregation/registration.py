"""APIServices of what is answered here: one for each group version, made, repaired and taken away by the server."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from apimachinery.errors import StatusError
from apimachinery.resources import GROUP_VERSIONS
from apiserver.aggregation.backends import GROUP, info
from apiserver.ports import Objects
from apiserver.registry.catalog import DYNAMIC_PRIORITY, Catalog
from component_base.clock import Clock

log = logging.getLogger(__name__)

JSON = dict[str, Any]
LABEL = "kube-aggregator.kubernetes.io/automanaged"
#: Built-in ones are put right when a server starts, those of custom kinds always.
ON_START, ALWAYS = "onstart", "true"
CUSTOM_VERSION_PRIORITY = 100
RETRY_SECONDS = 1.0


def wanted(catalog: Catalog) -> dict[str, JSON]:
    """By name."""
    found = {}
    builtin = {(one.group, one.version): one for one in GROUP_VERSIONS}
    for group, versions in catalog.groups():
        for version in versions:
            known = builtin.get((group, version))
            priorities = (
                (known.group_priority, known.version_priority) if known else (DYNAMIC_PRIORITY, CUSTOM_VERSION_PRIORITY)
            )
            obj = _api_service(group, version, priorities, ON_START if known else ALWAYS)
            found[obj["metadata"]["name"]] = obj
    return found


def _api_service(group: str, version: str, priorities: tuple[int, int], managed: str) -> JSON:
    spec: JSON = {"version": version, "groupPriorityMinimum": priorities[0], "versionPriority": priorities[1]}
    if group:
        spec["group"] = group
    metadata = {"name": f"{version}.{group}", "labels": {LABEL: managed}}
    return {"apiVersion": f"{GROUP}/v1", "kind": "APIService", "metadata": metadata, "spec": spec}


def managed_as(obj: JSON) -> str:
    return str((obj["metadata"].get("labels") or {}).get(LABEL) or "")


def repaired(present: JSON, obj: JSON, starting: bool) -> JSON | None:
    """The stored APIService as it shall be; None where it is right, or somebody else's."""
    managed = managed_as(present)
    if managed not in (ON_START, ALWAYS) or (managed == ON_START and not starting):
        return None
    if present["spec"] == obj["spec"] and managed == managed_as(obj):
        return None
    labels = {**(present["metadata"].get("labels") or {}), LABEL: managed_as(obj)}
    return {**present, "metadata": {**present["metadata"], "labels": labels}, "spec": obj["spec"]}


def superfluous(present: JSON, names: set[str], starting: bool) -> bool:
    """Made by a server for what is not served any more."""
    managed = managed_as(present)
    return present["metadata"]["name"] not in names and (managed == ALWAYS or (managed == ON_START and starting))


class Registration:
    def __init__(self, objects: Objects, catalog: Catalog, clock: Clock) -> None:
        self._objects = objects
        self._catalog = catalog
        self._clock = clock
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """For ever, once the caches are filled: follows the catalog, and undoes what others do to managed objects."""
        self._catalog.on_change(self._changed.set)
        await self._objects.synced(info())
        self._objects.on_change(info(), lambda old, new: self._changed.set() if old is not None else None)
        starting = True
        while True:
            self._changed.clear()
            try:
                await self._sync(starting)
                starting = False
            except StatusError as error:
                log.warning("keeping the APIServices of this server: %s; trying again", error)
                await self._clock.sleep(RETRY_SECONDS)
                continue
            await self._changed.wait()

    async def _sync(self, starting: bool) -> None:
        needed = wanted(self._catalog)
        for name, obj in needed.items():
            present = self._objects.get(info(), "", name)
            if present is None:
                await self._create(obj)
            elif repaired(present, obj, starting) is not None:
                await self._objects.update(info(), "", name, lambda old, obj=obj: repaired(old, obj, starting))  # type: ignore[misc]
        for present in list(self._objects.list(info())):
            if superfluous(present, set(needed), starting):
                await self._objects.delete(info(), "", present["metadata"]["name"])

    async def _create(self, obj: JSON) -> None:
        try:
            await self._objects.create(info(), obj)
        except StatusError as error:
            if error.reason != "AlreadyExists":
                raise

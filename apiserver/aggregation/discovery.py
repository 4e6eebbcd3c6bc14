"""What the servers behind APIServices serve, read from their own discovery and kept for ours.

A server that does not answer keeps its last known resources, marked `Stale`.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import orjson

from apimachinery.errors import StatusError
from apiserver.aggregation.availability import AGGREGATOR
from apiserver.aggregation.backends import Backend, Backends
from apiserver.aggregation.transport import BackendTransport, Unreachable
from component_base.clock import Clock

log = logging.getLogger(__name__)

JSON = dict[str, Any]
ANSWER_SECONDS = 5.0
REFRESH_SECONDS = 60.0
CURRENT, STALE = "Current", "Stale"
_FORM = "application/json;g=apidiscovery.k8s.io;v={};as=APIGroupDiscoveryList"
_ACCEPT = {"accept": f"{_FORM.format('v2')},{_FORM.format('v2beta1')},application/json"}


class RemoteDiscovery:
    """Everything about groups that our own discovery needs beside the catalog."""

    def __init__(self, backends: Backends, transport: BackendTransport, clock: Clock) -> None:
        self._backends = backends
        self._transport = transport
        self._clock = clock
        self._documents: dict[tuple[str, str], JSON] = {}
        self._fetched = 0
        self._changed = asyncio.Event()
        backends.on_change(self._changed.set)

    @property
    def generation(self) -> int:
        return self._backends.generation + self._fetched

    def order(self, groups: list[tuple[str, list[str]]]) -> list[tuple[str, list[str]]]:
        return self._backends.order(groups)

    def version(self, group: str, version: str) -> JSON | None:
        """An entry of aggregated discovery; None for a version that is answered here."""
        if self._backends.find(group, version) is None:
            return None
        return self._documents.get((group, version)) or {"version": version, "freshness": STALE}

    async def run(self) -> None:
        """For ever."""
        while True:
            if not self._backends.all():
                await self._changed.wait()
            self._changed.clear()
            await asyncio.gather(*(self._refresh(one) for one in self._backends.all()))
            try:
                async with asyncio.timeout(REFRESH_SECONDS):
                    await self._changed.wait()
            except TimeoutError:
                pass

    async def _refresh(self, backend: Backend) -> None:
        key = (backend.group, backend.version)
        before = self._documents.get(key)
        found: JSON | None = None
        if backend.available:
            try:
                found = await self._fetch(backend)
            except (Unreachable, StatusError, ValueError) as error:
                log.info("discovery of the APIService %s: %s", backend.name, error)
        if found is None:
            found = {**(before or {"version": backend.version, "resources": []}), "freshness": STALE}
        if found != before:
            self._documents[key] = found
            self._fetched += 1

    async def _fetch(self, backend: Backend) -> JSON:
        """Raises Unreachable, StatusError, and ValueError for what is no discovery document."""
        response = await self._transport.get(backend, "/apis", AGGREGATOR, ANSWER_SECONDS, _ACCEPT)
        if response.status_code == 200:
            body = _object(response.content)
            for group in body.get("items") or ():
                if (group.get("metadata") or {}).get("name") == backend.group:
                    for one in group.get("versions") or ():
                        if one.get("version") == backend.version:
                            return {**one, "freshness": CURRENT}
        response = await self._transport.get(backend, backend.path, AGGREGATOR, ANSWER_SECONDS)
        if response.status_code != 200:
            raise ValueError(f"{backend.path} answers with {response.status_code}")
        return from_legacy(backend.group, backend.version, _object(response.content))


def _object(data: bytes) -> JSON:
    found = orjson.loads(data)
    if not isinstance(found, dict):
        raise ValueError("a discovery document is no JSON object")
    return found


def from_legacy(group: str, version: str, resource_list: JSON) -> JSON:
    """An APIResourceList as an entry of aggregated discovery."""
    found: dict[str, JSON] = {}
    for one in resource_list.get("resources") or ():
        plural, _, sub = one["name"].partition("/")
        kind = {"group": one.get("group") or group, "version": one.get("version") or version, "kind": one.get("kind")}
        scope = "Namespaced" if one.get("namespaced") else "Cluster"
        if sub:
            parent = found.setdefault(plural, {"resource": plural, "scope": scope})
            entry = {"subresource": sub, "responseKind": kind, "verbs": one.get("verbs") or []}
            parent.setdefault("subresources", []).append(entry)
            continue
        entry = found.setdefault(plural, {"resource": plural})
        entry |= {"responseKind": kind, "scope": scope, "singularResource": one.get("singularName") or ""}
        entry["verbs"] = one.get("verbs") or []
        entry |= {key: one[key] for key in ("shortNames", "categories") if one.get(key)}
    return {"version": version, "resources": list(found.values()), "freshness": CURRENT}

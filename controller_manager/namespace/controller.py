"""Empties a namespace that is being deleted, kind by kind, and removes its finalizer once nothing is left.

Conditions of the namespace say what is still in the way, as on upstream. Kinds are taken from discovery each time: new
ones may have come meanwhile.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from apimachinery import timestamps
from apimachinery.errors import StatusError
from controller_manager.views import Namespace
from kubeclient import discovery
from kubeclient.discovery import Resource
from kubeclient.informer import METADATA_LIST, Informers
from kubeclient.rest import MERGE, RestClient

FINALIZER = "kubernetes"
AT_ONCE = 8


@dataclass(slots=True)
class Remains:
    """What one pass left behind, for the conditions."""

    counts: dict[str, int] = field(default_factory=dict)  # "pods." -> how many
    finalizers: dict[str, int] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    discovery: str = ""
    longest_grace: int = 0

    @property
    def is_clean(self) -> bool:
        return not (self.counts or self.failures or self.discovery)


class NamespaceController:
    name = "namespace"

    def __init__(self, informers: Informers, client: RestClient) -> None:
        self._namespaces = informers.of("/api/v1/namespaces", Namespace)
        self._client = client

    def watch(self, enqueue: Callable[[str], None]) -> None:
        self._namespaces.add_key_handler(enqueue)

    async def sync(self, key: str, now: float) -> float | None:
        namespace = self._namespaces.get(key)
        if namespace is None or namespace.metadata.deletionTimestamp is None:
            return None
        if FINALIZER not in namespace.spec.finalizers:
            return None
        remains = await self._empty(key)
        if remains.is_clean:
            await self._finalize(key)
            return None
        await self._report(namespace, remains, now)
        return max(1.0, min(remains.longest_grace / 2 + 1, 15.0))

    async def _empty(self, key: str) -> Remains:
        remains = Remains()
        try:
            kinds = await discovery.resources(self._client)
        except StatusError as error:
            remains.discovery = str(error)
            return remains
        doomed = [r for r in kinds if r.namespaced and {"delete", "list"} <= r.verbs and r.plural != "events"]
        doomed += [r for r in kinds if r.plural == "events" and not r.group]
        # Pods first: their end is what takes time, and nothing else should vanish from under them (KEP-5080).
        pods = [r for r in doomed if r.plural == "pods" and not r.group]
        for group in (pods, [r for r in doomed if r not in pods]):
            limit = asyncio.Semaphore(AT_ONCE)
            await asyncio.gather(*(self._empty_kind(key, r, remains, limit) for r in group))
            if group is pods and remains.counts:
                break
        return remains

    async def _empty_kind(self, key: str, resource: Resource, remains: Remains, limit: asyncio.Semaphore) -> None:
        async with limit:
            try:
                items = await self._list(key, resource)
                if not items:
                    return
                await self._delete(key, resource, items)
                items = await self._list(key, resource)
            except StatusError as error:
                if error.code not in (404, 405):
                    remains.failures.append(f"{resource.plural}: {error}")
                return
        if items:
            name = f"{resource.plural}.{resource.group}"
            remains.counts[name] = len(items)
            for item in items:
                meta = item.get("metadata") or {}
                grace = int(meta.get("deletionGracePeriodSeconds") or 0)
                remains.longest_grace = max(remains.longest_grace, grace)
                for finalizer in meta.get("finalizers") or ():
                    remains.finalizers[finalizer] = remains.finalizers.get(finalizer, 0) + 1

    async def _list(self, key: str, resource: Resource) -> list[dict[str, Any]]:
        answer = json.loads(await self._client.get_bytes(resource.path(key), accept=METADATA_LIST))
        items: list[dict[str, Any]] = answer.get("items") or []
        return items

    async def _delete(self, key: str, resource: Resource, items: list[dict[str, Any]]) -> None:
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        if "deletecollection" in resource.verbs:
            await self._client.delete(resource.path(key), options)
            return
        for item in items:
            try:
                await self._client.delete(resource.path(key, item["metadata"]["name"]), options)
            except StatusError as error:
                if error.code != 404:
                    raise

    async def _finalize(self, key: str) -> None:
        path = f"/api/v1/namespaces/{key}"
        current = await self._client.get(path)
        spec = current.setdefault("spec", {})
        spec["finalizers"] = [f for f in spec.get("finalizers") or () if f != FINALIZER]
        await self._client.replace(f"{path}/finalize", current)

    async def _report(self, namespace: Namespace, remains: Remains, now: float) -> None:
        wanted = conditions_of(remains)
        shown = {c.type: (c.status, c.reason, c.message) for c in namespace.status.conditions}
        if all(shown.get(c["type"]) == (c["status"], c["reason"], c["message"]) for c in wanted):
            return
        for condition in wanted:
            condition["lastTransitionTime"] = timestamps.format(now)
        path = f"/api/v1/namespaces/{namespace.metadata.name}/status"
        await self._client.patch(path, {"status": {"conditions": wanted}}, MERGE)


def conditions_of(remains: Remains) -> list[dict[str, Any]]:
    """The five conditions of a namespace's deletion."""
    content = ", ".join(f"{name} has {n} resource instances" for name, n in sorted(remains.counts.items()))
    holders = ", ".join(f"{name} in {n} resource instances" for name, n in sorted(remains.finalizers.items()))

    def condition(kind: str, problem: str, good: tuple[str, str], bad: tuple[str, str]) -> dict[str, Any]:
        reason, text = bad if problem else good
        return {"type": kind, "status": "True" if problem else "False", "reason": reason, "message": text + problem}

    return [
        condition(
            "NamespaceDeletionDiscoveryFailure",
            remains.discovery,
            ("ResourcesDiscovered", "All resources successfully discovered"),
            ("DiscoveryFailed", "Discovery failed for some groups, "),
        ),
        condition(
            "NamespaceDeletionGroupVersionParsingFailure",
            "",
            ("ParsedGroupVersions", "All legacy kube types successfully parsed"),
            ("GroupVersionParsingFailed", ""),
        ),
        condition(
            "NamespaceDeletionContentFailure",
            "; ".join(sorted(remains.failures)),
            ("ContentDeleted", "All content successfully deleted, may be waiting on finalization"),
            ("ContentDeletionFailed", "Failed to delete all resource types, "),
        ),
        condition(
            "NamespaceContentRemaining",
            content,
            ("ContentRemoved", "All content successfully removed"),
            ("SomeResourcesRemain", "Some resources are remaining: "),
        ),
        condition(
            "NamespaceFinalizersRemaining",
            holders,
            ("ContentHasNoFinalizers", "All content-preserving finalizers finished"),
            ("SomeFinalizersRemain", "Some content in the namespace has finalizers remaining: "),
        ),
    ]

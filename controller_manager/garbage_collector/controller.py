"""The garbage collector at work: metadata of every deletable kind is watched, objects are looked at by uid.

Nothing is deleted on the word of the graph alone: owners are asked for from the apiserver, and every deletion carries
the uid and resourceVersion of what was judged.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from msgspec import structs

from apimachinery.errors import StatusError
from component_base.clock import Clock
from controller_manager.garbage_collector.graph import FOREGROUND, ORPHAN, Graph, Partial, Vertex
from kubeclient import discovery
from kubeclient.discovery import Resource
from kubeclient.informer import Informer
from kubeclient.rest import MERGE, RestClient
from kubeclient.views import OwnerReference

log = logging.getLogger(__name__)

#: Kinds that own nothing, are owned by nothing that matters, and change all the time.
IGNORED = frozenset({("", "events"), ("events.k8s.io", "events"), ("coordination.k8s.io", "leases")})
RESYNC_SECONDS = 30.0
NEEDED = frozenset({"delete", "list", "watch"})


class GarbageCollector:
    name = "garbage-collector"

    def __init__(self, client: RestClient, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._graph = Graph()
        self._kinds: dict[str, Resource] = {}
        self._informers: dict[str, tuple[Informer[Partial], asyncio.Task[None]]] = {}
        self._enqueue: Callable[[str], None] = lambda uid: None
        self._absent: set[str] = set()

    def watch(self, enqueue: Callable[[str], None]) -> None:
        self._enqueue = enqueue

    async def follow_kinds(self) -> None:
        """For ever: informers come and go with the kinds that discovery names."""
        try:
            while True:
                try:
                    await self._follow_once()
                except (StatusError, OSError) as error:
                    log.warning("cannot learn which kinds exist: %s", error)
                await self._clock.sleep(RESYNC_SECONDS)
        finally:
            for _, task in self._informers.values():
                task.cancel()

    async def _follow_once(self) -> None:
        found = {r.collection: r for r in await discovery.resources(self._client) if r.verbs >= NEEDED}
        found = {path: r for path, r in found.items() if (r.group, r.plural) not in IGNORED}
        self._kinds = {(r.api_version + "/" + r.kind): r for r in found.values()}
        for path in [path for path in self._informers if path not in found]:
            _, task = self._informers.pop(path)
            task.cancel()
        for path in found.keys() - self._informers.keys():
            informer = Informer(self._client, path, Partial, self._clock, metadata_only=True)
            informer.add_handler(self._handler(path))
            self._informers[path] = (informer, asyncio.ensure_future(informer.run()))
        waiting = [asyncio.ensure_future(informer.synced.wait()) for informer, _ in self._informers.values()]
        # A kind whose objects cannot be listed (its conversion webhook is down, say) must not hold up all others.
        _, late = await asyncio.wait(waiting, timeout=RESYNC_SECONDS) if waiting else ((), ())
        for one in late:
            one.cancel()

    def _handler(self, path: str) -> Callable[[Partial | None, Partial | None], None]:
        def on_change(old: Partial | None, new: Partial | None) -> None:
            wanted: set[str] = set()
            if old is not None and (new is None or new.metadata.uid != old.metadata.uid):
                wanted |= self._graph.forget(old.metadata.uid)
                self._absent.add(old.metadata.uid)
            if new is not None:
                wanted |= self._graph.observe(path, new.metadata)
            for uid in wanted:
                self._enqueue(uid)
            if len(self._absent) > 10_000:
                self._absent.clear()

        return on_change

    async def sync(self, key: str, now: float) -> float | None:
        vertex = self._graph.vertices.get(key)
        if vertex is None or vertex.is_virtual:
            return None
        if vertex.orphans_dependents:
            await self._orphan(vertex)
            return None
        if vertex.waits_for_dependents:
            await self._advance_foreground(vertex)
        if vertex.owners and not (vertex.is_deleting and not vertex.waits_for_dependents):
            await self._judge(vertex)
        return None

    # Deletion because of owners

    async def _judge(self, vertex: Vertex) -> None:
        solid, waiting, dangling = [], [], []
        for owner in vertex.owners:
            if await self._is_absent(vertex, owner):
                dangling.append(owner)
            elif (above := self._graph.vertices.get(owner.uid)) is not None and above.waits_for_dependents:
                waiting.append(owner)
            else:
                solid.append(owner)
        if not dangling and not waiting:
            return
        if solid:
            # Somebody still needs it: only the references that lead nowhere go.
            await self._remove_references(vertex, [*dangling, *waiting])
            return
        if waiting and self._closes_a_circle(vertex):
            await self._stop_blocking(vertex)
            return  # the change brings it back here
        if vertex.is_deleting:
            return
        if (waiting and vertex.dependents) or FOREGROUND in vertex.meta.finalizers:
            policy = "Foreground"
        elif ORPHAN in vertex.meta.finalizers:
            policy = "Orphan"
        else:
            policy = "Background"
        await self._delete(vertex, policy)

    async def _is_absent(self, vertex: Vertex, owner: OwnerReference) -> bool:
        above = self._graph.vertices.get(owner.uid)
        if above is not None and not above.is_virtual:
            return False
        if owner.uid in self._absent:
            return True
        resource = self._kinds.get(f"{owner.apiVersion}/{owner.kind}") or self._any_version(owner)
        if resource is None:
            log.debug("owner kind %s %s is not served; its dependents are left alone", owner.apiVersion, owner.kind)
            return False
        if resource.namespaced and not vertex.meta.namespace:
            return False  # a cluster-wide object cannot be owned by a namespaced one: nothing is decided
        path = resource.path(vertex.meta.namespace, owner.name)
        try:
            found = await self._client.get(path)
        except StatusError as error:
            if error.code != 404:
                raise
            self._absent.add(owner.uid)
            return True
        absent = (found.get("metadata") or {}).get("uid") != owner.uid
        if absent:
            self._absent.add(owner.uid)
        return absent

    def _any_version(self, owner: OwnerReference) -> Resource | None:
        group = owner.apiVersion.rpartition("/")[0]
        return next((r for r in self._kinds.values() if r.group == group and r.kind == owner.kind), None)

    async def _delete(self, vertex: Vertex, policy: str) -> None:
        options = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": policy,
            "preconditions": {"uid": vertex.uid, "resourceVersion": vertex.meta.resourceVersion},
        }
        try:
            await self._client.delete(self._path(vertex), options)
        except StatusError as error:
            if error.code != 404:
                raise  # 409 says that it changed since it was judged: it will be looked at again

    async def _remove_references(self, vertex: Vertex, gone: list[OwnerReference]) -> None:
        uids = {owner.uid for owner in gone}
        await self._keep_references(vertex, [o for o in vertex.owners if o.uid not in uids])

    def _closes_a_circle(self, vertex: Vertex) -> bool:
        """Whether those it waits for may wait for it. Also true of mere chains, where it costs one patch."""
        below = (self._graph.vertices.get(uid) for uid in vertex.dependents)
        return any(owner.blockOwnerDeletion for owner in vertex.owners) and any(
            dependent is not None and dependent.waits_for_dependents for dependent in below
        )

    async def _stop_blocking(self, vertex: Vertex) -> None:
        await self._keep_references(vertex, [structs.replace(o, blockOwnerDeletion=False) for o in vertex.owners])

    async def _keep_references(self, vertex: Vertex, kept: list[OwnerReference]) -> None:
        references = [
            {
                "apiVersion": o.apiVersion,
                "kind": o.kind,
                "name": o.name,
                "uid": o.uid,
                **({"controller": True} if o.controller else {}),
                **({"blockOwnerDeletion": True} if o.blockOwnerDeletion else {}),
            }
            for o in kept
        ]
        meta: dict[str, Any] = {"uid": vertex.uid, "resourceVersion": vertex.meta.resourceVersion}
        body = {"metadata": {**meta, "ownerReferences": references or None}}
        await self._ignoring_absence(self._client.patch(self._path(vertex), body, MERGE))

    # Deletion of owners

    async def _advance_foreground(self, vertex: Vertex) -> None:
        blocking = self._graph.blocking(vertex)
        if not blocking:
            await self._remove_finalizer(vertex, FOREGROUND)
            return
        for dependent in blocking:
            if not dependent.is_deleting:
                self._enqueue(dependent.uid)

    async def _orphan(self, vertex: Vertex) -> None:
        for uid in list(vertex.dependents):
            dependent = self._graph.vertices.get(uid)
            if dependent is not None and not dependent.is_virtual:
                await self._keep_references(dependent, [o for o in dependent.owners if o.uid != vertex.uid])
        await self._remove_finalizer(vertex, ORPHAN)

    async def _remove_finalizer(self, vertex: Vertex, finalizer: str) -> None:
        kept = [f for f in vertex.meta.finalizers if f != finalizer]
        meta = {"uid": vertex.uid, "resourceVersion": vertex.meta.resourceVersion, "finalizers": kept or None}
        await self._ignoring_absence(self._client.patch(self._path(vertex), {"metadata": meta}, MERGE))

    async def _ignoring_absence(self, call: Any) -> None:
        try:
            await call
        except StatusError as error:
            if error.code != 404:
                raise

    def _path(self, vertex: Vertex) -> str:
        base, _, plural = vertex.collection.rpartition("/")
        meta = vertex.meta
        middle = f"/namespaces/{meta.namespace}" if meta.namespace else ""
        return f"{base}{middle}/{plural}/{meta.name}"

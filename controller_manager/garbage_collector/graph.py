"""Who owns whom, over all kinds: a graph of uids, fed by metadata watches. Pure.

Owners that are named but were never seen are *virtual*: whether they exist is asked once, from the apiserver, before
anything is deleted because of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from msgspec import Struct

from kubeclient.views import Meta, OwnerReference

ORPHAN = "orphan"
FOREGROUND = "foregroundDeletion"


class Partial(Struct, frozen=True):
    """PartialObjectMetadata."""

    metadata: Meta


@dataclass(slots=True)
class Vertex:
    """`collection` is the REST path of all objects of its kind; empty for a virtual one."""

    uid: str
    collection: str
    meta: Meta
    dependents: set[str] = field(default_factory=set)

    @property
    def owners(self) -> list[OwnerReference]:
        return self.meta.ownerReferences

    @property
    def is_virtual(self) -> bool:
        return not self.collection

    @property
    def is_deleting(self) -> bool:
        return self.meta.deletionTimestamp is not None

    @property
    def waits_for_dependents(self) -> bool:
        return self.is_deleting and FOREGROUND in self.meta.finalizers

    @property
    def orphans_dependents(self) -> bool:
        return self.is_deleting and ORPHAN in self.meta.finalizers


class Graph:
    """`observe` and `forget` answer with the uids that should be looked at because of the change."""

    def __init__(self) -> None:
        self.vertices: dict[str, Vertex] = {}

    def observe(self, collection: str, meta: Meta) -> set[str]:
        vertex = self.vertices.get(meta.uid)
        if vertex is None:
            vertex = self.vertices[meta.uid] = Vertex(meta.uid, collection, meta)
            before: set[str] = set()
            blocked: set[str] = set()
        else:
            before, blocked = {owner.uid for owner in vertex.owners}, _blocked(vertex)
            vertex.collection, vertex.meta = collection, meta
        after = {owner.uid for owner in vertex.owners}
        for gone in before - after:
            self._unlink(gone, meta.uid)
        for owner in vertex.owners:
            above = self.vertices.get(owner.uid)
            if above is None:
                virtual = Meta(name=owner.name, namespace=meta.namespace, uid=owner.uid)
                above = self.vertices[owner.uid] = Vertex(owner.uid, "", virtual)
            above.dependents.add(meta.uid)
        return self._to_look_at(vertex, (before - after) | (blocked - _blocked(vertex)))

    def _to_look_at(self, vertex: Vertex, freed_owners: set[str]) -> set[str]:
        wanted = {uid for uid in freed_owners if (o := self.vertices.get(uid)) and o.waits_for_dependents}
        if vertex.waits_for_dependents or vertex.orphans_dependents:
            wanted.add(vertex.uid)
            wanted |= vertex.dependents
        # An object with owners is looked at whenever it changes: one of them may be gone already.
        if vertex.owners and any(self._may_be_gone(owner.uid) for owner in vertex.owners):
            wanted.add(vertex.uid)
        return wanted

    def _may_be_gone(self, uid: str) -> bool:
        owner = self.vertices.get(uid)
        return owner is None or owner.is_virtual or owner.waits_for_dependents

    def forget(self, uid: str) -> set[str]:
        vertex = self.vertices.pop(uid, None)
        if vertex is None:
            return set()
        wanted = set(vertex.dependents)
        for owner in vertex.owners:
            self._unlink(owner.uid, uid)
            above = self.vertices.get(owner.uid)
            if above is not None and above.waits_for_dependents:
                wanted.add(above.uid)
        if vertex.dependents:
            # Kept as virtual while somebody still names it: they are told by its absence from the store.
            ghost = Vertex(uid, "", vertex.meta, vertex.dependents)
            self.vertices[uid] = ghost
        return wanted

    def _unlink(self, owner_uid: str, uid: str) -> None:
        owner = self.vertices.get(owner_uid)
        if owner is None:
            return
        owner.dependents.discard(uid)
        if owner.is_virtual and not owner.dependents:
            del self.vertices[owner_uid]

    def blocking(self, vertex: Vertex) -> list[Vertex]:
        """Dependents that hold up the foreground deletion of their owner."""
        found = []
        for uid in vertex.dependents:
            dependent = self.vertices.get(uid)
            if dependent is None or dependent.is_virtual:
                continue
            if any(o.uid == vertex.uid and o.blockOwnerDeletion for o in dependent.owners):
                found.append(dependent)
        return found


def _blocked(vertex: Vertex) -> set[str]:
    return {owner.uid for owner in vertex.owners if owner.blockOwnerDeletion}

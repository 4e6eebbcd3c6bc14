"""Who controls an object: one ownerReference with `controller: true`. Matching orphans are adopted, others released."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from kubeclient.plan import Patch
from kubeclient.rest import STRATEGIC
from kubeclient.views import LabelSelector, Meta


class Owned(Protocol):
    @property
    def metadata(self) -> Meta: ...


T = TypeVar("T", bound=Owned)


@dataclass(frozen=True, slots=True)
class Owner:
    api_version: str
    kind: str
    meta: Meta

    def reference(self) -> dict[str, Any]:
        return {
            "apiVersion": self.api_version,
            "kind": self.kind,
            "name": self.meta.name,
            "uid": self.meta.uid,
            "controller": True,
            "blockOwnerDeletion": True,
        }

    def event_reference(self) -> dict[str, Any]:
        return {
            "apiVersion": self.api_version,
            "kind": self.kind,
            "namespace": self.meta.namespace,
            "name": self.meta.name,
            "uid": self.meta.uid,
            "resourceVersion": self.meta.resourceVersion,
        }


def claim(owner: Owner, selector: LabelSelector, candidates: Iterable[T], path: str) -> tuple[list[T], list[Patch]]:
    """What the owner controls, and the patches that make it so. `path` has `{name}` where the object's name goes.

    An owner that is being deleted adopts nothing; an object that is being deleted is not adopted. Adopted objects are
    counted as owned only once the watch shows it.
    """
    owned: list[T] = []
    patches: list[Patch] = []
    for candidate in candidates:
        meta = candidate.metadata
        controller = meta.controller
        matches = selector.matches(meta.labels)
        if controller is not None:
            if controller.uid != owner.meta.uid:
                continue
            if matches:
                owned.append(candidate)
            elif owner.meta.deletionTimestamp is None:
                patches.append(_release(owner, meta, path))
        elif matches and owner.meta.deletionTimestamp is None and meta.deletionTimestamp is None:
            patches.append(_adopt(owner, meta, path))
    return owned, patches


def _adopt(owner: Owner, meta: Meta, path: str) -> Patch:
    body = {"metadata": {"uid": meta.uid, "ownerReferences": [owner.reference()]}}
    return Patch(path.format(name=meta.name), body, STRATEGIC)


def _release(owner: Owner, meta: Meta, path: str) -> Patch:
    body = {"metadata": {"uid": meta.uid, "ownerReferences": [{"$patch": "delete", "uid": owner.meta.uid}]}}
    return Patch(path.format(name=meta.name), body, STRATEGIC)


def by_controller(found: Owned) -> list[str]:
    """An informer index: objects by their controller's uid, orphans by their namespace."""
    controller = found.metadata.controller
    return [controller.uid if controller is not None else orphans(found.metadata.namespace)]


def orphans(namespace: str) -> str:
    return f"orphans in {namespace}"

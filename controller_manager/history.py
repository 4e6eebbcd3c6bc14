"""ControllerRevisions: what a DaemonSet's or StatefulSet's template was, so that it can be gone back to.

`kubectl rollout undo` applies a revision's data to the owner as a strategic merge patch.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import Struct

from controller_manager.deployment.revisions import ALPHABET
from controller_manager.ownership import Owner
from kubeclient.plan import Action, Create, Delete, Patch
from kubeclient.views import Meta

COLLECTION = "/apis/apps/v1/controllerrevisions"


class ControllerRevision(Struct, frozen=True):
    metadata: Meta
    revision: int = 0
    data: msgspec.Raw = msgspec.Raw(b"{}")


@dataclass(frozen=True, slots=True)
class History:
    """The owner's revisions, oldest first, and which of them its template is now."""

    name: str
    hash: str
    number: int
    collisions: int
    """How often a name was found taken by other data, this time included."""
    actions: tuple[Action, ...]
    old: tuple[ControllerRevision, ...]
    current: ControllerRevision | None
    """None: it is about to be made."""


def template_patch(template: msgspec.Raw) -> dict[str, Any]:
    """Its members are sorted, as Go writes maps: clients find the revision that is current by comparing bytes."""
    found: dict[str, Any] = msgspec.json.decode(template)
    patch = {"spec": {"template": {**found, "$patch": "replace"}}}
    in_order: dict[str, Any] = json.loads(json.dumps(patch, sort_keys=True))
    return in_order


def path(namespace: str, name: str = "") -> str:
    collection = f"/apis/apps/v1/namespaces/{namespace}/controllerrevisions"
    return f"{collection}/{name}" if name else collection


def digest(data: dict[str, Any], collisions: int) -> str:
    canonical = json.dumps(data, sort_keys=True, separators=(",", ":")).encode()
    number = int.from_bytes(hashlib.sha256(canonical + str(collisions).encode()).digest()[:8], "big")
    letters = []
    for _ in range(10):
        number, rest = divmod(number, len(ALPHABET))
        letters.append(ALPHABET[rest])
    return "".join(letters)


def record(
    owner: Owner,
    template: msgspec.Raw,
    owned: Sequence[ControllerRevision],
    taken: Sequence[ControllerRevision],
    collisions: int,
    hash_label: str,
    labels: dict[str, str],
) -> History:
    """What has to be done so that the newest revision is the template. `taken`: all revisions of the namespace."""
    data = template_patch(template)
    ordered = sorted(owned, key=lambda r: (r.revision, r.metadata.creationTimestamp or "", r.metadata.name))
    same = [r for r in ordered if msgspec.json.decode(r.data) == data]
    others = tuple(r for r in ordered if r not in same)
    newest = max((r.revision for r in others), default=0)
    if same:
        kept, *_ = reversed(same)
        actions: list[Action] = [Delete(path(r.metadata.namespace, r.metadata.name), r.metadata.uid) for r in same[:-1]]
        if kept.revision <= newest:
            meta = kept.metadata
            body = {"metadata": {"uid": meta.uid}, "revision": newest + 1}
            actions.append(Patch(path(meta.namespace, meta.name), body))
        name, number = kept.metadata.name, max(kept.revision, newest + 1)
        hashed = kept.metadata.labels.get(hash_label, name.rpartition("-")[2])
        return History(name, hashed, number, collisions, tuple(actions), others, kept)
    names = {r.metadata.name for r in taken}
    while (name := f"{owner.meta.name[:223]}-{digest(data, collisions)}") in names:
        collisions += 1
    hashed = digest(data, collisions)
    create = _revision(owner, name, data, newest + 1, {**labels, hash_label: hashed})
    return History(name, hashed, newest + 1, collisions, (create,), others, None)


def _revision(owner: Owner, name: str, data: dict[str, Any], number: int, labels: dict[str, str]) -> Create:
    body = {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": {
            "name": name,
            "namespace": owner.meta.namespace,
            "labels": labels,
            "annotations": dict(owner.meta.annotations),
            "ownerReferences": [owner.reference()],
        },
        "data": data,
        "revision": number,
    }
    return Create(path(owner.meta.namespace), body)


def outdated(old: Sequence[ControllerRevision], live: set[str], limit: int | None) -> list[Action]:
    """Deletes the oldest revisions beyond the limit that no pod has (`live`: names)."""
    surplus = len(old) - (10 if limit is None else limit)
    dead = [r for r in old if r.metadata.name not in live]
    return [Delete(path(r.metadata.namespace, r.metadata.name), r.metadata.uid) for r in dead[: max(surplus, 0)]]

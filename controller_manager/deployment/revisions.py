"""Revisions of a Deployment: one ReplicaSet for each pod template it ever had, told apart by a hash of the template."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from controller_manager.views import Deployment, ReplicaSet, decoded

HASH_LABEL = "pod-template-hash"
REVISION = "deployment.kubernetes.io/revision"
HISTORY = "deployment.kubernetes.io/revision-history"
DESIRED = "deployment.kubernetes.io/desired-replicas"
MAXIMUM = "deployment.kubernetes.io/max-replicas"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
#: Annotations that belong to one object and are never copied between a Deployment and its ReplicaSets.
OWN_ANNOTATIONS = frozenset({LAST_APPLIED, REVISION, HISTORY, DESIRED, MAXIMUM, "deprecated.deployment.rollback.to"})

#: Letters and digits that cannot spell words: upstream's alphabet for generated names.
ALPHABET = "bcdfghjklmnpqrstvwxz2456789"


def canonical(template: msgspec.Raw) -> bytes:
    """The template as sorted JSON without the hash label: equal for templates that mean the same."""
    content = decoded(template)
    labels = dict(content.get("metadata", {}).get("labels") or {})
    labels.pop(HASH_LABEL, None)
    metadata = {**content.get("metadata", {}), "labels": labels}
    metadata.pop("creationTimestamp", None)
    return msgspec.json.encode({**content, "metadata": metadata}, order="deterministic")


def template_hash(template: msgspec.Raw, collisions: int | None) -> str:
    """Ten letters; another value for each collision count, so that a clash of names can be left behind."""
    digest = hashlib.sha256(canonical(template) + (str(collisions).encode() if collisions else b"")).digest()
    number = int.from_bytes(digest[:8], "big")
    letters = []
    for _ in range(10):
        number, rest = divmod(number, len(ALPHABET))
        letters.append(ALPHABET[rest])
    return "".join(letters)


def revision_of(annotations: dict[str, str]) -> int:
    try:
        return int(annotations.get(REVISION, "0"))
    except ValueError:
        return 0


def by_age(sets: Iterable[ReplicaSet]) -> list[ReplicaSet]:
    return sorted(sets, key=lambda rs: (rs.metadata.creationTimestamp or "", rs.metadata.name))


def split(deployment: Deployment, sets: Sequence[ReplicaSet]) -> tuple[ReplicaSet | None, list[ReplicaSet]]:
    """The ReplicaSet of the current template (the oldest, should two have it) and the others, oldest first."""
    wanted = canonical(deployment.spec.template)
    ordered = by_age(sets)
    current = next((rs for rs in ordered if canonical(rs.spec.template) == wanted), None)
    return current, [rs for rs in ordered if rs is not current]


def next_revision(old: Iterable[ReplicaSet]) -> int:
    return max((revision_of(rs.metadata.annotations) for rs in old), default=0) + 1


def annotations_for(deployment: Deployment, existing: dict[str, str], revision: int, maximum: int) -> dict[str, str]:
    """What the current ReplicaSet carries; an older number it had before a roll-back joins its history."""
    result = dict(existing)
    result.update({k: v for k, v in deployment.metadata.annotations.items() if k not in OWN_ANNOTATIONS})
    before = revision_of(existing)
    if before < revision:
        if before:
            history = [entry for entry in existing.get(HISTORY, "").split(",") if entry]
            result[HISTORY] = ",".join([*history, str(before)])
        result[REVISION] = str(revision)
    result[DESIRED] = str(deployment.spec.replicas)
    result[MAXIMUM] = str(maximum)
    return result


def new_replica_set(deployment: Deployment, revision: int, replicas: int, maximum: int) -> dict[str, Any]:
    """The object to create for the current template."""
    template = decoded(deployment.spec.template)
    digest = template_hash(deployment.spec.template, deployment.status.collisionCount)
    metadata = dict(template.get("metadata") or {})
    metadata["labels"] = {**(metadata.get("labels") or {}), HASH_LABEL: digest}
    selector = msgspec.to_builtins(deployment.spec.selector)
    spec: dict[str, Any] = {
        "replicas": replicas,
        "selector": {
            **{key: value for key, value in selector.items() if value},
            "matchLabels": {**selector["matchLabels"], HASH_LABEL: digest},
        },
        "template": {**template, "metadata": metadata},
    }
    if deployment.spec.minReadySeconds:
        spec["minReadySeconds"] = deployment.spec.minReadySeconds
    meta = deployment.metadata
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": f"{meta.name}-{digest}",
            "namespace": meta.namespace,
            "labels": metadata["labels"],
            "annotations": annotations_for(deployment, {}, revision, maximum),
            "ownerReferences": [
                {
                    "apiVersion": "apps/v1",
                    "kind": "Deployment",
                    "name": meta.name,
                    "uid": meta.uid,
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        },
        "spec": spec,
    }


def surplus_history(old: Sequence[ReplicaSet], limit: int | None) -> list[ReplicaSet]:
    """Old ReplicaSets beyond `revisionHistoryLimit` that hold nothing any more, oldest revision first."""
    if limit is None or len(old) <= limit:
        return []
    excess = len(old) - limit
    oldest = sorted(old, key=lambda rs: (revision_of(rs.metadata.annotations), rs.metadata.creationTimestamp or ""))
    empty = [
        rs
        for rs in oldest[:excess]
        if rs.status.replicas == 0
        and rs.spec.replicas == 0
        and rs.metadata.generation <= rs.status.observedGeneration
        and rs.metadata.deletionTimestamp is None
    ]
    return empty

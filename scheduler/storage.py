"""Claims, volumes and storage classes as the watches show them, and what is written to them before a pod is bound."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from kubeclient.informer import Informers
from kubeclient.rest import MERGE, RestClient
from kubeclient.volumes import (
    BOUND_BY_CONTROLLER,
    CLAIMS,
    CLASSES,
    SELECTED_NODE,
    VOLUMES,
    Claim,
    StorageClass,
    Volume,
)
from scheduler.plugins.volume_binding import Binding

BIND_TIMEOUT = 600.0
"""A provisioner may take its time (upstream: bindTimeoutSeconds)."""


class InformedStorage:
    """The `Storage` of the VolumeBinding plugin."""

    def __init__(self, informers: Informers) -> None:
        self._claims = informers.of(CLAIMS, Claim)
        self._volumes = informers.of(VOLUMES, Volume)
        self._classes = informers.of(CLASSES, StorageClass)
        self._volumes.add_index("class", lambda volume: [volume.class_name])

    def on_change(self, callback: Callable[[], None]) -> None:
        def changed(old: object, new: object) -> None:
            callback()

        self._claims.add_handler(changed)
        self._volumes.add_handler(changed)
        self._classes.add_handler(changed)

    def claim(self, key: str) -> Claim | None:
        return self._claims.get(key)

    def volume(self, name: str) -> Volume | None:
        return self._volumes.get(name)

    def storage_class(self, name: str) -> StorageClass | None:
        return self._classes.get(name)

    def volumes_of_class(self, name: str) -> Iterable[Volume]:
        return self._volumes.indexed("class", name)

    async def until_bound(self, bindings: Sequence[Binding], node: str) -> None:
        """Raises ValueError when a claim will not be bound for this node any more, or it takes too long."""

        def settled() -> bool:
            return all(self._is_bound(binding) for binding in bindings) or self._given_up(bindings, node) != ""

        try:
            async with asyncio.timeout(BIND_TIMEOUT):
                await self._claims.wait_for(settled)
        except TimeoutError:
            raise ValueError("timed out waiting for the pod's volumes to be bound") from None
        if complaint := self._given_up(bindings, node):
            raise ValueError(complaint)

    def _is_bound(self, binding: Binding) -> bool:
        claim = self._claims.get(binding.claim.metadata.key)
        return claim is not None and claim.is_bound and claim.metadata.uid == binding.claim.metadata.uid

    def _given_up(self, bindings: Sequence[Binding], node: str) -> str:
        """A provisioner that cannot serve the node takes the annotation off the claim: choose again."""
        for binding in bindings:
            name = binding.claim.metadata.name
            claim = self._claims.get(binding.claim.metadata.key)
            if claim is None or claim.metadata.uid != binding.claim.metadata.uid:
                return f'persistentvolumeclaim "{name}" is gone'
            news = int(claim.metadata.resourceVersion or 0) > binding.told_at > 0
            if news and not claim.is_bound and claim.metadata.annotations.get(SELECTED_NODE) != node:
                return f'provisioning of persistentvolumeclaim "{name}" for node "{node}" was given up'
        return ""


async def write_bindings(client: RestClient, bindings: Sequence[Binding], node: str) -> list[Binding]:
    """Reserves volumes and tells provisioners the node. StatusError 409: somebody was faster, decide again."""
    written: list[Binding] = []
    for binding in bindings:
        claim, volume = binding.claim.metadata, binding.volume
        if volume is None:
            path = f"/api/v1/namespaces/{claim.namespace}/persistentvolumeclaims/{claim.name}"
            body: dict[str, Any] = {"metadata": {"uid": claim.uid, "annotations": {SELECTED_NODE: node}}}
            answer = await client.patch(path, body, MERGE)
            written.append(Binding(binding.claim, None, int(answer["metadata"]["resourceVersion"])))
            continue
        written.append(binding)
        if volume.spec.claimRef is not None and volume.spec.claimRef.uid == claim.uid:
            continue
        reference = {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "namespace": claim.namespace,
            "name": claim.name,
            "uid": claim.uid,
            "resourceVersion": claim.resourceVersion,
        }
        head: dict[str, Any] = {"resourceVersion": volume.metadata.resourceVersion}
        if volume.spec.claimRef is None:
            head["annotations"] = {BOUND_BY_CONTROLLER: "yes"}
        body = {"metadata": head, "spec": {"claimRef": reference}}
        await client.patch(f"/api/v1/persistentvolumes/{volume.metadata.name}", body, MERGE)
    return written

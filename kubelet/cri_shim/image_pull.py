"""Pulling: from a registry into containerd's content store and on into snapshots.

Layers arrive in parallel; an interrupted one goes on where it stopped; concurrent pulls of one image share the work.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from component_base.clock import Clock
from component_base.rng import Rng
from component_base.rpc import Code, RpcError
from kubelet.cri_shim.containerd_client import Containerd, temporary_lease
from kubelet.cri_shim.content_store import ContentStore
from kubelet.cri_shim.groups import task_group
from kubelet.cri_shim.image_catalog import MANAGED_LABELS, choose_platform
from kubelet.cri_shim.image_refs import Reference, parse_reference
from kubelet.cri_shim.registry_types import INDEX_TYPES, Credentials, Manifest, RegistryError

if TYPE_CHECKING:
    from kubelet.cri_shim.registry_client import RegistryClient

logger = logging.getLogger(__name__)

PARALLEL_LAYERS = 3
ATTEMPTS = 4


class ImagePuller:
    def __init__(
        self,
        containerd: Containerd,
        content: ContentStore,
        clock: Clock,
        rng: Rng,
        architecture: str,
        insecure: Sequence[str] = (),
        mirrors: Mapping[str, str] | None = None,
    ) -> None:
        self._containerd, self._content = containerd, content
        self._clock, self._rng = clock, rng
        self._architecture = architecture
        self._insecure, self._mirrors = tuple(insecure), dict(mirrors or {})
        self._locks: dict[str, asyncio.Lock] = {}

    async def pull(self, text: str, credentials: Credentials | None) -> str:
        """The pulled image's id (config digest). Raises ValueError, RegistryError or RpcError."""
        reference = parse_reference(text)
        lock = self._locks.setdefault(str(reference), asyncio.Lock())
        async with lock:
            try:
                return await self._pull(reference, credentials)
            finally:
                self._locks.pop(str(reference), None)

    async def _pull(self, reference: Reference, credentials: Credentials | None) -> str:
        # Loaded when it is first needed: it brings an HTTP client with it, and most nodes of a lab never pull.
        from kubelet.cri_shim.registry_client import RegistryClient

        client = RegistryClient(reference, credentials, self._insecure, self._mirrors)
        try:
            async with temporary_lease(self._containerd, self._clock, self._rng) as lease:
                return await self._pull_under(client, reference, lease)
        finally:
            await client.close()

    async def _pull_under(self, client: RegistryClient, reference: Reference, lease: str) -> str:
        top = await client.manifest(reference.wanted)
        manifest = top
        index = top.document()
        if top.media_type in INDEX_TYPES or "manifests" in index:
            manifest = await client.manifest(choose_platform(index, self._architecture)["digest"])
        document = manifest.document()
        if "config" not in document or "layers" not in document:
            raise RegistryError(f"{reference}: manifests of type {manifest.media_type} are not supported")
        await self._fetch_blobs(client, document, lease)
        await self._content.write_bytes(manifest.body, lease)
        config_digest: str = document["config"]["digest"]
        await self._content.label_children(
            manifest.digest, [config_digest, *dict.fromkeys(layer["digest"] for layer in document["layers"])]
        )
        if top is not manifest:
            await self._content.write_bytes(top.body, lease)
            await self._content.label_children(top.digest, [manifest.digest])
        await self._content.unpack(document, config_digest, lease)
        await self._name(reference, top, config_digest, lease)
        logger.info("pulled %s as %s", reference, config_digest)
        return config_digest

    async def _name(self, reference: Reference, top: Manifest, config_digest: str, lease: str) -> None:
        names = [f"{reference.name}@{top.digest}", config_digest]
        if reference.tag and not reference.digest:
            names.insert(0, reference.tagged)
        for name in names:
            await self._content.set_name(name, top.media_type, top.digest, len(top.body), MANAGED_LABELS, lease)

    async def _fetch_blobs(self, client: RegistryClient, document: Mapping[str, Any], lease: str) -> None:
        limit = asyncio.Semaphore(PARALLEL_LAYERS)

        async def fetch(descriptor: Mapping[str, Any]) -> None:
            async with limit:
                await self._fetch_blob(client, descriptor["digest"], int(descriptor["size"]), lease)

        blobs = {blob["digest"]: blob for blob in [document["config"], *document["layers"]]}
        async with task_group() as group:
            for blob in blobs.values():
                group.create_task(fetch(blob))

    async def _fetch_blob(self, client: RegistryClient, digest: str, size: int, lease: str) -> None:
        if await self._content.size(digest) is not None:
            # Known content is not fetched again, but this lease must hold it too.
            await self._containerd.protect(lease, digest)
            return
        ref = f"layer-{digest}"
        for attempt in range(ATTEMPTS):
            try:
                offset = await self._content.offset(ref)
                async with client.blob(digest, offset) as chunks:
                    await self._content.write(ref, chunks, digest=digest, size=size, lease=lease, offset=offset)
                return
            except (RegistryError, RpcError) as error:
                if isinstance(error, RegistryError) and (error.not_found or error.denied):
                    raise
                if isinstance(error, RpcError) and error.code in (Code.FAILED_PRECONDITION, Code.INVALID_ARGUMENT):
                    # The bytes were wrong: nothing of them is worth going on from.
                    await self._content.abort(ref)
                    raise RegistryError(f"blob {digest} does not match its digest or size: {error.message}") from error
                if attempt == ATTEMPTS - 1:
                    raise
                await self._clock.sleep(0.5 * 2**attempt)

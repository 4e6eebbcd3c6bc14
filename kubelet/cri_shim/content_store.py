"""containerd's content store and image names: reading, streaming writes with digest verification, labels, unpacking.

Everything written during a pull or load stands under a lease, so garbage collection leaves it alone until an image name
refers to it. Afterwards the labels on manifests and configs keep their children alive.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from google.protobuf.empty_pb2 import Empty
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from component_base.rng import Rng
from component_base.rpc import Code, RpcError
from kubelet.cri_shim.containerd_client import Containerd, ignore_missing, service
from kubelet.cri_shim.image_build import digest_of
from skiff_pb.containerd import content_pb2, descriptor_pb2, diff_pb2, images_pb2

CONTENT = service(content_pb2.DESCRIPTOR, "Content")
IMAGES = service(images_pb2.DESCRIPTOR, "Images")
DIFF = service(diff_pb2.DESCRIPTOR, "Diff")
MAX_DOCUMENT = 16 << 20
CHUNK = 512 << 10
GC_CONTENT = "containerd.io/gc.ref.content"


def chain_ids(diff_ids: Sequence[str]) -> list[str]:
    """Names of the snapshots of each layer on top of those below it."""
    chain: list[str] = []
    for diff_id in diff_ids:
        chain.append(diff_id if not chain else digest_of(f"{chain[-1]} {diff_id}".encode()))
    return chain


class ContentStore:
    def __init__(self, containerd: Containerd, rng: Rng) -> None:
        self._containerd = containerd
        self._rng = rng

    async def read(self, digest: str) -> bytes:
        """A whole document (manifest or config)."""
        request = content_pb2.ReadContentRequest(digest=digest)
        data = bytearray()
        async for answer in self._containerd.stream(CONTENT, "Read", request):
            if isinstance(answer, content_pb2.ReadContentResponse):
                data += answer.data
                if len(data) > MAX_DOCUMENT:
                    raise RpcError(Code.RESOURCE_EXHAUSTED, f"content {digest} is over {MAX_DOCUMENT} bytes")
        return bytes(data)

    async def read_json(self, digest: str) -> dict[str, Any]:
        loaded = json.loads(await self.read(digest))
        if not isinstance(loaded, dict):
            raise RpcError(Code.INTERNAL, f"content {digest} is not a JSON object")
        return loaded

    async def size(self, digest: str) -> int | None:
        request = content_pb2.InfoRequest(digest=digest)
        found = await ignore_missing(self._containerd.call(CONTENT, "Info", request, content_pb2.InfoResponse))
        return found.info.size if found is not None else None

    async def offset(self, ref: str) -> int:
        """How far an interrupted write of that name has come."""
        request = content_pb2.StatusRequest(ref=ref)
        found = await ignore_missing(self._containerd.call(CONTENT, "Status", request, content_pb2.StatusResponse))
        return found.status.offset if found is not None else 0

    async def abort(self, ref: str) -> None:
        await ignore_missing(self._containerd.call(CONTENT, "Abort", content_pb2.AbortRequest(ref=ref), Empty))

    async def write(
        self,
        ref: str,
        chunks: AsyncIterator[bytes],
        *,
        digest: str,
        size: int,
        lease: str,
        offset: int = 0,
        labels: Mapping[str, str] | None = None,
    ) -> None:
        """Stream into the store; containerd refuses the commit when the bytes do not have that digest."""

        async def requests() -> AsyncIterator[Message]:
            position = offset
            async for chunk in chunks:
                if position + len(chunk) > size:
                    raise RpcError(Code.INVALID_ARGUMENT, f"{digest} is longer than the {size} bytes it should have")
                for start in range(0, len(chunk), CHUNK):
                    piece = chunk[start : start + CHUNK]
                    yield content_pb2.WriteContentRequest(
                        action=content_pb2.WRITE, ref=ref, offset=position, data=piece, total=size, expected=digest
                    )
                    position += len(piece)
            yield content_pb2.WriteContentRequest(
                action=content_pb2.COMMIT,
                ref=ref,
                offset=position,
                total=size,
                expected=digest,
                labels=dict(labels or {}),
            )

        try:
            async for _ in self._containerd.stream(CONTENT, "Write", requests(), lease):
                pass
        except RpcError as error:
            if error.code != Code.ALREADY_EXISTS:
                raise

    async def write_bytes(self, data: bytes, lease: str, labels: Mapping[str, str] | None = None) -> str:
        digest = digest_of(data)

        async def once() -> AsyncIterator[bytes]:
            yield data

        if await self.size(digest) is None:
            ref = f"skiff-{digest}-{self._rng.getrandbits(32):08x}"
            await self.write(ref, once(), digest=digest, size=len(data), lease=lease, labels=labels)
        if labels:
            await self.label(digest, labels)
        return digest

    async def label(self, digest: str, labels: Mapping[str, str]) -> None:
        request = content_pb2.UpdateRequest(update_mask=FieldMask(paths=[f"labels.{name}" for name in labels]))
        request.info.digest = digest
        request.info.labels.update(labels)
        await self._containerd.call(CONTENT, "Update", request, content_pb2.UpdateResponse)

    async def label_children(self, digest: str, children: Sequence[str]) -> None:
        await self.label(digest, {f"{GC_CONTENT}.{index}": child for index, child in enumerate(children)})

    async def unpack(self, manifest: Mapping[str, Any], config_digest: str, lease: str) -> None:
        """Apply each layer onto the snapshot of those below; the config then keeps the whole chain alive."""
        config = await self.read_json(config_digest)
        diff_ids = config.get("rootfs", {}).get("diff_ids", [])
        layers = manifest.get("layers", [])
        if len(diff_ids) != len(layers):
            raise RpcError(Code.INVALID_ARGUMENT, f"image has {len(layers)} layers but {len(diff_ids)} diff ids")
        chain = chain_ids(diff_ids)
        for index, (name, layer) in enumerate(zip(chain, layers, strict=True)):
            if not await self._containerd.has_snapshot(name):
                parent = chain[index - 1] if index else ""
                await self._apply(name, parent, layer, diff_ids[index], lease)
        if chain:
            label = f"containerd.io/gc.ref.snapshot.{self._containerd.snapshotter}"
            await self.label(config_digest, {label: chain[-1]})

    async def _apply(self, name: str, parent: str, layer: Mapping[str, Any], diff_id: str, lease: str) -> None:
        key = f"extract-{self._rng.getrandbits(48):012x} {name}"
        try:
            mounts = await self._containerd.prepare_snapshot(key, parent, lease=lease)
            descriptor = descriptor_pb2.Descriptor(
                media_type=layer.get("mediaType", ""), digest=layer["digest"], size=layer["size"]
            )
            request = diff_pb2.ApplyRequest(diff=descriptor, mounts=mounts)
            answer = await self._containerd.call(
                DIFF, "Apply", request, diff_pb2.ApplyResponse, timeout=1800.0, lease=lease
            )
            if answer.applied.digest != diff_id:
                raise RpcError(Code.DATA_LOSS, f"layer {layer['digest']} unpacks to another content than {diff_id}")
            await self._containerd.commit_snapshot(name, key, {}, lease)
        except RpcError as error:
            await self._containerd.remove_snapshot(key)
            if error.code != Code.ALREADY_EXISTS:
                raise
        except asyncio.CancelledError:
            await asyncio.shield(self._containerd.remove_snapshot(key))
            raise

    # image names

    async def names(self) -> Sequence[images_pb2.Image]:
        request = images_pb2.ListImagesRequest()
        return (await self._containerd.call(IMAGES, "List", request, images_pb2.ListImagesResponse)).images

    async def set_name(
        self, name: str, media_type: str, digest: str, size: int, labels: Mapping[str, str], lease: str
    ) -> None:
        """Create the image name, or move it to this content."""
        target = descriptor_pb2.Descriptor(media_type=media_type, digest=digest, size=size)
        image = images_pb2.Image(name=name, labels=dict(labels), target=target)
        try:
            create = images_pb2.CreateImageRequest(image=image)
            await self._containerd.call(IMAGES, "Create", create, images_pb2.CreateImageResponse, lease=lease)
        except RpcError as error:
            if error.code != Code.ALREADY_EXISTS:
                raise
            update = images_pb2.UpdateImageRequest(image=image, update_mask=FieldMask(paths=["target", "labels"]))
            await self._containerd.call(IMAGES, "Update", update, images_pb2.UpdateImageResponse, lease=lease)

    async def remove_name(self, name: str, *, sync: bool) -> None:
        request = images_pb2.DeleteImageRequest(name=name, sync=sync)
        await ignore_missing(self._containerd.call(IMAGES, "Delete", request, Empty, timeout=300.0))

"""CRI's ImageService: what is on the node, pulling, removing, and the room images take."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

from component_base.rpc import CallContext, Code, RpcError
from kubelet.cri_shim.content_store import ContentStore
from kubelet.cri_shim.core import Core
from kubelet.cri_shim.image_catalog import ImageInfo
from kubelet.cri_shim.image_pull import ImagePuller
from kubelet.cri_shim.image_refs import LOCAL_DOMAIN, parse_reference
from kubelet.cri_shim.registry_types import Credentials, RegistryError
from kubelet.cri_shim.stats import Stats
from skiff_pb.cri import runtime_pb2 as cri


def image_message(info: ImageInfo) -> cri.Image:
    image = cri.Image(
        id=info.id, repo_tags=sorted(info.tags), repo_digests=sorted(info.digests), size=info.size, pinned=info.pinned
    )
    user = info.user.partition(":")[0]
    if user.isdigit():
        image.uid.value = int(user)
    else:
        image.username = user
    return image


class ImageService:
    def __init__(self, core: Core, content: ContentStore, puller: ImagePuller, stats: Stats) -> None:
        self._core = core
        self._content = content
        self._puller = puller
        self._stats = stats

    async def list_images(self, request: cri.ListImagesRequest, _: CallContext) -> cri.ListImagesResponse:
        return cri.ListImagesResponse(images=await self._images(request.filter))

    async def stream_images(
        self, request: cri.StreamImagesRequest, _: CallContext
    ) -> AsyncIterator[cri.StreamImagesResponse]:
        for image in await self._images(request.filter):
            yield cri.StreamImagesResponse(images=[image])

    async def _images(self, chosen: cri.ImageFilter) -> list[cri.Image]:
        if chosen.image.image:
            found = await self._find(chosen.image.image)
            return [image_message(found)] if found else []
        return [image_message(info) for info in await self._core.catalog.list()]

    async def _find(self, text: str) -> ImageInfo | None:
        try:
            return await self._core.catalog.find(text)
        except ValueError as error:
            raise RpcError(Code.INVALID_ARGUMENT, str(error)) from error

    async def image_status(self, request: cri.ImageStatusRequest, _: CallContext) -> cri.ImageStatusResponse:
        answer = cri.ImageStatusResponse()
        found = await self._find(request.image.image)
        if found is not None:
            answer.image.CopyFrom(image_message(found))
            if request.verbose:
                answer.info["info"] = json.dumps({"chainID": found.chain, "imageSpec": dict(found.config)})
        return answer

    async def pull_image(self, request: cri.PullImageRequest, _: CallContext) -> cri.PullImageResponse:
        name = request.image.image
        try:
            if parse_reference(name).domain == LOCAL_DOMAIN:
                return cri.PullImageResponse(image_ref=await self._local(name))
            credentials = _credentials(request.auth) if request.HasField("auth") else None
            return cri.PullImageResponse(image_ref=await self._puller.pull(name, credentials))
        except ValueError as error:
            raise RpcError(Code.INVALID_ARGUMENT, f'failed to pull image "{name}": {error}') from error
        except RegistryError as error:
            code = Code.NOT_FOUND if error.not_found else Code.PERMISSION_DENIED if error.denied else Code.UNKNOWN
            raise RpcError(code, f'failed to pull and unpack image "{name}": {error}') from error

    async def _local(self, name: str) -> str:
        """`:latest` makes kubelets pull each time; of what is only here, here is the newest there is."""
        found = await self._core.catalog.find(name)
        if found is None:
            hint = "images of this name are made or loaded on the node: `skiff image load FILE`"
            raise RpcError(Code.NOT_FOUND, f'failed to pull image "{name}": not found; {hint}')
        return found.id

    async def remove_image(self, request: cri.RemoveImageRequest, _: CallContext) -> cri.RemoveImageResponse:
        """Every name of the image; containers that use it keep their snapshots."""
        found = await self._find(request.image.image)
        if found is not None:
            for index, name in enumerate(found.names):
                # The last one waits for the garbage collector, so that the room is free when we answer.
                await self._content.remove_name(name, sync=index == len(found.names) - 1)
        return cri.RemoveImageResponse()

    async def image_fs_info(self, request: cri.ImageFsInfoRequest, _: CallContext) -> cri.ImageFsInfoResponse:
        del request
        size = inodes = 0
        for key in await self._core.containerd.snapshot_keys():
            usage = await self._core.containerd.snapshot_usage(key)
            if usage is not None:
                size, inodes = size + usage.size, inodes + usage.inodes
        answer = cri.ImageFsInfoResponse()
        for listed in (answer.image_filesystems, answer.container_filesystems):
            filesystem = listed.add(timestamp=self._core.now_ns())
            filesystem.fs_id.mountpoint = self._stats.image_root
            filesystem.used_bytes.value, filesystem.inodes_used.value = size, inodes
        return answer


def _credentials(auth: cri.AuthConfig) -> Credentials:
    return Credentials.decode(auth.username, auth.password, auth.auth, auth.identity_token, auth.registry_token)

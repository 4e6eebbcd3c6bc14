"""Images into the node's own containerd, without a registry: archives from disk, and the toolbox built in memory."""

from __future__ import annotations

import platform
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from component_base.clock import SystemClock
from component_base.http2.channel import Http2Channel
from component_base.rng import system_rng
from kubelet.cri_shim.containerd_client import Containerd
from kubelet.cri_shim.content_store import ContentStore
from kubelet.cri_shim.image_catalog import ImageCatalog
from kubelet.cri_shim.image_load import ImageLoader
from kubelet.cri_shim.pause_image import GO_ARCHITECTURES
from kubelet.cri_shim.settings import NAMESPACE
from skiff.cluster.layout import Layout


@dataclass(frozen=True, slots=True)
class ImageStore:
    loader: ImageLoader
    catalog: ImageCatalog

    async def tags(self) -> set[str]:
        return {tag for image in await self.catalog.list() for tag in image.tags}


@asynccontextmanager
async def open_images(layout: Layout) -> AsyncIterator[ImageStore]:
    """Talks to the containerd of this cluster. Raises RpcError when it does not answer."""
    channel = Http2Channel(f"unix://{layout.containerd_socket}")
    try:
        containerd = Containerd(channel, NAMESPACE, "overlayfs")
        await containerd.ensure_namespace()
        clock, rng = SystemClock(), system_rng()
        content = ContentStore(containerd, rng)
        machine = platform.machine()
        architecture = GO_ARCHITECTURES.get(machine, machine)
        loader = ImageLoader(containerd, content, clock, rng, architecture)
        yield ImageStore(loader, ImageCatalog(content, architecture))
    finally:
        await channel.close()

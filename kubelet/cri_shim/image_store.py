"""What a command line does with images, straight on containerd: list, load, build. No shim needs to run.

`async with open_images("unix:///run/skiff/containerd.sock") as images: await images.load(path)`.
"""

from __future__ import annotations

import asyncio
import platform
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from component_base.clock import SystemClock
from component_base.http2.channel import Http2Channel
from component_base.rng import system_rng
from kubelet.cri_shim.containerd_client import Containerd
from kubelet.cri_shim.content_store import ContentStore
from kubelet.cri_shim.image_build import BaseImage, BuiltImage, build_image
from kubelet.cri_shim.image_catalog import ImageCatalog, ImageInfo
from kubelet.cri_shim.image_load import ImageLoader
from kubelet.cri_shim.image_pull import ImagePuller
from kubelet.cri_shim.image_recipe import RecipeError, folder_entries, merged_config, read_recipe
from kubelet.cri_shim.pause_image import DEFAULT_PAUSE_IMAGE, GO_ARCHITECTURES, pause_image
from kubelet.cri_shim.registry_types import Credentials
from kubelet.cri_shim.settings import NAMESPACE
from kubelet.cri_shim.toolbox_image import toolbox_image


class Images:
    """The images of one containerd. Raises ArchiveError, ValueError, RegistryError and RpcError."""

    def __init__(self, containerd: Containerd) -> None:
        clock, rng = SystemClock(), system_rng()
        self.machine = platform.machine()
        self.architecture = GO_ARCHITECTURES.get(self.machine, self.machine)
        self._containerd = containerd
        content = ContentStore(containerd, rng)
        self._catalog = ImageCatalog(content, self.architecture)
        self._loader = ImageLoader(containerd, content, clock, rng, self.architecture)
        self._puller = ImagePuller(containerd, content, clock, rng, self.architecture)

    async def load(self, path: str) -> list[str]:
        """Every image of a `docker save` file or an OCI layout tar: the names they got."""
        return await self._loader.load_archive(path)

    async def load_built(self, image: BuiltImage, *, pinned: bool = False) -> str:
        """The image's id."""
        return await self._loader.load_built(image, pinned=pinned)

    async def build(self, name: str, dockerfile: str, context: str, arguments: Mapping[str, str] | None = None) -> str:
        """Build from a Dockerfile's text without RUN, and load: the image's id. Raises RecipeError too."""
        recipe = await asyncio.to_thread(read_recipe, dockerfile, context, arguments)
        base = await self._base(recipe.base) if recipe.base else None
        config = merged_config((base.config.get("config") or {}) if base else {}, recipe)
        return await self.load_built(build_image(name, recipe.layers, config, self.architecture, base))

    async def _base(self, name: str) -> BaseImage:
        found = await self._catalog.find(name)
        if found is None:
            raise RecipeError(f"the base image {name} is not on this node: load or pull it first")
        return BaseImage(*await self._catalog.documents(found))

    async def build_from_folder(self, name: str, folder: str, command: Sequence[str] = ()) -> str:
        """One layer of everything below a folder, such as a debootstrap tree."""
        entries = await asyncio.to_thread(folder_entries, folder)
        config = {"Cmd": list(command)} if command else {}
        return await self.load_built(build_image(name, [entries], config, self.architecture))

    async def load_toolbox(self) -> str:
        image = await asyncio.to_thread(toolbox_image, self.architecture)
        return await self.load_built(image, pinned=True)

    async def load_pause(self, name: str = DEFAULT_PAUSE_IMAGE) -> str:
        """For containerd's own CRI plugin, which pulls its pause image otherwise."""
        return await self.load_built(pause_image(self.machine, name), pinned=True)

    async def all(self) -> list[ImageInfo]:
        return await self._catalog.list()

    async def pull(self, name: str, credentials: Credentials | None = None) -> str:
        return await self._puller.pull(name, credentials)


@asynccontextmanager
async def open_images(
    containerd: str, namespace: str = NAMESPACE, snapshotter: str = "overlayfs"
) -> AsyncIterator[Images]:
    channel = Http2Channel(containerd)
    client = Containerd(channel, namespace, snapshotter)
    try:
        await client.ensure_namespace()
        yield Images(client)
    finally:
        await channel.close()

"""The images of this node: what the names in containerd's metadata mean to a kubelet.

An image is known by the digest of its config. Three kinds of names point to its manifest, as containerd's own plugin
keeps them: `repo:tag`, `repo@digest`, and the config digest itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from component_base.rpc import RpcError
from kubelet.cri_shim.content_store import ContentStore, chain_ids
from kubelet.cri_shim.image_refs import parse_reference
from kubelet.cri_shim.registry_types import INDEX_TYPES

MANAGED_LABELS = {"io.cri-containerd.image": "managed"}
PINNED_LABEL = "io.cri-containerd.pinned"


@dataclass(slots=True)
class ImageInfo:
    """One image. `size` counts the compressed content, as other runtimes report it."""

    id: str
    config: Mapping[str, Any]
    chain: str
    size: int
    tags: list[str] = field(default_factory=list)
    digests: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    pinned: bool = False

    @property
    def user(self) -> str:
        return str((self.config.get("config") or {}).get("User") or "")

    @property
    def process(self) -> Mapping[str, Any]:
        """The part that says what to run: Entrypoint, Cmd, Env, User, WorkingDir, StopSignal."""
        return self.config.get("config") or {}

    @property
    def reference(self) -> str:
        """What a container's status names as its image: by digest where one is known."""
        return self.digests[0] if self.digests else self.id


@dataclass(frozen=True, slots=True)
class _Resolved:
    config_digest: str
    config: Mapping[str, Any]
    chain: str
    size: int


async def pick_manifest(
    content: ContentStore, media_type: str, digest: str, architecture: str
) -> tuple[str, dict[str, Any]]:
    """The manifest for this machine behind a target that may be an index."""
    document = await content.read_json(digest)
    if media_type in INDEX_TYPES or "manifests" in document:
        chosen = choose_platform(document, architecture)
        return chosen["digest"], await content.read_json(chosen["digest"])
    return digest, document


def choose_platform(index: Mapping[str, Any], architecture: str) -> Mapping[str, Any]:
    """The first linux entry of that architecture; of several variants the one without or with the lowest."""
    candidates = []
    for entry in index.get("manifests", []):
        platform = entry.get("platform") or {}
        if not platform:
            candidates.append(("", entry))
        elif platform.get("os") == "linux" and platform.get("architecture") == architecture:
            candidates.append((platform.get("variant", ""), entry))
    if not candidates:
        raise ValueError(f"the image has no variant for linux/{architecture}")
    chosen: Mapping[str, Any] = min(candidates, key=lambda each: each[0])[1]
    return chosen


class ImageCatalog:
    """Reads names afresh on each call; what a digest means never changes, so that part is remembered."""

    def __init__(self, content: ContentStore, architecture: str) -> None:
        self._content = content
        self._architecture = architecture
        self._resolved: dict[str, _Resolved] = {}

    async def list(self) -> list[ImageInfo]:
        images: dict[str, ImageInfo] = {}
        live: set[str] = set()
        for named in await self._content.names():
            live.add(named.target.digest)
            try:
                resolved = await self._resolve(named.target.media_type, named.target.digest)
            except (RpcError, ValueError, KeyError):
                # A name whose content is not here, or is for another machine, is no image of this node.
                continue
            info = images.get(resolved.config_digest)
            if info is None:
                info = ImageInfo(resolved.config_digest, resolved.config, resolved.chain, resolved.size)
                images[info.id] = info
            info.names.append(named.name)
            info.pinned = info.pinned or named.labels.get(PINNED_LABEL) == "pinned"
            if "@" in named.name:
                info.digests.append(named.name)
            elif not named.name.startswith("sha256:"):
                info.tags.append(named.name)
        self._resolved = {digest: known for digest, known in self._resolved.items() if digest in live}
        return list(images.values())

    async def find(self, text: str) -> ImageInfo | None:
        """By id, id prefix, or any spelling of a name."""
        images = await self.list()
        bare = text.removeprefix("sha256:")
        if len(bare) >= 7 and all(character in "0123456789abcdef" for character in bare):
            matches = [image for image in images if image.id.removeprefix("sha256:").startswith(bare)]
            if len(matches) == 1:
                return matches[0]
        if text.startswith("sha256:"):
            return None
        reference = parse_reference(text)
        wanted = {str(reference), f"{reference.name}@{reference.digest}" if reference.digest else reference.tagged}
        for image in images:
            if wanted & set(image.names):
                return image
        return None

    async def documents(self, info: ImageInfo) -> tuple[dict[str, Any], Mapping[str, Any]]:
        """Manifest and config of an image, to build on it."""
        for named in await self._content.names():
            if named.name in info.names:
                _, manifest = await pick_manifest(
                    self._content, named.target.media_type, named.target.digest, self._architecture
                )
                return manifest, info.config
        raise ValueError(f"the image {info.id} is gone")

    async def _resolve(self, media_type: str, digest: str) -> _Resolved:
        known = self._resolved.get(digest)
        if known is not None:
            return known
        manifest_digest, manifest = await pick_manifest(self._content, media_type, digest, self._architecture)
        config_digest = manifest["config"]["digest"]
        config = await self._content.read_json(config_digest)
        size = manifest["config"].get("size", 0) + sum(layer.get("size", 0) for layer in manifest.get("layers", []))
        size += await self._content.size(manifest_digest) or 0
        chain = chain_ids((config.get("rootfs") or {}).get("diff_ids") or [])
        resolved = _Resolved(config_digest, config, chain[-1] if chain else "", size)
        self._resolved[digest] = resolved
        return resolved

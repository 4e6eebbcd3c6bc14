"""Loading images from files: docker archives (`docker save`) and OCI layouts in a tar, and images built in memory."""

from __future__ import annotations

import gzip
import hashlib
import json
import tarfile
import zlib
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any

from component_base.clock import Clock
from component_base.rng import Rng
from kubelet.cri_shim.containerd_client import Containerd, temporary_lease
from kubelet.cri_shim.content_store import ContentStore
from kubelet.cri_shim.image_build import LAYER_TYPE, MANIFEST_TYPE, BuiltImage, digest_of, encode_json
from kubelet.cri_shim.image_catalog import MANAGED_LABELS, PINNED_LABEL, choose_platform
from kubelet.cri_shim.image_refs import parse_reference
from kubelet.cri_shim.registry_types import INDEX_TYPES

CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
CHUNK = 1 << 20


class ArchiveError(Exception):
    """The file is not an image archive we can read; the message says what is missing."""


class ImageLoader:
    def __init__(
        self, containerd: Containerd, content: ContentStore, clock: Clock, rng: Rng, architecture: str
    ) -> None:
        self._containerd, self._content = containerd, content
        self._clock, self._rng = clock, rng
        self._architecture = architecture

    async def load_built(self, image: BuiltImage, *, pinned: bool = False) -> str:
        async with temporary_lease(self._containerd, self._clock, self._rng) as lease:
            for data in image.blobs.values():
                await self._content.write_bytes(data, lease)
            for layer in json.loads(image.manifest)["layers"]:
                if layer["digest"] not in image.blobs:
                    # A layer of the base image: it must not go while we build on it.
                    await self._containerd.protect(lease, layer["digest"])
            labels = {PINNED_LABEL: "pinned"} if pinned else {}
            return await self._finish(image.manifest, [str(parse_reference(image.name))], lease, labels)

    async def load_archive(self, path: str) -> list[str]:
        """Load every image of the file; the names they got."""
        try:
            archive = tarfile.open(path, "r:*")  # noqa: SIM115 - closed with the block below
        except OSError as error:
            raise ArchiveError(f"{path} cannot be read: {error.strerror}") from error
        except tarfile.TarError as error:
            raise ArchiveError(f"{path} is not a tar file: save images with `docker save -o FILE NAME`") from error
        with archive:
            async with temporary_lease(self._containerd, self._clock, self._rng) as lease:
                try:
                    return await self._load(archive, path, lease)
                except (
                    KeyError,
                    TypeError,
                    AttributeError,
                    ValueError,
                    EOFError,
                    zlib.error,
                    tarfile.TarError,
                ) as error:
                    raise ArchiveError(f"{path} is damaged or no image archive ({error})") from error

    async def _load(self, archive: tarfile.TarFile, path: str, lease: str) -> list[str]:
        members = {member.name.removeprefix("./"): member for member in archive.getmembers()}
        if "manifest.json" in members:
            return await self._load_docker(archive, members, lease)
        if "index.json" in members:
            return await self._load_layout(archive, members, lease)
        raise ArchiveError(f"{path} holds neither manifest.json nor index.json: not an image archive")

    async def _load_docker(
        self, archive: tarfile.TarFile, members: Mapping[str, tarfile.TarInfo], lease: str
    ) -> list[str]:
        loaded: list[str] = []
        for entry in _json_list(_read(archive, members, "manifest.json")):
            config = _read(archive, members, entry["Config"])
            layers = []
            for name in entry.get("Layers") or []:
                digest, size, media_type = await self._store_member(archive, members, name, lease)
                layers.append({"mediaType": media_type, "digest": digest, "size": size})
            await self._content.write_bytes(config, lease)
            descriptor = {"mediaType": CONFIG_TYPE, "digest": digest_of(config), "size": len(config)}
            manifest = encode_json(
                {"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "config": descriptor, "layers": layers}
            )
            names = [str(parse_reference(tag)) for tag in entry.get("RepoTags") or []]
            await self._finish(manifest, names, lease, {})
            loaded += names or [digest_of(config)]
        return loaded

    async def _load_layout(
        self, archive: tarfile.TarFile, members: Mapping[str, tarfile.TarInfo], lease: str
    ) -> list[str]:
        loaded: list[str] = []
        index = json.loads(_read(archive, members, "index.json"))
        for entry in index.get("manifests", []):
            annotations = entry.get("annotations") or {}
            name = annotations.get("io.containerd.image.name") or annotations.get("org.opencontainers.image.ref.name")
            digest = entry["digest"]
            document = json.loads(_read(archive, members, _blob(digest)))
            if entry.get("mediaType") in INDEX_TYPES or "manifests" in document:
                digest = choose_platform(document, self._architecture)["digest"]
            manifest = _read(archive, members, _blob(digest))
            document = json.loads(manifest)
            for blob in [document["config"], *document["layers"]]:
                await self._store_member(archive, members, _blob(blob["digest"]), lease)
            names = [str(parse_reference(name))] if name else []
            loaded.append(names[0] if names else document["config"]["digest"])
            await self._finish(manifest, names, lease, {})
        return loaded

    async def _finish(self, manifest: bytes, names: Sequence[str], lease: str, labels: Mapping[str, str]) -> str:
        document = json.loads(manifest)
        config_digest: str = document["config"]["digest"]
        digest = await self._content.write_bytes(manifest, lease)
        children = [config_digest, *dict.fromkeys(layer["digest"] for layer in document["layers"])]
        await self._content.label_children(digest, children)
        await self._content.unpack(document, config_digest, lease)
        media_type = document.get("mediaType") or MANIFEST_TYPE
        for name in [*names, config_digest]:
            await self._content.set_name(name, media_type, digest, len(manifest), {**MANAGED_LABELS, **labels}, lease)
        return config_digest

    async def _store_member(
        self, archive: tarfile.TarFile, members: Mapping[str, tarfile.TarInfo], name: str, lease: str
    ) -> tuple[str, int, str]:
        """Copy one file of the archive into the store: its digest, size and, for a layer, its media type."""
        member = _member(archive, members, name)
        hasher = hashlib.sha256()
        head = b""
        for chunk in _chunks(archive, member):
            head = head or chunk[:4]
            hasher.update(chunk)
        digest = f"sha256:{hasher.hexdigest()}"

        async def content() -> AsyncIterator[bytes]:
            for chunk in _chunks(archive, member):
                yield chunk

        if await self._content.size(digest) is None:
            await self._content.write(f"load-{digest}", content(), digest=digest, size=member.size, lease=lease)
        suffix = "+gzip" if head[:2] == b"\x1f\x8b" else "+zstd" if head == b"\x28\xb5\x2f\xfd" else ""
        return digest, member.size, LAYER_TYPE + suffix


def _member(archive: tarfile.TarFile, members: Mapping[str, tarfile.TarInfo], name: str) -> tarfile.TarInfo:
    member = members.get(name.removeprefix("./"))
    if member is not None and member.issym():
        # docker save links equal layers to each other.
        target = member.linkname.removeprefix("../")
        member = members.get(target)
    if member is None or not member.isreg():
        raise ArchiveError(f"the image archive names {name} but does not hold it")
    return member


def _chunks(archive: tarfile.TarFile, member: tarfile.TarInfo) -> Iterator[bytes]:
    file = archive.extractfile(member)
    while file is not None and (chunk := file.read(CHUNK)):
        yield chunk


def _read(archive: tarfile.TarFile, members: Mapping[str, tarfile.TarInfo], name: str) -> bytes:
    data = b"".join(_chunks(archive, _member(archive, members, name)))
    return gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data


def _json_list(data: bytes) -> list[dict[str, Any]]:
    loaded = json.loads(data)
    if not isinstance(loaded, list):
        raise ArchiveError("the archive's manifest.json is not a list")
    return loaded


def _blob(digest: str) -> str:
    return "blobs/" + digest.replace(":", "/")

"""Small images made from files by our own code: deterministic layers, an OCI manifest, an archive other tools can load.

The same files give the same bytes, so the same digest, on every machine.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
EPOCH = "1970-01-01T00:00:00Z"


@dataclass(frozen=True, slots=True)
class FileEntry:
    """A regular file, or a symbolic link when `link` is set, or a folder when `content` is None."""

    path: str
    content: bytes | None = None
    mode: int = 0o644
    link: str = ""
    uid: int = 0
    gid: int = 0


@dataclass(frozen=True, slots=True)
class BuiltImage:
    name: str
    manifest_digest: str
    manifest: bytes
    blobs: Mapping[str, bytes]  # config and layers by digest


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def encode_json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()


def layer_tar(entries: Sequence[FileEntry]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        known: set[str] = set()
        for entry in sorted(entries, key=lambda each: each.path):
            name = entry.path.strip("/")
            parents = name.split("/")[:-1]
            for depth in range(len(parents)):
                folder = "/".join(parents[: depth + 1])
                if folder not in known:
                    known.add(folder)
                    archive.addfile(_member(folder, tarfile.DIRTYPE, 0o755))
            if name in known:
                continue
            known.add(name)
            if entry.link:
                member = _member(name, tarfile.SYMTYPE, 0o777, entry)
                member.linkname = entry.link
                archive.addfile(member)
            elif entry.content is None:
                archive.addfile(_member(name, tarfile.DIRTYPE, entry.mode if entry.mode != 0o644 else 0o755, entry))
            else:
                member = _member(name, tarfile.REGTYPE, entry.mode, entry)
                member.size = len(entry.content)
                archive.addfile(member, io.BytesIO(entry.content))
    return buffer.getvalue()


def _member(name: str, kind: bytes, mode: int, entry: FileEntry | None = None) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.mode, member.mtime = kind, mode, 0
    if entry is not None:
        member.uid, member.gid = entry.uid, entry.gid
    return member


@dataclass(frozen=True, slots=True)
class BaseImage:
    """An image to build on: its manifest and config as they are stored. Its layers stay where they are."""

    manifest: Mapping[str, Any]
    config: Mapping[str, Any]


def build_image(
    name: str,
    layers: Sequence[Sequence[FileEntry]],
    config: Mapping[str, Any],
    architecture: str,
    base: BaseImage | None = None,
) -> BuiltImage:
    blobs: dict[str, bytes] = {}
    layer_descriptors = list(base.manifest["layers"]) if base else []
    diff_ids = list(base.config["rootfs"]["diff_ids"]) if base else []
    history = list(base.config.get("history") or []) if base else []
    for entries in layers:
        data = layer_tar(entries)
        digest = digest_of(data)
        blobs[digest] = data
        diff_ids.append(digest)
        history.append({"created": EPOCH, "created_by": "skiff image build"})
        layer_descriptors.append({"mediaType": LAYER_TYPE, "digest": digest, "size": len(data)})
    document = encode_json(
        {
            "created": EPOCH,
            "architecture": architecture,
            "os": "linux",
            "config": dict(config),
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
            "history": history,
        }
    )
    config_digest = digest_of(document)
    blobs[config_digest] = document
    manifest = encode_json(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": {"mediaType": CONFIG_TYPE, "digest": config_digest, "size": len(document)},
            "layers": layer_descriptors,
        }
    )
    return BuiltImage(name, digest_of(manifest), manifest, blobs)


def oci_archive(image: BuiltImage) -> bytes:
    """A tar file in OCI layout that also carries a docker-archive `manifest.json`: docker, skopeo and ctr load it."""
    manifest = json.loads(image.manifest)
    index = {
        "schemaVersion": 2,
        "mediaType": INDEX_TYPE,
        "manifests": [
            {
                "mediaType": MANIFEST_TYPE,
                "digest": image.manifest_digest,
                "size": len(image.manifest),
                "annotations": {
                    "io.containerd.image.name": image.name,
                    "org.opencontainers.image.ref.name": image.name.rpartition(":")[2],
                },
            }
        ],
    }
    docker = [
        {
            "Config": _blob_path(manifest["config"]["digest"]),
            "RepoTags": [image.name],
            "Layers": [_blob_path(layer["digest"]) for layer in manifest["layers"]],
        }
    ]
    files = [
        FileEntry("oci-layout", encode_json({"imageLayoutVersion": "1.0.0"})),
        FileEntry("index.json", encode_json(index)),
        FileEntry("manifest.json", encode_json(docker)),
        FileEntry(_blob_path(image.manifest_digest), image.manifest),
    ]
    files += [FileEntry(_blob_path(digest), data) for digest, data in image.blobs.items()]
    return layer_tar(files)


def _blob_path(digest: str) -> str:
    return "blobs/" + digest.replace(":", "/")

"""A pod's volumes on this node: set up before its containers, refreshed while it runs, torn down at its end.

Everything lives below <root>/pods/<uid>, so tear-down after a restart of the kubelet needs no memory: what is mounted
below the folder is unmounted, then the folder is removed (never through a mount).
"""

import asyncio
import logging
import os
import shutil
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from apimachinery.errors import StatusError
from kubelet.api import Api
from kubelet.containers.amounts import whole
from kubelet.containers.config import HostMount
from kubelet.containers.expansion import expand_strict
from kubelet.containers.facts import ConfigError, NodeFacts
from kubelet.objects import ObjectStore
from kubelet.pod import Container, HostPath, Mount, Pod, Volume
from kubelet.volumes.atomic import File, UnsafePath, write_atomically
from kubelet.volumes.payload import VolumeError, is_payload_volume, named_objects, token_sources, volume_payload
from kubelet.volumes.subpath import bind_subpath
from kubelet.volumes.tokens import TokenStore

log = logging.getLogger(__name__)


class Mounter(Protocol):
    """The module `mounts`, or a recorder in tests that may not mount."""

    def tmpfs(self, target: str, size: int | None = None) -> None: ...
    def unmount(self, target: str) -> None: ...
    def mount_points(self, below: Path) -> list[str]: ...


class PodVolumes:
    def __init__(
        self,
        root: Path,
        api: Api,
        objects: ObjectStore,
        tokens: TokenStore,
        node: Callable[[], NodeFacts],
        mounter: Mounter,
    ) -> None:
        self._root = root
        self._api = api
        self._objects = objects
        self._tokens = tokens
        self._node = node
        self._mounter = mounter
        self._paths: dict[str, dict[str, str]] = {}

    def pod_dir(self, uid: str) -> Path:
        return self._root / "pods" / uid

    async def set_up(self, pod: Pod, extra_maps: set[str], extra_secrets: set[str], pod_ips: tuple[str, ...]) -> None:
        """Brings every volume to its present content. Called again, it refreshes; nothing changes when nothing did."""
        maps, secrets = named_objects(pod)
        try:
            objects = await self._objects.acquire(
                pod.uid, pod.metadata.namespace, maps | extra_maps, secrets | extra_secrets
            )
            tokens = {(s.audience, s.expiration_seconds): await self._tokens.get(pod, s) for s in token_sources(pod)}
            claims = await self._claims(pod)
        except StatusError as error:
            raise VolumeError(error.message) from error
        except TimeoutError as error:
            raise VolumeError("timed out waiting for the pod's ConfigMaps and Secrets") from error
        payloads: dict[str, dict[str, File]] = {}
        for v in filter(is_payload_volume, pod.spec.volumes or ()):
            try:
                payloads[v.name] = volume_payload(
                    pod, v, objects=objects, tokens=tokens, node=self._node(), pod_ips=pod_ips
                )
            except VolumeError as error:
                raise _at(v.name, error) from error

        def apply() -> dict[str, str]:
            paths: dict[str, str] = {}
            for volume in pod.spec.volumes or ():
                if volume.image is not None:
                    continue  # mounted by the runtime, for each container on its own
                try:
                    paths[volume.name] = self._prepare(pod, volume, claims)
                    if volume.name in payloads:
                        group = pod.spec.security_context.fs_group
                        write_atomically(Path(paths[volume.name]), payloads[volume.name], fs_group=group)
                except (OSError, UnsafePath, VolumeError) as error:
                    raise _at(volume.name, error) from error
            return paths

        self._paths[pod.uid] = await asyncio.to_thread(apply)

    async def _claims(self, pod: Pod) -> dict[str, str]:
        """Volume name -> path on this node, for claims bound to hostPath or local volumes."""
        out: dict[str, str] = {}
        for volume in pod.spec.volumes or ():
            if volume.persistent_volume_claim is not None:
                name = volume.persistent_volume_claim.claim_name
            elif volume.ephemeral is not None:
                name = f"{pod.metadata.name}-{volume.name}"
            else:
                continue
            path = f"/api/v1/namespaces/{pod.metadata.namespace}/persistentvolumeclaims/{name}"
            claim = await self._api.get(path)
            bound = (claim.get("spec") or {}).get("volumeName")
            if not bound or (claim.get("status") or {}).get("phase") != "Bound":
                raise VolumeError(f'PVC "{name}" is not bound')
            spec = (await self._api.get(f"/api/v1/persistentvolumes/{bound}")).get("spec") or {}
            source = spec.get("hostPath") or spec.get("local")
            if not source:
                raise VolumeError(f'PersistentVolume "{bound}" has no source this node supports (hostPath, local)')
            if spec.get("hostPath", {}).get("type") in ("DirectoryOrCreate", ""):
                await asyncio.to_thread(_make_folder, source["path"])
            out[volume.name] = source["path"]
        return out

    def _prepare(self, pod: Pod, volume: Volume, claims: Mapping[str, str]) -> str:
        group = pod.spec.security_context.fs_group
        if volume.host_path is not None:
            check_host_path(volume.host_path)
            return volume.host_path.path
        if volume.name in claims:
            if not Path(claims[volume.name]).exists():
                raise VolumeError(f"path {claims[volume.name]!r} does not exist")
            _own_tree(Path(claims[volume.name]), group)
            return claims[volume.name]
        kind, in_memory, size = _storage(volume)
        path = self.pod_dir(pod.uid) / "volumes" / f"kubernetes.io~{kind}" / volume.name
        fresh = not path.exists()
        path.mkdir(parents=True, exist_ok=True)
        if in_memory and str(path) not in self._mounter.mount_points(path):
            self._mounter.tmpfs(str(path), size)
        if kind == "empty-dir":
            if fresh:
                path.chmod(0o777)
                _own_tree(path, group)
        elif group is not None:
            os.chown(path, -1, group)
        return str(path)

    def mounts(
        self, pod: Pod, container: Container, environment: Mapping[str, str], images: Mapping[str, str]
    ) -> list[HostMount]:
        """The container's volume mounts; subPaths are bound below the pod's folder first. Blocking: run in a thread.

        `images`: ids of the images behind volumes that are images, by volume.
        """
        out: list[HostMount] = []
        paths = self._paths.get(pod.uid, {})
        for index, wanted in enumerate(container.volume_mounts or ()):
            sub_path = _sub_path(wanted, environment)
            path = wanted.mount_path if wanted.mount_path.startswith("/") else f"/{wanted.mount_path}"
            if image := images.get(wanted.name):
                out.append(HostMount(path, "", True, wanted.mount_propagation, image, sub_path))
                continue
            source = paths.get(wanted.name)
            if source is None:
                raise ConfigError(f'volume "{wanted.name}" is not mounted')
            if sub_path:
                folder = self.pod_dir(pod.uid) / "volume-subpaths" / wanted.name / container.name
                target = folder / str(index)
                try:
                    bind_subpath(Path(source), sub_path, target)
                except (OSError, VolumeError) as error:
                    where = f'volumeMount "{wanted.name}" of container "{container.name}"'
                    raise ConfigError(f"failed to prepare subPath for {where}: {error}") from error
                source = str(target)
            readonly = wanted.read_only or self._forced_readonly(pod, wanted.name)
            out.append(HostMount(path, source, readonly, wanted.mount_propagation))
        return out

    @staticmethod
    def _forced_readonly(pod: Pod, name: str) -> bool:
        volume = next((v for v in pod.spec.volumes or () if v.name == name), None)
        if volume is None:
            return False
        claim = volume.persistent_volume_claim
        return is_payload_volume(volume) or (claim is not None and claim.read_only)

    async def tear_down(self, uid: str) -> None:
        self._objects.release(uid)
        self._tokens.forget(uid)
        self._paths.pop(uid, None)
        await asyncio.to_thread(self._remove, uid)

    def _remove(self, uid: str) -> None:
        folder = self.pod_dir(uid)
        for point in self._mounter.mount_points(folder):
            self._mounter.unmount(point)
        if self._mounter.mount_points(folder):
            raise VolumeError(f"something is still mounted below {folder}")
        shutil.rmtree(folder, ignore_errors=True)

    def present(self) -> list[str]:
        """uids of pods that still have a folder here."""
        folder = self._root / "pods"
        return [entry.name for entry in folder.iterdir()] if folder.is_dir() else []


def _sub_path(wanted: Mount, environment: Mapping[str, str]) -> str:
    if not wanted.sub_path_expr:
        return wanted.sub_path
    try:
        return expand_strict(wanted.sub_path_expr, environment)
    except KeyError as error:
        raise ConfigError(f"missing value for {error.args[0]!r} in subPathExpr") from error


def _at(name: str, error: Exception) -> VolumeError:
    return VolumeError(f'MountVolume.SetUp failed for volume "{name}" : {error}')


def _make_folder(path: str) -> None:
    Path(path).mkdir(parents=True, exist_ok=True)


def _storage(volume: Volume) -> tuple[str, bool, int | None]:
    """(directory kind, held in memory, size limit)."""
    if volume.empty_dir is not None:
        limit = volume.empty_dir.size_limit
        in_memory = volume.empty_dir.medium == "Memory"
        return "empty-dir", in_memory, whole(limit) if limit is not None else None
    if volume.config_map is not None:
        return "configmap", False, None
    if volume.secret is not None:
        return "secret", True, None
    if volume.projected is not None:
        return "projected", True, None
    if volume.downward_api is not None:
        return "downward-api", True, None
    raise VolumeError("no volume plugin of this node supports the volume")


_HOST_PATH_CHECKS: dict[str, tuple[Callable[[int], bool], str]] = {
    "Directory": (stat.S_ISDIR, "a directory"),
    "DirectoryOrCreate": (stat.S_ISDIR, "a directory"),
    "File": (stat.S_ISREG, "a file"),
    "FileOrCreate": (stat.S_ISREG, "a file"),
    "Socket": (stat.S_ISSOCK, "a socket file"),
    "CharDevice": (stat.S_ISCHR, "a character device"),
    "BlockDevice": (stat.S_ISBLK, "a block device"),
}


def check_host_path(source: HostPath) -> None:
    """Creates what the type says may be created, then insists on the type."""
    kind, path = source.type or "", Path(source.path)
    if not kind:
        return
    if kind == "DirectoryOrCreate" and not path.exists():
        path.mkdir(parents=True, mode=0o755)
    if kind == "FileOrCreate" and not path.exists():
        path.touch(mode=0o644)
    check, noun = _HOST_PATH_CHECKS[kind]
    if not path.exists() or not check(path.stat().st_mode):
        raise VolumeError(f"hostPath type check failed: {source.path} is not {noun}")


def _own_tree(path: Path, group: int | None) -> None:
    """fsGroup: the group owns all, may read and write all, and new files inherit it."""
    if group is None:
        return
    for folder, _, files in os.walk(path):
        os.chown(folder, -1, group)
        os.chmod(folder, stat.S_IMODE(os.stat(folder).st_mode) | 0o2770)
        for name in files:
            full = os.path.join(folder, name)
            if os.path.islink(full):
                continue
            os.chown(full, -1, group)
            os.chmod(full, stat.S_IMODE(os.stat(full).st_mode) | 0o660)

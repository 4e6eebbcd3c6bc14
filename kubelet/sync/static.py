"""Static pods: manifests in a folder of the node, run without anybody's leave, mirrored in the API for people to see.

A static pod's uid is the hash of its manifest: a changed file is another pod. The mirror in the API is the kubelet's:
deleted, it is made again; when the file goes, it goes.
"""

import asyncio
import hashlib
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import msgspec
import yaml

from apimachinery import defaults, resources
from apimachinery.errors import StatusError
from component_base.clock import Clock
from kubelet import times
from kubelet.api import Api, pod_path
from kubelet.pod import HASH_ANNOTATION, MIRROR_ANNOTATION, SOURCE_ANNOTATION, Pod, from_object

log = logging.getLogger(__name__)
JSON = dict[str, Any]
PERIOD = 20.0
UNREGISTERED_PERIOD = 1.0
"""A mirror belongs to the Node object, which is not there yet."""
SEEN_ANNOTATION = "kubernetes.io/config.seen"


class ManifestError(Exception):
    """A file that is no pod; one sentence that names it."""


def static_pod(text: str, file: str, node: str, now: float) -> JSON:
    """The pod of one manifest, as the server would have made it, with its node and its uid."""
    try:
        body = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ManifestError(f"{file} cannot be read: {error}") from error
    if not isinstance(body, dict) or body.get("kind") != "Pod" or not (body.get("metadata") or {}).get("name"):
        raise ManifestError(f"{file} is no Pod with a name")
    info = resources.find("", "v1", "pods")
    assert info is not None, "the catalog has pods"
    uid = hashlib.md5(f"{node}\0{file}\0{json.dumps(body, sort_keys=True, default=str)}".encode()).hexdigest()
    meta = body["metadata"]
    meta |= {"name": f"{meta['name']}-{node}", "namespace": meta.get("namespace") or "default", "uid": uid}
    meta["creationTimestamp"] = times.text(now)
    meta["annotations"] = {
        **(meta.get("annotations") or {}),
        HASH_ANNOTATION: uid,
        SOURCE_ANNOTATION: "file",
        SEEN_ANNOTATION: times.text(now),
    }
    spec = body.setdefault("spec", {})
    spec["nodeName"] = node
    spec.setdefault("tolerations", []).append({"operator": "Exists", "effect": "NoExecute"})
    spec.setdefault("enableServiceLinks", True)
    defaults.apply(info, body)
    body["status"] = {"phase": "Pending"}
    return dict(body)


def mirror_of(pod: JSON, node: str, node_uid: str) -> JSON:
    """What the API shows of a static pod."""
    meta = pod["metadata"]
    annotations = {**meta["annotations"], MIRROR_ANNOTATION: meta["annotations"][HASH_ANNOTATION]}
    owner = {"apiVersion": "v1", "kind": "Node", "name": node, "uid": node_uid, "controller": True}
    kept = {key: meta[key] for key in ("name", "namespace", "labels") if meta.get(key)}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {**kept, "annotations": annotations, "ownerReferences": [owner]},
        "spec": pod["spec"],
    }


class StaticPods:
    def __init__(
        self,
        *,
        folder: Path,
        node: str,
        api: Api,
        clock: Clock,
        changed: Callable[[str, Pod | None], None],
        mirrors: Callable[[], list[Pod]],
        node_uid: Callable[[], str],
    ) -> None:
        """`changed` takes (uid, pod, or None when its manifest is gone); `mirrors` are those the API has."""
        self._folder = folder
        self._node = node
        self._api = api
        self._clock = clock
        self._changed = changed
        self._mirrors = mirrors
        self._node_uid = node_uid
        self.loaded = asyncio.Event()
        self._pods: dict[str, JSON] = {}
        self._wake = asyncio.Event()

    async def run(self) -> None:
        """For ever: the folder is read, and the mirrors are kept."""
        while True:
            self.take(await asyncio.to_thread(self._read))
            self.loaded.set()
            await self._sweep()
            registered = bool(self._node_uid())
            for pod in list(self._pods.values()) if registered else ():
                await self._mirror(pod)
            self._wake.clear()
            try:
                async with asyncio.timeout(PERIOD if registered else UNREGISTERED_PERIOD):
                    await self._wake.wait()
            except TimeoutError:
                continue

    def mirrors_changed(self) -> None:
        """Somebody may have deleted a mirror."""
        self._wake.set()

    def _read(self) -> dict[str, JSON]:
        found: dict[str, JSON] = {}
        files = sorted(self._folder.iterdir()) if self._folder.is_dir() else []
        for file in files:
            if file.name.startswith(".") or not file.is_file():
                continue
            try:
                pod = static_pod(file.read_text(), str(file), self._node, self._clock.now())
                from_object(pod)
            except (ManifestError, OSError, UnicodeDecodeError, msgspec.ValidationError) as error:
                log.error("static pod: %s", error)
                continue
            uid = pod["metadata"]["uid"]
            found[uid] = self._pods.get(uid, pod)
        return found

    def take(self, found: dict[str, JSON]) -> None:
        before, self._pods = self._pods, found
        for uid in before.keys() - found.keys():
            self._changed(uid, None)
        for uid in found.keys() - before.keys():
            self._changed(uid, from_object(found[uid]))

    async def _mirror(self, pod: JSON) -> None:
        """Makes the mirror where it is missing. What stands in the way is swept in the next round."""
        meta = pod["metadata"]
        if any((m.metadata.annotations or {}).get(MIRROR_ANNOTATION) == meta["uid"] for m in self._mirrors()):
            return
        collection = pod_path(meta["namespace"], meta["name"]).rpartition("/")[0]
        try:
            await self._api.create(collection, mirror_of(pod, self._node, self._node_uid()))
        except (StatusError, httpx.HTTPError, OSError) as error:
            if not isinstance(error, StatusError) or error.code != 409:
                log.warning("the mirror of static pod %s cannot be made: %s", meta["name"], error)

    async def _sweep(self) -> None:
        """Ends mirrors whose manifests are gone, and those somebody is deleting: they are made anew."""
        for mirror in self._mirrors():
            meta = mirror.metadata
            known = (meta.annotations or {}).get(MIRROR_ANNOTATION) in self._pods
            if known and meta.deletion_timestamp is None:
                continue
            try:
                await self._api.delete(pod_path(meta.namespace, meta.name), {"gracePeriodSeconds": 0})
            except (StatusError, httpx.HTTPError, OSError) as error:
                log.warning("the mirror %s cannot be deleted: %s", meta.name, error)

"""All pods of the node: a worker for each, fed by the API's watch, the runtime's events, probes and changed objects.

Also the housekeeping: what the runtime, the volume folder, the log folder and the cgroup tree still hold of pods that
neither the API nor a worker knows is stopped and removed, e.g. after pods were deleted while the kubelet was away.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import httpx

from apimachinery.errors import StatusError
from component_base.tasks import spawn
from kubelet.containers.config import POD_GRACE, POD_NAME, POD_NAMESPACE, POD_UID
from kubelet.cri.observe import observe_pod
from kubelet.cri.runtime import RuntimeFailure
from kubelet.pod import MIRROR_ANNOTATION, Metadata, Pod, Spec
from kubelet.sync.clean import remove_all, remove_log_folder
from kubelet.sync.worker import NodeParts, PodWorker, Stage
from kubelet.volumes.payload import VolumeError

log = logging.getLogger(__name__)
HOUSEKEEPING = 120.0


class PodFleet:
    def __init__(self, parts: Callable[[], NodeParts]) -> None:
        self._make = parts
        self.workers: dict[str, PodWorker] = {}
        self.synced = asyncio.Event()
        self.mirrors: dict[str, Pod] = {}
        """The API's images of this node's static pods."""
        self.mirrors_changed: Callable[[], None] = lambda: None
        self._tasks: set[asyncio.Task[None]] = set()
        self._orphans: set[str] = set()
        self._finished: set[str] = set()
        """Pods whose final delete was accepted; the watch may still tell of them."""

    @property
    def _parts(self) -> NodeParts:
        return self._make()

    def pods(self) -> list[Pod]:
        return [worker.pod for worker in self.workers.values()]

    def counted(self) -> list[Pod]:
        """Pods that take resources of the node."""
        return [worker.pod for worker in self.workers.values() if worker.counts]

    def find(self, namespace: str, name: str, uid: str = "") -> PodWorker | None:
        for worker in self.workers.values():
            meta = worker.pod.metadata
            if (meta.namespace, meta.name) == (namespace, name) and uid in ("", meta.uid):
                return worker
        return None

    def on_change(self, uid: str, pod: Pod | None) -> None:
        worker = self.workers.get(uid)
        if uid in self.mirrors or (pod is not None and pod.is_mirror):
            if pod is None:
                del self.mirrors[uid]
            else:
                fresh = uid not in self.mirrors
                self.mirrors[uid] = pod
                static = self.workers.get((pod.metadata.annotations or {}).get(MIRROR_ANNOTATION, ""))
                if static is not None:
                    static.mirrored(pod, made_anew=fresh)
            self.mirrors_changed()
            return
        if pod is None:
            self._finished.discard(uid)
            if worker is not None:
                worker.remove()
        elif worker is not None:
            worker.update(pod)
        elif uid not in self._finished:
            self._start(pod)

    def on_synced(self, present: set[str]) -> None:
        for uid, worker in list(self.workers.items()):
            if uid not in present and not worker.pod.is_static:
                worker.remove()
        self._finished &= present
        self.mirrors = {uid: pod for uid, pod in self.mirrors.items() if uid in present}
        self.synced.set()

    def _start(self, pod: Pod) -> None:
        worker = self.workers[pod.uid] = PodWorker(self._parts, pod)
        task = spawn(self._run(worker), f"pod {pod.full_name}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, worker: PodWorker) -> None:
        await worker.run()
        if self.workers.get(worker.pod.uid) is worker:
            del self.workers[worker.pod.uid]
            self._finished.add(worker.pod.uid)

    def changed(self, uid: str) -> None:
        """Something happened to the pod's containers or probes."""
        worker = self.workers.get(uid)
        if worker is not None:
            worker.wake()

    def objects_changed(self, uid: str) -> None:
        """A ConfigMap or Secret of the pod has a new value."""
        worker = self.workers.get(uid)
        if worker is not None:
            worker.wake(refresh=True)

    def wake_all(self) -> None:
        for worker in self.workers.values():
            worker.wake()

    async def stop(self) -> None:
        """Leaves the pods running; their workers end."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def housekeep(self) -> None:
        await self.synced.wait()
        while True:
            try:
                await self._sweep()
            except (RuntimeFailure, StatusError, httpx.HTTPError, OSError, VolumeError) as error:
                log.warning("housekeeping: %s", error)
            await self._parts.clock.sleep(HOUSEKEEPING)

    async def _sweep(self) -> None:
        parts = self._parts
        held: dict[str, Pod] = {}
        for sandbox in await parts.runtime.list_sandboxes():
            held.setdefault(sandbox.labels.get(POD_UID, ""), _pod_of(sandbox.labels, {}))
        for container in await parts.runtime.list_containers():
            held[container.labels.get(POD_UID, "")] = _pod_of(container.labels, container.annotations)
        held.pop("", None)
        for uid, pod in held.items():
            if uid not in self.workers and uid not in self._orphans:
                self._orphans.add(uid)
                spawn(self._bury(pod), f"orphan {pod.full_name}")
        for uid in parts.volumes.present():
            if uid not in self.workers and uid not in held:
                await parts.volumes.tear_down(uid)
        known = self.workers.keys() | held.keys()
        await asyncio.to_thread(_sweep_files, parts, known)

    async def _bury(self, pod: Pod) -> None:
        """Ends a pod that only the runtime remembers."""
        parts = self._parts
        log.info("stopping %s, which is no pod of this node any more", pod.full_name)
        try:
            await parts.stopper.stop_pod(pod, await observe_pod(parts.runtime, pod.uid))
            await parts.volumes.tear_down(pod.uid)
            await remove_all(parts.runtime, await observe_pod(parts.runtime, pod.uid))
        finally:
            self._orphans.discard(pod.uid)


def _pod_of(labels: Mapping[str, str], annotations: Mapping[str, str]) -> Pod:
    """As much of the pod as its containers' labels tell."""
    grace = annotations.get(POD_GRACE, "")
    meta = Metadata(name=labels.get(POD_NAME, ""), namespace=labels.get(POD_NAMESPACE, ""), uid=labels.get(POD_UID, ""))
    return Pod(metadata=meta, spec=Spec(termination_grace_period_seconds=int(grace) if grace.isdigit() else 30))


def _sweep_files(parts: NodeParts, known: Iterable[str]) -> None:
    kept = set(known)
    if parts.pod_logs.is_dir():
        for folder in parts.pod_logs.iterdir():
            if folder.name.rpartition("_")[2] not in kept and folder.name.count("_") >= 2:
                remove_log_folder(Path(folder))
    for uid, path in parts.cgroups.pods(parts.cgroup_root).items():
        if uid not in kept:
            parts.cgroups.remove(path)


__all__ = ["PodFleet", "Stage"]

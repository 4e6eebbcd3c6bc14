"""What the scheduler writes: bindings, the PodScheduled condition of pods that fit nowhere, events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from apimachinery import timestamps
from kubeclient.events import EventRecorder, reference_to
from kubeclient.rest import STRATEGIC, RestClient
from scheduler.plugins.volume_binding import Binding
from scheduler.storage import write_bindings
from scheduler.views import Pod


class Cluster(Protocol):
    """The scheduler's effects. Failures are StatusError, or httpx.HTTPError when the apiserver cannot be reached."""

    async def bind(self, pod: Pod, node: str) -> None: ...

    async def bind_volumes(self, bindings: Sequence[Binding], node: str) -> Sequence[Binding]:
        """Before `bind`: reserves volumes, tells provisioners the node. Returns what was written."""
        ...

    async def mark_unschedulable(self, pod: Pod, message: str, now: float) -> None: ...

    async def nominate(self, pod: Pod, node: str) -> None: ...

    async def evict(self, victim: Pod, by: Pod, now: float) -> None: ...

    def event(self, pod: Pod, type: str, reason: str, message: str) -> None: ...


class ApiCluster:
    def __init__(self, client: RestClient, recorder: EventRecorder) -> None:
        self._client = client
        self._recorder = recorder

    async def bind(self, pod: Pod, node: str) -> None:
        meta = pod.metadata
        body = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": meta.name, "namespace": meta.namespace, "uid": meta.uid},
            "target": {"kind": "Node", "name": node},
        }
        await self._client.create(f"{_path(pod)}/binding", body)

    async def bind_volumes(self, bindings: Sequence[Binding], node: str) -> Sequence[Binding]:
        return await write_bindings(self._client, bindings, node)

    async def mark_unschedulable(self, pod: Pod, message: str, now: float) -> None:
        """Written only when it says something new: each write wakes everybody who watches pods."""
        shown = next((c for c in pod.status.conditions if c.type == "PodScheduled"), None)
        if shown is not None and (shown.status, shown.reason, shown.message) == ("False", "Unschedulable", message):
            return
        condition = {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": message,
            "lastProbeTime": None,
        }
        if shown is None or shown.status != "False":
            condition["lastTransitionTime"] = timestamps.format(now)
        await self._patch_status(pod, {"conditions": [condition]})

    async def nominate(self, pod: Pod, node: str) -> None:
        await self._patch_status(pod, {"nominatedNodeName": node or None})

    async def evict(self, victim: Pod, by: Pod, now: float) -> None:
        message = f"{by.spec.schedulerName}: preempting to accommodate a higher priority pod"
        condition = {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "PreemptionByScheduler",
            "message": message,
            "lastTransitionTime": timestamps.format(now),
        }
        await self._patch_status(victim, {"conditions": [condition]})
        await self._client.delete(_path(victim), {"preconditions": {"uid": victim.metadata.uid}})

    async def _patch_status(self, pod: Pod, status: dict[str, object]) -> None:
        body = {"metadata": {"uid": pod.metadata.uid}, "status": status}
        await self._client.patch(f"{_path(pod)}/status", body, STRATEGIC)

    def event(self, pod: Pod, type: str, reason: str, message: str) -> None:
        self._recorder.event(reference_to("v1", "Pod", pod.metadata), type, reason, message)


def _path(pod: Pod) -> str:
    return f"/api/v1/namespaces/{pod.metadata.namespace}/pods/{pod.metadata.name}"

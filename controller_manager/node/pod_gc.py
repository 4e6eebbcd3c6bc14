"""Pods nobody will clean up: those of nodes that are gone, of nodes shut down, and ended ones beyond a number."""

from __future__ import annotations

from collections.abc import Callable

from apimachinery import timestamps
from controller_manager.views import Node, Pod
from kubeclient.informer import Informers
from kubeclient.plan import NOTHING, Action, Delete, Patch, Plan
from kubeclient.rest import STRATEGIC

#: A node may be announced after its pods: they get this long before they count as orphans.
QUARANTINE_SECONDS = 40.0


class PodGcController:
    name = "podgc"

    def __init__(self, informers: Informers, terminated_threshold: int = 12500) -> None:
        self._threshold = terminated_threshold
        self._pods = informers.of("/api/v1/pods", Pod)
        self._nodes = informers.of("/api/v1/nodes", Node)
        self._pods.add_index("node", lambda pod: [pod.spec.nodeName] if pod.spec.nodeName else [])
        self._pods.add_index("ended", lambda pod: ["yes"] if pod.is_terminal else [])
        self._missing_since: dict[str, float] = {}

    def watch(self, enqueue: Callable[[str], None]) -> None:
        """Keys are node names, and `` for the count of ended pods."""

        def on_pod(old: Pod | None, new: Pod | None) -> None:
            if new is None:
                return
            if new.spec.nodeName and self._nodes.get(new.spec.nodeName) is None:
                enqueue(new.spec.nodeName)
            if new.is_terminal and (old is None or not old.is_terminal):
                enqueue("")

        self._pods.add_handler(on_pod)
        self._nodes.add_handler(lambda old, new: enqueue(old.metadata.name) if old and new is None else None)

    def reconcile(self, key: str, now: float) -> Plan:
        if not key:
            return self._too_many_ended()
        if self._nodes.get(key) is not None:
            self._missing_since.pop(key, None)
            return NOTHING
        pods = self._pods.indexed("node", key)
        if not pods:
            self._missing_since.pop(key, None)
            return NOTHING
        left = self._missing_since.setdefault(key, now) + QUARANTINE_SECONDS - now
        if left > 0:
            return Plan(requeue_after=left)
        return Plan([[action] for pod in pods for action in _force(pod, now)])

    def _too_many_ended(self) -> Plan:
        ended = self._pods.indexed("ended", "yes")
        surplus = len(ended) - self._threshold
        if surplus <= 0 or self._threshold <= 0:
            return NOTHING
        oldest = sorted(ended, key=lambda pod: pod.metadata.creationTimestamp or "")[:surplus]
        return Plan([[Delete(_path(pod), pod.metadata.uid, grace_seconds=0) for pod in oldest]])


def _path(pod: Pod) -> str:
    return f"/api/v1/namespaces/{pod.metadata.namespace}/pods/{pod.metadata.name}"


def _force(pod: Pod, now: float) -> list[Action]:
    """Mark as failed, so that owners and watchers understand, then remove without waiting for a kubelet."""
    actions: list[Action] = []
    if not pod.is_terminal:
        condition = {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "DeletionByPodGC",
            "message": "PodGC: node no longer exists",
            "lastTransitionTime": timestamps.format(now),
        }
        body = {"metadata": {"uid": pod.metadata.uid}, "status": {"phase": "Failed", "conditions": [condition]}}
        actions.append(Patch(f"{_path(pod)}/status", body, STRATEGIC))
    actions.append(Delete(_path(pod), pod.metadata.uid, grace_seconds=0))
    return actions

"""Pods leave nodes with NoExecute taints when they do not tolerate them, or no longer (`tolerationSeconds`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from apimachinery import timestamps
from apimachinery.placement import tolerates
from controller_manager.views import Node, Pod, Taint
from kubeclient.informer import Informers
from kubeclient.plan import NOTHING, Delete, Event, Patch, Plan
from kubeclient.rest import STRATEGIC


def stays_for(pod: Pod, taints: Sequence[Taint], now: float) -> float | None:
    """Seconds the pod may stay; 0 or less: it must go now. None: it tolerates everything for ever."""
    limits: list[float] = []
    for taint in taints:
        matching = [t for t in pod.spec.tolerations if tolerates(t, taint)]
        if not matching:
            return 0.0
        finite = [float(t.tolerationSeconds) for t in matching if t.tolerationSeconds is not None]
        if finite:
            added = timestamps.parse_or(taint.timeAdded, now)
            limits.append(added + max(0.0, min(finite)) - now)
    return min(limits, default=None)


class TaintEvictionController:
    name = "taint-eviction-controller"

    def __init__(self, informers: Informers) -> None:
        self._nodes = informers.of("/api/v1/nodes", Node)
        self._pods = informers.of("/api/v1/pods", Pod)
        self._pods.add_index("node", lambda pod: [pod.spec.nodeName] if pod.spec.nodeName else [])

    def watch(self, enqueue: Callable[[str], None]) -> None:
        def on_node(old: Node | None, new: Node | None) -> None:
            if new is None or (old is not None and old.spec.taints == new.spec.taints):
                return
            for pod in self._pods.indexed("node", new.metadata.name):
                enqueue(pod.metadata.key)

        def on_pod(old: Pod | None, new: Pod | None) -> None:
            if new is None or not new.spec.nodeName:
                return
            if old is None or old.spec != new.spec:
                enqueue(new.metadata.key)

        self._nodes.add_handler(on_node)
        self._pods.add_handler(on_pod)

    def reconcile(self, key: str, now: float) -> Plan:
        pod = self._pods.get(key)
        if pod is None or pod.is_terminal or pod.metadata.deletionTimestamp is not None:
            return NOTHING
        node = self._nodes.get(pod.spec.nodeName)
        taints = [t for t in node.spec.taints if t.effect == "NoExecute"] if node is not None else []
        left = stays_for(pod, taints, now) if taints else None
        if left is None:
            return NOTHING
        if left > 0:
            return Plan(requeue_after=left)
        meta = pod.metadata
        path = f"/api/v1/namespaces/{meta.namespace}/pods/{meta.name}"
        reference = {"apiVersion": "v1", "kind": "Pod", "namespace": meta.namespace, "name": meta.name, "uid": meta.uid}
        condition = {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "DeletionByTaintManager",
            "message": "Taint manager: deleting due to NoExecute taint",
            "lastTransitionTime": timestamps.format(now),
        }
        mark = Patch(
            f"{path}/status", {"metadata": {"uid": meta.uid}, "status": {"conditions": [condition]}}, STRATEGIC
        )
        event = Event(reference, "Normal", "TaintManagerEviction", f"Marking for deletion Pod {key}")
        return Plan([[event], [mark], [Delete(path, meta.uid)]])

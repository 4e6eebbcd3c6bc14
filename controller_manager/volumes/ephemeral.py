"""Makes the claims of generic ephemeral volumes (KEP-1698): one a pod and volume, owned by the pod, gone with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from controller_manager.ownership import Owner
from controller_manager.protection import claims_of
from controller_manager.views import Pod
from kubeclient.informer import Informers
from kubeclient.plan import NOTHING, Action, Create, Event, Plan
from kubeclient.volumes import CLAIMS, Claim


class EphemeralVolumeController:
    name = "ephemeral-volume-controller"

    def __init__(self, informers: Informers) -> None:
        self._pods = informers.of("/api/v1/pods", Pod)
        self._claims = informers.of(CLAIMS, Claim)
        self._pods.add_index("ephemeral claim", claims_of)

    def watch(self, enqueue: Callable[[str], None]) -> None:
        def on_pod(old: Pod | None, new: Pod | None) -> None:
            if new is not None and old is None and any(v.ephemeral is not None for v in new.spec.volumes):
                enqueue(new.metadata.key)

        def on_claim(old: Claim | None, new: Claim | None) -> None:
            if new is None and old is not None:
                for pod in self._pods.indexed("ephemeral claim", old.metadata.key):
                    enqueue(pod.metadata.key)

        self._pods.add_handler(on_pod)
        self._claims.add_handler(on_claim)

    def reconcile(self, key: str, now: float) -> Plan:
        pod = self._pods.get(key)
        if pod is None or pod.metadata.deletionTimestamp is not None:
            return NOTHING
        actions: list[Action] = []
        for volume in pod.spec.volumes:
            if volume.ephemeral is not None:
                actions += self._claim(pod, volume.name, volume.ephemeral.get("volumeClaimTemplate") or {})
        return Plan([actions]) if actions else NOTHING

    def _claim(self, pod: Pod, volume: str, template: dict[str, Any]) -> list[Action]:
        name = f"{pod.metadata.name}-{volume}"
        owner = Owner("v1", "Pod", pod.metadata)
        found = self._claims.get(f"{pod.metadata.namespace}/{name}")
        if found is not None:
            if any(o.uid == pod.metadata.uid and o.controller for o in found.metadata.ownerReferences):
                return []
            strange = f'PVC "{found.metadata.key}" was not created for pod "{pod.metadata.key}" (pod is not owner)'
            text = f"ephemeral volume {volume}: {strange}"
            return [Event(owner.event_reference(), "Warning", "FailedBinding", text)]
        meta = dict(template.get("metadata") or {})
        meta |= {"name": name, "ownerReferences": [owner.reference()]}
        body = {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": meta,
            "spec": template.get("spec") or {},
        }
        return [Create(f"/api/v1/namespaces/{pod.metadata.namespace}/persistentvolumeclaims", body)]

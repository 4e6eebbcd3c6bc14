"""The ReplicaSet controller; the ReplicationController is the same with an older shape of selector."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from apimachinery.errors import StatusError
from controller_manager import conditions
from controller_manager.availability import is_available, next_available
from controller_manager.ownership import Owner, by_controller, claim, orphans
from controller_manager.replicaset.ranking import first_to_go
from controller_manager.views import Condition, Pod, ReplicaSet, ReplicaSetStatus, ReplicationController, decoded
from kubeclient.informer import Informer, Informers
from kubeclient.plan import NOTHING, Action, Announce, Create, Delete, Plan, merge_status
from kubeclient.views import LabelSelector, Meta

#: Creations or deletions in one plan, as upstream's burst.
BURST = 500


@dataclass(frozen=True, slots=True)
class Kind:
    name: str
    api_version: str
    kind: str
    collection: str
    view: type[Any]

    def path(self, meta: Meta) -> str:
        base, _, plural = self.collection.rpartition("/")
        return f"{base}/namespaces/{meta.namespace}/{plural}/{meta.name}"


REPLICA_SETS = Kind("replicaset", "apps/v1", "ReplicaSet", "/apis/apps/v1/replicasets", ReplicaSet)
REPLICATION_CONTROLLERS = Kind(
    "replicationcontroller", "v1", "ReplicationController", "/api/v1/replicationcontrollers", ReplicationController
)


class ReplicaSetController:
    def __init__(self, informers: Informers, kind: Kind = REPLICA_SETS) -> None:
        self.name = kind.name
        self._kind = kind
        self._sets: Informer[Any] = informers.of(kind.collection, kind.view)
        self._pods = informers.of("/api/v1/pods", Pod)
        self._pods.add_index("controller", by_controller)
        self._failures: dict[str, str] = {}

    def watch(self, enqueue: Callable[[str], None]) -> None:
        self._sets.add_key_handler(enqueue)

        def on_pod(old: Pod | None, new: Pod | None) -> None:
            for pod in (old, new):
                if pod is None:
                    continue
                owner = pod.metadata.controller
                if owner is None:
                    self._enqueue_matching(pod, enqueue)
                elif owner.kind == self._kind.kind:
                    enqueue(f"{pod.metadata.namespace}/{owner.name}")

        self._pods.add_handler(on_pod)

    def _enqueue_matching(self, pod: Pod, enqueue: Callable[[str], None]) -> None:
        for found in self._sets.in_namespace(pod.metadata.namespace):
            if selector_of(found).matches(pod.metadata.labels):
                enqueue(found.metadata.key)

    def failed(self, key: str, error: StatusError) -> None:
        if error.reason in ("Conflict", "NotFound"):
            return
        self._failures[key] = str(error)

    def reconcile(self, key: str, now: float) -> Plan:
        found = self._sets.get(key)
        if found is None:
            self._failures.pop(key, None)
            return NOTHING
        owner = Owner(self._kind.api_version, self._kind.kind, found.metadata)
        namespace = found.metadata.namespace
        pod_path = f"/api/v1/namespaces/{namespace}/pods"
        nearby = self._pods.indexed("controller", found.metadata.uid) + self._pods.indexed(
            "controller", orphans(namespace)
        )
        candidates = [pod for pod in nearby if not pod.is_terminal]
        owned, claims = claim(owner, selector_of(found), candidates, pod_path + "/{name}")
        active = [pod for pod in owned if pod.metadata.deletionTimestamp is None]
        moves = self._moves(found, owner, active, pod_path, now) if found.metadata.deletionTimestamp is None else []
        if not moves:
            self._failures.pop(key, None)
        status = self._status(found, owned, active, self._failures.get(key, ""), now)
        batches: list[Sequence[Action]] = [claims] if claims else []
        if status is not None:
            batches.append([merge_status(self._kind.path(found.metadata), status, found.metadata.resourceVersion)])
        if moves:
            batches.append(moves)
        return Plan(batches, next_available(active, found.spec.minReadySeconds, now))

    def _moves(self, found: Any, owner: Owner, active: list[Pod], path: str, now: float) -> list[Action]:
        surplus = len(active) - found.spec.replicas
        if surplus < 0:
            announce = Announce(
                owner.event_reference(),
                ("SuccessfulCreate", "Created pod: {name}"),
                ("FailedCreate", "Error creating: {error}"),
            )
            body = pod_from(found, owner)
            return [Create(path, body, announce=announce) for _ in range(min(-surplus, BURST))]
        announce = Announce(
            owner.event_reference(),
            ("SuccessfulDelete", "Deleted pod: {name}"),
            ("FailedDelete", "Error deleting: {error}"),
        )
        going = first_to_go(active, self._related(found), min(surplus, BURST), now)
        return [Delete(f"{path}/{pod.metadata.name}", pod.metadata.uid, announce=announce) for pod in going]

    def _related(self, found: Any) -> list[Pod]:
        """Pods of all sets that the same Deployment controls."""
        controller = found.metadata.controller
        if controller is None:
            return self._pods.indexed("controller", found.metadata.uid)
        siblings = self._sets.in_namespace(found.metadata.namespace)
        uids = [s.metadata.uid for s in siblings if (c := s.metadata.controller) and c.uid == controller.uid]
        return [pod for uid in uids for pod in self._pods.indexed("controller", uid)]

    def _status(
        self, found: Any, owned: list[Pod], active: list[Pod], failure: str, now: float
    ) -> dict[str, Any] | None:
        """The new status, None when nothing changed."""
        labels = template_labels(found)
        old: ReplicaSetStatus = found.status
        marked = conditions.without(old.conditions, "ReplicaFailure")
        if failure:
            problem = Condition("ReplicaFailure", "True", "FailedCreate", failure)
            marked = conditions.set_condition(old.conditions, problem, now)
        new = ReplicaSetStatus(
            replicas=len(active),
            fullyLabeledReplicas=sum(labels.items() <= pod.metadata.labels.items() for pod in active),
            readyReplicas=sum(pod.is_ready for pod in active),
            availableReplicas=sum(is_available(pod, found.spec.minReadySeconds, now) for pod in active),
            terminatingReplicas=len(owned) - len(active) if self._kind is REPLICA_SETS else None,
            observedGeneration=found.metadata.generation,
            conditions=marked,
        )
        if new == old:
            return None
        status = {k: v for k, v in msgspec.to_builtins(new).items() if v is not None}
        status["conditions"] = conditions.to_json(new.conditions) or None
        return status


def selector_of(found: Any) -> LabelSelector:
    selector: LabelSelector | dict[str, str] = found.spec.selector
    return LabelSelector(matchLabels=selector) if isinstance(selector, dict) else selector


def template_labels(found: Any) -> dict[str, str]:
    labels: dict[str, str] = (decoded(found.spec.template).get("metadata") or {}).get("labels") or {}
    return labels


def pod_from(found: Any, owner: Owner) -> dict[str, Any]:
    """A pod of the template, its name to be completed by the apiserver."""
    template = decoded(found.spec.template)
    metadata = template.get("metadata") or {}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            **{k: metadata[k] for k in ("labels", "annotations", "finalizers") if metadata.get(k)},
            "generateName": f"{found.metadata.name}-",
            "namespace": found.metadata.namespace,
            "ownerReferences": [owner.reference()],
        },
        "spec": template.get("spec") or {},
    }

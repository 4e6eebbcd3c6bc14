"""The disruption controller: status of PodDisruptionBudgets, and marks on pods whose eviction came to nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from apimachinery import timestamps
from controller_manager.disruption.health import DELETION_TIMEOUT, Health, assess
from controller_manager.disruption.views import Budget, BudgetStatus
from controller_manager.ownership import Owner
from controller_manager.statefulset.views import StatefulSet
from controller_manager.views import Condition, Deployment, Pod, ReplicaSet, ReplicationController, condition
from kubeclient.informer import Informers
from kubeclient.plan import NOTHING, Action, Event, Patch, Plan, merge_status

COLLECTION = "/apis/policy/v1/poddisruptionbudgets"
_POD = "pod:"


class DisruptionController:
    name = "disruption"

    def __init__(self, informers: Informers) -> None:
        self._budgets = informers.of(COLLECTION, Budget)
        self._pods = informers.of("/api/v1/pods", Pod)
        self._sets = informers.of("/apis/apps/v1/replicasets", ReplicaSet)
        self._deployments = informers.of("/apis/apps/v1/deployments", Deployment)
        self._stateful = informers.of("/apis/apps/v1/statefulsets", StatefulSet)
        self._replication = informers.of("/api/v1/replicationcontrollers", ReplicationController)

    def watch(self, enqueue: Callable[[str], None]) -> None:
        self._budgets.add_key_handler(enqueue)

        def on_pod(old: Pod | None, new: Pod | None) -> None:
            seen = [pod for pod in (old, new) if pod is not None]
            for budget in self._budgets.in_namespace(seen[0].metadata.namespace):
                if any(budget.covers(pod.metadata.labels) for pod in seen):
                    enqueue(budget.metadata.key)
            if new is not None and _stale_mark(new) is not None:
                enqueue(_POD + new.metadata.key)

        self._pods.add_handler(on_pod)

    def reconcile(self, key: str, now: float) -> Plan:
        if key.startswith(_POD):
            return self._unmark(key.removeprefix(_POD), now)
        budget = self._budgets.get(key)
        if budget is None:
            return NOTHING
        owner = Owner("policy/v1", "PodDisruptionBudget", budget.metadata)
        nearby = self._pods.in_namespace(budget.metadata.namespace)
        pods = [pod for pod in nearby if budget.covers(pod.metadata.labels)]
        try:
            health = assess(budget, pods, self._scale, now)
        except ValueError as error:
            return _failed(budget, owner, str(error), now)
        events = _events(budget, owner, pods, health)
        change = _change(budget, health, now)
        return Plan([batch for batch in (change, events if change else []) if batch], health.recheck)

    def _scale(self, pod: Pod) -> tuple[str, int]:
        owner = pod.metadata.controller
        assert owner is not None
        namespace = pod.metadata.namespace
        key = f"{namespace}/{owner.name}"
        found: Any = None
        match owner.kind:
            case "ReplicaSet":
                found = self._sets.get(key)
                above = found.metadata.controller if found is not None else None
                if above is not None and above.kind == "Deployment":
                    # The sizes of its sets change while it rolls; its own is what people want.
                    deployment = self._deployments.get(f"{namespace}/{above.name}")
                    if deployment is not None and deployment.metadata.uid == above.uid:
                        return above.uid, deployment.spec.replicas
            case "StatefulSet":
                found = self._stateful.get(key)
            case "ReplicationController":
                found = self._replication.get(key)
            case _:
                group = owner.apiVersion.rpartition("/")[0]
                name = f"{owner.kind.lower()}s.{group}".rstrip(".")
                raise ValueError(f"{name} does not implement the scale subresource")
        if found is None or found.metadata.uid != owner.uid:
            raise ValueError(f'found no controllers for pod "{pod.metadata.name}"')
        return owner.uid, found.spec.replicas

    def _unmark(self, key: str, now: float) -> Plan:
        pod = self._pods.get(key)
        mark = _stale_mark(pod) if pod is not None else None
        if pod is None or mark is None:
            return NOTHING
        left = timestamps.parse_or(mark.lastTransitionTime, now) + DELETION_TIMEOUT - now
        if left > 0:
            return Plan(requeue_after=left)
        when = timestamps.format(now)
        cleared = {
            "type": "DisruptionTarget",
            "status": "False",
            "reason": None,
            "message": None,
            "lastTransitionTime": when,
        }
        path = f"/api/v1/namespaces/{pod.metadata.namespace}/pods/{pod.metadata.name}/status"
        return Plan([[Patch(path, {"metadata": {"uid": pod.metadata.uid}, "status": {"conditions": [cleared]}})]])


def _stale_mark(pod: Pod) -> Condition | None:
    """The mark of an eviction, on a pod that nobody deletes; kubelets' own marks may stand as long as they like."""
    mark = condition(pod.status.conditions, "DisruptionTarget")
    if mark is None or mark.status != "True" or mark.reason == "TerminationByKubelet":
        return None
    return mark if pod.is_active else None


def _events(budget: Budget, owner: Owner, pods: Sequence[Pod], health: Health) -> list[Action]:
    reference = owner.event_reference()
    events: list[Action] = []
    if not pods:
        events.append(Event(reference, "Normal", "NoPods", "No matching pods found"))
    if health.unmanaged:
        message = (
            "Pods selected by this PodDisruptionBudget were found to be unmanaged: its status cannot be calculated "
            'correctly. To account for these pods please set ".spec.minAvailable" to an integer value.'
        )
        events.append(Event(reference, "Warning", "UnmanagedPods", message))
    meta = budget.metadata
    message = f"Pod was expected by PDB {meta.namespace}/{meta.name} to be deleted but it wasn't"
    for pod in health.overdue:
        subject = Owner("v1", "Pod", pod.metadata).event_reference()
        events.append(Event(subject, "Warning", "NotDeleted", message))
    return events


def _change(budget: Budget, health: Health, now: float) -> list[Action]:
    allowed = health.allowed
    reason = "SufficientPods" if allowed > 0 else "InsufficientPods"
    generation = budget.metadata.generation
    mark = _mark(budget, str(allowed > 0), reason, "", generation, now)
    new = BudgetStatus(
        currentHealthy=health.healthy,
        desiredHealthy=health.desired,
        expectedPods=health.expected,
        disruptionsAllowed=allowed,
        observedGeneration=generation,
        disruptedPods=health.disrupted,
        conditions=_marked(budget, mark),
    )
    if new == budget.status:
        return []
    body = msgspec.to_builtins(new)
    body["conditions"] = [_as_json(each) for each in new.conditions]
    gone: dict[str, Any] = dict.fromkeys(budget.status.disruptedPods.keys() - health.disrupted.keys())
    body["disruptedPods"] = {**gone, **health.disrupted}
    return [merge_status(budget.path, body, budget.metadata.resourceVersion)]


def _failed(budget: Budget, owner: Owner, message: str, now: float) -> Plan:
    """Nothing may be evicted while nobody knows how much is enough."""
    mark = _mark(budget, "False", "SyncFailed", message, budget.status.observedGeneration, now)
    marked = _marked(budget, mark)
    text = f"Failed to calculate the number of expected pods: {message}"
    event = Event(owner.event_reference(), "Warning", "CalculateExpectedPodCountFailed", text)
    if budget.status.disruptionsAllowed == 0 and marked == budget.status.conditions:
        return NOTHING
    body = {"disruptionsAllowed": 0, "conditions": [_as_json(each) for each in marked]}
    return Plan([[merge_status(budget.path, body, budget.metadata.resourceVersion)], [event]])


def _mark(budget: Budget, status: str, reason: str, message: str, generation: int, now: float) -> Condition:
    old = condition(budget.status.conditions, "DisruptionAllowed")
    moved = old is None or old.status != status
    since = timestamps.format(now) if old is None or moved else old.lastTransitionTime
    return Condition(
        "DisruptionAllowed",
        status,
        reason,
        message,
        lastTransitionTime=since,
        observedGeneration=generation,
    )


def _marked(budget: Budget, mark: Condition) -> list[Condition]:
    others = [each for each in budget.status.conditions if each.type != mark.type]
    return [*others, mark]


def _as_json(mark: Condition) -> dict[str, Any]:
    kept = {key: value for key, value in msgspec.to_builtins(mark).items() if value is not None}
    return {key: value for key, value in kept.items() if value != "" or key == "message"}

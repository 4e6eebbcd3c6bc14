"""The DaemonSet controller."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from controller_manager import conditions, history
from controller_manager.availability import next_available
from controller_manager.daemonset.placement import HASH_LABEL, node_of, placement, pod_for, pod_spec
from controller_manager.daemonset.rollout import Moves, Place, View, counts, moves, roll
from controller_manager.daemonset.views import DaemonSet, DaemonSetStatus
from controller_manager.ownership import Owner, by_controller, claim, orphans
from controller_manager.views import Node, Pod, decoded
from kubeclient.informer import Informers
from kubeclient.plan import NOTHING, Action, Announce, Create, Delete, Event, Plan, merge_status

COLLECTION = "/apis/apps/v1/daemonsets"
#: Creations or deletions in one plan, as upstream's burst.
BURST = 250
#: A pod that fails at once on a node is made again later and later.
FIRST_DELAY, MAX_DELAY = 1.0, 900.0


class DaemonSetController:
    name = "daemonset"

    def __init__(self, informers: Informers) -> None:
        self._sets = informers.of(COLLECTION, DaemonSet)
        self._nodes = informers.of("/api/v1/nodes", Node)
        self._pods = informers.of("/api/v1/pods", Pod)
        self._revisions = informers.of(history.COLLECTION, history.ControllerRevision)
        self._pods.add_index("controller", by_controller)
        self._revisions.add_index("controller", by_controller)
        self._failing: dict[tuple[str, str], tuple[float, float]] = {}
        """(owner, node) -> (when its failed pod may go, the delay that was waited)."""

    def watch(self, enqueue: Callable[[str], None]) -> None:
        self._sets.add_key_handler(enqueue)

        def on_owned(old: Any, new: Any) -> None:
            for found in (old, new):
                if found is None:
                    continue
                owner = found.metadata.controller
                if owner is None:
                    self._enqueue_matching(found, enqueue)
                elif owner.kind == "DaemonSet":
                    enqueue(f"{found.metadata.namespace}/{owner.name}")

        def on_node(old: Node | None, new: Node | None) -> None:
            if old is None or new is None or _placing(old) != _placing(new):
                for key, _ in self._sets.items():
                    enqueue(key)

        self._pods.add_handler(on_owned)
        self._revisions.add_handler(on_owned)
        self._nodes.add_handler(on_node)

    def _enqueue_matching(self, orphan: Any, enqueue: Callable[[str], None]) -> None:
        for found in self._sets.in_namespace(orphan.metadata.namespace):
            if found.spec.selector.matches(orphan.metadata.labels):
                enqueue(found.metadata.key)

    def reconcile(self, key: str, now: float) -> Plan:
        found = self._sets.get(key)
        if found is None or found.spec.selector.is_empty:
            return NOTHING
        owner = Owner("apps/v1", "DaemonSet", found.metadata)
        namespace = found.metadata.namespace
        pods, pod_claims = claim(
            owner,
            found.spec.selector,
            self._nearby(self._pods, found),
            f"/api/v1/namespaces/{namespace}/pods/{{name}}",
        )
        if found.metadata.deletionTimestamp is not None:
            return Plan([pod_claims]) if pod_claims else NOTHING
        revisions, claims = claim(
            owner, found.spec.selector, self._nearby(self._revisions, found), history.path(namespace, "{name}")
        )
        past = history.record(
            owner,
            found.spec.template,
            revisions,
            self._revisions.in_namespace(namespace),
            found.status.collisionCount or 0,
            HASH_LABEL,
            (decoded(found.spec.template).get("metadata") or {}).get("labels") or {},
        )
        view = View(found, past.hash, now)
        places, lost = self._places(found, pods)
        # Pods that are being adopted count only once the watch shows it: until then nothing is made or removed.
        wanted = Moves() if pod_claims else moves(view, places)
        wanted.delete += lost
        if not pod_claims and not (wanted.create_on or wanted.delete or wanted.ended) and view.rolling:
            wanted = roll(view, places)
        done, again = self._actions(found, owner, wanted, past.hash, now)
        batches: list[Sequence[Action]] = [
            [*pod_claims, *claims, *past.actions],
            self._status(found, view, places, past),
            done,
            history.outdated(past.old, _live(past, pods), found.spec.revisionHistoryLimit),
        ]
        waits = [again, next_available(pods, found.spec.minReadySeconds, now)]
        return Plan([batch for batch in batches if batch], min((w for w in waits if w is not None), default=None))

    def _nearby(self, informer: Any, found: DaemonSet) -> list[Any]:
        owners = (found.metadata.uid, orphans(found.metadata.namespace))
        return [each for owner in owners for each in informer.indexed("controller", owner)]

    def _places(self, found: DaemonSet, pods: Sequence[Pod]) -> tuple[list[Place], list[Pod]]:
        """Every node, and the pods that wait for a node which is no more."""
        spec = pod_spec(found)
        by_node: dict[str, list[Pod]] = {}
        for pod in pods:
            by_node.setdefault(node_of(pod), []).append(pod)
        places = []
        for node in sorted(self._nodes.values(), key=lambda n: n.metadata.name):
            wanted, may_stay = placement(spec, node)
            places.append(Place(node.metadata.name, wanted, may_stay, by_node.pop(node.metadata.name, [])))
        lost = [p for rest in by_node.values() for p in rest if not p.spec.nodeName]
        return places, [pod for pod in lost if pod.metadata.deletionTimestamp is None]

    def _actions(
        self, found: DaemonSet, owner: Owner, wanted: Moves, revision_hash: str, now: float
    ) -> tuple[list[Action], float | None]:
        path = f"/api/v1/namespaces/{found.metadata.namespace}/pods"
        reference = owner.event_reference()
        made = Announce(
            reference, ("SuccessfulCreate", "Created pod: {name}"), ("FailedCreate", "Error creating: {error}")
        )
        gone = Announce(
            reference, ("SuccessfulDelete", "Deleted pod: {name}"), ("FailedDelete", "Error deleting: {error}")
        )
        actions: list[Action] = []
        again: float | None = None
        for pod in wanted.ended:
            wait = self._wait(found.metadata.uid, pod, now) if pod.status.phase == "Failed" else 0.0
            if wait > 0:
                again = min(wait, again or wait)
                continue
            actions.append(_ended(reference, pod))
            actions.append(Delete(f"{path}/{pod.metadata.name}", pod.metadata.uid, announce=gone))
        going = wanted.delete[:BURST]
        actions += [Delete(f"{path}/{pod.metadata.name}", pod.metadata.uid, announce=gone) for pod in going]
        for node in wanted.create_on[:BURST]:
            actions.append(Create(path, pod_for(found, owner, node, revision_hash), announce=made))
        return actions, again

    def _wait(self, uid: str, pod: Pod, now: float) -> float:
        """Seconds until a failed pod may go."""
        at = (uid, node_of(pod))
        self._failing = {key: each for key, each in self._failing.items() if now <= each[0] + 2 * MAX_DELAY}
        due, delay = self._failing.get(at, (0.0, 0.0))
        if now < due:
            return due - now
        delay = min(delay * 2, MAX_DELAY) or FIRST_DELAY
        self._failing[at] = (now + delay, delay)
        return 0.0

    def _status(self, found: DaemonSet, view: View, places: Sequence[Place], past: history.History) -> list[Action]:
        old = found.status
        new = DaemonSetStatus(
            **counts(view, places),
            observedGeneration=found.metadata.generation,
            collisionCount=past.collisions or old.collisionCount,
            conditions=old.conditions,
        )
        if new == old:
            return []
        status = {k: v for k, v in msgspec.to_builtins(new).items() if v is not None}
        status["conditions"] = conditions.to_json(new.conditions) or None
        collection = f"/apis/apps/v1/namespaces/{found.metadata.namespace}/daemonsets"
        return [merge_status(f"{collection}/{found.metadata.name}", status, found.metadata.resourceVersion)]


def _placing(node: Node) -> tuple[Any, ...]:
    return node.metadata.labels, node.spec.taints, node.spec.unschedulable


def _live(past: history.History, pods: Sequence[Pod]) -> set[str]:
    hashes = {pod.metadata.labels.get(HASH_LABEL) for pod in pods}
    return {r.metadata.name for r in past.old if r.metadata.labels.get(HASH_LABEL) in hashes}


def _ended(reference: dict[str, Any], pod: Pod) -> Event:
    place = f"{pod.metadata.namespace}/{pod.metadata.name} on node {node_of(pod)}"
    if pod.status.phase == "Failed":
        return Event(reference, "Warning", "FailedDaemonPod", f"Found failed daemon pod {place}, will try to kill it")
    message = f"Found succeeded daemon pod {place}, will try to delete it"
    return Event(reference, "Normal", "SucceededDaemonPod", message)

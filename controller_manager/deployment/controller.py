"""The Deployment controller: one plan at a time towards the current template and size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from apimachinery.errors import StatusError
from controller_manager import conditions
from controller_manager.deployment import revisions, rollout, status
from controller_manager.ownership import Owner, claim
from controller_manager.views import Deployment, Pod, ReplicaSet, condition
from kubeclient.informer import Informers
from kubeclient.plan import NOTHING, Action, Create, Delete, Event, Patch, Plan, merge_status
from kubeclient.rest import MERGE

COLLECTION = "/apis/apps/v1/deployments"


class DeploymentController:
    name = "deployment"

    def __init__(self, informers: Informers) -> None:
        self._deployments = informers.of(COLLECTION, Deployment)
        self._sets = informers.of("/apis/apps/v1/replicasets", ReplicaSet)
        self._pods = informers.of("/api/v1/pods", Pod)
        self._collided: set[str] = set()

    def watch(self, enqueue: Callable[[str], None]) -> None:
        self._deployments.add_key_handler(enqueue)

        def on_set(old: ReplicaSet | None, new: ReplicaSet | None) -> None:
            for found in (old, new):
                if found is None:
                    continue
                owner = found.metadata.controller
                if owner is not None and owner.kind == "Deployment":
                    enqueue(f"{found.metadata.namespace}/{owner.name}")
                elif owner is None:
                    for deployment in self._deployments.in_namespace(found.metadata.namespace):
                        if deployment.spec.selector.matches(found.metadata.labels):
                            enqueue(deployment.metadata.key)

        def on_pod(old: Pod | None, new: Pod | None) -> None:
            # Recreate waits until the last old pod is gone.
            if new is None and old is not None and (owner := old.metadata.controller) is not None:
                found = self._sets.get(f"{old.metadata.namespace}/{owner.name}")
                if found is not None and (above := found.metadata.controller) is not None:
                    enqueue(f"{old.metadata.namespace}/{above.name}")

        self._sets.add_handler(on_set)
        self._pods.add_handler(on_pod)

    def failed(self, key: str, error: StatusError) -> None:
        """A new ReplicaSet's name was taken by another template: the next hash has to differ."""
        if error.reason == "AlreadyExists":
            self._collided.add(key)

    def reconcile(self, key: str, now: float) -> Plan:
        deployment = self._deployments.get(key)
        if deployment is None:
            self._collided.discard(key)
            return NOTHING
        return _Round(
            deployment, self._sets.in_namespace(deployment.metadata.namespace), self._pods.in_namespace, now
        ).plan(self._take_collision(key))

    def _take_collision(self, key: str) -> bool:
        collided = key in self._collided
        self._collided.discard(key)
        return collided


class _Round:
    """One look at one Deployment."""

    def __init__(
        self,
        deployment: Deployment,
        candidates: Sequence[ReplicaSet],
        pods_of: Callable[[str], list[Pod]],
        now: float,
    ) -> None:
        meta = deployment.metadata
        self.deployment = deployment
        self.pods_of = pods_of
        self.now = now
        self.owner = Owner("apps/v1", "Deployment", meta)
        self.path = f"/apis/apps/v1/namespaces/{meta.namespace}/deployments/{meta.name}"
        self.set_path = f"/apis/apps/v1/namespaces/{meta.namespace}/replicasets"
        self.sets, self.claims = claim(self.owner, deployment.spec.selector, candidates, self.set_path + "/{name}")
        self.current, self.old = revisions.split(deployment, self.sets)

    def plan(self, collided: bool) -> Plan:
        deployment = self.deployment
        if deployment.spec.selector.is_empty:
            note = "This deployment is selecting all pods. A non-empty selector is required."
            return Plan([[Event(self.owner.event_reference(), "Warning", "SelectingAll", note)]])
        batches: list[Sequence[Action]] = [self.claims] if self.claims else []
        if deployment.metadata.deletionTimestamp is not None:
            return Plan([*batches, *self._status()])
        if collided and self.current is None:
            count = (deployment.status.collisionCount or 0) + 1
            return Plan([*batches, [merge_status(self.path, {"collisionCount": count})]], 0.0)
        if (pause := self._pause_note()) is not None:
            return Plan([*batches, [pause]])
        if deployment.spec.paused or rollout.is_scaling(deployment, self.sets):
            steps: list[Sequence[Action]] = self._resized()
        elif deployment.spec.strategy.type == "Recreate":
            steps = self._recreate()
        else:
            steps = self._rolling()
        if steps:
            # The status is computed from what the steps led to: their writes bring the key back.
            return Plan([*batches, *steps], self._look_again())
        return Plan([*batches, *self._cleanup(), *self._status()], self._look_again())

    # Steps; each list is a sequence of batches

    def _rolling(self) -> list[Sequence[Action]]:
        if made := self._ensure_current():
            return made
        assert self.current is not None
        active_old = [rs for rs in self.old if rs.spec.replicas > 0]
        size = rollout.grown(self.deployment, self.current, active_old)
        if size != self.current.spec.replicas:
            return self._scale({self.current.metadata.name: size})
        if not active_old:
            return []
        return self._scale(rollout.shrunk(self.deployment, self.current, active_old))

    def _recreate(self) -> list[Sequence[Action]]:
        down = {rs.metadata.name: 0 for rs in self.old if rs.spec.replicas > 0}
        if down:
            return self._scale(down)
        old_uids = {rs.metadata.uid for rs in self.old}
        pods = self.pods_of(self.deployment.metadata.namespace)
        if any(not pod.is_terminal and (c := pod.metadata.controller) and c.uid in old_uids for pod in pods):
            return []
        if made := self._ensure_current():
            return made
        assert self.current is not None
        if self.current.spec.replicas != self.deployment.spec.replicas:
            return self._scale({self.current.metadata.name: self.deployment.spec.replicas})
        return []

    def _resized(self) -> list[Sequence[Action]]:
        """`replicas` changed, or the Deployment is paused: sizes only, no new ReplicaSet."""
        active = [rs for rs in self.sets if rs.spec.replicas > 0]
        wanted = self.deployment.spec.replicas
        if len(active) <= 1:
            target = active[0] if active else self.current
            if target is None or self._sized(target, wanted):
                return []
            return self._scale({target.metadata.name: wanted})
        if rollout.is_saturated(self.deployment, self.current):
            return self._scale({rs.metadata.name: 0 for rs in self.old if rs.spec.replicas > 0})
        if self.deployment.spec.strategy.type == "Recreate":
            return []
        return self._scale(rollout.proportional(self.deployment, self.sets))

    def _sized(self, rs: ReplicaSet, replicas: int) -> bool:
        return rs.spec.replicas == replicas and rs.metadata.annotations.get(revisions.DESIRED) == str(replicas)

    def _ensure_current(self) -> list[Sequence[Action]]:
        revision = revisions.next_revision(self.old)
        replicas = self.deployment.spec.replicas
        maximum = replicas + rollout.bounds(self.deployment.spec.strategy, replicas).surge
        if self.current is None:
            size = rollout.first_size(self.deployment, self.old)
            body = revisions.new_replica_set(self.deployment, revision, size, maximum)
            name = body["metadata"]["name"]
            steps: list[Sequence[Action]] = [[Create(self.set_path, body)]]
            if size > 0:
                steps.append([self._scaled_event(name, "up", size, 0)])
            steps.append(self._note_progress("NewReplicaSetCreated", f'Created new replica set "{name}"'))
            return [*steps, *self._note_revision(revision)]
        meta = self.current.metadata
        steps = []
        wanted = revisions.annotations_for(self.deployment, meta.annotations, revision, maximum)
        # The sizes noted there are written together with sizes; alone they would say a resize had happened.
        for noted in (revisions.DESIRED, revisions.MAXIMUM):
            if noted in meta.annotations:
                wanted[noted] = meta.annotations[noted]
        change: dict[str, Any] = {}
        if wanted != meta.annotations:
            change["metadata"] = {"annotations": wanted}
        if self.current.spec.minReadySeconds != self.deployment.spec.minReadySeconds:
            change["spec"] = {"minReadySeconds": self.deployment.spec.minReadySeconds}
        if change:
            steps.append([Patch(f"{self.set_path}/{meta.name}", change, MERGE)])
        if status.has_deadline(self.deployment) and condition(self.deployment.status.conditions, "Progressing") is None:
            steps.append(self._note_progress("FoundNewReplicaSet", f'Found new replica set "{meta.name}"'))
        return [*steps, *self._note_revision(max(revision, revisions.revision_of(meta.annotations)))]

    def _note_revision(self, revision: int) -> list[Sequence[Action]]:
        if self.deployment.metadata.annotations.get(revisions.REVISION) == str(revision):
            return []
        body = {"metadata": {"annotations": {revisions.REVISION: str(revision)}}}
        return [[Patch(self.path, body, MERGE)]]

    def _note_progress(self, reason: str, message: str) -> list[Action]:
        if not status.has_deadline(self.deployment):
            return []
        noted = status.progress_note(self.deployment, reason, message, self.now)
        return [merge_status(self.path, {"conditions": conditions.to_json(noted)})]

    def _pause_note(self) -> Patch | None:
        """Progressing says when a roll-out is paused and resumed: its deadline must not run meanwhile."""
        if not status.has_deadline(self.deployment):
            return None
        shown = condition(self.deployment.status.conditions, "Progressing")
        if shown is not None and shown.reason == status.TIMED_OUT:
            return None
        was_paused = shown is not None and shown.reason == "DeploymentPaused"
        if self.deployment.spec.paused and not was_paused:
            reason, text = "DeploymentPaused", "Deployment is paused"
        elif not self.deployment.spec.paused and was_paused:
            reason, text = "DeploymentResumed", "Deployment is resumed"
        else:
            return None
        noted = status.progress_note(self.deployment, reason, text, self.now)
        return merge_status(self.path, {"conditions": conditions.to_json(noted)})

    def _scale(self, sizes: dict[str, int]) -> list[Sequence[Action]]:
        """Patches of the named ReplicaSets with their notes of the Deployment's size, and the events."""
        by_name = {rs.metadata.name: rs for rs in self.sets}
        replicas = self.deployment.spec.replicas
        maximum = replicas + rollout.bounds(self.deployment.spec.strategy, replicas).surge
        notes = {revisions.DESIRED: str(replicas), revisions.MAXIMUM: str(maximum)}
        steps: list[Sequence[Action]] = []
        for name, size in sizes.items():
            rs = by_name[name]
            meta: dict[str, Any] = {"resourceVersion": rs.metadata.resourceVersion, "annotations": notes}
            if rs.spec.replicas == size and notes.items() <= rs.metadata.annotations.items():
                continue
            steps.append([Patch(f"{self.set_path}/{name}", {"metadata": meta, "spec": {"replicas": size}}, MERGE)])
            if rs.spec.replicas != size:
                direction = "up" if size > rs.spec.replicas else "down"
                steps.append([self._scaled_event(name, direction, size, rs.spec.replicas)])
        return steps

    def _scaled_event(self, name: str, direction: str, size: int, before: int) -> Event:
        text = f"Scaled {direction} replica set {name} from {before} to {size}"
        return Event(self.owner.event_reference(), "Normal", "ScalingReplicaSet", text)

    def _cleanup(self) -> list[Sequence[Action]]:
        new = status.counts(self.deployment, self.current, self.sets)
        if not status.is_complete(self.deployment, new):
            return []
        surplus = revisions.surplus_history(self.old, self.deployment.spec.revisionHistoryLimit)
        return [[Delete(f"{self.set_path}/{rs.metadata.name}", rs.metadata.uid) for rs in surplus]] if surplus else []

    def _status(self) -> list[Sequence[Action]]:
        new = status.counts(self.deployment, self.current, self.sets)
        marked = status.with_conditions(self.deployment, self.current, self.sets, new, self.now)
        new = msgspec.structs.replace(new, conditions=marked)
        if new == self.deployment.status:
            return []
        if (new.terminatingReplicas or 0) == (self.deployment.status.terminatingReplicas or 0):
            same = msgspec.structs.replace(new, terminatingReplicas=self.deployment.status.terminatingReplicas)
            if same == self.deployment.status:
                return []
        return [[merge_status(self.path, status.to_json(new), self.deployment.metadata.resourceVersion)]]

    def _look_again(self) -> float | None:
        left = status.deadline_left(self.deployment, self.now)
        return max(left, 1.0) if left is not None else None

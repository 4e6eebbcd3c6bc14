"""The StatefulSet controller."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from controller_manager import conditions, history
from controller_manager.availability import next_available
from controller_manager.ownership import Owner, by_controller, claim, orphans
from controller_manager.statefulset import identity
from controller_manager.statefulset.rollout import Moves, View, moves, sorted_out, status
from controller_manager.statefulset.views import StatefulSet, StatefulSetStatus
from controller_manager.views import Pod, decoded
from kubeclient.informer import Informers
from kubeclient.plan import NOTHING, Action, Announce, Create, Delete, Patch, Plan, merge_status
from kubeclient.rest import MERGE
from kubeclient.volumes import CLAIMS, Claim

COLLECTION = "/apis/apps/v1/statefulsets"
HASH_LABEL = "controller.kubernetes.io/hash"
#: A claim of the same name is going: the pod waits until it is gone.
STALE_CLAIM_DELAY = 2.0


class StatefulSetController:
    name = "statefulset"

    def __init__(self, informers: Informers) -> None:
        self._sets = informers.of(COLLECTION, StatefulSet)
        self._pods = informers.of("/api/v1/pods", Pod)
        self._revisions = informers.of(history.COLLECTION, history.ControllerRevision)
        self._claims = informers.of(CLAIMS, Claim)
        self._pods.add_index("controller", by_controller)
        self._revisions.add_index("controller", by_controller)

    def watch(self, enqueue: Callable[[str], None]) -> None:
        self._sets.add_key_handler(enqueue)

        def on_owned(old: Any, new: Any) -> None:
            for each in (old, new):
                if each is None:
                    continue
                owner = each.metadata.controller
                if owner is not None and owner.kind == "StatefulSet":
                    enqueue(f"{each.metadata.namespace}/{owner.name}")
                elif owner is None:
                    for found in self._sets.in_namespace(each.metadata.namespace):
                        if found.spec.selector.matches(each.metadata.labels):
                            enqueue(found.metadata.key)

        self._pods.add_handler(on_owned)
        self._revisions.add_handler(on_owned)

    def reconcile(self, key: str, now: float) -> Plan:
        found = self._sets.get(key)
        if found is None or found.spec.selector.is_empty:
            return NOTHING
        owner = Owner("apps/v1", "StatefulSet", found.metadata)
        namespace, selector = found.metadata.namespace, found.spec.selector
        candidates = [p for p in self._nearby(self._pods, found) if identity.ordinal(found, p.metadata) is not None]
        pods, pod_claims = claim(owner, selector, candidates, f"/api/v1/namespaces/{namespace}/pods/{{name}}")
        revisions, claims = claim(
            owner, selector, self._nearby(self._revisions, found), history.path(namespace, "{name}")
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
        known = {revision.metadata.name: revision for revision in revisions}
        current = found.status.currentRevision if found.status.currentRevision in known else past.name
        view = View(found, current, past.name, now)
        change = _status_change(found, status(view, pods, past.collisions))
        if found.metadata.deletionTimestamp is not None:
            batches: list[Sequence[Action]] = [pod_claims, change]
            return Plan([batch for batch in batches if batch])
        # Pods that are being adopted count only once the watch shows it.
        wanted = Moves() if pod_claims else moves(view, pods)
        work, again = self._work(view, owner, wanted, pods, known.get(current))
        live = {current, past.name, *(identity.revision_of(pod) for pod in pods)}
        dead = [revision for revision in past.old if revision.metadata.name not in live]
        trimmed = history.outdated(dead, set(), found.spec.revisionHistoryLimit)
        batches = [[*pod_claims, *claims, *past.actions], change, *work, trimmed]
        waits = [again, next_available(pods, found.spec.minReadySeconds, now)]
        return Plan([batch for batch in batches if batch], min((w for w in waits if w is not None), default=None))

    def _nearby(self, informer: Any, found: StatefulSet) -> list[Any]:
        owners = (found.metadata.uid, orphans(found.metadata.namespace))
        return [each for owner in owners for each in informer.indexed("controller", owner)]

    def _work(
        self,
        view: View,
        owner: Owner,
        wanted: Moves,
        pods: Sequence[Pod],
        current: history.ControllerRevision | None,
    ) -> tuple[list[Sequence[Action]], float | None]:
        found, namespace = view.found, view.found.metadata.namespace
        path = f"/api/v1/namespaces/{namespace}/pods"
        again: float | None = None
        creates: list[Action] = []
        claims: list[Action] = []
        for number in wanted.create:
            if self._has_stale_claim(found, number):
                again = STALE_CLAIM_DELAY
                continue
            claims += self._missing_claims(found, owner, number)
            revision = view.revision_for(number)
            template = _template_of(current) if current is not None and revision != view.update else None
            body = identity.pod_for(found, owner, number, template or decoded(found.spec.template), revision)
            creates.append(Create(path, body, announce=_announce(owner, "create", body["metadata"]["name"])))
        for number in wanted.claim:
            claims += self._missing_claims(found, owner, number)
        deletes = [
            Delete(f"{path}/{p.metadata.name}", p.metadata.uid, announce=_announce(owner, "delete", p.metadata.name))
            for p in wanted.delete
        ]
        patches: list[Action] = [_identified(found, pod) for pod in wanted.identify]
        return [claims, self._retained(found, owner, pods), patches, creates, deletes], again

    def _has_stale_claim(self, found: StatefulSet, number: int) -> bool:
        names = identity.claim_names(found, number).values()
        claims = [self._claims.get(f"{found.metadata.namespace}/{name}") for name in names]
        return any(each is not None and each.metadata.deletionTimestamp is not None for each in claims)

    def _missing_claims(self, found: StatefulSet, owner: Owner, number: int) -> list[Action]:
        namespace = found.metadata.namespace
        path = f"/api/v1/namespaces/{namespace}/persistentvolumeclaims"
        made: list[Action] = []
        for body in identity.claims_for(found, owner, number):
            name = body["metadata"]["name"]
            if self._claims.get(f"{namespace}/{name}") is not None:
                continue
            where = f"Claim {name} Pod {found.metadata.name}-{number} in StatefulSet {found.metadata.name}"
            announce = Announce(
                owner.event_reference(),
                ("SuccessfulCreate", f"create {where} success"),
                ("FailedCreate", f"create {where} failed error: {{error}}"),
            )
            made.append(Create(path, body, exists_is_fine=True, announce=announce))
        return made

    def _retained(self, found: StatefulSet, owner: Owner, pods: Sequence[Pod]) -> list[Action]:
        if found.spec.persistentVolumeClaimRetentionPolicy is None or not found.spec.volumeClaimTemplates:
            return []
        _, condemned = sorted_out(found, pods)
        patches: list[Action] = []
        for pod in pods:
            number = identity.ordinal(found, pod.metadata) or 0
            for name in identity.claim_names(found, number).values():
                each = self._claims.get(f"{found.metadata.namespace}/{name}")
                patch = identity.retain(found, owner, pod, each, pod in condemned) if each is not None else None
                patches += [patch] if patch is not None else []
        return patches


def _announce(owner: Owner, verb: str, pod: str) -> Announce:
    where = f"{verb} Pod {pod} in StatefulSet {owner.meta.name}"
    reason = verb.capitalize()
    return Announce(
        owner.event_reference(),
        (f"Successful{reason}", f"{where} successful"),
        (f"Failed{reason}", f"{where} failed error: {{error}}"),
    )


def _template_of(revision: history.ControllerRevision) -> dict[str, Any]:
    template: dict[str, Any] = dict(decoded(revision.data)["spec"]["template"])
    template.pop("$patch", None)
    return template


def _identified(found: StatefulSet, pod: Pod) -> Patch:
    meta = pod.metadata
    labels = identity.identity_labels(meta.name, identity.ordinal(found, meta) or 0)
    body = {"metadata": {"uid": meta.uid, "labels": labels}}
    return Patch(f"/api/v1/namespaces/{meta.namespace}/pods/{meta.name}", body, MERGE)


def _status_change(found: StatefulSet, new: StatefulSetStatus) -> list[Action]:
    if new == found.status:
        return []
    body = {k: v for k, v in msgspec.to_builtins(new).items() if v is not None}
    body["conditions"] = conditions.to_json(new.conditions) or None
    meta = found.metadata
    path = f"/apis/apps/v1/namespaces/{meta.namespace}/statefulsets/{meta.name}"
    return [merge_status(path, body, meta.resourceVersion)]

"""The pods of a Job: which are made and removed now, and what they look like."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from controller_manager.job import indexes
from controller_manager.job.failures import Backoff, all_failures_of, delay, failures_of, finish_time, judge
from controller_manager.job.tally import Tally
from controller_manager.job.views import FAILURES, FINALIZER, IGNORED_FAILURES, INDEX, Job
from controller_manager.ownership import Owner
from controller_manager.replicaset.ranking import first_to_go
from controller_manager.views import Pod, decoded
from kubeclient.plan import Patch

#: Creations or deletions in one plan, as upstream's.
BURST = 500
#: Of a pod's name, what is left for the Job's.
NAME_ROOM = 253 - 5 - 1


@dataclass(slots=True)
class Moves:
    remove: list[Pod] = field(default_factory=list)
    create: list[dict[str, Any]] = field(default_factory=list)
    wait: float | None = None
    """Seconds until something may be made."""


def moves(tally: Tally, owner: Owner, backoff: Backoff) -> Moves:
    """In one plan pods are either removed or made."""
    job, active = tally.job, tally.active
    if job.spec.suspend:
        return Moves(remove=active[:BURST])
    if job.spec.completions is None:
        wanted = len(active) if tally.succeeded > 0 else job.spec.parallelism
    else:
        wanted = max(min(job.spec.completions - tally.succeeded, job.spec.parallelism), 0)
    surplus = indexes.to_remove(job, active) if job.spec.indexed else []
    rest = [pod for pod in active if pod not in surplus]
    surplus += first_to_go(rest, active, max(len(rest) - wanted, 0), tally.now)
    if surplus:
        return Moves(remove=surplus[:BURST])
    only_failed = job.spec.podReplacementPolicy == "Failed" or job.spec.podFailurePolicy is not None
    missing = wanted - len(active) - (len(tally.terminating) if only_failed else 0)
    if missing <= 0:
        return Moves()
    if job.spec.backoffLimitPerIndex is None and (wait := backoff.remaining(tally.now)) > 0:
        return Moves(wait=wait)
    if not job.spec.indexed:
        return Moves(create=[pod_for(job, owner, None, None)] * min(missing, BURST))
    return _by_index(tally, owner, min(missing, BURST), only_failed)


def _by_index(tally: Tally, owner: Owner, missing: int, only_failed: bool) -> Moves:
    job = tally.job
    present = [*tally.active, *(tally.terminating if only_failed else ())]
    excluded = tally.succeeded_indexes | tally.failed_indexes
    excluded |= {index for pod in present if (index := indexes.index_of(pod)) is not None}
    result = Moves()
    waits = []
    for index in indexes.wanting(job, missing, excluded):
        before = tally.last_failures.get(index)
        if before is not None:
            wait = delay(all_failures_of(before) + 1, finish_time(before, tally.now), tally.now)
            if wait > 0:
                waits.append(wait)
                continue
        result.create.append(pod_for(job, owner, index, before))
    result.wait = min(waits, default=None)
    return result


def pod_for(job: Job, owner: Owner, index: int | None, before: Pod | None) -> dict[str, Any]:
    template = decoded(job.spec.template)
    given = template.get("metadata") or {}
    spec: dict[str, Any] = template.get("spec") or {}
    name = job.metadata.name
    metadata: dict[str, Any] = {
        "labels": dict(given.get("labels") or {}),
        "annotations": dict(given.get("annotations") or {}),
        "finalizers": [*(f for f in given.get("finalizers") or () if f != FINALIZER), FINALIZER],
        "generateName": f"{name}-",
        "namespace": job.metadata.namespace,
        "ownerReferences": [owner.reference()],
    }
    if index is not None:
        metadata["labels"][INDEX] = metadata["annotations"][INDEX] = str(index)
        metadata["generateName"] = f"{name[: NAME_ROOM - len(str(index)) - 1]}-{index}-"
        metadata["annotations"].update(_failures(job, before))
        for container in [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]:
            _tell_index(container)
        spec = {**spec, "hostname": f"{name}-{index}"}
    if not metadata["annotations"]:
        del metadata["annotations"]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def _failures(job: Job, before: Pod | None) -> dict[str, str]:
    if job.spec.backoffLimitPerIndex is None:
        return {}
    if before is None:
        return {FAILURES: "0"}
    counts = judge(job.spec.podFailurePolicy, before).counts
    counted = failures_of(before)
    ignored = all_failures_of(before) - counted + (not counts)
    result = {FAILURES: str(counted + counts)}
    return {**result, IGNORED_FAILURES: str(ignored)} if ignored else result


def _tell_index(container: dict[str, Any]) -> None:
    name = "JOB_COMPLETION_INDEX"
    variables: list[dict[str, Any]] = container.setdefault("env", [])
    if not any(variable.get("name") == name for variable in variables):
        path = f"metadata.labels['{INDEX}']"
        variables.append({"name": name, "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": path}}})


def release(pods: Sequence[Pod]) -> list[Patch]:
    """The finalizer goes, and with it pods that were asked to."""
    return [
        Patch(
            f"/api/v1/namespaces/{pod.metadata.namespace}/pods/{pod.metadata.name}",
            {"metadata": {"uid": pod.metadata.uid, "$deleteFromPrimitiveList/finalizers": [FINALIZER]}},
        )
        for pod in pods
        if FINALIZER in pod.metadata.finalizers
    ]

"""The Job controller."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from apimachinery import timestamps
from controller_manager import conditions
from controller_manager.job import indexes
from controller_manager.job.failures import Backoff
from controller_manager.job.pods import Moves, moves, release
from controller_manager.job.tally import Tally, completed, deadline, ending
from controller_manager.job.views import COLLECTION, FINALIZER, MANAGED_HERE, Job, JobStatus
from controller_manager.ownership import Owner, by_controller, claim, orphans
from controller_manager.views import Condition, Pod
from kubeclient.informer import Informers
from kubeclient.plan import NOTHING, Action, Announce, Create, Delete, Event, Plan, merge_status

#: Keys of pods that no Job is known for: what is left of the name is the pod's.
_POD = "pod:"


class JobController:
    name = "job"

    def __init__(self, informers: Informers) -> None:
        self._jobs = informers.of(COLLECTION, Job)
        self._pods = informers.of("/api/v1/pods", Pod)
        self._pods.add_index("controller", by_controller)
        self._pods.add_index("job", _by_job)
        self._backoffs: dict[str, Backoff] = {}

    def watch(self, enqueue: Callable[[str], None]) -> None:
        self._jobs.add_key_handler(enqueue)

        def on_pod(old: Pod | None, new: Pod | None) -> None:
            for pod in (old, new):
                if pod is None:
                    continue
                owner = pod.metadata.controller
                if owner is not None:
                    if owner.kind == "Job":
                        enqueue(f"{pod.metadata.namespace}/{owner.name}")
                    continue
                for job in self._jobs.in_namespace(pod.metadata.namespace):
                    if not job.spec.selector.is_empty and job.spec.selector.matches(pod.metadata.labels):
                        enqueue(job.metadata.key)
                if FINALIZER in pod.metadata.finalizers:
                    enqueue(_POD + pod.metadata.key)

        self._pods.add_handler(on_pod)

    def reconcile(self, key: str, now: float) -> Plan:
        if key.startswith(_POD):
            pod = self._pods.get(key.removeprefix(_POD))
            return Plan([release([pod])]) if pod is not None and pod.metadata.controller is None else NOTHING
        job = self._jobs.get(key)
        strays = [p for p in self._pods.indexed("job", key) if job is None or job.metadata.uid != _owner_uid(p)]
        left = release(strays)
        if job is None or job.status.finished is not None or job.spec.managedBy != MANAGED_HERE:
            self._backoffs.pop(key, None)
            if job is not None and job.status.finished is not None:
                left += release(self._pods.indexed("controller", job.metadata.uid))
            return Plan([left]) if left else NOTHING
        plan = self._plan(job, now)
        return Plan([left, *plan.batches], plan.requeue_after) if left else plan

    def _plan(self, job: Job, now: float) -> Plan:
        owner = Owner("batch/v1", "Job", job.metadata)
        namespace = job.metadata.namespace
        owners = (job.metadata.uid, orphans(namespace))
        nearby = [pod for at in owners for pod in self._pods.indexed("controller", at)]
        pods, claims = claim(owner, job.spec.selector, nearby, f"/api/v1/namespaces/{namespace}/pods/{{name}}")
        for patch in claims:
            metadata = patch.body["metadata"]
            if "$patch" in metadata["ownerReferences"][0]:
                metadata["$deleteFromPrimitiveList/finalizers"] = [FINALIZER]
            else:
                metadata["finalizers"] = [FINALIZER]
        tally = Tally(job, pods, now)
        backoff = self._backoffs.setdefault(job.metadata.key, Backoff())
        backoff.note(tally.new_succeeded, tally.new_failed, now)
        found = ending(tally)
        wanted = Moves()
        if found is None and job.metadata.deletionTimestamp is None and not claims:
            wanted = moves(tally, owner, backoff)
            if not wanted.remove and not wanted.create:
                found = completed(tally)
        status, released = _next_status(tally, found, now)
        batches: list[Sequence[Action]] = [claims]
        if (change := _change(job.status, status)) is not None:
            batches.append([merge_status(job.path, change, job.metadata.resourceVersion)])
            batches.append(_events(owner, job.status, status))
        batches += self._work(job, owner, tally, found, wanted, released)
        waits = [wanted.wait, deadline(job, now) if found is None else None]
        return Plan([b for b in batches if b], min((max(w, 0.0) for w in waits if w is not None), default=None))

    def _work(
        self, job: Job, owner: Owner, tally: Tally, found: Condition | None, wanted: Moves, released: list[Pod]
    ) -> list[Sequence[Action]]:
        path = f"/api/v1/namespaces/{job.metadata.namespace}/pods"
        reference = owner.event_reference()
        gone = Announce(
            reference, ("SuccessfulDelete", "Deleted pod: {name}"), ("FailedDelete", "Error deleting: {error}")
        )
        made = Announce(
            reference, ("SuccessfulCreate", "Created pod: {name}"), ("FailedCreate", "Error creating: {error}")
        )

        def deletions(pods: Sequence[Pod]) -> list[Action]:
            return [Delete(f"{path}/{p.metadata.name}", p.metadata.uid, announce=gone) for p in pods]

        if found is not None:
            # Asked to end before they are let go: nothing runs that nobody follows.
            return [deletions(tally.active), release(released)]
        batches: list[Sequence[Action]] = [release(released)]
        if wanted.remove:
            # Without the finalizer first: what is removed for being too many does not count as failed.
            batches += [release(wanted.remove), deletions(wanted.remove)]
        batches.append([Create(path, body, announce=made) for body in wanted.create])
        return batches


def _by_job(pod: Pod) -> list[str]:
    """Pods with the finalizer, by the name of their Job: it may be gone, or another of the same name."""
    owner = pod.metadata.controller
    if owner is None or owner.kind != "Job" or FINALIZER not in pod.metadata.finalizers:
        return []
    return [f"{pod.metadata.namespace}/{owner.name}"]


def _owner_uid(pod: Pod) -> str:
    owner = pod.metadata.controller
    return owner.uid if owner is not None else ""


def _next_status(tally: Tally, found: Condition | None, now: float) -> tuple[JobStatus, list[Pod]]:
    job, old = tally.job, tally.job.status
    uncounted, done, released = tally.note(found)
    marked, start = _suspension(job, now) if found is None else (list(old.conditions), old.startTime)
    when = timestamps.format(now)
    start = start or (None if job.spec.suspend else when)
    completion = None
    if found is not None:
        before = old.has(found.type)
        if before is None:
            marked = conditions.set_condition(marked, msgspec.structs.replace(found, lastProbeTime=when), now)
            start = start or when
        elif not (tally.active or tally.terminating or released or uncounted.succeeded or uncounted.failed):
            final = "Complete" if found.type == "SuccessCriteriaMet" else "Failed"
            last = Condition(final, "True", found.reason, found.message, lastProbeTime=when)
            marked = conditions.set_condition(marked, last, now)
            completion = when if final == "Complete" else None
    # The deletions of an ending Job come next in the plan; until the watch shows them its pods are active.
    status = JobStatus(
        active=len(tally.active),
        ready=sum(pod.is_ready for pod in tally.active),
        terminating=len(tally.terminating),
        succeeded=len(done) if job.spec.indexed else tally.counted[0],
        failed=tally.counted[1],
        startTime=start,
        completionTime=completion,
        completedIndexes=indexes.text(done) if job.spec.indexed else "",
        failedIndexes=indexes.text(tally.failed_indexes) if job.spec.backoffLimitPerIndex is not None else None,
        uncountedTerminatedPods=uncounted,
        conditions=marked,
    )
    return status, released


def _suspension(job: Job, now: float) -> tuple[list[Condition], str | None]:
    """The Suspended condition and the start time, which a suspended Job loses and a resumed one gets anew."""
    old = job.status
    if job.spec.suspend:
        mark = Condition("Suspended", "True", "JobSuspended", "Job suspended", lastProbeTime=timestamps.format(now))
        return conditions.set_condition(old.conditions, mark, now), None
    if old.has("Suspended") is None:
        return list(old.conditions), old.startTime
    mark = Condition("Suspended", "False", "JobResumed", "Job resumed", lastProbeTime=timestamps.format(now))
    return conditions.set_condition(old.conditions, mark, now), timestamps.format(now)


def _change(old: JobStatus, new: JobStatus) -> dict[str, Any] | None:
    """A merge patch of the status, None when it says what is there already."""
    before, after = _as_json(old), _as_json(new)
    if before == after and old.uncountedTerminatedPods is not None:
        return None
    gone = dict.fromkeys(before.keys() - after.keys())
    pods = {"succeeded": None, "failed": None, **after["uncountedTerminatedPods"]}
    return {**gone, **after, "uncountedTerminatedPods": pods}


def _as_json(status: JobStatus) -> dict[str, Any]:
    result = {k: v for k, v in msgspec.to_builtins(status).items() if v is not None}
    for field in ("active", "succeeded", "failed", "completedIndexes"):
        if not result[field]:
            del result[field]
    result["conditions"] = conditions.to_json(status.conditions)
    if not result["conditions"]:
        del result["conditions"]
    result.setdefault("uncountedTerminatedPods", {})
    return result


def _events(owner: Owner, old: JobStatus, new: JobStatus) -> list[Action]:
    reference = owner.event_reference()
    found: list[Action] = []
    suspended, before = new.has("Suspended"), old.has("Suspended")
    if suspended and not before:
        found.append(Event(reference, "Normal", "Suspended", "Job suspended"))
    elif before and not suspended:
        found.append(Event(reference, "Normal", "Resumed", "Job resumed"))
    if new.has("Complete"):
        found.append(Event(reference, "Normal", "Completed", "Job completed"))
    elif (failed := new.has("Failed")) is not None:
        found.append(Event(reference, "Warning", failed.reason, failed.message))
    return found

"""The CronJob controller.

A Job's name holds the minute it is for: making it twice is refused by the apiserver, whatever was forgotten here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from apimachinery import cron, timestamps
from controller_manager.cronjob.schedule import due, spoken, stamp, zone_of
from controller_manager.cronjob.views import CronJob, CronJobStatus, JobReference
from controller_manager.job.views import COLLECTION as JOBS
from controller_manager.job.views import Job
from controller_manager.ownership import Owner, by_controller
from controller_manager.views import decoded
from kubeclient.informer import Informers
from kubeclient.plan import NOTHING, Action, Announce, Create, Delete, Event, Plan, merge_status

COLLECTION = "/apis/batch/v1/cronjobs"
SCHEDULED = "batch.kubernetes.io/cronjob-scheduled-timestamp"


class CronJobController:
    name = "cronjob"

    def __init__(self, informers: Informers) -> None:
        self._crons = informers.of(COLLECTION, CronJob)
        self._jobs = informers.of(JOBS, Job)
        self._jobs.add_index("controller", by_controller)

    def watch(self, enqueue: Callable[[str], None]) -> None:
        self._crons.add_key_handler(enqueue)

        def on_job(old: Job | None, new: Job | None) -> None:
            for job in (old, new):
                owner = job.metadata.controller if job is not None else None
                if job is not None and owner is not None and owner.kind == "CronJob":
                    enqueue(f"{job.metadata.namespace}/{owner.name}")

        self._jobs.add_handler(on_job)

    def reconcile(self, key: str, now: float) -> Plan:
        found = self._crons.get(key)
        if found is None:
            return NOTHING
        owner = Owner("batch/v1", "CronJob", found.metadata)
        children = self._jobs.indexed("controller", found.metadata.uid)
        status, notes = _status(found, owner, children)
        removals = _history(found, owner, children)
        if found.metadata.deletionTimestamp is not None:
            return _plan(found, status, notes, [], removals)
        start, events, again = self._start(found, owner, status, children, now)
        if start is not None:
            status = msgspec.structs.replace(status, lastScheduleTime=timestamps.format(start[0]))
        work = start[1] if start is not None else []
        return _plan(found, status, [*notes, *events], work, removals, again)

    def _start(
        self, found: CronJob, owner: Owner, status: CronJobStatus, children: Sequence[Job], now: float
    ) -> tuple[tuple[float, list[list[Action]]] | None, list[Action], float | None]:
        """(the moment and what makes its Job, events, seconds until the next look)."""
        reference = owner.event_reference()
        try:
            zone = zone_of(found)
        except ValueError as error:
            message = f'invalid timeZone: "{found.spec.timeZone}": {error}'
            return None, [Event(reference, "Warning", "UnknownTimeZone", message)], None
        if found.spec.suspend:
            return None, [], None
        try:
            schedule = cron.parse(found.spec.schedule)
        except ValueError as error:
            message = f'unparseable schedule: "{found.spec.schedule}" : {error}'
            return None, [Event(reference, "Warning", "UnparseableSchedule", message)], None
        owed = due(found, schedule, zone, now)
        events: list[Action] = []
        if owed.too_many:
            message = "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew"
            events.append(Event(reference, "Warning", "TooManyMissedTimes", message))
        if owed.at is None:
            return None, events, owed.again
        deadline = found.spec.startingDeadlineSeconds
        if deadline is not None and owed.at + deadline < now:
            message = f"Missed scheduled time to start a job: {spoken(owed.at)}"
            return None, [*events, Event(reference, "Warning", "MissSchedule", message)], owed.again
        name = f"{found.metadata.name}-{int(owed.at) // 60}"
        if any(job.name == name for job in status.active) or timestamps.format(owed.at) == status.lastScheduleTime:
            return None, events, owed.again
        if found.spec.concurrencyPolicy == "Forbid" and status.active:
            message = "Not starting job because prior execution is running and concurrency policy is Forbid"
            return None, [*events, Event(reference, "Normal", "JobAlreadyActive", message)], owed.again
        work: list[list[Action]] = []
        if found.spec.concurrencyPolicy == "Replace":
            uids = {reference.uid for reference in status.active}
            work.append([_removal(owner, job) for job in children if job.metadata.uid in uids])
        announce = Announce(
            reference, ("SuccessfulCreate", "Created job {name}"), ("FailedCreate", "Error creating job: {error}")
        )
        body = _job(found, owner, name, stamp(owed.at, zone))
        path = f"/apis/batch/v1/namespaces/{found.metadata.namespace}/jobs"
        work.append([Create(path, body, exists_is_fine=True, announce=announce)])
        return (owed.at, work), events, owed.again


def _plan(
    found: CronJob,
    status: CronJobStatus,
    events: list[Action],
    work: list[list[Action]],
    removals: list[Action],
    again: float | None = None,
) -> Plan:
    batches: list[Sequence[Action]] = [*work]
    if status != found.status:
        body = msgspec.to_builtins(status)
        body["active"] = body["active"] or None
        batches.append([merge_status(found.path, body, found.metadata.resourceVersion)])
    return Plan([batch for batch in [*batches, events, removals] if batch], again)


def _status(found: CronJob, owner: Owner, children: Sequence[Job]) -> tuple[CronJobStatus, list[Action]]:
    """The status by what the Jobs are now, and events about what changed. Jobs that people made are not active ones."""
    reference = owner.event_reference()
    old = found.status
    known = {each.uid: each for each in old.active}
    events: list[Action] = []
    active: list[JobReference] = []
    success = old.lastSuccessfulTime
    for job in sorted(children, key=lambda job: (job.metadata.creationTimestamp or "", job.metadata.name)):
        meta, end = job.metadata, job.status.finished
        if end is None:
            if SCHEDULED in meta.annotations:
                if meta.deletionTimestamp is None or found.spec.concurrencyPolicy != "Replace":
                    active.append(known.get(meta.uid) or _reference(job))
            elif meta.deletionTimestamp is None:
                message = f"Saw a job that the controller did not create or forgot: {meta.name}"
                events.append(Event(reference, "Warning", "UnexpectedJob", message))
            continue
        if meta.uid in known:
            message = f"Saw completed job: {meta.name}, condition: {end.type}"
            events.append(Event(reference, "Normal", "SawCompletedJob", message))
        done = job.status.completionTime
        if end.type == "Complete" and done and timestamps.parse_or(done, 0) > timestamps.parse_or(success, 0):
            success = done
    present = {job.metadata.uid for job in children}
    for lost in (each for each in old.active if each.uid not in present):
        events.append(Event(reference, "Normal", "MissingJob", f"Active job went missing: {lost.name}"))
    return CronJobStatus(active, old.lastScheduleTime, success), events


def _reference(job: Job) -> JobReference:
    meta = job.metadata
    return JobReference("Job", meta.namespace, meta.name, meta.uid, "batch/v1", meta.resourceVersion)


def _history(found: CronJob, owner: Owner, children: Sequence[Job]) -> list[Action]:
    """Ended Jobs beyond the limits, oldest first."""
    removals: list[Action] = []
    limits = {"Complete": found.spec.successfulJobsHistoryLimit, "Failed": found.spec.failedJobsHistoryLimit}
    for kind, limit in limits.items():
        if limit is None:
            continue
        ended = [job for job in children if (end := job.status.finished) is not None and end.type == kind]
        ended.sort(key=lambda job: (job.status.startTime or "~", job.metadata.name))
        surplus = ended[: max(len(ended) - limit, 0)]
        removals += [_removal(owner, job) for job in surplus if job.metadata.deletionTimestamp is None]
    return removals


def _removal(owner: Owner, job: Job) -> Delete:
    announce = Announce(
        owner.event_reference(), ("SuccessfulDelete", "Deleted job {name}"), ("FailedDelete", "Deleted job: {error}")
    )
    return Delete(job.path, job.metadata.uid, announce=announce)


def _job(found: CronJob, owner: Owner, name: str, scheduled: str) -> dict[str, Any]:
    template = decoded(found.spec.jobTemplate)
    metadata = template.get("metadata") or {}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name,
            "namespace": found.metadata.namespace,
            "labels": metadata.get("labels") or {},
            "annotations": {**(metadata.get("annotations") or {}), SCHEDULED: scheduled},
            "ownerReferences": [owner.reference()],
        },
        "spec": template.get("spec") or {},
    }

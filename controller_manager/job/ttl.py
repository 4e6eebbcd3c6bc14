"""Removes Jobs whose time after the end is over (`ttlSecondsAfterFinished`)."""

from __future__ import annotations

from collections.abc import Callable

from controller_manager.job.views import COLLECTION, Job
from kubeclient.informer import Informers
from kubeclient.plan import NOTHING, Delete, Plan


class TtlAfterFinishedController:
    name = "ttlafterfinished"

    def __init__(self, informers: Informers) -> None:
        self._jobs = informers.of(COLLECTION, Job)

    def watch(self, enqueue: Callable[[str], None]) -> None:
        self._jobs.add_key_handler(enqueue)

    def reconcile(self, key: str, now: float) -> Plan:
        job = self._jobs.get(key)
        if job is None or job.spec.ttlSecondsAfterFinished is None or job.metadata.deletionTimestamp is not None:
            return NOTHING
        end = job.finished_at(now)
        if end is None:
            return NOTHING
        left = end + job.spec.ttlSecondsAfterFinished - now
        if left > 0:
            return Plan(requeue_after=left)
        # The version too: somebody may have given it longer to live.
        meta = job.metadata
        return Plan([[Delete(job.path, meta.uid, meta.resourceVersion, propagation="Foreground")]])

"""One look at a Job and its pods: what is counted, what is about to be, and whether that ends the Job.

A pod that ended is counted in three steps, each safe to repeat: its uid is written into the status, its finalizer goes,
then the uid becomes part of a counter. So no pod is missed, and none counted twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from apimachinery import timestamps
from controller_manager.job import indexes
from controller_manager.job.failures import is_failed, judge
from controller_manager.job.views import FINALIZER, Job, Uncounted
from controller_manager.views import Condition, Pod, decoded

#: Uids in one status, so that it stays small.
MAX_UNCOUNTED = 500


@dataclass(slots=True)
class Tally:
    job: Job
    pods: Sequence[Pod]
    now: float
    active: list[Pod] = field(default_factory=list)
    terminating: list[Pod] = field(default_factory=list)
    tracked: list[Pod] = field(default_factory=list)
    """Pods that still have the finalizer."""
    noted: Uncounted = field(default_factory=Uncounted)
    """Of the status' uids, those whose pods still have it."""
    counted: tuple[int, int] = (0, 0)
    """(succeeded, failed) for good."""
    new_succeeded: list[Pod] = field(default_factory=list)
    new_failed: list[Pod] = field(default_factory=list)
    done: set[int] = field(default_factory=set)
    """Indexes that the status has as done."""
    failed_indexes: set[int] = field(default_factory=set)
    last_failures: dict[int, Pod] = field(default_factory=dict)

    def __post_init__(self) -> None:
        job, status = self.job, self.job.status
        self.active = [pod for pod in self.pods if pod.is_active]
        self.terminating = [p for p in self.pods if not p.is_terminal and p.metadata.deletionTimestamp is not None]
        self.tracked = [pod for pod in self.pods if FINALIZER in pod.metadata.finalizers]
        uids = {pod.metadata.uid for pod in self.tracked}
        before = status.uncountedTerminatedPods or Uncounted()
        self.noted = Uncounted([u for u in before.succeeded if u in uids], [u for u in before.failed if u in uids])
        self.counted = (
            status.succeeded + len(before.succeeded) - len(self.noted.succeeded),
            status.failed + len(before.failed) - len(self.noted.failed),
        )
        known = {*self.noted.succeeded, *self.noted.failed}
        for pod in self.tracked:
            if pod.metadata.uid in known or not indexes.is_valid(job, pod):
                continue
            if pod.status.phase == "Succeeded":
                self.new_succeeded.append(pod)
            elif is_failed(job, pod):
                self.new_failed.append(pod)
        if job.spec.indexed:
            self.done = indexes.done(job)
            self.failed_indexes = indexes.failed(job, self.pods)
            if job.spec.backoffLimitPerIndex is not None:
                settled = self.succeeded_indexes | self.failed_indexes
                self.last_failures = indexes.last_failures(job, self.pods, settled)

    @property
    def succeeded_indexes(self) -> set[int]:
        return self.done | {i for pod in self.new_succeeded if (i := indexes.index_of(pod)) is not None}

    @property
    def succeeded(self) -> int:
        """Counted or not yet."""
        if self.job.spec.indexed:
            return len(self.succeeded_indexes)
        return self.counted[0] + len(self.noted.succeeded) + len(self.new_succeeded)

    @property
    def failed(self) -> int:
        counting = [p for p in self.new_failed if judge(self.job.spec.podFailurePolicy, p).counts]
        return self.counted[1] + len(self.noted.failed) + len(counting)

    def releasable(self, ending: Condition | None) -> list[Pod]:
        """Pods whose finalizer may go once the status has them."""
        if ending is not None or self.job.metadata.deletionTimestamp is not None:
            return self.tracked
        late = {pod.metadata.uid for pod in self.last_failures.values()}
        return [
            pod
            for pod in self.tracked
            if pod.status.phase == "Succeeded" or (is_failed(self.job, pod) and pod.metadata.uid not in late)
        ]

    def note(self, ending: Condition | None) -> tuple[Uncounted, set[int], list[Pod]]:
        """What the status says next of pods not counted yet and of indexes, and the pods that may then be released."""
        succeeded, failed = list(self.noted.succeeded), list(self.noted.failed)
        done = set(self.done)
        released: list[Pod] = []
        for pod in self.releasable(ending):
            if len(succeeded) + len(failed) + len(done) - len(self.done) >= MAX_UNCOUNTED:
                break
            released.append(pod)
            uid = pod.metadata.uid
            if uid in succeeded or uid in failed or not indexes.is_valid(self.job, pod):
                continue
            if pod.status.phase == "Succeeded":
                if self.job.spec.indexed:
                    done.add(indexes.index_of(pod) or 0)
                else:
                    succeeded.append(uid)
            elif (is_failed(self.job, pod) or (ending is not None and ending.type == "FailureTarget")) and judge(
                self.job.spec.podFailurePolicy, pod
            ).counts:
                failed.append(uid)
        return Uncounted(succeeded, failed), done, released


def ending(tally: Tally) -> Condition | None:
    """The interim condition that ends the Job, for other reasons than all completions; what is decided stays so."""
    job, status = tally.job, tally.job.status
    decided = status.has("SuccessCriteriaMet") or status.has("FailureTarget")
    if decided is not None:
        return decided
    if tally.job.spec.podFailurePolicy is not None:
        for pod in tally.pods:
            if is_failed(job, pod) and (message := judge(job.spec.podFailurePolicy, pod).message):
                return Condition("FailureTarget", "True", "PodFailurePolicy", message)
    if tally.failed > job.spec.backoffLimit or _restarted_too_often(tally):
        message = "Job has reached the specified backoff limit"
        return Condition("FailureTarget", "True", "BackoffLimitExceeded", message)
    left = deadline(job, tally.now)
    if left is not None and left <= 0:
        message = "Job was active longer than specified deadline"
        return Condition("FailureTarget", "True", "DeadlineExceeded", message)
    return _ending_by_index(tally) if job.spec.indexed else None


def _ending_by_index(tally: Tally) -> Condition | None:
    spec = tally.job.spec
    failed, succeeded = tally.failed_indexes, tally.succeeded_indexes
    if spec.backoffLimitPerIndex is not None:
        if spec.maxFailedIndexes is not None and len(failed) > spec.maxFailedIndexes:
            message = "Job has exceeded the specified maximal number of failed indexes"
            return Condition("FailureTarget", "True", "MaxFailedIndexesExceeded", message)
        if failed and len(failed) + len(succeeded) >= (spec.completions or 0):
            return Condition("FailureTarget", "True", "FailedIndexes", "Job has failed indexes")
    if message := indexes.met(spec.successPolicy, succeeded):
        return Condition("SuccessCriteriaMet", "True", "SuccessPolicy", message)
    return None


def completed(tally: Tally) -> Condition | None:
    """All completions are there and nothing runs any more."""
    wanted = tally.job.spec.completions
    enough = tally.succeeded > 0 if wanted is None else tally.succeeded >= wanted
    if not enough or tally.active:
        return None
    message = "Reached expected number of succeeded pods"
    return Condition("SuccessCriteriaMet", "True", "CompletionsReached", message)


def deadline(job: Job, now: float) -> float | None:
    """Seconds until the Job was active for too long."""
    if job.spec.activeDeadlineSeconds is None or job.spec.suspend:
        return None
    return timestamps.parse_or(job.status.startTime, now) + job.spec.activeDeadlineSeconds - now


def _restarted_too_often(tally: Tally) -> bool:
    """With restartPolicy OnFailure containers fail without their pod failing."""
    if (decoded(tally.job.spec.template).get("spec") or {}).get("restartPolicy") != "OnFailure":
        return False
    restarts = sum(
        status.restartCount
        for pod in tally.pods
        if pod.status.phase in ("Running", "Pending")
        for status in [*pod.status.initContainerStatuses, *pod.status.containerStatuses]
    )
    limit = tally.job.spec.backoffLimit
    return restarts > 0 if limit == 0 else restarts >= limit

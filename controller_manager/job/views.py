"""Jobs as their controllers read them."""

from __future__ import annotations

import msgspec
from msgspec import Struct, field

from apimachinery import timestamps
from controller_manager.views import Condition
from kubeclient.views import LabelSelector, Meta

COLLECTION = "/apis/batch/v1/jobs"
FINALIZER = "batch.kubernetes.io/job-tracking"
INDEX = "batch.kubernetes.io/job-completion-index"
FAILURES = "batch.kubernetes.io/job-index-failure-count"
IGNORED_FAILURES = "batch.kubernetes.io/job-index-ignored-failure-count"
MANAGED_HERE = "kubernetes.io/job-controller"


class ExitCodes(Struct, frozen=True):
    operator: str
    containerName: str | None = None
    values: list[int] = field(default_factory=list)


class PodConditionPattern(Struct, frozen=True):
    type: str
    status: str = "True"


class FailureRule(Struct, frozen=True):
    action: str
    onExitCodes: ExitCodes | None = None
    onPodConditions: list[PodConditionPattern] = field(default_factory=list)


class FailurePolicy(Struct, frozen=True):
    rules: list[FailureRule] = field(default_factory=list)


class SuccessRule(Struct, frozen=True):
    succeededIndexes: str | None = None
    succeededCount: int | None = None


class SuccessPolicy(Struct, frozen=True):
    rules: list[SuccessRule] = field(default_factory=list)


class JobSpec(Struct, frozen=True):
    parallelism: int = 1
    completions: int | None = None
    completionMode: str = "NonIndexed"
    backoffLimit: int = 6
    backoffLimitPerIndex: int | None = None
    maxFailedIndexes: int | None = None
    activeDeadlineSeconds: int | None = None
    ttlSecondsAfterFinished: int | None = None
    suspend: bool = False
    selector: LabelSelector = LabelSelector()
    podFailurePolicy: FailurePolicy | None = None
    successPolicy: SuccessPolicy | None = None
    podReplacementPolicy: str = "TerminatingOrFailed"
    managedBy: str = MANAGED_HERE
    template: msgspec.Raw = msgspec.Raw(b"{}")

    @property
    def indexed(self) -> bool:
        return self.completionMode == "Indexed"


class Uncounted(Struct, frozen=True, omit_defaults=True):
    """Pods that ended, are not in the counters yet, and keep their finalizer until they are noted here."""

    succeeded: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


class JobStatus(Struct, frozen=True):
    active: int = 0
    ready: int | None = None
    terminating: int | None = None
    succeeded: int = 0
    failed: int = 0
    startTime: str | None = None
    completionTime: str | None = None
    completedIndexes: str = ""
    failedIndexes: str | None = None
    uncountedTerminatedPods: Uncounted | None = None
    conditions: list[Condition] = field(default_factory=list)

    def has(self, kind: str) -> Condition | None:
        return next((c for c in self.conditions if c.type == kind and c.status == "True"), None)

    @property
    def finished(self) -> Condition | None:
        return self.has("Complete") or self.has("Failed")


class Job(Struct, frozen=True):
    metadata: Meta
    spec: JobSpec = JobSpec()
    status: JobStatus = JobStatus()

    @property
    def path(self) -> str:
        return f"/apis/batch/v1/namespaces/{self.metadata.namespace}/jobs/{self.metadata.name}"

    def finished_at(self, otherwise: float) -> float | None:
        """None while it runs."""
        end = self.status.finished
        return timestamps.parse_or(end.lastTransitionTime, otherwise) if end is not None else None

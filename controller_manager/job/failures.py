"""When pods ended, what their failures mean for the Job, and how long the next try waits."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from apimachinery import timestamps
from controller_manager.job.views import FAILURES, IGNORED_FAILURES, ExitCodes, FailurePolicy, Job
from controller_manager.views import ContainerStatus, Pod, condition

FIRST_DELAY, MAX_DELAY = 10.0, 600.0


@dataclass(frozen=True, slots=True)
class Verdict:
    counts: bool = True
    action: str = ""
    message: str = ""
    """Why the Job fails; empty when it does not by this pod alone."""


def is_failed(job: Job, pod: Pod) -> bool:
    """With the replacement policy `Failed` a pod that is on its way out has not failed yet."""
    if pod.status.phase == "Failed":
        return True
    if job.spec.podReplacementPolicy == "Failed" or job.spec.podFailurePolicy is not None:
        return False
    return pod.metadata.deletionTimestamp is not None and pod.status.phase != "Succeeded"


def judge(policy: FailurePolicy | None, pod: Pod) -> Verdict:
    place = f"{pod.metadata.namespace}/{pod.metadata.name}"
    for number, rule in enumerate(policy.rules if policy else ()):
        if rule.onExitCodes is not None:
            status = _by_exit_code(pod, rule.onExitCodes)
            if status is None or status.state.terminated is None:
                continue
            code = status.state.terminated.exitCode
            cause = f"Container {status.name} for pod {place} failed with exit code {code}"
        else:
            patterns = {(p.type, p.status) for p in rule.onPodConditions}
            found = next((c for c in pod.status.conditions if (c.type, c.status) in patterns), None)
            if found is None:
                continue
            cause = f"Pod {place} has condition {found.type}"
        message = f"{cause} matching {rule.action} rule at index {number}" if rule.action == "FailJob" else ""
        return Verdict(rule.action != "Ignore", rule.action, message)
    return Verdict()


def _by_exit_code(pod: Pod, wanted: ExitCodes) -> ContainerStatus | None:
    for status in [*pod.status.containerStatuses, *pod.status.initContainerStatuses]:
        ended = status.state.terminated
        if ended is None or ended.exitCode == 0 or wanted.containerName not in (None, status.name):
            continue
        if (ended.exitCode in wanted.values) == (wanted.operator == "In"):
            return status
    return None


def finish_time(pod: Pod, now: float) -> float:
    """The last container's end; else when the pod stopped being ready, was to be gone, was made."""
    ends = [s.state.terminated.finishedAt if s.state.terminated else None for s in pod.status.containerStatuses]
    if ends and all(ends):
        return max(timestamps.parse_or(end, now) for end in ends)
    ready = condition(pod.status.conditions, "Ready")
    if ready is not None and ready.status == "False" and ready.lastTransitionTime:
        return timestamps.parse_or(ready.lastTransitionTime, now)
    if pod.metadata.deletionTimestamp is not None:
        grace = pod.metadata.deletionGracePeriodSeconds or 0
        return timestamps.parse_or(pod.metadata.deletionTimestamp, now) - grace
    return timestamps.parse_or(pod.metadata.creationTimestamp, now)


@dataclass(slots=True)
class Backoff:
    """Failures since the last success, each pod once. Lost with the process, as upstream's: then tries come sooner."""

    failed: dict[str, float] = field(default_factory=dict)
    succeeded_at: float = 0.0

    def note(self, succeeded: Iterable[Pod], failed: Iterable[Pod], now: float) -> None:
        self.succeeded_at = max([self.succeeded_at, *(finish_time(pod, now) for pod in succeeded)])
        for pod in failed:
            self.failed.setdefault(pod.metadata.uid, finish_time(pod, now))
        self.failed = {uid: at for uid, at in self.failed.items() if at > self.succeeded_at}

    def remaining(self, now: float) -> float:
        return delay(len(self.failed), max(self.failed.values(), default=0.0), now)


def delay(failures: int, last: float, now: float) -> float:
    """Seconds that are left of 10, 20, 40, … after the last failure."""
    if failures == 0:
        return 0.0
    whole: float = min(FIRST_DELAY * 2 ** min(failures - 1, 10), MAX_DELAY)
    return max(whole - (now - last), 0.0)


def failures_of(pod: Pod) -> int:
    """Failures of the pod's index before it, counted ones."""
    return _number(pod, FAILURES)


def all_failures_of(pod: Pod) -> int:
    return _number(pod, FAILURES) + _number(pod, IGNORED_FAILURES)


def _number(pod: Pod, annotation: str) -> int:
    text = pod.metadata.annotations.get(annotation, "")
    return int(text) if text.isdigit() else 0

"""The indexes of an Indexed Job: which are done, which failed for good, which want a pod."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from apimachinery.validation.indexes import members
from controller_manager.job.failures import all_failures_of, failures_of, is_failed, judge
from controller_manager.job.views import FINALIZER, INDEX, Job, SuccessPolicy
from controller_manager.views import Pod


def text(indexes: Iterable[int]) -> str:
    """`1,3-5`; two neighbours are an interval too, as upstream writes them."""
    parts: list[list[int]] = []
    for index in sorted(indexes):
        if parts and parts[-1][-1] == index - 1:
            parts[-1] = [parts[-1][0], index]
        else:
            parts.append([index])
    return ",".join(str(p[0]) if len(p) == 1 else f"{p[0]}{',' if p[1] - p[0] == 1 else '-'}{p[1]}" for p in parts)


def index_of(pod: Pod) -> int | None:
    found = pod.metadata.annotations.get(INDEX, "")
    return int(found) if found.isascii() and found.isdigit() else None


def is_valid(job: Job, pod: Pod) -> bool:
    """Whether the pod counts: always, or for an index that the Job has."""
    index = index_of(pod)
    return not job.spec.indexed or (index is not None and index < (job.spec.completions or 0))


def done(job: Job) -> set[int]:
    """What the status says; an elastic Job may have become smaller since."""
    return {index for index in members(job.status.completedIndexes) if index < (job.spec.completions or 0)}


def failed(job: Job, pods: Sequence[Pod]) -> set[int]:
    limit = job.spec.backoffLimitPerIndex
    found = members(job.status.failedIndexes or "")
    for pod in pods:
        if limit is None or FINALIZER not in pod.metadata.finalizers or not is_valid(job, pod):
            continue
        if not is_failed(job, pod):
            continue
        verdict = judge(job.spec.podFailurePolicy, pod)
        if verdict.action == "FailIndex" or (verdict.counts and failures_of(pod) >= limit):
            found.add(index_of(pod) or 0)
    return found


def last_failures(job: Job, pods: Sequence[Pod], settled: set[int]) -> dict[int, Pod]:
    """By index, the failed pod whose number of failures its successor, not made yet, will carry on."""
    latest: dict[int, Pod] = {}
    for pod in pods:
        index = index_of(pod)
        if index is None or index in settled or not is_valid(job, pod):
            continue
        if index not in latest or all_failures_of(pod) > all_failures_of(latest[index]):
            latest[index] = pod
    return {i: p for i, p in latest.items() if is_failed(job, p) and FINALIZER in p.metadata.finalizers}


def to_remove(job: Job, active: Sequence[Pod]) -> list[Pod]:
    """Pods of no index, of an index beyond the last, or of one that another pod has."""
    taken: set[int] = set()
    surplus = []
    for pod in sorted(active, key=lambda p: (not p.is_ready, p.metadata.creationTimestamp or "")):
        index = index_of(pod)
        if index is None or not is_valid(job, pod) or index in taken:
            surplus.append(pod)
        else:
            taken.add(index)
    return surplus


def wanting(job: Job, count: int, excluded: set[int]) -> list[int]:
    """The first `count` indexes that nothing is known of."""
    found: list[int] = []
    for index in range(job.spec.completions or 0):
        if len(found) >= count:
            break
        if index not in excluded:
            found.append(index)
    return found


def met(policy: SuccessPolicy | None, succeeded: set[int]) -> str:
    """The message of the first rule that holds, or nothing."""
    for number, rule in enumerate(policy.rules if policy else ()):
        if rule.succeededIndexes is not None:
            wanted = members(rule.succeededIndexes)
            have = len(wanted & succeeded)
            holds = have == len(wanted) or (rule.succeededCount is not None and have >= rule.succeededCount)
        else:
            holds = rule.succeededCount is not None and len(succeeded) >= rule.succeededCount
        if holds:
            return f"Matched rules at index {number}"
    return ""

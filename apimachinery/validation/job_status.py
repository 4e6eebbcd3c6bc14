"""Rules of a Job's status: conditions that exclude each other, counters that never fall back."""

from __future__ import annotations

from typing import Any

from apimachinery import timestamps
from apimachinery.fields import OMITTED, FieldError, Path, duplicate, invalid, required
from apimachinery.validation.indexes import count_indexes, members
from apimachinery.validation.metadata import IMMUTABLE, non_negative

Obj = dict[str, Any]
Errors = list[FieldError]

STATUS = Path("status")
CONDITIONS = STATUS.child("conditions")


class _State:
    """A job with the questions its rules ask."""

    def __init__(self, job: Obj) -> None:
        self.spec: Obj = job.get("spec") or {}
        self.status: Obj = job.get("status") or {}
        self.true = {c.get("type") for c in self.status.get("conditions") or () if c.get("status") == "True"}
        self.false = {c.get("type") for c in self.status.get("conditions") or () if c.get("status") == "False"}
        self.finished = bool(self.true & {"Complete", "Failed"})
        pods = self.status.get("uncountedTerminatedPods") or {}
        self.uncounted = [*(pods.get("succeeded") or ()), *(pods.get("failed") or ())]


def update(new: Obj, old: Obj) -> Errors:
    now, was = _State(new), _State(old)
    found: Errors = []
    for field in ("active", "succeeded", "failed", "ready", "terminating"):
        found += non_negative(now.status.get(field), STATUS.child(field))
    found += _uncounted(now)
    found += _conditions(now, was) + _completion(now, was) + _indexes(now, was)
    found += _finished(now, was) + _transitions(now, was)
    return found


def _changed(now: _State, was: _State, *fields: str) -> bool:
    return any((now.status.get(f) or None) != (was.status.get(f) or None) for f in fields)


def _flipped(now: _State, was: _State, *kinds: str) -> bool:
    return any((kind in now.true) != (kind in was.true) for kind in kinds)


def _uncounted(now: _State) -> Errors:
    found: Errors = []
    seen: set[str] = set()
    pods = now.status.get("uncountedTerminatedPods") or {}
    for field in ("succeeded", "failed"):
        for index, uid in enumerate(pods.get(field) or ()):
            place = STATUS.child("uncountedTerminatedPods", field).index(index)
            if not uid:
                found.append(invalid(place, uid, "must not be empty"))
            elif uid in seen:
                found.append(duplicate(place, uid))
            seen.add(uid)
    return found


def _conditions(now: _State, was: _State) -> Errors:
    found: Errors = []

    def never(first: str, second: str, when: bool, shown: str) -> None:
        if when and {first, second} <= now.true:
            found.append(invalid(CONDITIONS, OMITTED, f"cannot set {first}=True and {shown} conditions"))

    never("Complete", "Failed", _flipped(now, was, "Complete", "Failed"), "Failed=true")
    never("Complete", "FailureTarget", _flipped(now, was, "Complete", "FailureTarget"), "FailureTarget=true")
    never("SuccessCriteriaMet", "Failed", True, "Failed=true")
    never("SuccessCriteriaMet", "FailureTarget", True, "FailureTarget=true")
    unannounced = "Failed" in now.true and "FailureTarget" not in now.true
    if unannounced and (_flipped(now, was, "Failed") or _changed(now, was, "failedIndexes")):
        detail = "cannot set Failed=True condition without the FailureTarget=true condition"
        found.append(invalid(CONDITIONS, OMITTED, detail))
    unannounced = "Complete" in now.true and "SuccessCriteriaMet" not in now.true
    if unannounced and _flipped(now, was, "Complete", "SuccessCriteriaMet"):
        detail = "cannot set Complete=True condition without the SuccessCriteriaMet=true condition"
        found.append(invalid(CONDITIONS, OMITTED, detail))
    return found


def _completion(now: _State, was: _State) -> Errors:
    found: Errors = []
    place, done, start = STATUS.child("completionTime"), now.status.get("completionTime"), now.status.get("startTime")
    if _flipped(now, was, "Complete") or _changed(now, was, "completionTime"):
        if done and "Complete" not in now.true:
            detail = "cannot set completionTime when there is no Complete=True condition"
            found.append(invalid(place, done, detail))
        if not done and "Complete" in now.true:
            found.append(required(place, "completionTime is required for Complete jobs"))
    both = bool(start and done) and _changed(now, was, "startTime", "completionTime")
    if both and timestamps.parse_or(done, 0.0) < timestamps.parse_or(start, 0.0):
        found.append(invalid(place, done, "must be equal to or after `startTime`"))
    before = was.status.get("completionTime")
    if done and before and done != before:
        found.append(invalid(place, done, IMMUTABLE))
    resuming = "Suspended" in was.true and "Suspended" in now.false
    begun = was.status.get("startTime")
    if begun and begun != start and not now.spec.get("suspend") and not resuming:
        detail = "field is immutable for unsuspended job once set"
        found.append(invalid(STATUS.child("startTime"), start, detail))
    return found


def _indexes(now: _State, was: _State) -> Errors:
    found: Errors = []
    completions, sound = now.spec.get("completions"), True
    for field in ("completedIndexes", "failedIndexes"):
        text = now.status.get(field)
        if not _changed(now, was, field) or not text:
            continue
        place = STATUS.child(field)
        if completions is not None:
            try:
                count_indexes(text, completions)
            except ValueError as wrong:
                sound = False
                found.append(invalid(place, text, f"error parsing {field}: {wrong}"))
        if field == "completedIndexes" and now.spec.get("completionMode") != "Indexed":
            detail = "cannot set non-empty completedIndexes when non-indexed completion mode"
            found.append(invalid(place, text, detail))
        if field == "failedIndexes" and now.spec.get("backoffLimitPerIndex") is None:
            detail = "cannot set non-null failedIndexes when backoffLimitPerIndex is null"
            found.append(invalid(place, text, detail))
    done, failed = now.status.get("completedIndexes"), now.status.get("failedIndexes")
    if done and failed and sound and _changed(now, was, "completedIndexes", "failedIndexes"):
        shared = members(done) & members(failed)
        if shared:
            detail = f"failedIndexes and completedIndexes overlap at index: {min(shared)}"
            found.append(invalid(STATUS.child("failedIndexes"), failed, detail))
    return found


def _finished(now: _State, was: _State) -> Errors:
    found: Errors = []
    status, turned = now.status, now.finished != was.finished
    active, ready, terminating = (status.get(field) or 0 for field in ("active", "ready", "terminating"))
    if now.finished:
        if active > 0 and (turned or _changed(now, was, "active")):
            found.append(invalid(STATUS.child("active"), active, "active>0 is invalid for finished job"))
        idle = bool(now.spec.get("suspend")) and now.spec.get("completions") == 0
        if not status.get("startTime") and not idle and (turned or _changed(now, was, "startTime")):
            found.append(required(STATUS.child("startTime"), "startTime is required for finished job"))
        if now.uncounted and (turned or _changed(now, was, "uncountedTerminatedPods")):
            pods = status.get("uncountedTerminatedPods")
            found.append(invalid(STATUS.child("uncountedTerminatedPods"), pods, "must be empty for finished job"))
        if terminating > 0 and (turned or _changed(now, was, "terminating")):
            detail = "terminating>0 is invalid for finished job"
            found.append(invalid(STATUS.child("terminating"), terminating, detail))
    if ready > active and _changed(now, was, "ready", "active"):
        found.append(invalid(STATUS.child("ready"), ready, "cannot set more ready pods than active"))
    return found


def _transitions(now: _State, was: _State) -> Errors:
    found: Errors = []
    for kind in ("Failed", "Complete", "FailureTarget"):
        if kind in was.true and kind not in now.true:
            detail = f"cannot disable the terminal {kind}=True condition"
            found.append(invalid(CONDITIONS, OMITTED, detail))
    failed, succeeded = now.status.get("failed") or 0, now.status.get("succeeded") or 0
    if failed < (was.status.get("failed") or 0):
        found.append(invalid(STATUS.child("failed"), failed, "cannot decrease the failed counter"))
    elastic = now.spec.get("completionMode") == "Indexed" and now.spec.get("completions") == now.spec.get("parallelism")
    if succeeded < (was.status.get("succeeded") or 0) and not elastic:
        found.append(invalid(STATUS.child("succeeded"), succeeded, "cannot decrease the succeeded counter"))
    if "SuccessCriteriaMet" in was.true and "SuccessCriteriaMet" not in now.true:
        detail = "cannot disable the SuccessCriteriaMet=True condition"
        found.append(invalid(CONDITIONS, OMITTED, detail))
    if "Complete" in was.true and "SuccessCriteriaMet" in now.true - was.true:
        detail = "cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions"
        found.append(invalid(CONDITIONS, OMITTED, detail))
    return found

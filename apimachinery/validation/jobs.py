"""Rules of Jobs and CronJobs."""

from __future__ import annotations

import copy
import re
import zoneinfo
from typing import Any

from apimachinery import cron, names
from apimachinery.fields import (
    OMITTED,
    FieldError,
    Path,
    duplicate,
    invalid,
    not_supported,
    quote,
    required,
    too_long,
    too_many,
)
from apimachinery.selectors import from_label_selector
from apimachinery.strategies.equality import same
from apimachinery.strategies.workloads import CONTROLLER_UID_LABELS, JOB_NAME_LABELS
from apimachinery.validation.indexes import count_indexes
from apimachinery.validation.metadata import immutable, label_key, label_selector, non_negative
from apimachinery.validation.podspec import one_of, pod_template

Obj = dict[str, Any]
Errors = list[FieldError]

SPEC = Path("spec")
NAME = Path("metadata", "name")
INDEX_LIMIT = 100_000
HIGH_LIMIT = 10_000
ACTIONS = ("Count", "FailIndex", "FailJob", "Ignore")
STATES = ("False", "True", "Unknown")
INDEXED_ONLY = "requires indexed completion mode"
_ZONE_PART = re.compile(r"[A-Za-z._0-9+-]{1,14}", re.ASCII)


def job(obj: Obj, *, prefixed: bool = True) -> Errors:
    spec, meta = obj.get("spec") or {}, obj.get("metadata") or {}
    found = _generated_selector(spec, meta, prefixed) + _whole_spec(spec)
    name, completions = meta.get("name") or "", spec.get("completions") or 0
    if spec.get("completionMode") == "Indexed" and completions > 0:
        hostname = f"{name}-{completions - 1}"
        if names.dns1123_label(hostname):
            detail = f"will not able to create pod with invalid DNS label: {hostname}"
            found.append(invalid(NAME, name, detail))
    return found


def _generated_selector(spec: Obj, meta: Obj, prefixed: bool) -> Errors:
    if spec.get("manualSelector") or spec.get("selector") is None:
        return []
    uid, name = meta.get("uid") or "", meta.get("name") or ""
    found = [] if uid else [required(Path("metadata", "uid"))]
    labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels") or {}
    wanted = {CONTROLLER_UID_LABELS[0]: uid, JOB_NAME_LABELS[0]: name}
    if prefixed:
        wanted |= {CONTROLLER_UID_LABELS[1]: uid, JOB_NAME_LABELS[1]: name}
    for key, value in wanted.items():
        place = SPEC.child("template", "metadata", "labels").key(key)
        if key not in labels:
            found.append(required(place, f"must be '{value}'"))
        elif labels[key] != value:
            found.append(invalid(place, labels, f"must be '{value}'"))
    try:
        matches = from_label_selector(spec["selector"]).matches(wanted)
    except ValueError:
        return found
    if not matches:
        found.append(invalid(SPEC.child("selector"), spec["selector"], "`selector` not auto-generated"))
    return found


def _whole_spec(spec: Obj) -> Errors:
    found = job_spec(spec, SPEC)
    wanted = spec.get("selector")
    found += [required(SPEC.child("selector"))] if wanted is None else label_selector(wanted, SPEC.child("selector"))
    labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels") or {}
    try:
        matches = from_label_selector(wanted).matches(labels)
    except ValueError:
        return found
    if not matches:
        place = SPEC.child("template", "metadata", "labels")
        found.append(invalid(place, labels or None, "`selector` does not match template `labels`"))
    return found


def job_spec(spec: Obj, path: Path) -> Errors:
    """What holds for a Job's spec and for a CronJob's template of one."""
    found: Errors = []
    for field in (
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
        "backoffLimitPerIndex",
        "maxFailedIndexes",
    ):
        found += non_negative(spec.get(field), path.child(field))
    failures, per_index = spec.get("maxFailedIndexes"), spec.get("backoffLimitPerIndex")
    if failures is not None and per_index is None:
        found.append(required(path.child("backoffLimitPerIndex"), "when maxFailedIndexes is specified"))
    if spec.get("managedBy") is not None:
        found += domain_path(spec["managedBy"], path.child("managedBy"))
        if len(spec["managedBy"]) > 63:
            found.append(too_long(path.child("managedBy"), "", 63))
    mode = spec.get("completionMode")
    if mode not in {None, "NonIndexed", "Indexed"}:
        found.append(not_supported(path.child("completionMode"), mode, ("NonIndexed", "Indexed")))
    if mode == "Indexed":
        found += _indexed(spec, path)
    elif mode in {None, "NonIndexed"}:
        for field in ("backoffLimitPerIndex", "maxFailedIndexes"):
            if spec.get(field) is not None:
                found.append(invalid(path.child(field), spec[field], INDEXED_ONLY))
    found += _policies(spec, path)
    found += pod_template(spec.get("template") or {}, path.child("template"))
    return found + _restart_policy(spec, path.child("template", "spec", "restartPolicy"))


def domain_path(text: str, path: Path) -> Errors:
    """`domain.example/anything`."""
    if not text:
        return [required(path)]
    host, slash, rest = text.partition("/")
    if not (host and slash and rest):
        return [invalid(path, text, 'must be a domain-prefixed path (such as "acme.io/foo")')]
    found = [invalid(path, host, wrong) for wrong in names.dns1123_subdomain(host)]
    return found + [invalid(path, rest, wrong) for wrong in names.http_path(rest)]


def _indexed(spec: Obj, path: Path) -> Errors:
    completions, parallelism = spec.get("completions"), spec.get("parallelism") or 0
    failures, per_index = spec.get("maxFailedIndexes"), spec.get("backoffLimitPerIndex")
    at_parallelism, at_failures = path.child("parallelism"), path.child("maxFailedIndexes")
    found: Errors = []
    if completions is None:
        found.append(required(path.child("completions"), "when completion mode is Indexed"))
    if parallelism > INDEX_LIMIT:
        detail = f"must be less than or equal to {INDEX_LIMIT} when completion mode is Indexed"
        found.append(invalid(at_parallelism, parallelism, detail))
    if failures is not None:
        if completions is not None and failures > completions:
            found.append(invalid(at_failures, failures, "must be less than or equal to completions"))
        if failures > INDEX_LIMIT:
            found.append(invalid(at_failures, failures, f"must be less than or equal to {INDEX_LIMIT}"))
    if completions is not None and completions > INDEX_LIMIT and per_index is not None:
        detail = (
            f"must be less than or equal to {HIGH_LIMIT} when completions are above {INDEX_LIMIT} "
            "and used with backoff limit per index"
        )
        if failures is None:
            found.append(required(at_failures, f"must be specified when completions is above {INDEX_LIMIT}"))
        if parallelism > HIGH_LIMIT:
            found.append(invalid(at_parallelism, parallelism, detail))
        if failures is not None and failures > HIGH_LIMIT:
            found.append(invalid(at_failures, failures, detail))
    return found


def _policies(spec: Obj, path: Path) -> Errors:
    found: Errors = []
    failure, success = spec.get("podFailurePolicy"), spec.get("successPolicy")
    if failure is not None:
        found += _failure_policy(spec, failure, path.child("podFailurePolicy", "rules"))
    if success is not None:
        if spec.get("completionMode") != "Indexed":
            found.append(invalid(path.child("successPolicy"), success, INDEXED_ONLY))
        else:
            found += _success_policy(spec, success, path.child("successPolicy", "rules"))
    replacement = spec.get("podReplacementPolicy")
    known = ("Failed",) if failure is not None else ("Failed", "TerminatingOrFailed")
    if replacement is not None and replacement not in known:
        found.append(not_supported(path.child("podReplacementPolicy"), replacement, known))
    return found


def _listed(values: tuple[str, ...]) -> str:
    return f"valid values: [{' '.join(quote(value) for value in values)}]"


def _failure_policy(spec: Obj, policy: Obj, path: Path) -> Errors:
    rules = policy.get("rules") or ()
    found: Errors = [too_many(path, len(rules), 20)] if len(rules) > 20 else []
    pod = (spec.get("template") or {}).get("spec") or {}
    known = {one.get("name") for field in ("containers", "initContainers") for one in pod.get(field) or ()}
    for index, rule in enumerate(rules):
        place, action = path.index(index), rule.get("action") or ""
        if not action:
            found.append(required(place.child("action"), _listed(ACTIONS)))
        elif action == "FailIndex" and spec.get("backoffLimitPerIndex") is None:
            found.append(invalid(place.child("action"), action, "requires the backoffLimitPerIndex to be set"))
        elif action not in ACTIONS:
            found.append(not_supported(place.child("action"), action, ACTIONS))
        codes, conditions = rule.get("onExitCodes"), rule.get("onPodConditions") or ()
        if codes is not None:
            found += _exit_codes(codes, known, place.child("onExitCodes"))
        found += _pod_conditions(conditions, place.child("onPodConditions"))
        if codes is not None and conditions:
            detail = "specifying both OnExitCodes and OnPodConditions is not supported"
            found.append(invalid(place, OMITTED, detail))
        if codes is None and not conditions:
            detail = "specifying one of OnExitCodes and OnPodConditions is required"
            found.append(invalid(place, OMITTED, detail))
    return found


def _pod_conditions(listed: Any, path: Path) -> Errors:
    found: Errors = [too_many(path, len(listed), 20)] if len(listed) > 20 else []
    for index, one in enumerate(listed):
        place, state = path.index(index), one.get("status") or ""
        found += label_key(one.get("type") or "", place.child("type"))
        if not state:
            found.append(required(place.child("status"), _listed(STATES)))
        elif state not in STATES:
            found.append(not_supported(place.child("status"), state, STATES))
    return found


def _exit_codes(codes: Obj, known: set[Any], path: Path) -> Errors:
    operator, values = codes.get("operator") or "", codes.get("values") or []
    found: Errors = []
    if not operator:
        found.append(required(path.child("operator"), _listed(("In", "NotIn"))))
    elif operator not in {"In", "NotIn"}:
        found.append(not_supported(path.child("operator"), operator, ("In", "NotIn")))
    container = codes.get("containerName")
    if container is not None and container not in known:
        detail = "must be one of the container or initContainer names in the pod template"
        found.append(invalid(path.child("containerName"), container, detail))
    place = path.child("values")
    if not values:
        found.append(invalid(place, values, "at least one value is required"))
    elif len(values) > 255:
        found.append(too_many(place, len(values), 255))
    for index, value in enumerate(values):
        if operator == "In" and value == 0:
            found.append(invalid(place.index(index), value, "must not be 0 for the In operator"))
        if value in values[:index]:
            found.append(duplicate(place.index(index), value))
    if values != sorted(values):
        found.append(invalid(place, values, "must be ordered"))
    return found


def _success_policy(spec: Obj, policy: Obj, path: Path) -> Errors:
    rules, completions = policy.get("rules") or (), spec.get("completions") or 0
    found: Errors = []
    if not rules:
        detail = "at least one rules must be specified when the successPolicy is specified"
        found.append(required(path, detail))
    if len(rules) > 20:
        found.append(too_many(path, len(rules), 20))
    for index, rule in enumerate(rules):
        place, count, indexes = path.index(index), rule.get("succeededCount"), rule.get("succeededIndexes")
        if count is None and indexes is None:
            detail = "at least one of succeededCount or succeededIndexes must be specified"
            found.append(required(place, detail))
        total = 0
        if indexes is not None:
            where = place.child("succeededIndexes")
            if len(indexes) > 64 * 1024:
                found.append(too_long(where, "", 64 * 1024))
            try:
                total = count_indexes(indexes, completions)
            except ValueError as wrong:
                found.append(invalid(where, indexes, f"error parsing succeededIndexes: {wrong}"))
        if count is not None:
            where = place.child("succeededCount")
            found += non_negative(count, where)
            if count > completions:
                detail = f"must be less than or equal to {completions} (the number of specified completions)"
                found.append(invalid(where, count, detail))
            if indexes is not None and count > total:
                what = "the number of indexes in the specified succeededIndexes field"
                found.append(invalid(where, count, f"must be less than or equal to {total} ({what})"))
    return found


def _restart_policy(spec: Obj, path: Path) -> Errors:
    policy = ((spec.get("template") or {}).get("spec") or {}).get("restartPolicy") or ""
    if policy in {"", "Always"}:
        return [required(path, 'valid values: "OnFailure", "Never"')]
    if policy not in {"OnFailure", "Never"}:
        return [not_supported(path, policy, ("OnFailure", "Never"))]
    if spec.get("podFailurePolicy") is not None and policy != "Never":
        return [invalid(path, policy, 'only "Never" is supported when podFailurePolicy is specified')]
    return []


def job_update(new: Obj, old: Obj) -> Errors:
    spec, before = new.get("spec") or {}, old.get("spec") or {}
    found = _whole_spec(spec)
    done, done_before = spec.get("completions"), before.get("completions")
    if spec.get("completionMode") != "Indexed":
        found += immutable(done, done_before, SPEC.child("completions"))
    elif done is not None and done != done_before and done != spec.get("parallelism"):
        detail = "can only be modified in tandem with spec.parallelism"
        found.append(invalid(SPEC.child("completions"), done, detail))
    found += immutable(spec.get("selector"), before.get("selector"), SPEC.child("selector"))
    found += _template_update(spec, before, old.get("status") or {})
    for field in ("completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy"):
        found += immutable(spec.get(field), before.get(field), SPEC.child(field))
    return found


def _template_update(spec: Obj, before: Obj, status: Obj) -> Errors:
    """A job that is suspended, and has no pods any more, may be given other amounts and another place to run."""
    template, known = spec.get("template") or {}, copy.deepcopy(before.get("template") or {})
    conditions = {one.get("type"): one.get("status") for one in status.get("conditions") or ()}
    suspended = bool(before.get("suspend"))
    mutable = suspended and (not status.get("startTime") or conditions.get("Suspended") == "True")
    if not mutable:
        return immutable(template, known, SPEC.child("template"))
    pod, known_pod = template.get("spec") or {}, known.setdefault("spec", {})
    for field in ("nodeSelector", "tolerations", "schedulingGates"):
        _copy(known_pod, pod, field)
    affinity, known_affinity = pod.get("affinity"), dict(known_pod.get("affinity") or {})
    _copy(known_affinity, affinity or {}, "nodeAffinity")
    known_pod["affinity"] = known_affinity
    for field in ("containers", "initContainers"):
        mine, theirs = pod.get(field) or [], known_pod.get(field) or []
        if len(mine) == len(theirs):
            for one, other in zip(mine, theirs, strict=True):
                if one.get("name") == other.get("name"):
                    _copy(other, one, "resources")
    return [] if same(pod, known_pod) else immutable(pod, known_pod, SPEC.child("template.spec"))


def _copy(target: Obj, source: Obj, field: str) -> None:
    if field in source:
        target[field] = source[field]
    else:
        target.pop(field, None)


def cron_job(obj: Obj) -> Errors:
    name = (obj.get("metadata") or {}).get("name") or ""
    found = _cron_spec(obj.get("spec") or {}, None)
    if len(name) > 52:
        found.append(invalid(NAME, name, "must be no more than 52 characters"))
    return found


def cron_job_update(new: Obj, old: Obj) -> Errors:
    return _cron_spec(new.get("spec") or {}, old.get("spec") or {})


def _cron_spec(spec: Obj, before: Obj | None) -> Errors:
    found = _schedule(spec, before)
    found += non_negative(spec.get("startingDeadlineSeconds"), SPEC.child("startingDeadlineSeconds"))
    if before is None or before.get("timeZone") != spec.get("timeZone"):
        found += _time_zone(spec.get("timeZone"), SPEC.child("timeZone"))
    known = ("Allow", "Forbid", "Replace")
    found += one_of(spec.get("concurrencyPolicy") or "", known, SPEC.child("concurrencyPolicy"))
    inner, place = (spec.get("jobTemplate") or {}).get("spec") or {}, SPEC.child("jobTemplate", "spec")
    found += job_spec(inner, place)
    if inner.get("selector") is not None:
        detail = "`selector` will be auto-generated"
        found.append(invalid(place.child("selector"), inner["selector"], detail))
    if inner.get("manualSelector"):
        found.append(not_supported(place.child("manualSelector"), True, ("nil", "false")))
    for field in ("successfulJobsHistoryLimit", "failedJobsHistoryLimit"):
        found += non_negative(spec.get(field), SPEC.child(field))
    return found


def _schedule(spec: Obj, before: Obj | None) -> Errors:
    text, place = spec.get("schedule") or "", SPEC.child("schedule")
    if not text:
        return [required(place)]
    found: Errors = []
    try:
        cron.parse(text)
    except ValueError as wrong:
        found.append(invalid(place, text, str(wrong)))
    if "TZ" in text:
        if before is None or "TZ" not in (before.get("schedule") or ""):
            detail = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"
            found.append(invalid(place, text, detail))
        elif spec.get("timeZone") is not None:
            detail = "cannot use both timeZone field and TZ or CRON_TZ in schedule"
            found.append(invalid(place, text, detail))
    return found


def _time_zone(zone: str | None, path: Path) -> Errors:
    if zone is None:
        return []
    if not zone:
        return [invalid(path, zone, "timeZone must be nil or non-empty string")]
    for part in zone.split("/"):
        if part in {".", ".."} or part.startswith("-") or not _ZONE_PART.fullmatch(part):
            return [invalid(path, zone, f"unknown time zone {zone}")]
    found: Errors = []
    if zone.lower() == "local":
        detail = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"
        return [invalid(path, zone, detail)]
    try:
        zoneinfo.ZoneInfo(zone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        found.append(invalid(path, zone, f"unknown time zone {zone}"))
    return found

"""Rules of Deployments, ReplicaSets, StatefulSets, DaemonSets, ReplicationControllers and ControllerRevisions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apimachinery import names
from apimachinery.fields import FieldError, Path, forbidden, invalid, not_supported, required
from apimachinery.selectors import Selector, from_label_selector
from apimachinery.strategies.equality import same
from apimachinery.validation.claims import claim_spec
from apimachinery.validation.metadata import (
    IMMUTABLE,
    immutable,
    is_empty_selector,
    label_selector,
    labels,
    non_negative,
    valid_annotations,
)
from apimachinery.validation.podspec import pod_annotations, pod_template

Obj = dict[str, Any]
Errors = list[FieldError]

SPEC = Path("spec")
STATUS = Path("status")
TEMPLATE = SPEC.child("template")
TOO_MANY = "cannot be greater than status.replicas"


def selector(spec: Obj, kind: str) -> tuple[Selector | None, Errors]:
    """The workload's selector, or None where it is broken; `kind` is the word upstream uses for an empty one."""
    wanted = spec.get("selector")
    place = SPEC.child("selector")
    if wanted is None:
        # Upstream goes on with a selector that matches nothing.
        return from_label_selector(None), [required(place)]
    found = label_selector(wanted, place)
    if is_empty_selector(wanted):
        found.append(invalid(place, wanted, f"empty selector is invalid for {kind}"))
    try:
        return from_label_selector(wanted), found
    except ValueError:
        return None, found


def template(spec: Obj, wanted: Selector) -> Errors:
    """A template whose pods the workload selects."""
    found: Errors = []
    pod = spec.get("template") or {}
    table = (pod.get("metadata") or {}).get("labels") or {}
    if spec.get("selector") is None or (not is_empty_selector(spec["selector"]) and not wanted.matches(table)):
        place = TEMPLATE.child("metadata", "labels")
        found.append(invalid(place, table or None, "`selector` does not match template `labels`"))
    return found + pod_template(pod, TEMPLATE)


def runs_for_ever(spec: Obj, kind: str) -> Errors:
    pod = (spec.get("template") or {}).get("spec") or {}
    found: Errors = []
    if pod.get("restartPolicy") != "Always":
        place = TEMPLATE.child("spec", "restartPolicy")
        found.append(not_supported(place, pod.get("restartPolicy") or "", ("Always",)))
    if pod.get("activeDeadlineSeconds") is not None:
        place = TEMPLATE.child("spec", "activeDeadlineSeconds")
        found.append(forbidden(place, f"activeDeadlineSeconds in {kind} is not Supported"))
    return found


def int_or_percent(value: int | str | None, path: Path) -> Errors:
    if isinstance(value, str):
        wrong = names.percent(value)
        return [invalid(path, value, text) for text in wrong]
    return non_negative(value, path)


def not_over_100_percent(value: int | str | None, path: Path) -> Errors:
    if isinstance(value, str) and not names.percent(value) and int(value[:-1]) > 100:
        return [invalid(path, value, "must not be greater than 100%")]
    return []


def number(value: int | str | None) -> int:
    """What a number or percentage counts where only zero matters."""
    if isinstance(value, str):
        digits = value.removesuffix("%")
        return int(digits) if digits.isascii() and digits.isdigit() else 0
    return value or 0


def deployment(obj: Obj) -> Errors:
    spec = obj.get("spec") or {}
    found = non_negative(spec.get("replicas"), SPEC.child("replicas"))
    wanted, wrong = selector(spec, "deployment")
    found += wrong
    if wanted is None:
        found.append(invalid(SPEC.child("selector"), spec.get("selector"), "invalid label selector"))
    else:
        found += template(spec, wanted) + runs_for_ever(spec, "ReplicaSet")
    found += _deployment_strategy(spec.get("strategy") or {}, SPEC.child("strategy"))
    ready = spec.get("minReadySeconds") or 0
    found += non_negative(ready, SPEC.child("minReadySeconds"))
    found += non_negative(spec.get("revisionHistoryLimit"), SPEC.child("revisionHistoryLimit"))
    deadline = spec.get("progressDeadlineSeconds")
    if deadline is not None:
        place = SPEC.child("progressDeadlineSeconds")
        found += non_negative(deadline, place)
        if deadline <= ready:
            found.append(invalid(place, deadline, "must be greater than minReadySeconds"))
    return found


def _deployment_strategy(strategy: Obj, path: Path) -> Errors:
    kind, rolling = strategy.get("type"), strategy.get("rollingUpdate")
    place = path.child("rollingUpdate")
    if kind == "Recreate":
        if rolling is not None:
            return [forbidden(place, "may not be specified when strategy `type` is 'Recreate'")]
        return []
    if kind != "RollingUpdate":
        return [not_supported(path, strategy, ("Recreate", "RollingUpdate"))]
    if rolling is None:
        return [required(place, "this should be defaulted and never be nil")]
    unavailable, surge = rolling.get("maxUnavailable"), rolling.get("maxSurge")
    found = int_or_percent(unavailable, place.child("maxUnavailable"))
    found += int_or_percent(surge, place.child("maxSurge"))
    if number(unavailable) == 0 and number(surge) == 0:
        detail = "may not be 0 when `maxSurge` is 0"
        found.append(invalid(place.child("maxUnavailable"), unavailable or 0, detail))
    return found + not_over_100_percent(unavailable, place.child("maxUnavailable"))


def fixed_selector(new: Obj, old: Obj) -> Errors:
    return immutable(
        (new.get("spec") or {}).get("selector"), (old.get("spec") or {}).get("selector"), SPEC.child("selector")
    )


def replica_set(obj: Obj) -> Errors:
    spec = obj.get("spec") or {}
    found = non_negative(spec.get("replicas"), SPEC.child("replicas"))
    found += non_negative(spec.get("minReadySeconds"), SPEC.child("minReadySeconds"))
    wanted, wrong = selector(spec, "deployment")  # upstream's word here as well
    found += wrong
    if wanted is None:
        return [*found, invalid(SPEC.child("selector"), spec.get("selector"), "invalid label selector")]
    return found + template(spec, wanted) + runs_for_ever(spec, "ReplicaSet")


def replication_controller(obj: Obj) -> Errors:
    spec = obj.get("spec") or {}
    found = non_negative(spec.get("minReadySeconds"), SPEC.child("minReadySeconds"))
    wanted: Mapping[str, str] = spec.get("selector") or {}
    if not wanted:
        found.append(required(SPEC.child("selector")))
    if spec.get("replicas") is None:
        found.append(required(SPEC.child("replicas")))
    else:
        found += non_negative(spec["replicas"], SPEC.child("replicas"))
    pod = spec.get("template")
    if pod is None:
        return [*found, required(TEMPLATE)]
    table = (pod.get("metadata") or {}).get("labels") or {}
    if any(table.get(key) != value for key, value in wanted.items()):
        place = TEMPLATE.child("metadata", "labels")
        found.append(invalid(place, table or None, "`selector` does not match template `labels`"))
    return found + pod_template(pod, TEMPLATE) + runs_for_ever(spec, "ReplicationController")


def daemon_set(obj: Obj) -> Errors:
    spec = obj.get("spec") or {}
    wanted, place = spec.get("selector"), SPEC.child("selector")
    found = label_selector(wanted, place)
    table = ((spec.get("template") or {}).get("metadata") or {}).get("labels") or {}
    if wanted is None or (not found and not from_label_selector(wanted).matches(table)):
        detail = "`selector` does not match template `labels`"
        found.append(invalid(TEMPLATE.child("metadata", "labels"), table or None, detail))
    if wanted is not None and is_empty_selector(wanted):
        found.append(invalid(place, wanted, "empty selector is invalid for daemonset"))
    found += pod_template(spec.get("template") or {}, TEMPLATE)
    found += runs_for_ever(spec, "DaemonSet")
    found += non_negative(spec.get("minReadySeconds"), SPEC.child("minReadySeconds"))
    found += _daemon_set_strategy(spec.get("updateStrategy") or {}, SPEC.child("updateStrategy"))
    return found + non_negative(spec.get("revisionHistoryLimit"), SPEC.child("revisionHistoryLimit"))


def _daemon_set_strategy(strategy: Obj, path: Path) -> Errors:
    kind, rolling, place = strategy.get("type"), strategy.get("rollingUpdate"), path.child("rollingUpdate")
    if kind == "OnDelete":
        return []
    if kind != "RollingUpdate":
        return [not_supported(path, strategy, ("RollingUpdate", "OnDelete"))]
    if rolling is None:
        return [required(place)]
    unavailable, surge = rolling.get("maxUnavailable"), rolling.get("maxSurge")
    found = int_or_percent(unavailable, place.child("maxUnavailable"))
    found += int_or_percent(surge, place.child("maxSurge"))
    found += not_over_100_percent(unavailable, place.child("maxUnavailable"))
    found += not_over_100_percent(surge, place.child("maxSurge"))
    if number(unavailable) and number(surge):
        detail = "may not be set when maxUnavailable is non-zero"
        found.append(invalid(place.child("maxSurge"), surge, detail))
    elif not number(unavailable) and not number(surge):
        found.append(required(place.child("maxUnavailable"), "cannot be 0 when maxSurge is 0"))
    return found


def daemon_set_update(new: Obj, old: Obj) -> Errors:
    return fixed_selector(new, old)


def stateful_set(obj: Obj, *, updating: bool = False) -> Errors:
    spec = obj.get("spec") or {}
    found = _stateful_set_strategy(spec)
    retention = spec.get("persistentVolumeClaimRetentionPolicy")
    for field in ("whenDeleted", "whenScaled"):
        if retention is not None and retention.get(field) not in {"Retain", "Delete"}:
            place = SPEC.child("persistentVolumeClaimRetentionPolicy", field)
            found.append(not_supported(place, retention.get(field) or "", ("Retain", "Delete")))
    if not updating:
        for index, claim in enumerate(spec.get("volumeClaimTemplates") or ()):
            place = SPEC.child("volumeClaimTemplates").index(index).child("spec")
            found += claim_spec(claim.get("spec") or {}, place)
    found += non_negative(spec.get("replicas"), SPEC.child("replicas"))
    found += non_negative(spec.get("minReadySeconds"), SPEC.child("minReadySeconds"))
    found += non_negative((spec.get("ordinals") or {}).get("start"), SPEC.child("ordinals.start"))
    service = spec.get("serviceName") or ""
    if service and not updating:
        found += [invalid(SPEC.child("serviceName"), service, text) for text in names.dns1123_label(service)]
    wanted, wrong = selector(spec, "statefulset")
    found += wrong
    if wanted is None:
        found.append(invalid(SPEC.child("selector"), spec.get("selector"), ""))
    else:
        found += _stateful_set_template(spec, wanted)
    return found + runs_for_ever(spec, "StatefulSet")


def _stateful_set_strategy(spec: Obj) -> Errors:
    policy = spec.get("podManagementPolicy") or ""
    found: Errors = []
    if not policy:
        found.append(required(SPEC.child("podManagementPolicy")))
    elif policy not in {"OrderedReady", "Parallel"}:
        detail = "must be 'OrderedReady' or 'Parallel'"
        found.append(invalid(SPEC.child("podManagementPolicy"), policy, detail))
    strategy = spec.get("updateStrategy") or {}
    kind, rolling, place = strategy.get("type"), strategy.get("rollingUpdate"), SPEC.child("updateStrategy")
    if not kind:
        found.append(required(place))
    elif kind == "OnDelete":
        if rolling is not None:
            detail = "only allowed for updateStrategy 'RollingUpdate'"
            found.append(invalid(place.child("rollingUpdate"), rolling, detail))
    elif kind != "RollingUpdate":
        found.append(invalid(place, strategy, "must be 'RollingUpdate' or 'OnDelete'"))
    elif rolling is not None:
        where = place.child("rollingUpdate")
        found += non_negative(rolling.get("partition"), where.child("partition"))
        unavailable = rolling.get("maxUnavailable")
        if unavailable is not None:
            found += int_or_percent(unavailable, where.child("maxUnavailable"))
            if number(unavailable) == 0:
                found.append(invalid(where.child("maxUnavailable"), unavailable, "cannot be 0"))
            found += not_over_100_percent(unavailable, where.child("maxUnavailable"))
    return found


def _stateful_set_template(spec: Obj, wanted: Selector) -> Errors:
    """The controller supplies hostname, subdomain and the claims' volumes, so these are not judged as written."""
    pod = spec.get("template") or {}
    inner = {field: value for field, value in (pod.get("spec") or {}).items() if field not in {"subdomain", "hostname"}}
    claims = [(one.get("metadata") or {}).get("name") or "" for one in spec.get("volumeClaimTemplates") or ()]
    if claims:
        supplied = [{"name": name, "persistentVolumeClaim": {"claimName": name}} for name in dict.fromkeys(claims)]
        kept = [volume for volume in inner.get("volumes") or () if volume.get("name") not in claims]
        inner["volumes"] = supplied + kept
    judged = {**spec, "template": {**pod, "spec": inner}}
    meta = pod.get("metadata") or {}
    found = template(judged, wanted)
    found += labels(meta.get("labels"), TEMPLATE.child("labels"))
    found += valid_annotations(meta.get("annotations"), TEMPLATE.child("annotations"))
    return found + pod_annotations(meta.get("annotations") or {}, inner, TEMPLATE.child("annotations"))


def stateful_set_update(new: Obj, old: Obj) -> Errors:
    found = stateful_set(new, updating=True)
    mutable = {
        "replicas",
        "template",
        "updateStrategy",
        "minReadySeconds",
        "ordinals",
        "revisionHistoryLimit",
        "persistentVolumeClaimRetentionPolicy",
    }
    spec, before = new.get("spec") or {}, old.get("spec") or {}
    fixed = [{field: value for field, value in one.items() if field not in mutable} for one in (spec, before)]
    if not same(fixed[0], fixed[1]):
        detail = (
            "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', "
            "'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
        )
        found.append(forbidden(SPEC, detail))
    return found


def controller_revision(obj: Obj) -> Errors:
    found = non_negative(obj.get("revision"), Path("revision"))
    data = obj.get("data")
    if data is None:
        found.append(required(Path("data"), "data is mandatory"))
    elif not isinstance(data, dict):
        found.append(required(Path("data"), "data must be a valid JSON object"))
    return found


def controller_revision_update(new: Obj, old: Obj) -> Errors:
    found = non_negative(new.get("revision"), Path("revision"))
    if new.get("data") != old.get("data"):
        found.append(invalid(Path("data"), new.get("data"), IMMUTABLE))
    return found


def status(*counts: str, ready: str = "cannot be greater than readyReplicas") -> Any:
    """The rule for the status of a workload whose `counts` may not exceed its replicas."""

    def rule(new: Obj, old: Obj) -> Errors:
        found: Errors = []
        state = new.get("status") or {}
        for field in ("replicas", *counts, "unavailableReplicas", "terminatingReplicas", "observedGeneration"):
            found += non_negative(state.get(field), STATUS.child(field))
        for field in counts:
            if (state.get(field) or 0) > (state.get("replicas") or 0):
                found.append(invalid(STATUS.child(field), state[field], TOO_MANY))
        available = state.get("availableReplicas") or 0
        if available > (state.get("readyReplicas") or 0):
            found.append(invalid(STATUS.child("availableReplicas"), available, ready))
        collisions, before = state.get("collisionCount"), (old.get("status") or {}).get("collisionCount")
        found += non_negative(collisions, STATUS.child("collisionCount"))
        if before is not None and (collisions is None or collisions < before):
            found.append(invalid(STATUS.child("collisionCount"), collisions or 0, "cannot be decremented"))
        return found

    return rule


def daemon_set_status(new: Obj, old: Obj) -> Errors:
    state = new.get("status") or {}
    fields = (
        "currentNumberScheduled",
        "numberMisscheduled",
        "desiredNumberScheduled",
        "numberReady",
        "observedGeneration",
        "updatedNumberScheduled",
        "numberAvailable",
        "numberUnavailable",
        "collisionCount",
    )
    found = [error for field in fields for error in non_negative(state.get(field), STATUS.child(field))]
    collisions, before = state.get("collisionCount"), (old.get("status") or {}).get("collisionCount")
    if before is not None and (collisions is None or collisions < before):
        found.append(invalid(STATUS.child("collisionCount"), collisions or 0, "cannot be decremented"))
    return found

"""Rules of kinds with few of them: budgets, leases, priorities, runtime classes."""

from __future__ import annotations

from typing import Any

from apimachinery import names
from apimachinery.fields import FieldError, Path, duplicate, forbidden, invalid, not_supported, required
from apimachinery.validation.amounts import requirements
from apimachinery.validation.metadata import conditions, immutable, label_selector, labels, non_negative
from apimachinery.validation.placement import tolerations
from apimachinery.validation.podspec import one_of
from apimachinery.validation.workloads import int_or_percent, not_over_100_percent

Obj = dict[str, Any]
Errors = list[FieldError]

SPEC = Path("spec")
SYSTEM_PREFIX = "system-"
SYSTEM_CLASSES = {"system-node-critical": 2_000_001_000, "system-cluster-critical": 2_000_000_000}
HIGHEST_USER_PRIORITY = 1_000_000_000


def disruption_budget(obj: Obj) -> Errors:
    spec = obj.get("spec") or {}
    least, most = spec.get("minAvailable"), spec.get("maxUnavailable")
    found: Errors = []
    if least is not None and most is not None:
        found.append(invalid(SPEC, spec, "minAvailable and maxUnavailable cannot be both set"))
    for field, value in (("minAvailable", least), ("maxUnavailable", most)):
        if value is not None:
            found += int_or_percent(value, SPEC.child(field)) + not_over_100_percent(value, SPEC.child(field))
    found += label_selector(spec.get("selector"), SPEC.child("selector"))
    policy, known = spec.get("unhealthyPodEvictionPolicy"), ("AlwaysAllow", "IfHealthyBudget")
    if policy is not None and policy not in known:
        found.append(not_supported(SPEC.child("unhealthyPodEvictionPolicy"), policy, known))
    return found


def disruption_budget_status(new: Obj, old: Obj) -> Errors:
    status = new.get("status") or {}
    found = conditions(status.get("conditions") or (), Path("status", "conditions"))
    for field in ("disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"):
        found += non_negative(status.get(field), Path("status", field))
    return found


def lease(obj: Obj) -> Errors:
    spec = obj.get("spec") or {}
    found: Errors = []
    seconds, transitions = spec.get("leaseDurationSeconds"), spec.get("leaseTransitions")
    if seconds is not None and seconds <= 0:
        found.append(invalid(SPEC.child("leaseDurationSeconds"), seconds, "must be greater than 0"))
    if transitions is not None and transitions < 0:
        found.append(invalid(SPEC.child("leaseTransitions"), transitions, "must be greater than or equal to 0"))
    strategy = spec.get("strategy")
    if strategy is not None and "/" not in strategy and strategy != "OldestEmulationVersion":
        found.append(not_supported(SPEC.child("strategy", "strategy"), strategy, ("OldestEmulationVersion",)))
    if spec.get("preferredHolder") and not strategy:
        detail = "may only be specified if `strategy` is defined"
        found.append(forbidden(SPEC.child("preferredHolder"), detail))
    return found


def priority_class(obj: Obj) -> Errors:
    name, value = (obj.get("metadata") or {}).get("name") or "", obj.get("value") or 0
    found: Errors = []
    if name.startswith(SYSTEM_PREFIX):
        wrong = _system_class(name, value, bool(obj.get("globalDefault")))
        if wrong:
            detail = (
                f"priority class names with '{SYSTEM_PREFIX}' prefix are reserved for system use only. error: {wrong}"
            )
            found.append(forbidden(Path("metadata", "name"), detail))
    elif value > HIGHEST_USER_PRIORITY:
        detail = f"maximum allowed value of a user defined priority is {HIGHEST_USER_PRIORITY}"
        found.append(forbidden(Path("value"), detail))
    policy = obj.get("preemptionPolicy")
    if policy is not None:
        found += one_of(policy, ("PreemptLowerPriority", "Never"), Path("preemptionPolicy"))
    return found


def _system_class(name: str, value: int, default: bool) -> str:
    known = SYSTEM_CLASSES.get(name)
    if known is None:
        return f"{name} is not a known system priority class"
    if known != value:
        return f"value of {name} PriorityClass must be {known}"
    return f"globalDefault of {name} PriorityClass must be false" if default else ""


def priority_class_update(new: Obj, old: Obj) -> Errors:
    found: Errors = []
    if (new.get("value") or 0) != (old.get("value") or 0):
        found.append(forbidden(Path("value"), "may not be changed in an update."))
    return found + immutable(new.get("preemptionPolicy"), old.get("preemptionPolicy"), Path("preemptionPolicy"))


def runtime_class(obj: Obj) -> Errors:
    handler = obj.get("handler") or ""
    if not handler:
        found: Errors = [required(Path("handler"))]
    else:
        found = [invalid(Path("handler"), handler, text) for text in names.dns1123_label(handler)]
    if obj.get("overhead") is not None:
        fixed = obj["overhead"].get("podFixed") or {}
        found += requirements({"limits": fixed}, (), Path("overhead"))
    scheduling = obj.get("scheduling")
    if scheduling is not None:
        place = Path("scheduling", "tolerations")
        found += labels(scheduling.get("nodeSelector"), Path("scheduling", "nodeSelector"))
        listed = scheduling.get("tolerations") or []
        found += tolerations(listed, place)
        bare = [{k: v for k, v in one.items() if k != "tolerationSeconds"} for one in listed]
        found += [duplicate(place.index(i), listed[i]) for i, one in enumerate(bare) if one in bare[:i]]
    return found


def runtime_class_update(new: Obj, old: Obj) -> Errors:
    return immutable(new.get("handler"), old.get("handler"), Path("handler"))

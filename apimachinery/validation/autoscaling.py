"""Rules of HorizontalPodAutoscalers and Scales."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from apimachinery import names
from apimachinery.fields import FieldError, Path, forbidden, invalid, not_supported, required
from apimachinery.validation.amounts import ZERO, container_resource_name, non_negative_amount, parsed
from apimachinery.validation.metadata import POSITIVE, non_negative

Obj = dict[str, Any]
Errors = list[FieldError]

SPEC = Path("spec")
#: metric type -> the field which describes it, in the order upstream looks at them
SOURCES = {
    "Object": "object",
    "External": "external",
    "Pods": "pods",
    "Resource": "resource",
    "ContainerResource": "containerResource",
}
TYPES = tuple(sorted(SOURCES))
TARGET_TYPES = frozenset({"Utilization", "Value", "AverageValue"})


def scale(obj: Obj) -> Errors:
    return non_negative((obj.get("spec") or {}).get("replicas"), SPEC.child("replicas"))


def autoscaler(obj: Obj) -> Errors:
    spec = obj.get("spec") or {}
    least, most = spec.get("minReplicas"), spec.get("maxReplicas") or 0
    found: Errors = []
    if least is not None and least < 1:
        found.append(invalid(SPEC.child("minReplicas"), least, "must be greater than or equal to 1"))
    if most == 0:
        found.append(required(SPEC.child("maxReplicas"), "must be set and greater than 0"))
    elif most < 0:
        found.append(invalid(SPEC.child("maxReplicas"), most, "must be greater than or equal to 1"))
    if least is not None and most < least:
        found.append(invalid(SPEC.child("maxReplicas"), most, "must be greater than or equal to `minReplicas`"))
    found += _reference(spec.get("scaleTargetRef") or {}, SPEC.child("scaleTargetRef"))
    for index, metric in enumerate(spec.get("metrics") or ()):
        found += _metric(metric, SPEC.child("metrics").index(index))
    for field in ("scaleUp", "scaleDown"):
        rules = (spec.get("behavior") or {}).get(field)
        if rules is not None:
            found += _rules(rules, SPEC.child("behavior", field))
    return found


def autoscaler_status(new: Obj, old: Obj) -> Errors:
    status = new.get("status") or {}
    return [e for f in ("currentReplicas", "desiredReplicas") for e in non_negative(status.get(f), Path("status", f))]


def _segment(text: str, path: Path, missing: str = "") -> Errors:
    if not text:
        return [required(path, missing)]
    return [invalid(path, text, wrong) for wrong in names.path_segment(text)]


def _reference(reference: Obj, path: Path) -> Errors:
    found = _segment(reference.get("kind") or "", path.child("kind"))
    found += _segment(reference.get("name") or "", path.child("name"))
    version = reference.get("apiVersion") or ""
    if version.count("/") > 1:
        found.append(invalid(path.child("apiVersion"), version, f"unexpected GroupVersion string: {version}"))
    return found


def _metric(metric: Obj, path: Path) -> Errors:
    kind = metric.get("type") or ""
    found: Errors = [] if kind else [required(path.child("type"), "must specify a metric source type")]
    if kind not in SOURCES:
        found.append(not_supported(path.child("type"), kind, TYPES))
    given = [field for field in SOURCES.values() if metric.get(field) is not None]
    if given:
        found += _RULES[given[0]](metric[given[0]], path.child(given[0]))
    expected = SOURCES.get(kind)
    if expected is None:
        found.append(not_supported(path.child("type"), kind, TYPES))
    elif expected not in given:
        found.append(required(path.child(expected), "must populate information for the given metric source"))
    if len(given) != 1:
        detail = "must populate the given metric source only"
        found += [forbidden(path.child(field), detail) for field in given if field != expected]
    return found


def _identifier(source: Obj, path: Path) -> Errors:
    return _segment(
        (source.get("metric") or {}).get("name") or "", path.child("metric", "name"), "must specify a metric name"
    )


def _target(source: Obj, path: Path) -> tuple[Obj, Errors]:
    target, place = source.get("target") or {}, path.child("target")
    kind = target.get("type") or ""
    found: Errors = [] if kind else [required(place.child("type"), "must specify a metric target type")]
    if kind not in TARGET_TYPES:
        found.append(invalid(place.child("type"), kind, "must be either Utilization, Value, or AverageValue"))
    for field in ("value", "averageValue"):
        if target.get(field) is not None:
            amount = parsed(target[field])
            if amount is None or amount <= ZERO:
                found.append(invalid(place.child(field), target[field], "must be positive"))
    percent = target.get("averageUtilization")
    if percent is not None and percent < 1:
        found.append(invalid(place.child("averageUtilization"), percent, "must be greater than 0"))
    return target, found


def _object(source: Obj, path: Path) -> Errors:
    found = _reference(source.get("describedObject") or {}, path.child("describedObject"))
    found += _identifier(source, path)
    target, wrong = _target(source, path)
    found += wrong
    if target.get("value") is None and target.get("averageValue") is None:
        place = path.child("target", "averageValue")
        found.append(required(place, "must set either a target value or averageValue"))
    return found


def _external(source: Obj, path: Path) -> Errors:
    found = _identifier(source, path)
    target, wrong = _target(source, path)
    found += wrong
    given = [field for field in ("value", "averageValue") if target.get(field) is not None]
    if not given:
        detail = "must set either a target value for metric or a per-pod target"
        found.append(required(path.child("target", "averageValue"), detail))
    if len(given) == 2:
        detail = "may not set both a target value for metric and a per-pod target"
        found.append(forbidden(path.child("target", "value"), detail))
    return found


def _pods(source: Obj, path: Path) -> Errors:
    found = _identifier(source, path)
    target, wrong = _target(source, path)
    found += wrong
    if target.get("averageValue") is None:
        place = path.child("target", "averageValue")
        found.append(required(place, "must specify a positive target averageValue"))
    return found


def _resource(source: Obj, path: Path) -> Errors:
    found = [] if source.get("name") else [required(path.child("name"), "must specify a resource name")]
    return found + _raw_or_percent(source, path)


def _container_resource(source: Obj, path: Path) -> Errors:
    name, container = source.get("name") or "", source.get("container") or ""
    if not name:
        found: Errors = [required(path.child("name"), "must specify a resource name")]
    else:
        found = container_resource_name(name, path.child("name"))
    if not container:
        found.append(required(path.child("container"), "must specify a container"))
    else:
        found += [invalid(path.child("container"), container, text) for text in names.dns1123_label(container)]
    return found + _raw_or_percent(source, path)


def _raw_or_percent(source: Obj, path: Path) -> Errors:
    target, found = _target(source, path)
    given = [field for field in ("averageUtilization", "averageValue") if target.get(field) is not None]
    if not given:
        detail = "must set either a target raw value or a target utilization"
        found.append(required(path.child("target", "averageUtilization"), detail))
    if len(given) == 2:
        detail = "may not set both a target raw value and a target utilization"
        found.append(forbidden(path.child("target", "averageValue"), detail))
    return found


_RULES: dict[str, Callable[[Obj, Path], Errors]] = {
    "object": _object,
    "external": _external,
    "pods": _pods,
    "resource": _resource,
    "containerResource": _container_resource,
}


def _rules(rules: Obj, path: Path) -> Errors:
    found: Errors = []
    seconds, place = rules.get("stabilizationWindowSeconds"), path.child("stabilizationWindowSeconds")
    if seconds is not None and seconds < 0:
        found.append(invalid(place, seconds, "must be greater than or equal to zero"))
    if seconds is not None and seconds > 3600:
        found.append(invalid(place, seconds, "must be less than or equal to 3600"))
    choice = rules.get("selectPolicy")
    if choice is not None and choice not in {"Disabled", "Max", "Min"}:
        found.append(not_supported(path.child("selectPolicy"), choice, ("Disabled", "Max", "Min")))
    policies = rules.get("policies") or ()
    if not policies:
        found.append(required(path.child("policies"), "must specify at least one Policy"))
    for index, policy in enumerate(policies):
        where = path.child("policies").index(index)
        if policy.get("type") not in {"Pods", "Percent"}:
            found.append(not_supported(where.child("type"), policy.get("type") or "", ("Percent", "Pods")))
        for field in ("value", "periodSeconds"):
            if (policy.get(field) or 0) <= 0:
                found.append(invalid(where.child(field), policy.get(field) or 0, POSITIVE))
        if (policy.get("periodSeconds") or 0) > 1800:
            detail = "must be less than or equal to 1800"
            found.append(invalid(where.child("periodSeconds"), policy["periodSeconds"], detail))
    if rules.get("tolerance") is not None:
        found += non_negative_amount(rules["tolerance"], path.child("tolerance"))
    return found

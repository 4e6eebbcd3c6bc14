"""Rules of ResourceQuotas and LimitRanges."""

from __future__ import annotations

from typing import Any

from apimachinery import names
from apimachinery.fields import FieldError, Path, duplicate, forbidden, invalid, required
from apimachinery.quantity import Quantity
from apimachinery.validation.amounts import (
    QUOTA,
    amount,
    container_resource_name,
    may_overcommit,
    parsed,
    quota_resource_name,
    resource_name,
)
from apimachinery.validation.metadata import IMMUTABLE

Obj = dict[str, Any]
Errors = list[FieldError]

SPEC = Path("spec")
SCOPES = frozenset(
    {
        "Terminating",
        "NotTerminating",
        "BestEffort",
        "NotBestEffort",
        "PriorityClass",
        "CrossNamespacePodAffinity",
        "VolumeAttributesClass",
    }
)
_POD_AMOUNTS = frozenset({"pods", "cpu", "memory", "limits.cpu", "limits.memory", "requests.cpu", "requests.memory"})
_CLAIM_AMOUNTS = frozenset({"persistentvolumeclaims", "requests.storage"})
_EXISTS_ONLY = frozenset({"BestEffort", "NotBestEffort", "Terminating", "NotTerminating", "CrossNamespacePodAffinity"})
LIMIT_TYPES = frozenset({"Pod", "Container", "PersistentVolumeClaim"})
ONE = Quantity.parse("1")


def _covers(scope: str, resource: str) -> bool:
    if scope == "BestEffort":
        return resource == "pods"
    if scope == "VolumeAttributesClass":
        return resource in _CLAIM_AMOUNTS
    return scope not in SCOPES or resource in _POD_AMOUNTS


def _table(table: Obj | None, path: Path) -> Errors:
    found: Errors = []
    for name, text in (table or {}).items():
        place = path.key(name)
        found += quota_resource_name(name, place) + amount(name, text, place)
    return found


def resource_quota(obj: Obj) -> Errors:
    status = obj.get("status") or {}
    found = _quota_spec(obj.get("spec") or {})
    return found + [e for f in ("hard", "used") for e in _table(status.get(f), Path("status", f))]


def _quota_spec(spec: Obj) -> Errors:
    found = _table(spec.get("hard"), SPEC.child("hard"))
    scopes, place = spec.get("scopes") or [], SPEC.child("scopes")
    standard = [name for name in sorted(spec.get("hard") or ()) if name in QUOTA]
    for scope in scopes:
        if scope not in SCOPES:
            found.append(invalid(place, scopes, "unsupported scope"))
        found += [
            invalid(place, scopes, "unsupported scope applied to resource")
            for name in standard
            if not _covers(scope, name)
        ]
    found += _conflicts(set(scopes), scopes, place)
    selector = spec.get("scopeSelector")
    if selector is not None:
        found += _scope_selector(spec, selector, standard)
    return found


def _conflicts(given: set[str], shown: list[str], path: Path) -> Errors:
    pairs = ({"BestEffort", "NotBestEffort"}, {"Terminating", "NotTerminating"})
    return [invalid(path, shown, "conflicting scopes") for pair in pairs if pair <= given]


def _scope_selector(spec: Obj, selector: Obj, standard: list[str]) -> Errors:
    found: Errors = []
    place = SPEC.child("scopeSelector", "matchExpressions")
    requirements = selector.get("matchExpressions") or ()
    for one in requirements:
        scope, operator, values = one.get("scopeName") or "", one.get("operator") or "", one.get("values") or []
        if scope not in SCOPES:
            found.append(invalid(place.child("scopeName"), scope, "unsupported scope"))
        detail = "unsupported scope applied to resource"
        found += [invalid(place, selector, detail) for name in standard if not _covers(scope, name)]
        if scope in _EXISTS_ONLY and operator != "Exists":
            detail = (
                "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, "
                "ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or "
                "ResourceQuotaScopeCrossNamespacePodAffinity"
            )
            found.append(invalid(place.child("operator"), operator, detail))
        if operator in {"In", "NotIn"}:
            if not values:
                detail = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"
                found.append(required(place.child("values"), detail))
        elif operator in {"Exists", "DoesNotExist"}:
            if values:
                detail = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector"
                found.append(invalid(place.child("values"), values, detail))
        else:
            found.append(invalid(place.child("operator"), operator, "not a valid selector operator"))
    given = {one.get("scopeName") or "" for one in requirements}
    return found + _conflicts(given, spec.get("scopes") or [], place)


def resource_quota_update(new: Obj, old: Obj) -> Errors:
    spec, before = new.get("spec") or {}, old.get("spec") or {}
    found = _quota_spec(spec)
    if set(spec.get("scopes") or ()) != set(before.get("scopes") or ()):
        found.append(invalid(SPEC.child("scopes"), spec.get("scopes"), IMMUTABLE))
    return found


def resource_quota_status(new: Obj, old: Obj) -> Errors:
    status = new.get("status") or {}
    return [e for f in ("hard", "used") for e in _table(status.get(f), Path("status", f))]


def limit_range(obj: Obj) -> Errors:
    found: Errors = []
    seen: set[str] = set()
    for index, limit in enumerate((obj.get("spec") or {}).get("limits") or ()):
        place, kind = SPEC.child("limits").index(index), limit.get("type") or ""
        wrong = [invalid(place.child("type"), kind, text) for text in names.qualified_name(kind)]
        if not wrong and "/" not in kind and kind not in LIMIT_TYPES:
            wrong.append(invalid(place.child("type"), kind, "must be a standard limit type or fully qualified"))
        found += wrong
        if kind in seen:
            found.append(duplicate(place.child("type"), kind))
        seen.add(kind)
        found += _limit(limit, kind, place)
    return found


def _limit(limit: Obj, kind: str, path: Path) -> Errors:
    rule = container_resource_name if kind in {"Pod", "Container"} else resource_name
    found: Errors = []
    for field in ("max", "min", "default", "defaultRequest"):
        if kind == "Pod" and field in {"default", "defaultRequest"}:
            if limit.get(field):
                found.append(forbidden(path.child(field), "may not be specified when `type` is 'Pod'"))
            continue
        for name in limit.get(field) or ():
            found += rule(name, path.child(field).key(name))
    if kind == "PersistentVolumeClaim" and not any("storage" in (limit.get(f) or ()) for f in ("min", "max")):
        detail = "either minimum or maximum storage value is required, but neither was provided"
        found.append(required(path.child("limits"), detail))
    for name in limit.get("maxLimitRequestRatio") or ():
        found += rule(name, path.child("maxLimitRequestRatio").key(name))
    fields = ("max", "min", "default", "defaultRequest", "maxLimitRequestRatio")
    every = dict.fromkeys(name for field in fields for name in limit.get(field) or ())
    for name in every:
        held = {field: parsed(limit[field][name]) for field in fields if name in (limit.get(field) or ())}
        if kind == "Pod":
            held.pop("default", None)
            held.pop("defaultRequest", None)
        found += _relations(name, {f: q for f, q in held.items() if q is not None}, path)
    return found


def _relations(name: str, held: dict[str, Quantity], path: Path) -> Errors:
    """The order in which the five amounts of one resource must stand."""
    found: Errors = []
    words = {"min": "min", "max": "max", "default": "default", "defaultRequest": "default request"}

    def ordered(small: str, large: str, at: str, shown: str, limit_word: str = "") -> None:
        if small in held and large in held and held[small] > held[large]:
            word = limit_word or words[large]
            detail = f"{words[small]} value {held[small]} is greater than {word} value {held[large]}"
            found.append(invalid(path.child(at).key(name), str(held[shown]), detail))

    ordered("min", "max", "min", "min")
    ordered("min", "defaultRequest", "defaultRequest", "defaultRequest")
    ordered("defaultRequest", "max", "defaultRequest", "defaultRequest")
    ordered("defaultRequest", "default", "defaultRequest", "defaultRequest", "default limit")
    ordered("min", "default", "default", "min")
    ordered("default", "max", "default", "max")
    ratio = held.get("maxLimitRequestRatio")
    if ratio is not None:
        place = path.child("maxLimitRequestRatio").key(name)
        if ratio < ONE:
            found.append(invalid(place, str(ratio), f"ratio {ratio} is less than 1"))
        if "min" in held and "max" in held and held["min"].milli_value():
            bound = held["max"].milli_value() / held["min"].milli_value()
            if ratio.milli_value() / 1000 > bound:
                found.append(invalid(place, str(ratio), f"ratio {ratio} is greater than max/min = {bound:f}"))
    standard, request = held.get("default"), held.get("defaultRequest")
    if not may_overcommit(name) and None not in (standard, request) and standard != request:
        detail = f"default value {standard} must equal to defaultRequest value {request} in {name}"
        found.append(invalid(path.child("defaultRequest").key(name), str(request), detail))
    return found

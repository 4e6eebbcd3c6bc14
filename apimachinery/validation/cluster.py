"""Rules of Namespaces and Nodes."""

from __future__ import annotations

import re
from typing import Any

from apimachinery import names
from apimachinery.fields import ErrorKind, FieldError, Path, duplicate, forbidden, invalid, quote
from apimachinery.validation.amounts import amount
from apimachinery.validation.metadata import label_key
from apimachinery.validation.placement import effect

Obj = dict[str, Any]
Errors = list[FieldError]

STANDARD_FINALIZERS = frozenset({"kubernetes", "orphan", "foregroundDeletion"})
_FEATURE = re.compile(r"[A-Z][a-zA-Z0-9]*(/[a-zA-Z][a-zA-Z0-9]*)*", re.ASCII)


def standard_finalizer(name: str, path: Path) -> Errors:
    """A finalizer of the core group: known, or with somebody's domain."""
    if "/" in name or name in STANDARD_FINALIZERS:
        return []
    return [invalid(path, name, "name is neither a standard finalizer name nor is it fully qualified")]


def _finalizer(name: str, path: Path) -> Errors:
    return [invalid(path, name, text) for text in names.qualified_name(name)] + standard_finalizer(name, path)


def namespace(obj: Obj) -> Errors:
    found: Errors = []
    for name in (obj.get("spec") or {}).get("finalizers") or ():
        found += _finalizer(name, Path("spec", "finalizers"))
    return found


def namespace_finalize(new: Obj, old: Obj) -> Errors:
    found: Errors = []
    for index, name in enumerate((new.get("spec") or {}).get("finalizers") or ()):
        found += _finalizer(name, Path("spec", "finalizers").index(index))
    return found


def namespace_status(new: Obj, old: Obj) -> Errors:
    phase = (new.get("status") or {}).get("phase") or ""
    place = Path("status", "Phase")
    if not new["metadata"].get("deletionTimestamp"):
        if phase != "Active":
            return [invalid(place, phase, "may only be 'Active' if `deletionTimestamp` is empty")]
    elif phase != "Terminating":
        return [invalid(place, phase, "may only be 'Terminating' if `deletionTimestamp` is not empty")]
    return []


def node(obj: Obj) -> Errors:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    found = taints(spec.get("taints") or [], Path("metadata", "taints"))
    found += _node_amounts(status) + _features(status)
    ranges = spec.get("podCIDRs") or []
    place = Path("spec", "podCIDRs")
    for index, text in enumerate(ranges):
        found += [invalid(place.index(index), text, wrong) for wrong in names.cidr(text)]
    if len(ranges) > 1 and (len(ranges) > 2 or len({":" in one for one in ranges}) < 2):
        found.append(invalid(place, ranges, "may specify no more than one CIDR for each IP family"))
    return found


def taints(listed: list[Obj], path: Path) -> Errors:
    found: Errors = []
    seen: set[tuple[str, str]] = set()
    for index, taint in enumerate(listed):
        place = path.index(index)
        key, value = taint.get("key") or "", taint.get("value") or ""
        found += label_key(key, place.child("key"))
        wrong = names.label_value(value)
        if wrong:
            found.append(invalid(place.child("value"), value, ";".join(wrong)))
        found += effect(taint.get("effect") or "", place.child("effect"))
        pair = (key, taint.get("effect") or "")
        if pair in seen:
            detail = "taints must be unique by key and effect pair"
            found.append(FieldError(ErrorKind.DUPLICATE, str(place), taint, detail))
        seen.add(pair)
    return found


def _node_amounts(status: Obj) -> Errors:
    found: Errors = []
    for field in ("capacity", "allocatable"):
        for name, text in (status.get(field) or {}).items():
            found += amount(name, text, Path("status", field, name))
    return found


def _features(status: Obj) -> Errors:
    found: Errors = []
    listed = status.get("declaredFeatures") or []
    place = Path("status", "declaredFeatures")
    for index, name in enumerate(listed):
        if len(name) > 253:
            detail = f"invalid feature name {quote(name)}: must be no more than 253 characters"
            found.append(invalid(place.index(index), name, detail))
        elif not _FEATURE.fullmatch(name):
            detail = (
                f"invalid feature name {quote(name)}: must start with an UpperCamelCase segment, with subsequent "
                "segments separated by '/' (e.g., MyFeature or MyFeature/mySubFeature), and contain only alphanumeric "
                "characters and slashes"
            )
            found.append(invalid(place.index(index), name, detail))
        if index + 1 < len(listed):
            following = listed[index + 1]
            if name == following:
                found.append(duplicate(place.index(index + 1), following))
            elif name > following:
                found.append(invalid(place.index(index + 1), following, "list must be sorted alphabetically"))
    return found


def node_update(new: Obj, old: Obj) -> Errors:
    spec, before, status = new.get("spec") or {}, old.get("spec") or {}, new.get("status") or {}
    found = _node_amounts(status) + _features(status)
    seen: list[Obj] = []
    for index, address in enumerate(status.get("addresses") or ()):
        if address in seen:
            found.append(duplicate(Path("status", "addresses").index(index), address))
        seen.append(address)
    known, ranges = before.get("podCIDRs") or [], spec.get("podCIDRs") or []
    if known:
        detail = 'node updates may not change podCIDR except from "" to valid'
        changes = 1 if len(known) != len(ranges) else sum(a != b for a, b in zip(known, ranges, strict=True))
        found += [forbidden(Path("spec", "podCIDRs"), detail)] * changes
    if before.get("providerID") and before["providerID"] != spec.get("providerID"):
        detail = 'node updates may not change providerID except from "" to valid'
        found.append(forbidden(Path("spec", "providerID"), detail))
    found += taints(spec.get("taints") or [], Path("metadata", "taints"))
    if (spec.get("externalID") or "") != (before.get("externalID") or ""):
        found.append(forbidden(Path("spec", "externalID"), "may not be updated"))
    return found

"""Rules of PersistentVolumeClaims, also as templates."""

from __future__ import annotations

import copy
from typing import Any

from apimachinery import names
from apimachinery.fields import FieldError, Path, forbidden, invalid, not_supported, required
from apimachinery.strategies.equality import same
from apimachinery.validation.amounts import ZERO, is_native, non_negative_amount, parsed, positive_amount
from apimachinery.validation.metadata import IMMUTABLE, immutable, label_selector

Obj = dict[str, Any]
Errors = list[FieldError]

ACCESS_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
VOLUME_MODES = ("Block", "Filesystem")
CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class"
RESIZE_STATES = (
    "ControllerResizeInProgress",
    "ControllerResizeInfeasible",
    "NodeResizeInProgress",
    "NodeResizeInfeasible",
    "NodeResizePending",
)
SPEC = Path("spec")


def access_modes(modes: list[str], path: Path) -> Errors:
    found = [not_supported(path, mode, ACCESS_MODES) for mode in modes if mode not in ACCESS_MODES]
    known = {mode for mode in modes if mode in ACCESS_MODES}
    if "ReadWriteOncePod" in known and len(known) > 1:
        found.append(forbidden(path, "may not use ReadWriteOncePod with other access modes"))
    return found


def claim_spec(spec: Obj, path: Path) -> Errors:
    modes = spec.get("accessModes") or []
    found: Errors = []
    if not modes:
        found.append(required(path.child("accessModes"), "at least 1 access mode is required"))
    found += label_selector(spec.get("selector"), path.child("selector"))
    found += access_modes(modes, path.child("accessModes"))
    storage = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    place = path.child("resources").key("storage")
    found += [required(place)] if storage is None else positive_amount(storage, place)
    found += _class_name(spec, "storageClassName", path)
    mode = spec.get("volumeMode")
    if mode is not None and mode not in VOLUME_MODES:
        found.append(not_supported(path.child("volumeMode"), mode, VOLUME_MODES))
    source, reference = spec.get("dataSource"), spec.get("dataSourceRef")
    if source is not None:
        found += _data_source(source, path.child("dataSource"))
    if reference is not None:
        found += _data_source(reference, path.child("dataSourceRef"))
        namespace = reference.get("namespace")
        if namespace:
            where = path.child("dataSourceRef", "namespace")
            found += [invalid(where, namespace, text) for text in names.dns1123_label(namespace)]
        if source is not None:
            shown = str(path.child("dataSource"))
            if namespace:
                found.append(invalid(path, shown, "may not be specified when dataSourceRef.namespace is specified"))
            elif any(source.get(field) != reference.get(field) for field in ("apiGroup", "kind", "name")):
                found.append(invalid(path, shown, "must match dataSourceRef"))
    return found + _class_name(spec, "volumeAttributesClassName", path)


def _class_name(spec: Obj, field: str, path: Path) -> Errors:
    name = spec.get(field)
    return [invalid(path.child(field), name, text) for text in names.dns1123_subdomain(name)] if name else []


def _data_source(source: Obj, path: Path) -> Errors:
    found = [required(path.child(field)) for field in ("name", "kind") if not source.get(field)]
    group, kind = source.get("apiGroup") or "", source.get("kind") or ""
    if not group and kind != "PersistentVolumeClaim":
        detail = "must be 'PersistentVolumeClaim' when referencing the default apiGroup"
        found.append(invalid(path, kind, detail))
    if group:
        found += [invalid(path.child("apiGroup"), group, text) for text in names.dns1123_subdomain(group)]
    return found


def create(claim: Obj) -> Errors:
    return claim_spec(claim.get("spec") or {}, SPEC)


def update(claim: Obj, old: Obj) -> Errors:
    """A claim is fixed but for its size and attributes class once bound, and the volume the binder chooses."""
    found = create(claim)
    spec, before = copy.deepcopy(claim.get("spec") or {}), copy.deepcopy(old.get("spec") or {})
    if not before.get("volumeName"):
        before["volumeName"] = spec.get("volumeName")
    was = ((old.get("metadata") or {}).get("annotations") or {}).get(CLASS_ANNOTATION)
    now = ((claim.get("metadata") or {}).get("annotations") or {}).get(CLASS_ANNOTATION)
    named, named_before = spec.get("storageClassName"), before.get("storageClassName")
    moved = was is not None and named_before is None and named == was and now in {None, was}
    if not moved and (now or "") != (was or ""):
        found.append(invalid(Path("metadata").child("annotations", CLASS_ANNOTATION), now or "", IMMUTABLE))
    if moved or (named is not None and named_before is None and was in {None, named}):
        spec["storageClassName"] = named_before
    amounts, amounts_before = _requests(spec), _requests(before)
    new_size, old_size = parsed(amounts.get("storage") or "0"), parsed(amounts_before.get("storage") or "0")
    if (claim.get("status") or {}).get("phase") == "Bound":
        if amounts:
            amounts["storage"] = amounts_before.get("storage")
        spec["volumeAttributesClassName"] = before.get("volumeAttributesClassName")
    if not same(spec, before):
        detail = (
            "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"
        )
        found.append(forbidden(SPEC, detail))
    if new_size is not None and old_size is not None and new_size < old_size:
        held = parsed(((old.get("status") or {}).get("capacity") or {}).get("storage") or "0") or ZERO
        if new_size <= held:
            place = SPEC.child("resources", "requests", "storage")
            found.append(forbidden(place, "field can not be less than status.capacity"))
    new_spec, old_spec = claim.get("spec") or {}, old.get("spec") or {}
    found += immutable(new_spec.get("volumeMode"), old_spec.get("volumeMode"), Path("volumeMode"))
    return found + _attributes_class(new_spec, old)


def _requests(spec: Obj) -> Obj:
    requests: Obj = (spec.get("resources") or {}).get("requests") or {}
    return requests


def _attributes_class(spec: Obj, old: Obj) -> Errors:
    name = spec.get("volumeAttributesClassName")
    unchanged = name == (old.get("spec") or {}).get("volumeAttributesClassName")
    if unchanged or (old.get("status") or {}).get("currentVolumeAttributesClassName") is None or name:
        return []
    what = "nil" if name is None else "empty string"
    detail = f"update to {what} is forbidden when status.currentVolumeAttributesClassName is not nil"
    return [forbidden(SPEC.child("volumeAttributesClassName"), detail)]


def status_update(claim: Obj, old: Obj) -> Errors:
    status = claim.get("status") or {}
    found: Errors = []
    if not (claim.get("spec") or {}).get("accessModes"):
        found.append(required(Path("Spec", "accessModes")))
    for name, text in (status.get("capacity") or {}).items():
        quantity = parsed(text)
        if quantity is None or quantity.value() < 0:
            shown = text if quantity is None else quantity.value()
            detail = "must be a valid resource quantity"
            found.append(invalid(Path("status", "capacity").key(name), shown, detail))
    place = Path("status", "allocatedResourceStatuses")
    for name, state in (status.get("allocatedResourceStatuses") or {}).items():
        found += _resource_key(name, place)
        if state not in RESIZE_STATES:
            found.append(not_supported(place, name, RESIZE_STATES))
    place = Path("status", "allocatedResources")
    for name, text in (status.get("allocatedResources") or {}).items():
        found += _resource_key(name, place) or non_negative_amount(text, place.key(name))
    return found


def _resource_key(name: str, path: Path) -> Errors:
    found = [invalid(path, name, text) for text in names.qualified_name(name)]
    if not found and is_native(name) and name != "storage":
        found.append(not_supported(path, name, ["storage"]))
    return found

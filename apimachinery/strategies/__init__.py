"""What the server resets or fills in when an object is written, beyond defaults: status, generation, per-kind fields.

The order of a write is: decode, `defaults.apply`, mutating admission, `prepare_*` of here, validation, store.
Everything works in place on the new object and may share parts with the old one, which callers must therefore treat as
frozen.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from apimachinery import timestamps
from apimachinery.defaults.core import merge_string_data
from apimachinery.defaults.pods import mirror_service_account
from apimachinery.strategies import certificates, pods, services, workloads
from apimachinery.strategies.equality import same
from apimachinery.strategies.traits import (
    BUILT_IN_GROUPS,
    EMPTY_STATUS,
    FIXED_METADATA,
    GENERATION,
    STATUS_WITH_CREATE,
)

if TYPE_CHECKING:
    from apimachinery.resources import ResourceInfo

Obj = dict[str, Any]

#: Metadata which a writer may leave out and never change; validation complains where it differs.
_KEPT_METADATA = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds")


def is_custom(info: ResourceInfo) -> bool:
    """Whether the kind comes from a CustomResourceDefinition."""
    return info.custom is not None or info.group not in BUILT_IN_GROUPS


def prepare_create(info: ResourceInfo, obj: Obj, now: float | None = None) -> None:
    """Make `obj` what a new object of its kind starts as. `metadata.uid` must be set already: Jobs select by it."""
    key = (info.group, info.kind)
    metadata = obj.setdefault("metadata", {})
    if key in EMPTY_STATUS:
        obj["status"] = copy.deepcopy(EMPTY_STATUS[key])
        if key == ("autoscaling", "HorizontalPodAutoscaler") and info.version == "v1":
            obj["status"] = {"currentReplicas": 0, "desiredReplicas": 0}
    elif is_custom(info) and info.subresource("status") is not None:
        obj.pop("status", None)
    if key in GENERATION or is_custom(info):
        metadata["generation"] = 1
    else:
        metadata.pop("generation", None)
    _create_special(key, obj, timestamps.format(now) if now is not None else None)


def _create_special(key: tuple[str, str], obj: Obj, now: str | None) -> None:
    match key:
        case ("", "Pod"):
            pods.create(obj)
            if now is not None:
                pods.stamp_conditions(obj, now)
        case ("", "Namespace"):
            finalizers = obj.setdefault("spec", {}).setdefault("finalizers", [])
            if "kubernetes" not in finalizers:
                finalizers.append("kubernetes")
        case ("", "Secret"):
            merge_string_data(obj)
        case ("", "Service"):
            services.create(obj)
        case ("", "ServiceAccount"):
            workloads.clean_secret_references(obj)
        case ("", "Node"):
            obj.setdefault("spec", {}).pop("configSource", None)
            obj.setdefault("status", {}).pop("config", None)
        case ("", "PersistentVolume"):
            if now is not None:
                obj["status"]["lastPhaseTransitionTime"] = now
        case ("", "PersistentVolumeClaim"):
            workloads.normalize_data_sources(obj)
        case ("apps", "DaemonSet"):
            workloads.create_daemon_set(obj)
        case ("batch", "Job"):
            workloads.create_job(obj)
        case ("certificates.k8s.io", "CertificateSigningRequest"):
            certificates.create(obj)
        case ("apiextensions.k8s.io", "CustomResourceDefinition"):
            _remember_stored_version(obj)
        case ("apiregistration.k8s.io", "APIService"):
            if obj.get("spec", {}).get("service") is None:
                obj["status"] = {"conditions": [_locally_available(now or obj["metadata"].get("creationTimestamp"))]}


def _locally_available(now: str | None) -> Obj:
    return {
        "type": "Available",
        "status": "True",
        "lastTransitionTime": now,
        "reason": "Local",
        "message": "Local APIServices are always available",
    }


def prepare_update(info: ResourceInfo, obj: Obj, old: Obj, now: float | None = None) -> None:
    """Undo what an update of the main resource may not touch and count the generation."""
    key = (info.group, info.kind)
    _keep_metadata(obj, old)
    if key in EMPTY_STATUS or key in STATUS_WITH_CREATE or (is_custom(info) and info.subresource("status") is not None):
        _take(obj, old, "status")
    match key:
        case ("", "Service"):
            services.update(obj, old)
            services.keep_allocated(obj, old)
        case ("", "Namespace"):
            _take(obj.setdefault("spec", {}), old.get("spec") or {}, "finalizers")
        case ("", "Secret"):
            merge_string_data(obj)
            if not obj.get("type"):
                _take(obj, old, "type")
        case ("", "ServiceAccount"):
            workloads.clean_secret_references(obj)
        case ("", "Pod"):
            mirror_service_account(obj.setdefault("spec", {}))
        case ("", "PersistentVolumeClaim"):
            workloads.normalize_data_sources(obj)
        case ("apps", "DaemonSet"):
            workloads.update_daemon_set(obj, old)
        case ("certificates.k8s.io", "CertificateSigningRequest"):
            _take(obj, old, "spec")
        case ("apiextensions.k8s.io", "CustomResourceDefinition"):
            _remember_stored_version(obj)
    count_generation(info, obj, old)


def prepare_status_update(info: ResourceInfo, obj: Obj, old: Obj, now: float | None = None) -> None:
    """Only the status (and, for most kinds, labels and annotations) may change through the status subresource."""
    key = (info.group, info.kind)
    moment = timestamps.format(now) if now is not None else None
    if is_custom(info):
        _custom_status_update(obj, old)
        return
    _keep_metadata(obj, old)
    for field in old.keys() | obj.keys():
        if field not in {"metadata", "status", "apiVersion", "kind"}:
            _take(obj, old, field)
    if key in FIXED_METADATA:
        reset_metadata(obj, old)
    match key:
        case ("", "Pod"):
            pods.status_update(obj, old)
        case ("apps", "Deployment"):
            _take(obj["metadata"], old["metadata"], "labels")
        case ("", "PersistentVolume"):
            _date_phase(obj, old, moment)
        case ("certificates.k8s.io", "CertificateSigningRequest"):
            certificates.status_update(obj, old, moment)


def prepare_subresource_update(
    info: ResourceInfo, subresource: str, obj: Obj, old: Obj, now: float | None = None
) -> None:
    """As `prepare_status_update`, for any subresource that writes its parent: see the cases."""
    moment = timestamps.format(now) if now is not None else None
    match subresource:
        case "status":
            prepare_status_update(info, obj, old, now)
        case "ephemeralcontainers" | "resize":
            _keep_metadata(obj, old)
            reset_metadata(obj, old)
            _take(obj, old, "status")
            change = pods.ephemeral_containers_update if subresource == "ephemeralcontainers" else pods.resize_update
            change(obj, old)
            count_generation(info, obj, old)
        case "finalize":
            _keep_metadata(obj, old)
            _take(obj, old, "status")
        case "approval":
            _keep_metadata(obj, old)
            certificates.approval_update(obj, old, moment)
        case _:
            prepare_update(info, obj, old, now)


def count_generation(info: ResourceInfo, obj: Obj, old: Obj) -> None:
    """Give `obj` the next generation if what its kind counts has changed, else the old one."""
    key = (info.group, info.kind)
    metadata, before = obj["metadata"], old.get("metadata") or {}
    _take(metadata, before, "generation")
    if is_custom(info):
        fields: tuple[str, ...] = tuple((obj.keys() | old.keys()) - {"metadata", "apiVersion", "kind"})
    elif key in GENERATION:
        fields = GENERATION[key]
    elif key == ("storage.k8s.io", "CSIDriver"):
        fields = ("spec",)
    else:
        return
    changed = any(not same(obj.get(field), old.get(field)) for field in fields)
    if key == ("apps", "Deployment"):
        # Annotations travel from deployments to their replica sets.
        changed = changed or not same(metadata.get("annotations"), before.get("annotations"))
    elif key == ("discovery.k8s.io", "EndpointSlice"):
        changed = changed or not same(metadata.get("labels"), before.get("labels"))
    if changed:
        metadata["generation"] = (before.get("generation") or 0) + 1


def reset_metadata(obj: Obj, old: Obj) -> None:
    """Restore all metadata which a pure status writer may not touch; managedFields stay, they record the write."""
    for field in ("deletionTimestamp", "generation", "labels", "annotations", "finalizers", "ownerReferences"):
        _take(obj["metadata"], old["metadata"], field)


def _keep_metadata(obj: Obj, old: Obj) -> None:
    metadata, before = obj.setdefault("metadata", {}), old.get("metadata") or {}
    _take(metadata, before, "generation")
    for field in _KEPT_METADATA:
        if metadata.get(field) is None and before.get(field) is not None:
            metadata[field] = before[field]


def _custom_status_update(obj: Obj, old: Obj) -> None:
    status, metadata = obj.get("status"), obj.get("metadata") or {}
    restored = {**old, "metadata": dict(old["metadata"])}
    if metadata.get("managedFields") is not None:
        restored["metadata"]["managedFields"] = metadata["managedFields"]
    obj.clear()
    obj.update(restored)
    if status is None:
        obj.pop("status", None)
    else:
        obj["status"] = status


def _take(target: Obj, source: Obj, field: str) -> None:
    if source.get(field) is None:
        target.pop(field, None)
    else:
        target[field] = source[field]


def _remember_stored_version(definition: Obj) -> None:
    for version in definition.get("spec", {}).get("versions") or ():
        if version.get("storage"):
            status = definition["status"] = dict(definition.get("status") or {})
            stored = list(status.get("storedVersions") or ())
            if version.get("name") not in stored:
                stored.append(version.get("name"))
            status["storedVersions"] = stored
            return


def _date_phase(volume: Obj, old: Obj, now: str | None) -> None:
    status, before = volume.setdefault("status", {}), old.get("status") or {}
    moment, known = status.get("lastPhaseTransitionTime"), before.get("lastPhaseTransitionTime")
    if status.get("phase") == before.get("phase"):
        if moment is None:
            _take(status, before, "lastPhaseTransitionTime")
    elif now is not None and (moment is None or moment == known):
        status["lastPhaseTransitionTime"] = now


__all__ = [
    "count_generation",
    "is_custom",
    "prepare_create",
    "prepare_status_update",
    "prepare_subresource_update",
    "prepare_update",
    "reset_metadata",
]

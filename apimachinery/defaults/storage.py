"""Defaults of storage.k8s.io, scheduling.k8s.io and resource.k8s.io."""

from __future__ import annotations

from typing import Any

Obj = dict[str, Any]


def _absent(holder: Obj, field: str, value: Any) -> None:
    if holder.get(field) is None:
        holder[field] = value


def storage_class(obj: Obj) -> None:
    _absent(obj, "reclaimPolicy", "Delete")
    _absent(obj, "volumeBindingMode", "Immediate")


def csi_driver(obj: Obj) -> None:
    spec = obj.setdefault("spec", {})
    _absent(spec, "attachRequired", True)
    for field in ("podInfoOnMount", "storageCapacity", "requiresRepublish", "seLinuxMount"):
        _absent(spec, field, False)
    _absent(spec, "fsGroupPolicy", "ReadWriteOnceWithFSType")
    if not spec.get("volumeLifecycleModes"):
        spec["volumeLifecycleModes"] = ["Persistent"]


def priority_class(obj: Obj) -> None:
    _absent(obj, "preemptionPolicy", "PreemptLowerPriority")
    _absent(obj, "value", 0)


def resource_claim(obj: Obj) -> None:
    _device_requests(obj.setdefault("spec", {}))
    obj.setdefault("status", {})


def resource_claim_template(obj: Obj) -> None:
    template = obj.setdefault("spec", {})
    template.setdefault("metadata", {})
    _device_requests(template.setdefault("spec", {}))


def _device_requests(spec: Obj) -> None:
    for request in spec.setdefault("devices", {}).get("requests", ()):
        exact = request.get("exactly")
        for wanted in [*([exact] if exact else []), *request.get("firstAvailable", ())]:
            if not wanted.get("allocationMode"):
                wanted["allocationMode"] = "ExactCount"
            if wanted["allocationMode"] == "ExactCount" and not wanted.get("count"):
                wanted["count"] = 1

"""Defaults of apps/v1."""

from __future__ import annotations

from typing import Any

from apimachinery.defaults import pods

Obj = dict[str, Any]


def _absent(holder: Obj, field: str, value: Any) -> None:
    if holder.get(field) is None:
        holder[field] = value


def deployment(obj: Obj) -> None:
    spec = obj.setdefault("spec", {})
    _absent(spec, "replicas", 1)
    strategy = spec.setdefault("strategy", {})
    if not strategy.get("type"):
        strategy["type"] = "RollingUpdate"
    if strategy["type"] == "RollingUpdate":
        _absent(strategy, "rollingUpdate", {})
        _absent(strategy["rollingUpdate"], "maxUnavailable", "25%")
        _absent(strategy["rollingUpdate"], "maxSurge", "25%")
    _absent(spec, "revisionHistoryLimit", 10)
    _absent(spec, "progressDeadlineSeconds", 600)
    pods.template(spec)
    obj.setdefault("status", {})


def replica_set(obj: Obj) -> None:
    spec = obj.setdefault("spec", {})
    _absent(spec, "replicas", 1)
    pods.template(spec)
    _absent(obj.setdefault("status", {}), "replicas", 0)


def daemon_set(obj: Obj) -> None:
    spec = obj.setdefault("spec", {})
    strategy = spec.setdefault("updateStrategy", {})
    if not strategy.get("type"):
        strategy["type"] = "RollingUpdate"
    if strategy["type"] == "RollingUpdate":
        _absent(strategy, "rollingUpdate", {})
        _absent(strategy["rollingUpdate"], "maxUnavailable", 1)
        _absent(strategy["rollingUpdate"], "maxSurge", 0)
    _absent(spec, "revisionHistoryLimit", 10)
    pods.template(spec)
    obj.setdefault("status", {})


def stateful_set(obj: Obj) -> None:
    spec = obj.setdefault("spec", {})
    if not spec.get("podManagementPolicy"):
        spec["podManagementPolicy"] = "OrderedReady"
    strategy = spec.setdefault("updateStrategy", {})
    if not strategy.get("type"):
        strategy["type"] = "RollingUpdate"
        _absent(strategy, "rollingUpdate", {})
    if strategy["type"] == "RollingUpdate" and strategy.get("rollingUpdate") is not None:
        _absent(strategy["rollingUpdate"], "partition", 0)
    _absent(spec, "persistentVolumeClaimRetentionPolicy", {})
    for field in ("whenDeleted", "whenScaled"):
        if not spec["persistentVolumeClaimRetentionPolicy"].get(field):
            spec["persistentVolumeClaimRetentionPolicy"][field] = "Retain"
    _absent(spec, "replicas", 1)
    _absent(spec, "revisionHistoryLimit", 10)
    pods.template(spec)
    for claim in spec.get("volumeClaimTemplates", ()):
        # Claims in a StatefulSet carry type and status too, since the field holds whole objects.
        _absent(claim, "apiVersion", "v1")
        _absent(claim, "kind", "PersistentVolumeClaim")
        _absent(claim, "metadata", {})
        pods.claim_spec(claim.setdefault("spec", {}))
        status = claim.setdefault("status", {})
        if not status.get("phase"):
            status["phase"] = "Pending"
    obj.setdefault("status", {}).setdefault("replicas", 0)

"""Defaults of autoscaling/v1 and v2."""

from __future__ import annotations

from typing import Any

Obj = dict[str, Any]

_METRICS_ANNOTATION = "autoscaling.alpha.kubernetes.io/metrics"
_CPU_UTILIZATION = 80


def horizontal_pod_autoscaler_v1(obj: Obj) -> None:
    spec = obj.setdefault("spec", {})
    if spec.get("minReplicas") is None:
        spec["minReplicas"] = 1
    annotations = (obj.get("metadata") or {}).get("annotations") or {}
    if spec.get("targetCPUUtilizationPercentage") is None and _METRICS_ANNOTATION not in annotations:
        spec["targetCPUUtilizationPercentage"] = _CPU_UTILIZATION


def horizontal_pod_autoscaler(obj: Obj) -> None:
    spec = obj.setdefault("spec", {})
    if spec.get("minReplicas") is None:
        spec["minReplicas"] = 1
    if not spec.get("metrics"):
        target = {"type": "Utilization", "averageUtilization": _CPU_UTILIZATION}
        spec["metrics"] = [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]
    behavior = spec.get("behavior")
    if behavior is not None:
        percent = {"type": "Percent", "value": 100, "periodSeconds": 15}
        up = {
            "stabilizationWindowSeconds": 0,
            "selectPolicy": "Max",
            "policies": [{"type": "Pods", "value": 4, "periodSeconds": 15}, dict(percent)],
        }
        down = {"selectPolicy": "Max", "policies": [percent]}
        for field, rules in (("scaleUp", up), ("scaleDown", down)):
            given = {name: value for name, value in (behavior.get(field) or {}).items() if value is not None}
            behavior[field] = {**rules, **given}

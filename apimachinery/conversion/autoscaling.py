"""HorizontalPodAutoscalers: v1 knows one CPU target and keeps everything else as JSON in annotations.

The annotations are part of the API: old clients carry them along, so that an object survives a round through v1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

Values = dict[str, Any]
_PREFIX = "autoscaling.alpha.kubernetes.io/"
_METRICS, _CURRENT = f"{_PREFIX}metrics", f"{_PREFIX}current-metrics"
_CONDITIONS, _BEHAVIOR = f"{_PREFIX}conditions", f"{_PREFIX}behavior"
_ROUND_TRIP = frozenset({_METRICS, _CURRENT, _CONDITIONS, _BEHAVIOR})
_DEFAULT_CPU = 80
_SOURCES = ("resource", "containerResource", "pods", "object", "external")


def to_v1(obj: Values) -> Values:
    """`autoscaling/v2` to `autoscaling/v1`."""
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    metrics, current = spec.get("metrics") or [], status.get("currentMetrics") or []
    notes: dict[str, Any] = {}
    others = [_old_metric(one) for one in metrics if not _is_cpu_target(one)]
    if others:
        notes[_METRICS] = others
    if current:
        notes[_CURRENT] = [_old_status(one) for one in current]
    if spec.get("behavior"):
        notes[_BEHAVIOR] = _capitalized(spec["behavior"])
    if status.get("conditions"):
        notes[_CONDITIONS] = status["conditions"]
    old_spec = {name: value for name, value in spec.items() if name not in ("metrics", "behavior")}
    for one in metrics:
        if _is_cpu_target(one):
            old_spec["targetCPUUtilizationPercentage"] = one["resource"]["target"]["averageUtilization"]
    old_status = {name: value for name, value in status.items() if name not in ("currentMetrics", "conditions")}
    for one in current:
        resource = one.get("resource") or {}
        if resource.get("name") == "cpu" and "averageUtilization" in (resource.get("current") or {}):
            old_status["currentCPUUtilizationPercentage"] = resource["current"]["averageUtilization"]
    return _assembled(obj, old_spec, old_status, {key: orjson.dumps(value).decode() for key, value in notes.items()})


def to_v2(obj: Values) -> Values:
    """`autoscaling/v1` to `autoscaling/v2`."""
    spec, status = dict(obj.get("spec") or {}), dict(obj.get("status") or {})
    notes = (obj.get("metadata") or {}).get("annotations") or {}
    target = spec.pop("targetCPUUtilizationPercentage", None)
    metrics = [_cpu_metric(target)] if target is not None else []
    others = _noted(notes, _METRICS, list)
    if others is not None:
        metrics = [*map(_new_metric, others), *metrics]
    spec["metrics"] = metrics or [_cpu_metric(_DEFAULT_CPU)]
    behavior = _noted(notes, _BEHAVIOR, dict)
    if behavior:
        spec["behavior"] = _uncapitalized(behavior)
    utilization = status.pop("currentCPUUtilizationPercentage", None)
    if utilization is not None:
        resource = {"name": "cpu", "current": {"averageUtilization": utilization}}
        status["currentMetrics"] = [{"type": "Resource", "resource": resource}]
    current = _noted(notes, _CURRENT, list)
    if current is not None:
        status["currentMetrics"] = [_new_status(one) for one in current]
    conditions = _noted(notes, _CONDITIONS, list)
    if conditions is not None:
        status["conditions"] = conditions
    return _assembled(obj, spec, status, {})


def _assembled(obj: Values, spec: Values, status: Values, notes: dict[str, str]) -> Values:
    result = dict(obj)
    if "spec" in obj:
        result["spec"] = spec
    if "status" in obj or status:
        result["status"] = status
    metadata = dict(obj.get("metadata") or {})
    kept = {key: value for key, value in (metadata.get("annotations") or {}).items() if key not in _ROUND_TRIP}
    metadata["annotations"] = kept | notes
    if not metadata["annotations"]:
        del metadata["annotations"]
    return result | {"metadata": metadata}


def _noted(notes: Values, key: str, shape: type) -> Any:
    """An annotation's value; garbage in it, which a user may have written, counts as no annotation."""
    try:
        value = orjson.loads(notes[key])
    except (KeyError, ValueError, TypeError):
        return None
    if not isinstance(value, shape):
        return None
    if isinstance(value, list) and not all(isinstance(one, dict) for one in value):
        return None
    return value


def _cpu_metric(utilization: int) -> Values:
    target = {"type": "Utilization", "averageUtilization": utilization}
    return {"type": "Resource", "resource": {"name": "cpu", "target": target}}


def _is_cpu_target(metric: Values) -> bool:
    resource = metric.get("resource") or {}
    return (
        metric.get("type") == "Resource"
        and resource.get("name") == "cpu"
        and (resource.get("target") or {}).get("averageUtilization") is not None
    )


def _present(**values: Any) -> Values:
    return {name: value for name, value in values.items() if value is not None}


def _each(metric: Values, change: Callable[[str, Values], Values]) -> Values:
    return {
        name: change(name, value) if name in _SOURCES and isinstance(value, dict) else value
        for name, value in metric.items()
    }


def _old_metric(metric: Values) -> Values:
    return _each(metric, _old_source)


def _old_source(kind: str, source: Values) -> Values:
    target, metric = source.get("target") or {}, source.get("metric") or {}
    if kind in ("resource", "containerResource"):
        return _present(
            name=source.get("name"),
            targetAverageUtilization=target.get("averageUtilization"),
            targetAverageValue=target.get("averageValue"),
            container=source.get("container"),
        )
    name, selector = metric.get("name"), metric.get("selector")
    value, average = target.get("value"), target.get("averageValue")
    if kind == "pods":
        return _present(metricName=name, targetAverageValue=average or "0", selector=selector)
    if kind == "external":
        return _present(metricName=name, metricSelector=selector, targetValue=value, targetAverageValue=average)
    described = source.get("describedObject") or {}
    return _present(
        target=described, metricName=name, targetValue=value or "0", selector=selector, averageValue=average
    )


def _new_metric(metric: Values) -> Values:
    return _each(metric, _new_source)


def _new_source(kind: str, source: Values) -> Values:
    if kind in ("resource", "containerResource"):
        utilization, average = source.get("targetAverageUtilization"), source.get("targetAverageValue")
        target = _target(None, average, utilization)
        return _present(name=source.get("name"), target=target, container=source.get("container"))
    name = source.get("metricName")
    if kind == "pods":
        metric = _present(name=name, selector=source.get("selector"))
        return {"metric": metric, "target": _target(None, source.get("targetAverageValue") or "0", None)}
    if kind == "external":
        metric = _present(name=name, selector=source.get("metricSelector"))
        return {"metric": metric, "target": _target(source.get("targetValue"), source.get("targetAverageValue"), None)}
    average, value = source.get("averageValue"), source.get("targetValue") or "0"
    if average is not None and value == "0":
        value = None
    target = _target(value, average, None)
    if average is not None:
        target["type"] = "AverageValue"
    metric = _present(name=name, selector=source.get("selector"))
    return {"describedObject": source.get("target") or {}, "target": target, "metric": metric}


def _target(value: str | None, average: str | None, utilization: int | None) -> Values:
    kind = "Utilization" if utilization is not None else "Value" if value is not None else "AverageValue"
    return _present(type=kind, value=value, averageValue=average, averageUtilization=utilization)


def _old_status(metric: Values) -> Values:
    return _each(metric, _old_current)


def _old_current(kind: str, source: Values) -> Values:
    current, metric = source.get("current") or {}, source.get("metric") or {}
    value, average = current.get("value"), current.get("averageValue")
    if kind in ("resource", "containerResource"):
        return _present(
            name=source.get("name"),
            currentAverageUtilization=current.get("averageUtilization"),
            currentAverageValue=average or "0",
            container=source.get("container"),
        )
    name, selector = metric.get("name"), metric.get("selector")
    if kind == "pods":
        return _present(metricName=name, currentAverageValue=average or "0", selector=selector)
    if kind == "external":
        return _present(
            metricName=name, metricSelector=selector, currentValue=value or "0", currentAverageValue=average
        )
    described = source.get("describedObject") or {}
    return _present(
        target=described, metricName=name, currentValue=value or "0", selector=selector, averageValue=average
    )


def _new_status(metric: Values) -> Values:
    return _each(metric, _new_current)


def _new_current(kind: str, source: Values) -> Values:
    name = source.get("metricName")
    if kind in ("resource", "containerResource"):
        current = _present(
            averageValue=source.get("currentAverageValue") or "0",
            averageUtilization=source.get("currentAverageUtilization"),
        )
        return _present(name=source.get("name"), current=current, container=source.get("container"))
    if kind == "pods":
        metric = _present(name=name, selector=source.get("selector"))
        return {"metric": metric, "current": {"averageValue": source.get("currentAverageValue") or "0"}}
    if kind == "external":
        metric = _present(name=name, selector=source.get("metricSelector"))
        current = _present(value=source.get("currentValue") or "0", averageValue=source.get("currentAverageValue"))
        return {"metric": metric, "current": current}
    metric = _present(name=name, selector=source.get("selector"))
    current = _present(value=source.get("currentValue") or "0", averageValue=source.get("averageValue"))
    return {"metric": metric, "current": current, "describedObject": source.get("target") or {}}


def _capitalized(value: Any) -> Any:
    """The behaviour annotation has the names of upstream's internal type, with capitals."""
    if isinstance(value, dict):
        return {name[:1].upper() + name[1:]: _capitalized(item) for name, item in value.items()}
    return [_capitalized(item) for item in value] if isinstance(value, list) else value


def _uncapitalized(value: Any) -> Any:
    if isinstance(value, dict):
        return {name[:1].lower() + name[1:]: _uncapitalized(item) for name, item in value.items() if item is not None}
    return [_uncapitalized(item) for item in value] if isinstance(value, list) else value

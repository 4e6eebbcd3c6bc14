"""Objects survive the way through another version."""

from __future__ import annotations

from typing import Any

import pytest

from apimachinery import conversion
from apimachinery.resources import require
from apimachinery.schema import decode_value

HPA_V1 = require("autoscaling/v1", "horizontalpodautoscalers")
HPA_V2 = require("autoscaling/v2", "horizontalpodautoscalers")
EVENTS = require("events.k8s.io/v1", "events")


def hpa(*metrics: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "h", "annotations": {"mine": "x"}},
        "spec": {
            "maxReplicas": 3,
            "scaleTargetRef": {"kind": "Deployment", "name": "d"},
            "metrics": list(metrics),
            **spec,
        },
        "status": {"desiredReplicas": 1},
    }


def cpu(utilization: int) -> dict[str, Any]:
    target = {"type": "Utilization", "averageUtilization": utilization}
    return {"type": "Resource", "resource": {"name": "cpu", "target": target}}


METRICS: list[dict[str, Any]] = [
    {"type": "Resource", "resource": {"name": "memory", "target": {"type": "AverageValue", "averageValue": "1Gi"}}},
    {
        "type": "ContainerResource",
        "containerResource": {
            "name": "cpu",
            "container": "c",
            "target": {"type": "Utilization", "averageUtilization": 5},
        },
    },
    {
        "type": "Pods",
        "pods": {
            "metric": {"name": "m", "selector": {"matchLabels": {"a": "b"}}},
            "target": {"type": "AverageValue", "averageValue": "5"},
        },
    },
    {
        "type": "Object",
        "object": {
            "describedObject": {"kind": "Ingress", "name": "i", "apiVersion": "networking.k8s.io/v1"},
            "metric": {"name": "m"},
            "target": {"type": "Value", "value": "2k"},
        },
    },
    {
        "type": "Object",
        "object": {
            "describedObject": {"kind": "Ingress", "name": "i"},
            "metric": {"name": "m"},
            "target": {"type": "AverageValue", "averageValue": "2k"},
        },
    },
    {"type": "External", "external": {"metric": {"name": "m"}, "target": {"type": "Value", "value": "30"}}},
    {
        "type": "External",
        "external": {"metric": {"name": "m"}, "target": {"type": "AverageValue", "averageValue": "3"}},
    },
]


@pytest.mark.parametrize("metric", METRICS, ids=lambda one: str(one["type"]))
def test_every_metric_survives_the_old_version(metric: dict[str, Any]) -> None:
    obj = hpa(metric, cpu(50))
    old = conversion.convert(obj, "autoscaling/v1")
    assert old["spec"]["targetCPUUtilizationPercentage"] == 50
    assert "metrics" not in old["spec"]
    assert decode_value(HPA_V1, old).unknown == []
    assert conversion.convert(old, "autoscaling/v2") == obj


def test_behaviour_status_and_conditions_survive() -> None:
    obj = hpa(cpu(50), behavior={"scaleDown": {"policies": [{"type": "Pods", "value": 1, "periodSeconds": 5}]}})
    obj["status"] |= {
        "conditions": [{"type": "AbleToScale", "status": "True"}],
        "currentMetrics": [
            {
                "type": "Resource",
                "resource": {"name": "cpu", "current": {"averageUtilization": 7, "averageValue": "5m"}},
            }
        ],
    }
    old = conversion.convert(obj, "autoscaling/v1")
    assert old["status"]["currentCPUUtilizationPercentage"] == 7
    assert '"ScaleDown"' in old["metadata"]["annotations"]["autoscaling.alpha.kubernetes.io/behavior"]
    assert conversion.convert(old, "autoscaling/v2") == obj


def test_an_old_object_without_metrics_scales_on_cpu() -> None:
    old = {
        "apiVersion": "autoscaling/v1",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {},
        "spec": {"maxReplicas": 1},
    }
    assert conversion.to_storage(HPA_V1, old)["spec"]["metrics"] == [cpu(80)]


def test_garbage_in_annotations_is_ignored() -> None:
    old = {
        "apiVersion": "autoscaling/v1",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"annotations": {"autoscaling.alpha.kubernetes.io/metrics": "[1", "mine": "x"}},
        "spec": {"maxReplicas": 1, "targetCPUUtilizationPercentage": 9},
    }
    new = conversion.to_storage(HPA_V1, old)
    assert new["spec"]["metrics"] == [cpu(9)]
    assert new["metadata"]["annotations"] == {"mine": "x"}


def test_events_change_names_only() -> None:
    event = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": "e"},
        "involvedObject": {"kind": "Pod", "name": "p"},
        "message": "m",
        "count": 3,
        "reportingComponent": "kubelet",
    }
    new = conversion.from_storage(EVENTS, event)
    assert new["regarding"] == {"kind": "Pod", "name": "p"}
    assert (new["note"], new["deprecatedCount"], new["reportingController"]) == ("m", 3, "kubelet")
    assert decode_value(EVENTS, new).unknown == []
    assert conversion.to_storage(EVENTS, new) == event
    assert conversion.selectable_field(EVENTS, "regarding.kind") == "involvedObject.kind"
    assert conversion.storage_info(EVENTS) is require("v1", "events")


def test_versions_nobody_can_convert() -> None:
    with pytest.raises(ValueError, match="no conversion of Pod from v1 to v2"):
        conversion.convert({"apiVersion": "v1", "kind": "Pod"}, "v2")
    assert not conversion.is_converted(HPA_V2)

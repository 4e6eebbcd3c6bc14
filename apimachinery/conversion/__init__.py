"""Between the versions of one object: what is stored in one version may be asked for in another."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from apimachinery.conversion import autoscaling, events
from apimachinery.resources import ResourceInfo, find

Object = dict[str, Any]
_CONVERSIONS: Mapping[tuple[str, str, str], Callable[[Object], Object]] = MappingProxyType(
    {
        ("Event", "v1", "events.k8s.io/v1"): events.to_events,
        ("Event", "events.k8s.io/v1", "v1"): events.to_core,
        ("HorizontalPodAutoscaler", "autoscaling/v1", "autoscaling/v2"): autoscaling.to_v2,
        ("HorizontalPodAutoscaler", "autoscaling/v2", "autoscaling/v1"): autoscaling.to_v1,
    }
)


def convert(obj: Object, api_version: str) -> Object:
    """The object in another version; the one given is left alone, and returned where nothing is to be done."""
    held = obj.get("apiVersion", "")
    if held == api_version:
        return obj
    conversion = _CONVERSIONS.get((obj.get("kind", ""), held, api_version))
    if conversion is None:
        raise ValueError(f"no conversion of {obj.get('kind')} from {held} to {api_version}")
    return conversion(obj) | {"apiVersion": api_version}


def is_converted(info: ResourceInfo) -> bool:
    """Whether objects of this resource are stored in another version than it serves."""
    return info.storage_api_version != info.api_version


def to_storage(info: ResourceInfo, obj: Object) -> Object:
    return convert(obj, info.storage_api_version) if is_converted(info) else obj


def from_storage(info: ResourceInfo, obj: Object) -> Object:
    return convert(obj, info.api_version) if is_converted(info) else obj


def storage_info(info: ResourceInfo) -> ResourceInfo:
    """The resource in the version it is stored in."""
    return find(info.storage_group, info.storage_version, info.plural) or info


def selectable_field(info: ResourceInfo, label: str) -> str:
    """The name a field selector's label has in the stored version."""
    return events.FIELD_LABELS.get(label, label) if info.group == "events.k8s.io" else label

"""Fields of a Service that lose their meaning when its type changes; addresses and ports are the allocator's matter."""

from __future__ import annotations

from typing import Any

Obj = dict[str, Any]


def update(service: Obj, old: Obj) -> None:
    """Drop what the new type does not use, provided the user did not change it in the same request."""
    spec, before = service.setdefault("spec", {}), old.get("spec") or {}
    if _type(before) != "ExternalName" and _type(spec) == "ExternalName":
        if all(spec.get(field) == before.get(field) for field in ("clusterIP", "clusterIPs")):
            spec.pop("clusterIP", None)
            spec.pop("clusterIPs", None)
        _drop_unchanged(spec, before, "ipFamilies")
        _drop_unchanged(spec, before, "ipFamilyPolicy")
    if _has_node_ports(before) and not _has_node_ports(spec) and _node_ports(spec) <= _node_ports(before):
        for port in spec.get("ports") or ():
            port.pop("nodePort", None)
    if _needs_health_port(before) and not _needs_health_port(spec):
        _drop_unchanged(spec, before, "healthCheckNodePort")
    if _type(before) == "LoadBalancer" and _type(spec) != "LoadBalancer":
        _drop_unchanged(spec, before, "allocateLoadBalancerNodePorts")
        _drop_unchanged(spec, before, "loadBalancerClass")
    if externally_accessible(before) and not externally_accessible(spec):
        _drop_unchanged(spec, before, "externalTrafficPolicy")
    if _type(spec) != "LoadBalancer":
        service["status"] = {**(service.get("status") or {}), "loadBalancer": {}}


def externally_accessible(spec: Obj) -> bool:
    kind = _type(spec)
    return kind in {"LoadBalancer", "NodePort"} or (kind == "ClusterIP" and bool(spec.get("externalIPs")))


def _type(spec: Obj) -> str:
    return spec.get("type") or "ClusterIP"


def _has_node_ports(spec: Obj) -> bool:
    return _type(spec) in {"NodePort", "LoadBalancer"}


def _node_ports(spec: Obj) -> set[int]:
    return {port["nodePort"] for port in spec.get("ports") or () if port.get("nodePort")}


def _needs_health_port(spec: Obj) -> bool:
    return _type(spec) == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local"


def _drop_unchanged(spec: Obj, before: Obj, field: str) -> None:
    if spec.get(field) == before.get(field):
        spec.pop(field, None)

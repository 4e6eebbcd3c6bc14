"""Fields of a Service that lose their meaning when its type changes; addresses and ports are the allocator's matter."""

from __future__ import annotations

from typing import Any

Obj = dict[str, Any]


def create(service: Obj) -> None:
    """Old clients know `clusterIP` only."""
    spec = service.setdefault("spec", {})
    if spec.get("clusterIP") and not spec.get("clusterIPs"):
        spec["clusterIPs"] = [spec["clusterIP"]]


def keep_allocated(service: Obj, old: Obj) -> None:
    """Carry over what was allocated before and the writer left out, and keep the two forms of the address in step."""
    spec, before = service.setdefault("spec", {}), old.get("spec") or {}
    if "ExternalName" not in {_type(spec), _type(before)}:
        for field in ("clusterIP", "clusterIPs"):
            if not spec.get(field) and before.get(field):
                spec[field] = before[field]
    if _has_node_ports(before) and _has_node_ports(spec):
        used = _node_ports(before) & _node_ports(spec)
        known = {port.get("name") or "": port.get("nodePort") for port in before.get("ports") or ()}
        for port in spec.get("ports") or ():
            number = known.get(port.get("name") or "")
            if not port.get("nodePort") and number and number not in used:
                port["nodePort"] = number
    if _needs_health_port(before) and _needs_health_port(spec) and not spec.get("healthCheckNodePort"):
        _copy(spec, before, "healthCheckNodePort")
    first, known_first = spec.get("clusterIP") or "", before.get("clusterIP") or ""
    every, known_every = spec.get("clusterIPs") or [], before.get("clusterIPs") or []
    if known_every and not every and first == known_first:
        spec["clusterIPs"] = known_every
    elif first != known_first and every == known_every:
        if first:
            spec["clusterIPs"] = [first]
        else:
            spec.pop("clusterIPs", None)


def _copy(spec: Obj, before: Obj, field: str) -> None:
    if field in before:
        spec[field] = before[field]


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

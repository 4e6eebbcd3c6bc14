"""Defaults of networking.k8s.io and discovery.k8s.io."""

from __future__ import annotations

from typing import Any

Obj = dict[str, Any]


def endpoint_slice(obj: Obj) -> None:
    if obj.get("endpoints") is None:
        obj["endpoints"] = []
    obj.setdefault("ports", None)
    for port in obj["ports"] or ():
        if port.get("name") is None:
            port["name"] = ""
        if port.get("protocol") is None:
            port["protocol"] = "TCP"
    for endpoint in obj["endpoints"]:
        endpoint.setdefault("conditions", {})


def network_policy(obj: Obj) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("podSelector", {})
    if not spec.get("policyTypes"):
        spec["policyTypes"] = ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]
    for direction in ("ingress", "egress"):
        for rule in spec.get(direction, ()):
            for port in rule.get("ports", ()):
                if port.get("protocol") is None:
                    port["protocol"] = "TCP"


def ingress(obj: Obj) -> None:
    obj.setdefault("spec", {})
    obj.setdefault("status", {}).setdefault("loadBalancer", {})


def ingress_class(obj: Obj) -> None:
    parameters = obj.setdefault("spec", {}).get("parameters")
    if parameters is not None and parameters.get("scope") is None:
        parameters["scope"] = "Cluster"

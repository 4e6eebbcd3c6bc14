"""Defaults of the core group, pods apart."""

from __future__ import annotations

import base64
from typing import Any

from apimachinery.defaults import pods
from apimachinery.defaults.quantities import round_list

Obj = dict[str, Any]

CLIENT_IP_SECONDS = 10800


def service(obj: Obj) -> None:
    spec = obj.setdefault("spec", {})
    if not spec.get("sessionAffinity"):
        spec["sessionAffinity"] = "None"
    if spec["sessionAffinity"] == "None":
        spec.pop("sessionAffinityConfig", None)
    elif spec["sessionAffinity"] == "ClientIP":
        config = (spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}
        if config.get("timeoutSeconds") is None:
            spec["sessionAffinityConfig"] = {"clientIP": {"timeoutSeconds": CLIENT_IP_SECONDS}}
    if not spec.get("type"):
        spec["type"] = "ClusterIP"
    for port in spec.get("ports", ()):
        if not port.get("protocol"):
            port["protocol"] = "TCP"
        if port.get("targetPort") in (None, 0, ""):
            port["targetPort"] = port.get("port", 0)
    kind = spec["type"]
    outside = kind in {"NodePort", "LoadBalancer"} or (kind == "ClusterIP" and bool(spec.get("externalIPs")))
    if outside and not spec.get("externalTrafficPolicy"):
        spec["externalTrafficPolicy"] = "Cluster"
    if spec.get("internalTrafficPolicy") is None and kind in {"NodePort", "LoadBalancer", "ClusterIP"}:
        spec["internalTrafficPolicy"] = "Cluster"
    status = obj.setdefault("status", {})
    status.setdefault("loadBalancer", {})
    if kind == "LoadBalancer":
        if spec.get("allocateLoadBalancerNodePorts") is None:
            spec["allocateLoadBalancerNodePorts"] = True
        for ingress in status["loadBalancer"].get("ingress", ()):
            if ingress.get("ip") and ingress.get("ipMode") is None:
                ingress["ipMode"] = "VIP"


def namespace(obj: Obj) -> None:
    metadata = obj.setdefault("metadata", {})
    if metadata.get("name"):
        metadata.setdefault("labels", {})["kubernetes.io/metadata.name"] = metadata["name"]
    obj.setdefault("spec", {})
    status = obj.setdefault("status", {})
    if not status.get("phase"):
        status["phase"] = "Active"


def node(obj: Obj) -> None:
    obj.setdefault("spec", {})
    status = obj.setdefault("status", {})
    round_list(status, "capacity")
    if status.get("allocatable") is None and status.get("capacity") is not None:
        status["allocatable"] = dict(status["capacity"])
    round_list(status, "allocatable")


def secret(obj: Obj) -> None:
    if not obj.get("type"):
        obj["type"] = "Opaque"
    merge_string_data(obj)


def merge_string_data(obj: Obj) -> None:
    """Move a Secret's write-only plain texts into `data`; where both name a key, the plain text wins."""
    plain = obj.pop("stringData", None)
    if plain:
        data = obj["data"] = dict(obj.get("data") or {})
        for key, text in plain.items():
            data[key] = base64.b64encode(text.encode()).decode()


def endpoints(obj: Obj) -> None:
    for subset in obj.get("subsets", ()):
        for port in subset.get("ports", ()):
            if not port.get("protocol"):
                port["protocol"] = "TCP"


def persistent_volume(obj: Obj) -> None:
    status = obj.setdefault("status", {})
    if not status.get("phase"):
        status["phase"] = "Pending"
    spec = obj.setdefault("spec", {})
    if not spec.get("persistentVolumeReclaimPolicy"):
        spec["persistentVolumeReclaimPolicy"] = "Retain"
    if spec.get("volumeMode") is None:
        spec["volumeMode"] = "Filesystem"
    round_list(spec, "capacity")
    sources = {kind: spec[kind] for kind in ("hostPath", "rbd", "iscsi", "azureDisk", "scaleIO") if spec.get(kind)}
    if sources:
        pods.volume(sources)


def persistent_volume_claim(obj: Obj) -> None:
    status = obj.setdefault("status", {})
    if not status.get("phase"):
        status["phase"] = "Pending"
    pods.claim_spec(obj.setdefault("spec", {}))
    round_list(status, "capacity")
    round_list(status, "allocatedResources")


def replication_controller(obj: Obj) -> None:
    spec = obj.setdefault("spec", {})
    if spec.get("template") is not None:
        labels = (spec["template"].get("metadata") or {}).get("labels")
        if labels:
            if not spec.get("selector"):
                spec["selector"] = dict(labels)
            metadata = obj.setdefault("metadata", {})
            if not metadata.get("labels"):
                metadata["labels"] = dict(labels)
        pods.template(spec)
    if spec.get("replicas") is None:
        spec["replicas"] = 1
    obj.setdefault("status", {}).setdefault("replicas", 0)


def pod_template(obj: Obj) -> None:
    pods.template(obj)


def limit_range(obj: Obj) -> None:
    for limit in obj.setdefault("spec", {}).get("limits", ()):
        if limit.get("type") == "Container":
            standard = limit.get("default") or {}
            request = limit.get("defaultRequest") or {}
            standard = {**(limit.get("max") or {}), **standard}
            request = {**(limit.get("min") or {}), **standard, **request}
            # Go leaves empty maps behind which its encoder drops.
            if standard:
                limit["default"] = standard
            if request:
                limit["defaultRequest"] = request
        for field in ("max", "min", "default", "defaultRequest", "maxLimitRequestRatio"):
            round_list(limit, field)


def resource_quota(obj: Obj) -> None:
    round_list(obj.setdefault("spec", {}), "hard")
    status = obj.setdefault("status", {})
    for field in ("hard", "used"):
        round_list(status, field)


def event(obj: Obj) -> None:
    """The fields of an Event which its encoding never omits."""
    for field, empty in (
        ("involvedObject", dict),
        ("source", dict),
        ("reportingComponent", str),
        ("reportingInstance", str),
    ):
        if obj.get(field) is None:
            obj[field] = empty()
    for field in ("firstTimestamp", "lastTimestamp", "eventTime"):
        obj.setdefault(field, None)

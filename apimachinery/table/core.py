"""Rows of the core group, pods and workloads apart."""

from __future__ import annotations

from typing import Any

from apimachinery.table import ages
from apimachinery.table.formats import NONE, UNSET, access_modes, labels, name, quantity

Obj = dict[str, Any]
Cells = list[Any]

ROLE_PREFIX = "node-role.kubernetes.io/"
CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class"


def _parts(obj: Obj) -> tuple[Obj, Obj]:
    return obj.get("spec") or {}, obj.get("status") or {}


def service(obj: Obj, now: float) -> Cells:
    spec, _ = _parts(obj)
    ports = [
        f"{port.get('port') or 0}{':' + str(port['nodePort']) if port.get('nodePort') else ''}/{port.get('protocol')}"
        for port in spec.get("ports") or ()
    ]
    addresses = spec.get("clusterIPs") or ([spec["clusterIP"]] if spec.get("clusterIP") else [])
    return [
        name(obj),
        spec.get("type") or "",
        addresses[0] if addresses else NONE,
        _external_addresses(obj),
        ",".join(ports) or NONE,
        ages.of(obj, now),
        labels(spec.get("selector")),
    ]


def balancer_addresses(status: Obj) -> str:
    """Addresses or host names at which a load balancer can be reached, in order."""
    entries = (status.get("loadBalancer") or {}).get("ingress") or ()
    found = {one.get("ip") or one.get("hostname") or "" for one in entries}
    return ",".join(sorted(found - {""}))


def _external_addresses(obj: Obj) -> str:
    spec, status = _parts(obj)
    given = spec.get("externalIPs") or []
    match spec.get("type"):
        case "ClusterIP" | "NodePort":
            return ",".join(given) or NONE
        case "LoadBalancer":
            balancer = balancer_addresses(status)
            return ",".join([*([balancer] if balancer else []), *given]) or "<pending>"
        case "ExternalName":
            return str(spec.get("externalName") or "")
    return "<unknown>"


def endpoints(obj: Obj, now: float) -> Cells:
    found: list[str] = []
    for subset in obj.get("subsets") or ():
        addresses = [one.get("ip") or "" for one in subset.get("addresses") or ()]
        ports = subset.get("ports") or ()
        if not ports:
            found += addresses
        for port in ports:
            number = port.get("port") or 0
            found += [f"[{one}]:{number}" if ":" in one else f"{one}:{number}" for one in addresses]
    shown = ",".join(found[:3])
    if len(found) > 3:
        shown = f"{shown} + {len(found) - 3} more..."
    return [name(obj), shown if obj.get("subsets") else NONE, ages.of(obj, now)]


def node(obj: Obj, now: float) -> Cells:
    spec, status = _parts(obj)
    info = status.get("nodeInfo") or {}
    state = "Unknown"
    for condition in status.get("conditions") or ():
        if condition.get("type") == "Ready":
            state = "Ready" if condition.get("status") == "True" else "NotReady"
    if spec.get("unschedulable"):
        state += ",SchedulingDisabled"
    kernel = info.get("kernelVersion") or "<unknown>"
    if info.get("architecture"):
        kernel += f" ({info['architecture']})"
    return [
        name(obj),
        state,
        ",".join(roles(obj)) or NONE,
        ages.of(obj, now),
        info.get("kubeletVersion") or "",
        _address(status, "InternalIP"),
        _address(status, "ExternalIP"),
        info.get("osImage") or "<unknown>",
        kernel,
        info.get("containerRuntimeVersion") or "<unknown>",
    ]


def roles(obj: Obj) -> list[str]:
    """A node's roles, from either of the two kinds of label."""
    found = set()
    for key, value in ((obj.get("metadata") or {}).get("labels") or {}).items():
        if key.startswith(ROLE_PREFIX):
            found.add(key.removeprefix(ROLE_PREFIX))
        elif key == "kubernetes.io/role":
            found.add(value)
    return sorted(found - {""})


def _address(status: Obj, kind: str) -> str:
    for address in status.get("addresses") or ():
        if address.get("type") == kind:
            return str(address.get("address") or "")
    return NONE


def event(obj: Obj, now: float) -> Cells:
    subject = obj.get("involvedObject") or obj.get("regarding") or {}
    first = obj.get("firstTimestamp") or obj.get("deprecatedFirstTimestamp") or obj.get("eventTime")
    first_seen = ages.since(first, now)
    last = obj.get("lastTimestamp") or obj.get("deprecatedLastTimestamp")
    last_seen = ages.since(last, now) if last else first_seen
    count = obj.get("count") or obj.get("deprecatedCount") or 0
    series = obj.get("series")
    if series is not None:
        last_seen, count = ages.since(series.get("lastObservedTime"), now), series.get("count") or 0
    kind = (subject.get("kind") or "").lower()
    source = obj.get("source") or obj.get("deprecatedSource") or {}
    component = source.get("component") or obj.get("reportingComponent") or obj.get("reportingController") or ""
    host = source.get("host") or obj.get("reportingInstance") or ""
    return [
        last_seen,
        obj.get("type") or "",
        obj.get("reason") or "",
        f"{kind}/{subject['name']}" if subject.get("name") else kind,
        subject.get("fieldPath") or "",
        f"{component}, {host}" if host else component,
        (obj.get("message") or obj.get("note") or "").strip(),
        first_seen,
        count or 1 if series is None else count,
        name(obj),
    ]


def namespace(obj: Obj, now: float) -> Cells:
    return [name(obj), (obj.get("status") or {}).get("phase") or "", ages.of(obj, now)]


def secret(obj: Obj, now: float) -> Cells:
    return [name(obj), obj.get("type") or "", len(obj.get("data") or ()), ages.of(obj, now)]


def config_map(obj: Obj, now: float) -> Cells:
    return [name(obj), len(obj.get("data") or ()) + len(obj.get("binaryData") or ()), ages.of(obj, now)]


def name_and_age(obj: Obj, now: float) -> Cells:
    return [name(obj), ages.of(obj, now)]


def _class_of(obj: Obj) -> str:
    annotations = (obj.get("metadata") or {}).get("annotations") or {}
    return str(annotations.get(CLASS_ANNOTATION) or (obj.get("spec") or {}).get("storageClassName") or "")


def _phase(obj: Obj) -> str:
    if (obj.get("metadata") or {}).get("deletionTimestamp"):
        return "Terminating"
    return str((obj.get("status") or {}).get("phase") or "")


def persistent_volume(obj: Obj, now: float) -> Cells:
    spec, status = _parts(obj)
    claim = spec.get("claimRef")
    return [
        name(obj),
        quantity((spec.get("capacity") or {}).get("storage")),
        access_modes(spec.get("accessModes")),
        spec.get("persistentVolumeReclaimPolicy") or "",
        _phase(obj),
        f"{claim.get('namespace') or ''}/{claim.get('name') or ''}" if claim is not None else "",
        _class_of(obj),
        spec.get("volumeAttributesClassName") or UNSET,
        status.get("reason") or "",
        ages.of(obj, now),
        spec.get("volumeMode") or UNSET,
    ]


def persistent_volume_claim(obj: Obj, now: float) -> Cells:
    spec, status = _parts(obj)
    bound = bool(spec.get("volumeName"))
    return [
        name(obj),
        _phase(obj),
        spec.get("volumeName") or "",
        quantity((status.get("capacity") or {}).get("storage")) if bound else "",
        access_modes(status.get("accessModes")) if bound else "",
        _class_of(obj),
        spec.get("volumeAttributesClassName") or UNSET,
        ages.of(obj, now),
        spec.get("volumeMode") or UNSET,
    ]


def component_status(obj: Obj, now: float) -> Cells:
    for condition in obj.get("conditions") or ():
        if condition.get("type") == "Healthy":
            state = "Healthy" if condition.get("status") == "True" else "Unhealthy"
            return [name(obj), state, condition.get("message") or "", condition.get("error") or ""]
    return [name(obj), "Unknown", "", ""]


def resource_quota(obj: Obj, now: float) -> Cells:
    _, status = _parts(obj)
    used = status.get("used") or {}
    requests: list[str] = []
    limits: list[str] = []
    for resource, hard in sorted((status.get("hard") or {}).items()):
        column = limits if resource.startswith("limits.") else requests
        column.append(f"{resource}: {quantity(used.get(resource))}/{quantity(hard)}")
    return [name(obj), ", ".join(requests), ", ".join(limits), ages.of(obj, now)]

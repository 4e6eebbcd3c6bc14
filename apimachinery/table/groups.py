"""Rows of the remaining groups: networking, access, storage, admission, flow control, devices."""

from __future__ import annotations

from typing import Any

from apimachinery.table import ages
from apimachinery.table.core import balancer_addresses
from apimachinery.table.formats import NONE, UNSET, first_few, is_default, name, named_reference, selector

Obj = dict[str, Any]
Cells = list[Any]


def ingress(obj: Obj, now: float) -> Cells:
    spec = obj.get("spec") or {}
    rules = spec.get("rules") or ()
    hosts: list[str] = []
    more = False
    for rule in rules:
        more = more or len(hosts) == 3
        if not more and rule.get("host"):
            hosts.append(rule["host"])
    shown = ",".join(hosts) or "*"
    return [
        name(obj),
        NONE if spec.get("ingressClassName") is None else spec["ingressClassName"],
        f"{shown} + {len(rules) - 3} more..." if more and hosts else shown,
        balancer_addresses(obj.get("status") or {}),
        "80, 443" if spec.get("tls") else "80",
        ages.of(obj, now),
    ]


def ingress_class(obj: Obj, now: float) -> Cells:
    spec = obj.get("spec") or {}
    shown = name(obj)
    if is_default(obj, "ingressclass.kubernetes.io/is-default-class"):
        shown += " (default)"
    parameters = spec.get("parameters")
    target = NONE
    if parameters is not None:
        group = parameters.get("apiGroup")
        target = parameters.get("kind") or ""
        target += (f".{group}" if group is not None else "") + f"/{parameters.get('name') or ''}"
    return [shown, spec.get("controller") or "", target, ages.of(obj, now)]


def network_policy(obj: Obj, now: float) -> Cells:
    return [name(obj), selector((obj.get("spec") or {}).get("podSelector") or {}), ages.of(obj, now)]


def endpoint_slice(obj: Obj, now: float) -> Cells:
    ports = []
    for port in obj.get("ports") or ():
        number = port.get("port")
        ports.append(str(number) if number is not None else port.get("name", "*"))
    addresses = [address for one in obj.get("endpoints") or () for address in one.get("addresses") or ()]
    return [name(obj), obj.get("addressType") or "", first_few(ports), first_few(addresses), ages.of(obj, now)]


def service_cidr(obj: Obj, now: float) -> Cells:
    return [name(obj), ",".join((obj.get("spec") or {}).get("cidrs") or ()), ages.of(obj, now)]


def ip_address(obj: Obj, now: float) -> Cells:
    parent = (obj.get("spec") or {}).get("parentRef")
    shown = NONE
    if parent is not None:
        parts = [parent.get("resource") or "", parent.get("group") or ""]
        shown = ".".join(part for part in parts if part).lower()
        if parent.get("namespace"):
            shown += f"/{parent['namespace']}"
        shown += f"/{parent.get('name') or ''}"
    return [name(obj), shown, ages.of(obj, now)]


def role_binding(obj: Obj, now: float) -> Cells:
    reference = obj.get("roleRef") or {}
    by_kind: dict[str, list[str]] = {"User": [], "Group": [], "ServiceAccount": []}
    for subject in obj.get("subjects") or ():
        kind, own = subject.get("kind"), subject.get("name") or ""
        if kind == "ServiceAccount":
            own = f"{subject.get('namespace') or ''}/{own}"
        if kind in by_kind:
            by_kind[kind].append(own)
    role = f"{reference.get('kind') or ''}/{reference.get('name') or ''}"
    return [name(obj), role, ages.of(obj, now), *(", ".join(listed) for listed in by_kind.values())]


def certificate_request(obj: Obj, now: float) -> Cells:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    kinds = {condition.get("type") for condition in status.get("conditions") or ()}
    state = "Denied" if "Denied" in kinds else "Approved" if "Approved" in kinds else "Pending"
    if "Failed" in kinds:
        state += ",Failed"
    if status.get("certificate"):
        state += ",Issued"
    seconds = spec.get("expirationSeconds")
    return [
        name(obj),
        ages.of(obj, now),
        spec.get("signerName") or NONE,
        spec.get("username") or "",
        NONE if seconds is None else ages.human(seconds),
        state,
    ]


def trust_bundle(obj: Obj, now: float) -> Cells:
    return [name(obj), (obj.get("spec") or {}).get("signerName") or NONE]


def lease(obj: Obj, now: float) -> Cells:
    return [name(obj), (obj.get("spec") or {}).get("holderIdentity") or "", ages.of(obj, now)]


def storage_class(obj: Obj, now: float) -> Cells:
    shown = name(obj)
    if is_default(
        obj, "storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"
    ):
        shown += " (default)"
    return [
        shown,
        obj.get("provisioner") or "",
        obj.get("reclaimPolicy") or "Delete",
        obj.get("volumeBindingMode") or "Immediate",
        bool(obj.get("allowVolumeExpansion")),
        ages.of(obj, now),
    ]


def attributes_class(obj: Obj, now: float) -> Cells:
    return [name(obj), obj.get("driverName") or "", ages.of(obj, now)]


def volume_attachment(obj: Obj, now: float) -> Cells:
    spec = obj.get("spec") or {}
    return [
        name(obj),
        spec.get("attacher") or "",
        (spec.get("source") or {}).get("persistentVolumeName") or "",
        spec.get("nodeName") or "",
        bool((obj.get("status") or {}).get("attached")),
        ages.of(obj, now),
    ]


def csi_node(obj: Obj, now: float) -> Cells:
    return [name(obj), len((obj.get("spec") or {}).get("drivers") or ()), ages.of(obj, now)]


def csi_driver(obj: Obj, now: float) -> Cells:
    spec = obj.get("spec") or {}
    tokens = spec.get("tokenRequests")
    return [
        name(obj),
        spec.get("attachRequired") is not False,
        bool(spec.get("podInfoOnMount")),
        bool(spec.get("storageCapacity")),
        UNSET if tokens is None else ",".join(one.get("audience") or "" for one in tokens),
        bool(spec.get("requiresRepublish")),
        ",".join(spec.get("volumeLifecycleModes") or ()) or NONE,
        ages.of(obj, now),
    ]


def webhooks(obj: Obj, now: float) -> Cells:
    return [name(obj), len(obj.get("webhooks") or ()), ages.of(obj, now)]


def admission_policy(obj: Obj, now: float) -> Cells:
    spec = obj.get("spec") or {}
    kind = spec.get("paramKind")
    shown = UNSET if kind is None else f"{kind.get('apiVersion') or ''}/{kind.get('kind') or ''}"
    return [name(obj), len(spec.get("validations") or spec.get("mutations") or ()), shown, ages.of(obj, now)]


def admission_policy_binding(obj: Obj, now: float) -> Cells:
    spec = obj.get("spec") or {}
    return [name(obj), spec.get("policyName") or "", named_reference(spec.get("paramRef")), ages.of(obj, now)]


def flow_schema(obj: Obj, now: float) -> Cells:
    spec = obj.get("spec") or {}
    method = spec.get("distinguisherMethod")
    dangling = "?"
    for condition in (obj.get("status") or {}).get("conditions") or ():
        if condition.get("type") == "Dangling":
            dangling = condition.get("status") or ""
            break
    return [
        name(obj),
        (spec.get("priorityLevelConfiguration") or {}).get("name") or "",
        spec.get("matchingPrecedence") or 0,
        NONE if method is None else method.get("type") or "",
        ages.of(obj, now),
        dangling,
    ]


def priority_level(obj: Obj, now: float) -> Cells:
    spec = obj.get("spec") or {}
    limited = spec.get("limited")
    queuing = ((limited or {}).get("limitResponse") or {}).get("queuing")
    shares: Any = NONE if limited is None else limited.get("nominalConcurrencyShares") or 0
    cells = [NONE if queuing is None else queuing.get(f) or 0 for f in ("queues", "handSize", "queueLengthLimit")]
    return [name(obj), spec.get("type") or "", shares, *cells, ages.of(obj, now)]


def priority_class(obj: Obj, now: float) -> Cells:
    return [
        name(obj),
        obj.get("value") or 0,
        bool(obj.get("globalDefault")),
        ages.of(obj, now),
        obj.get("preemptionPolicy") or "",
    ]


def runtime_class(obj: Obj, now: float) -> Cells:
    return [name(obj), obj.get("handler") or "", ages.of(obj, now)]


def api_service(obj: Obj, now: float) -> Cells:
    service = (obj.get("spec") or {}).get("service")
    shown = "Local" if service is None else f"{service.get('namespace') or ''}/{service.get('name') or ''}"
    state = "Unknown"
    for condition in (obj.get("status") or {}).get("conditions") or ():
        if condition.get("type") == "Available":
            state = condition.get("status") or ""
            if state != "True" and condition.get("reason"):
                state = f"{state} ({condition['reason']})"
            break
    return [name(obj), shown, state, ages.of(obj, now)]


def resource_claim(obj: Obj, now: float) -> Cells:
    status = obj.get("status") or {}
    deleted = bool((obj.get("metadata") or {}).get("deletionTimestamp"))
    states = ["deleted"] if deleted else []
    if status.get("allocation") is None:
        states += [] if deleted else ["pending"]
    else:
        states += ["allocated", *(["reserved"] if status.get("reservedFor") else [])]
    return [name(obj), ",".join(states), ages.of(obj, now)]


def resource_slice(obj: Obj, now: float) -> Cells:
    spec = obj.get("spec") or {}
    pool = (spec.get("pool") or {}).get("name") or ""
    return [name(obj), spec.get("nodeName") or "", spec.get("driver") or "", pool, ages.of(obj, now)]

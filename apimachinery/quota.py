"""What an object counts against a ResourceQuota: for admission, which charges, and the controller, which recounts.

Names are those of `spec.hard`: `pods`, `requests.cpu`, `count/deployments.apps`, `services.nodeports`, and so on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from apimachinery import timestamps
from apimachinery.podspec import qos
from apimachinery.podspec.resources import Amounts, add, amounts, limits, requests
from apimachinery.quantity import Quantity

Obj = Mapping[str, Any]

ONE = Quantity.of(1)
ZERO = Quantity.of(0)
#: kinds which are counted under an old name too
ALIASES = {
    ("", "configmaps"): "configmaps",
    ("", "resourcequotas"): "resourcequotas",
    ("", "replicationcontrollers"): "replicationcontrollers",
    ("", "secrets"): "secrets",
}
COMPUTE = ("cpu", "memory", "ephemeral-storage")
#: what each container must name as soon as a quota speaks of it
EXPLICIT = frozenset({"cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"})
_POD_NAMES = frozenset(
    {"count/pods", "pods", *COMPUTE, *(f"requests.{c}" for c in COMPUTE), *(f"limits.{c}" for c in COMPUTE)}
)
_CLASS_CLAIMS = ".storageclass.storage.k8s.io/persistentvolumeclaims"
_CLASS_STORAGE = ".storageclass.storage.k8s.io/requests.storage"
_CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class"


def usage(group: str, plural: str, obj: Obj, now: float) -> Amounts:
    """What `obj` counts. Pods that have ended count as objects only."""
    used: Amounts = {f"count/{plural}.{group}" if group else f"count/{plural}": ONE}
    if (group, plural) == ("", "pods"):
        if _is_live(obj, now):
            add(used, _of_resources(requests(obj, use_status=True), limits(obj, use_status=True)))
    elif (group, plural) == ("", "services"):
        used |= _of_service(obj)
    elif (group, plural) == ("", "persistentvolumeclaims"):
        used |= _of_claim(obj)
    elif (group, plural) in ALIASES:
        used[ALIASES[group, plural]] = ONE
    return used


def concerns(group: str, plural: str, name: str) -> bool:
    """Whether the name in `hard` is about objects of this kind."""
    if name == (f"count/{plural}.{group}" if group else f"count/{plural}"):
        return True
    if (group, plural) == ("", "pods"):
        return name in _POD_NAMES or name.startswith(("hugepages-", "requests.hugepages-")) or _is_extended(name)
    if (group, plural) == ("", "services"):
        return name in ("services", "services.nodeports", "services.loadbalancers")
    if (group, plural) == ("", "persistentvolumeclaims"):
        return name in ("persistentvolumeclaims", "requests.storage") or name.endswith((_CLASS_CLAIMS, _CLASS_STORAGE))
    return ALIASES.get((group, plural)) == name


def covers(quota: Obj, group: str, plural: str, obj: Obj) -> bool:
    """Whether the quota is about this object: by a name in `hard`, and by all its scopes."""
    spec = quota.get("spec") or {}
    hard = (quota.get("status") or {}).get("hard") or spec.get("hard") or {}
    if not any(concerns(group, plural, name) for name in hard):
        return False
    is_pod = (group, plural) == ("", "pods")
    return all(is_pod and _in_scope(requirement, obj) for requirement in _scopes(spec))


def unnamed(hard: Iterable[str], pod: Obj) -> str:
    """`cpu for: a,b; memory for: a`: what containers must name and do not; "" when nothing lacks."""
    spec = pod.get("spec") or {}
    if any((spec.get("resources") or {}).get(key) for key in ("requests", "limits")):
        return ""
    missing: dict[str, set[str]] = {}
    for container in (*(spec.get("containers") or ()), *(spec.get("initContainers") or ())):
        resources = container.get("resources") or {}
        named = _of_resources(amounts(resources.get("requests")), amounts(resources.get("limits")))
        for name in EXPLICIT.intersection(hard) - set(named):
            missing.setdefault(name, set()).add(container["name"])
    return "; ".join(f"{name} for: {','.join(sorted(names))}" for name, names in sorted(missing.items()))


def _of_resources(wanted: Amounts, bounds: Amounts) -> Amounts:
    used: Amounts = {"pods": ONE}
    for name, amount in wanted.items():
        if name in COMPUTE or name.startswith("hugepages-"):
            used[name] = amount
            used[f"requests.{name}"] = amount
        elif "/" in name:
            used[f"requests.{name}"] = amount
    for name in COMPUTE:
        if name in bounds:
            used[f"limits.{name}"] = bounds[name]
    return used


def _of_service(service: Obj) -> Amounts:
    spec = service.get("spec") or {}
    ports, node_ports, balancers = spec.get("ports") or (), 0, 0
    if spec.get("type") == "NodePort":
        node_ports = len(ports)
    elif spec.get("type") == "LoadBalancer":
        balancers = 1
        if spec.get("allocateLoadBalancerNodePorts") is False:
            node_ports = sum(1 for port in ports if port.get("nodePort"))
        else:
            node_ports = len(ports)
    return {
        "services": ONE,
        "services.nodeports": Quantity.of(node_ports),
        "services.loadbalancers": Quantity.of(balancers),
    }


def _of_claim(claim: Obj) -> Amounts:
    spec = claim.get("spec") or {}
    used: Amounts = {"persistentvolumeclaims": ONE}
    annotations = (claim.get("metadata") or {}).get("annotations") or {}
    storage_class = annotations.get(_CLASS_ANNOTATION) or spec.get("storageClassName") or ""
    storage = amounts((spec.get("resources") or {}).get("requests")).get("storage")
    allocated = amounts((claim.get("status") or {}).get("allocatedResources")).get("storage")
    if allocated is not None and (storage is None or allocated > storage):
        storage = allocated
    if storage_class:
        used[storage_class + _CLASS_CLAIMS] = ONE
    if storage is not None:
        used["requests.storage"] = storage
        if storage_class:
            used[storage_class + _CLASS_STORAGE] = storage
    return used


def _is_live(pod: Obj, now: float) -> bool:
    """Neither ended nor stuck in ending, which would keep a namespace from replacing the pods of a lost node."""
    if (pod.get("status") or {}).get("phase") in ("Failed", "Succeeded"):
        return False
    metadata = pod.get("metadata") or {}
    deleted, grace = metadata.get("deletionTimestamp"), metadata.get("deletionGracePeriodSeconds")
    return deleted is None or grace is None or now <= timestamps.parse(deleted) + grace


def _is_extended(name: str) -> bool:
    resource = name.removeprefix("requests.")
    return resource != name and "/" in resource and not resource.partition("/")[0].endswith("kubernetes.io")


def _scopes(spec: Obj) -> list[Obj]:
    named: list[Obj] = [{"scopeName": scope, "operator": "Exists"} for scope in spec.get("scopes") or ()]
    return named + list((spec.get("scopeSelector") or {}).get("matchExpressions") or ())


def _in_scope(requirement: Obj, pod: Obj) -> bool:
    scope, spec = requirement.get("scopeName"), pod.get("spec") or {}
    if scope in ("Terminating", "NotTerminating"):
        return (spec.get("activeDeadlineSeconds") is not None) is (scope == "Terminating")
    if scope in ("BestEffort", "NotBestEffort"):
        return (qos.compute(spec) == "BestEffort") is (scope == "BestEffort")
    if scope == "PriorityClass":
        return _has_priority(requirement, spec.get("priorityClassName") or "")
    return scope == "CrossNamespacePodAffinity" and _looks_into_other_namespaces(spec.get("affinity") or {})


def _has_priority(requirement: Obj, name: str) -> bool:
    operator, values = requirement.get("operator"), requirement.get("values") or ()
    if operator in ("Exists", "DoesNotExist"):
        return bool(name) is (operator == "Exists")
    if operator == "In":
        return bool(name) and name in values
    return operator == "NotIn" and name not in values


def _looks_into_other_namespaces(affinity: Obj) -> bool:
    for key in ("podAffinity", "podAntiAffinity"):
        part = affinity.get(key) or {}
        terms = list(part.get("requiredDuringSchedulingIgnoredDuringExecution") or ())
        weighted = part.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
        terms += [one.get("podAffinityTerm") or {} for one in weighted]
        if any(term.get("namespaces") or term.get("namespaceSelector") is not None for term in terms):
            return True
    return False

"""Random bodies for the API's kinds: good ones from a table, what the schemas allow, and what they do not."""

from __future__ import annotations

import copy
import random
from typing import Any

from apimachinery.resources import ResourceInfo
from apimachinery.schema import ListNode, MapNode, Node, ObjectNode, type_of
from apimachinery.schema.nodes import (
    BooleanNode,
    BytesNode,
    IntegerNode,
    IntOrStringNode,
    NumberNode,
    QuantityNode,
    StringNode,
    TimeNode,
)

Json = dict[str, Any]

WORDS = (
    "a",
    "fuzz-0",
    "fuzz-1",
    "default",
    "Always",
    "TCP",
    "ClusterIP",
    "None",
    "http",
    "app=x",
    "kubernetes.io/x",
    "*",
)
TEXTS = ("", "x", "A B", "a/b", "é", "\x00", "\u202e", "a" * 64, "x" * 300, "-1", "../..", "%2e", "$(A)", "{{x}}", "\n")
NUMBERS = (0, 1, -1, 2, 80, 65535, 65536, 2**31 - 1, -(2**31), 2**63 - 1, -(2**63))
QUANTITIES = ("1", "100m", "1Gi", "0", "-1", "1e3", "1e999", "1.5Ki", "9999999999999999999999", "1nope", "", 1, 0.5)
TIMES = (
    "2026-01-01T00:00:00Z",
    "2026-01-01T00:00:00.123456Z",
    "1969-12-31T23:59:59+14:00",
    "0001-01-01T00:00:00Z",
    "now",
)
JUNK: tuple[Any, ...] = (
    None, True, False, 0, -0.0, -1, 1.5, 1e300, 2**31, 2**63, 2**64, 10**30, "", "x", "\ud800", "a" * 300, [], {}, [[]],
    [None], {"": None}, [{}], {"$patch": "delete"}, ["a", 1], "1Gi", "é\x00", {"name": "c", "$patch": "replace"},
    [{"name": "c"}, {"name": "c"}],
)  # fmt: skip
ODD_NAMES = (
    "zz",
    "$retainKeys",
    "$setElementOrder/containers",
    "$deleteFromPrimitiveList/finalizers",
    "name",
    "$patch",
    "",
)

_CONTAINER = {"name": "c", "image": "i"}
_TEMPLATE = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [_CONTAINER]}}
_SELECTOR = {"matchLabels": {"a": "b"}}
_WORKLOAD = {"selector": _SELECTOR, "template": _TEMPLATE}
_JOB = {"template": {"spec": {"containers": [_CONTAINER], "restartPolicy": "Never"}}}
_RULES = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]
_SUBJECTS = [{"kind": "User", "name": "u", "apiGroup": "rbac.authorization.k8s.io"}]
_CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
_VOLUME = {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/x"}}
_REFERENCE = {"apiGroup": "rbac.authorization.k8s.io", "name": "r"}
_HPA = {"scaleTargetRef": {"kind": "Deployment", "name": "d", "apiVersion": "apps/v1"}, "maxReplicas": 3}
_SERVED = [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}]
_CRD_NAMES = {"plural": "fuzz", "kind": "Fuzz"}
#: What makes an object of the kind good, besides its name.
GOOD: dict[str, Json] = {
    "ConfigMap": {"data": {"a": "b"}},
    "Secret": {"data": {"a": "Yg=="}},
    "Service": {"spec": {"ports": [{"port": 80}], "selector": {"a": "b"}}},
    "Pod": {"spec": {"containers": [_CONTAINER]}},
    "PodTemplate": {"template": _TEMPLATE},
    "ReplicationController": {"spec": {"selector": {"a": "b"}, "template": _TEMPLATE}},
    "Deployment": {"spec": _WORKLOAD},
    "ReplicaSet": {"spec": _WORKLOAD},
    "DaemonSet": {"spec": _WORKLOAD},
    "StatefulSet": {"spec": {**_WORKLOAD, "serviceName": "s"}},
    "Job": {"spec": _JOB},
    "CronJob": {"spec": {"schedule": "* * * * *", "jobTemplate": {"spec": _JOB}}},
    "Role": {"rules": _RULES},
    "ClusterRole": {"rules": _RULES},
    "RoleBinding": {"subjects": _SUBJECTS, "roleRef": {**_REFERENCE, "kind": "Role"}},
    "ClusterRoleBinding": {"subjects": _SUBJECTS, "roleRef": {**_REFERENCE, "kind": "ClusterRole"}},
    "PersistentVolumeClaim": {"spec": _CLAIM},
    "PersistentVolume": {"spec": _VOLUME},
    "StorageClass": {"provisioner": "p"},
    "Ingress": {"spec": {"defaultBackend": {"service": {"name": "s", "port": {"number": 80}}}}},
    "NetworkPolicy": {"spec": {"podSelector": {}}},
    "PodDisruptionBudget": {"spec": {"minAvailable": 1, "selector": _SELECTOR}},
    "HorizontalPodAutoscaler": {"spec": _HPA},
    "Lease": {"spec": {"holderIdentity": "x"}},
    "EndpointSlice": {"addressType": "IPv4", "endpoints": [{"addresses": ["192.0.2.1"]}], "ports": []},
    "Endpoints": {"subsets": [{"addresses": [{"ip": "192.0.2.1"}], "ports": [{"port": 80}]}]},
    "PriorityClass": {"value": 5},
    "RuntimeClass": {"handler": "runc"},
    "Event": {"involvedObject": {"kind": "Pod", "namespace": "default"}, "type": "Normal"},
    "CSIDriver": {"spec": {}},
    "CSINode": {"spec": {"drivers": []}},
    "LimitRange": {"spec": {"limits": [{"type": "Container", "max": {"cpu": "64"}}]}},
    "ResourceQuota": {"spec": {"hard": {"count/leases.coordination.k8s.io": "100"}}},
    "CustomResourceDefinition": {
        "spec": {"group": "fuzz.io", "names": _CRD_NAMES, "scope": "Namespaced", "versions": _SERVED}
    },
    "TokenReview": {"spec": {"token": "x"}},
    "SubjectAccessReview": {"spec": {"user": "u", "nonResourceAttributes": {"path": "/", "verb": "get"}}},
    "SelfSubjectAccessReview": {"spec": {"nonResourceAttributes": {"path": "/", "verb": "get"}}},
    "SelfSubjectRulesReview": {"spec": {"namespace": "default"}},
    "Scale": {"spec": {"replicas": 2}},
    "Binding": {"target": {"kind": "Node", "name": "n"}},
}


def junk(rng: random.Random) -> Any:
    return copy.deepcopy(rng.choice(JUNK))


def scalar(rng: random.Random, node: Node) -> Any:
    """A value of a leaf's type; most of them are in its range."""
    if isinstance(node, BooleanNode):
        return rng.random() < 0.5
    if isinstance(node, IntegerNode):
        return rng.choice(NUMBERS)
    if isinstance(node, NumberNode):
        return rng.choice((0, 1.5, -1e300))
    if isinstance(node, QuantityNode):
        return rng.choice(QUANTITIES)
    if isinstance(node, IntOrStringNode):
        return rng.choice((1, "25%", "web", "-1%", 0, 70000))
    if isinstance(node, TimeNode):
        return rng.choice(TIMES)
    if isinstance(node, BytesNode):
        return rng.choice(("YQ==", "", "YQ", "?"))
    if isinstance(node, StringNode):
        return rng.choice(WORDS if rng.random() < 0.7 else TEXTS)
    return rng.choice(({}, {"a": 1}, [1], "x", 1))


def value(rng: random.Random, node: Node, depth: int = 0) -> Any:
    """What the schema allows (or, seldom, does not) at a place of type `node`."""
    if rng.random() < 0.02:
        return junk(rng)
    if isinstance(node, ObjectNode):
        chosen = [f for f in node.fields.values() if f.required or rng.random() < 0.25 / (depth + 1)]
        return {one.name: value(rng, one.node, depth + 1) for one in chosen} if depth < 9 else {}
    if isinstance(node, ListNode):
        return [value(rng, node.element, depth + 1) for _ in range(rng.randint(0, 2))] if depth < 9 else []
    if isinstance(node, MapNode):
        keys = rng.sample((*WORDS, "x/y", "", "A"), rng.randint(0, 2))
        return {key: value(rng, node.element, depth + 1) for key in keys}
    return scalar(rng, node)


def good(info: ResourceInfo, name: str) -> Json:
    body = copy.deepcopy(GOOD.get(info.kind, {}))
    return {"apiVersion": info.api_version, "kind": info.kind, "metadata": {"name": name}, **body}


def body(rng: random.Random, info: ResourceInfo, name: str) -> Any:
    """An object of the kind: good, changed where its schema allows it, or broken."""
    made = good(info, name)
    node = type_of(info.group, info.version, info.kind)
    if info.kind == "CustomResourceDefinition" and rng.random() < 0.8:
        made["metadata"]["name"] = "fuzz.fuzz.io"
    if node is None or rng.random() < 0.3:
        return made
    if rng.random() < 0.1:
        return value(rng, node)
    return changed(rng, made, node, rng.choice((1, 1, 2, 5)))


def changed(rng: random.Random, obj: Any, node: Node | None, times: int) -> Any:
    """The object with some places added, replaced or taken away."""
    obj = copy.deepcopy(obj)
    for _ in range(times):
        holder, type_here = obj, node
        for _ in range(rng.randint(0, 6)):
            if isinstance(holder, dict) and isinstance(type_here, ObjectNode):
                inside = [
                    n for n in holder if n in type_here.fields and isinstance(holder[n], dict | list) and holder[n]
                ]
                if not inside:
                    break
                name = rng.choice(inside)
                holder, type_here = holder[name], type_here.fields[name].node
            elif isinstance(holder, list) and isinstance(type_here, ListNode) and isinstance(holder[0], dict):
                holder, type_here = holder[0], type_here.element
            else:
                break
        _change(rng, holder, type_here)
    return obj


def _change(rng: random.Random, holder: Any, node: Node | None) -> None:
    dice = rng.random()
    if isinstance(holder, list):
        element = node.element if isinstance(node, ListNode) else None
        holder.append(value(rng, element, 2) if element and dice < 0.8 else junk(rng))
    elif not isinstance(holder, dict):
        return
    elif isinstance(node, ObjectNode) and node.fields and dice < 0.75:
        one = node.fields[rng.choice(sorted(node.fields))]
        holder[one.name] = value(rng, one.node, 1)
    elif dice < 0.85 and holder:
        holder[rng.choice(sorted(holder))] = junk(rng)
    elif dice < 0.93:
        holder[rng.choice(ODD_NAMES)] = junk(rng)
    elif holder:
        del holder[rng.choice(sorted(holder))]

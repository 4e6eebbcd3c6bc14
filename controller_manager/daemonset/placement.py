"""Which nodes a DaemonSet's pods belong on, and the pod that is made for one node.

The scheduler still binds the pod: it is pointed at its node by the node's name, in the affinity.
"""

from __future__ import annotations

from typing import Any

import msgspec

from apimachinery.placement import NAME_FIELD, node_matches, tolerates
from controller_manager.daemonset.views import DaemonSet
from controller_manager.ownership import Owner
from controller_manager.views import Node, Pod, PodSpec, decoded

HASH_LABEL = "controller-revision-hash"
GENERATION_LABEL = "pod-template-generation"
#: Deprecated by upstream and still set on pods, for tools that look at it.
GENERATION_ANNOTATION = "deprecated.daemonset.template.generation"
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"

_TOLERATED = (
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
)
_NETWORK = ("node.kubernetes.io/network-unavailable", "NoSchedule")


def pod_spec(found: DaemonSet) -> PodSpec:
    """The template's, with the tolerations every daemon pod has."""
    return msgspec.convert(_tolerant(decoded(found.spec.template).get("spec") or {}), PodSpec)


def placement(spec: PodSpec, node: Node) -> tuple[bool, bool]:
    """(a pod belongs there, a pod that is there may stay)."""
    if spec.nodeName and spec.nodeName != node.metadata.name:
        return False, False
    affinity = spec.affinity.nodeAffinity if spec.affinity else None
    required = affinity.requiredDuringSchedulingIgnoredDuringExecution if affinity else None
    terms = required.nodeSelectorTerms if required else None
    if not node_matches(spec.nodeSelector, terms, node.metadata.name, node.metadata.labels):
        return False, False
    untolerated = [taint for taint in node.spec.taints if not any(tolerates(t, taint) for t in spec.tolerations)]
    if any(taint.effect == "NoExecute" for taint in untolerated):
        return False, False
    if any(taint.effect == "NoSchedule" for taint in untolerated):
        return False, True
    return True, True


def node_of(pod: Pod) -> str:
    """Where the pod is, or is to go."""
    if pod.spec.nodeName:
        return pod.spec.nodeName
    affinity = pod.spec.affinity.nodeAffinity if pod.spec.affinity else None
    required = affinity.requiredDuringSchedulingIgnoredDuringExecution if affinity else None
    for term in required.nodeSelectorTerms if required else ():
        for expression in term.matchFields:
            if expression.key == NAME_FIELD and expression.operator == "In" and len(expression.values) == 1:
                return expression.values[0]
    return ""


def pod_for(found: DaemonSet, owner: Owner, node: str, revision_hash: str) -> dict[str, Any]:
    template = decoded(found.spec.template)
    metadata = template.get("metadata") or {}
    labels = {**(metadata.get("labels") or {}), HASH_LABEL: revision_hash}
    if generation := found.metadata.annotations.get(GENERATION_ANNOTATION):
        labels[GENERATION_LABEL] = generation
    spec = _tolerant(template.get("spec") or {})
    affinity = dict(spec.get("affinity") or {})
    wanted = [{"matchFields": [{"key": NAME_FIELD, "operator": "In", "values": [node]}]}]
    affinity["nodeAffinity"] = {**(affinity.get("nodeAffinity") or {}), REQUIRED: {"nodeSelectorTerms": wanted}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            **{k: metadata[k] for k in ("annotations", "finalizers") if metadata.get(k)},
            "labels": labels,
            "generateName": f"{found.metadata.name}-",
            "namespace": found.metadata.namespace,
            "ownerReferences": [owner.reference()],
        },
        "spec": {**spec, "affinity": affinity},
    }


def _tolerant(spec: dict[str, Any]) -> dict[str, Any]:
    wanted = [*_TOLERATED, _NETWORK] if spec.get("hostNetwork") else _TOLERATED
    given: list[dict[str, Any]] = list(spec.get("tolerations") or ())
    added = [{"key": key, "operator": "Exists", "effect": effect} for key, effect in wanted]
    return {**spec, "tolerations": [*given, *(t for t in added if t not in given)]}

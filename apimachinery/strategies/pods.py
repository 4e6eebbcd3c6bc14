"""What the server itself writes into pods, and what each of their subresources may change."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from apimachinery.defaults.pods import mirror_service_account
from apimachinery.podspec import qos

Obj = dict[str, Any]


def create(pod: Obj) -> None:
    """A new pod is Pending, whatever its author says; labels named by matchLabelKeys become part of the selectors."""
    spec = pod.setdefault("spec", {})
    mirror_service_account(spec)
    pod["status"] = {"phase": "Pending", "qosClass": qos.compute(spec)}
    if spec.get("schedulingGates"):
        pod["status"]["conditions"] = [
            {
                "type": "PodScheduled",
                "status": "False",
                "lastProbeTime": None,
                "lastTransitionTime": None,
                "reason": "SchedulingGated",
                "message": "Scheduling is blocked due to non-empty scheduling gates",
            }
        ]
    labels = (pod.get("metadata") or {}).get("labels") or {}
    for term in _affinity_terms(spec.get("affinity") or {}):
        _merge_label_keys(term, "matchLabelKeys", "In", labels)
        _merge_label_keys(term, "mismatchLabelKeys", "NotIn", labels)
    for constraint in spec.get("topologySpreadConstraints") or ():
        _merge_label_keys(constraint, "matchLabelKeys", "In", labels)


def stamp_conditions(pod: Obj, now: str) -> None:
    """Date the conditions the server set itself at creation."""
    for condition in (pod.get("status") or {}).get("conditions") or ():
        if condition.get("lastTransitionTime") is None:
            condition["lastTransitionTime"] = now


def _affinity_terms(affinity: Obj) -> Iterator[Obj]:
    for field in ("podAffinity", "podAntiAffinity"):
        part = affinity.get(field) or {}
        for weighted in part.get("preferredDuringSchedulingIgnoredDuringExecution") or ():
            yield weighted.get("podAffinityTerm") or {}
        yield from part.get("requiredDuringSchedulingIgnoredDuringExecution") or ()


def _merge_label_keys(term: Obj, field: str, operator: str, labels: Obj) -> None:
    selector = term.get("labelSelector")
    if selector is None:
        return
    for key in term.get(field) or ():
        if key in labels:
            requirement = {"key": key, "operator": operator, "values": [labels[key]]}
            selector.setdefault("matchExpressions", []).append(requirement)


def status_update(pod: Obj, old: Obj) -> None:
    """Kubelets may not change owners, deletion or the class decided at creation, nor lose observed generations."""
    metadata, before = pod["metadata"], old["metadata"]
    _take(metadata, before, "deletionTimestamp")
    _take(metadata, before, "ownerReferences")
    status, status_before = pod.setdefault("status", {}), old.get("status") or {}
    for field in ("qosClass", "observedGeneration"):
        if not status.get(field) and status_before.get(field):
            status[field] = status_before[field]
    known: dict[str, list[Any]] = {}
    for condition in status_before.get("conditions") or ():
        known.setdefault(condition.get("type", ""), []).append(condition.get("observedGeneration"))
    for condition in status.get("conditions") or ():
        generations = known.get(condition.get("type", ""))
        generation = generations.pop(0) if generations else None
        if not condition.get("observedGeneration") and generation:
            condition["observedGeneration"] = generation


def _take(target: Obj, source: Obj, field: str) -> None:
    if source.get(field) is None:
        target.pop(field, None)
    else:
        target[field] = source[field]


def ephemeral_containers_update(pod: Obj, old: Obj) -> None:
    """Only `spec.ephemeralContainers` may change through this subresource."""
    wanted = (pod.get("spec") or {}).get("ephemeralContainers")
    pod["spec"] = dict(old.get("spec") or {})
    if wanted:
        pod["spec"]["ephemeralContainers"] = wanted
    else:
        pod["spec"].pop("ephemeralContainers", None)


def resize_update(pod: Obj, old: Obj) -> None:
    """Only amounts and resize policies may change; containers added, removed or renamed are left for validation."""
    spec, before = pod.get("spec") or {}, old.get("spec") or {}
    merged = dict(before)
    for field in ("containers", "initContainers"):
        wanted, known = spec.get(field) or [], before.get(field) or []
        if [one.get("name") for one in wanted] != [one.get("name") for one in known]:
            return
        if known:
            merged[field] = [_with_amounts_of(new, one) for new, one in zip(wanted, known, strict=True)]
    _take(merged, spec, "resources")
    pod["spec"] = merged


def _with_amounts_of(new: Obj, old: Obj) -> Obj:
    container = dict(old)
    for field in ("resources", "resizePolicy"):
        _take(container, new, field)
    return container

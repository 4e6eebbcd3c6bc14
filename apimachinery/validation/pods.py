"""Rules of Pods: on creation, on updates (few fields may change), through their subresources."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from apimachinery import names
from apimachinery.fields import FieldError, Path, forbidden, invalid, not_supported, quote, required
from apimachinery.podspec import qos
from apimachinery.podspec.resources import is_sidecar
from apimachinery.strategies.equality import same
from apimachinery.validation import containers, placement, security
from apimachinery.validation.differences import differences
from apimachinery.validation.metadata import immutable, object_meta
from apimachinery.validation.podspec import MIRROR, matching_profiles, pod_annotations, pod_spec

Obj = dict[str, Any]
Errors = list[FieldError]

SPEC = Path("spec")
STATUS = Path("status")
ANNOTATIONS = Path("metadata", "annotations")
UPDATABLE = ",".join(
    (
        "`spec.containers[*].image`",
        "`spec.initContainers[*].image`",
        "`spec.activeDeadlineSeconds`",
        "`spec.tolerations` (only additions to existing tolerations)",
        "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)",
    )
)


def _whole(pod: Obj) -> Errors:
    """What must hold for a pod at any time, its metadata apart."""
    spec, meta = pod.get("spec") or {}, pod.get("metadata") or {}
    found = pod_annotations(meta.get("annotations") or {}, spec, ANNOTATIONS)
    found += pod_spec(spec, SPEC, meta=meta)
    if not spec.get("serviceAccountName"):
        for index, volume in enumerate(spec.get("volumes") or ()):
            for number, source in enumerate((volume.get("projected") or {}).get("sources") or ()):
                if source.get("serviceAccountToken") is not None:
                    place = SPEC.child("volumes").index(index).child("projected", "sources").index(number)
                    detail = "must not be specified when serviceAccountName is not set"
                    found.append(forbidden(place.child("serviceAccountToken"), detail))
    for field in ("containers", "initContainers"):
        for index, container in enumerate(spec.get(field) or ()):
            found += containers.trimmed_image(container, SPEC.child(field).index(index))
    return found


def create(pod: Obj) -> Errors:
    found = _whole(pod)
    spec = pod.get("spec") or {}
    if spec.get("ephemeralContainers"):
        found.append(forbidden(SPEC.child("ephemeralContainers"), "cannot be set on create"))
    if spec.get("nodeName") and spec.get("schedulingGates"):
        detail = "cannot be set until all schedulingGates have been cleared"
        found.append(forbidden(SPEC.child("nodeName"), detail))
    table = (pod.get("metadata") or {}).get("annotations") or {}
    return found + matching_profiles(table, spec, SPEC)


def _whole_with_meta(pod: Obj) -> Errors:
    """Updates judge the metadata like a new object's once more."""
    return object_meta(pod.get("metadata") or {}, True, names.dns1123_subdomain) + _whole(pod)


def _annotation_changes(new: Obj, old: Obj) -> Errors:
    table, before = new["metadata"].get("annotations") or {}, old["metadata"].get("annotations") or {}
    found: Errors = []
    for key, value in before.items():
        if table.get(key) == value:
            continue
        if key.startswith(security.APP_ARMOR_PREFIX):
            found.append(forbidden(ANNOTATIONS.key(key), "may not remove or update AppArmor annotations"))
        if key == MIRROR:
            found.append(forbidden(ANNOTATIONS.key(key), "may not remove or update mirror pod annotation"))
    for key in table:
        if key in before:
            continue
        if key.startswith(security.APP_ARMOR_PREFIX):
            found.append(forbidden(ANNOTATIONS.key(key), "may not add AppArmor annotations"))
        if key == MIRROR:
            found.append(forbidden(ANNOTATIONS.key(key), "may not add mirror pod annotation"))
    return found + pod_annotations(table, new.get("spec") or {}, ANNOTATIONS)


def update(pod: Obj, old: Obj) -> Errors:
    found = _whole_with_meta(pod) + _annotation_changes(pod, old)
    spec, before = pod.get("spec") or {}, old.get("spec") or {}
    for field in ("containers", "initContainers"):
        new, known = spec.get(field) or [], before.get(field) or []
        if len(new) != len(known):
            return [*found, forbidden(SPEC.child(field), "pod updates may not add or remove containers")]
        for index, container in enumerate(new):
            place = SPEC.child(field).index(index)
            if not container.get("image"):
                found.append(required(place.child("image")))
            found += containers.trimmed_image(container, place)
    wrong = _deadline(spec, before)
    found += wrong
    if wrong and spec.get("activeDeadlineSeconds") is not None:
        return found
    found += _tolerations(spec.get("tolerations") or [], before.get("tolerations") or [])
    found += _scheduling_gates(spec.get("schedulingGates") or [], before.get("schedulingGates") or [])
    if same(spec, before):
        return found
    munged = _with_allowed_changes_undone(spec, before, found)
    if not same(munged, before):
        detail = f"pod updates may not change fields other than {UPDATABLE}\n{differences(before, munged)}"
        found.append(forbidden(SPEC, detail))
    return found


def _deadline(spec: Obj, before: Obj) -> Errors:
    place = SPEC.child("activeDeadlineSeconds")
    new, known = spec.get("activeDeadlineSeconds"), before.get("activeDeadlineSeconds")
    if new is None:
        detail = "must not update from a positive integer to nil value"
        return [invalid(place, None, detail)] if known is not None else []
    wrong = names.in_range(new, 0, 2**31 - 1)
    if wrong:
        return [invalid(place, new, wrong[0])]
    if known is not None and known < new:
        return [invalid(place, new, "must be less than or equal to previous value")]
    return []


def _tolerations(new: Sequence[Obj], known: Sequence[Obj]) -> Errors:
    place = SPEC.child("tolerations")

    def bare(toleration: Obj) -> frozenset[tuple[str, Any]]:
        return frozenset(
            (field, value) for field, value in toleration.items() if value and field != "tolerationSeconds"
        )

    if not {bare(one) for one in known} <= {bare(one) for one in new}:
        return [forbidden(place, "existing toleration can not be modified except its tolerationSeconds")]
    return placement.tolerations(new, place)


def _scheduling_gates(new: Sequence[Obj], known: Sequence[Obj]) -> Errors:
    before = {gate.get("name") for gate in known}
    return [
        forbidden(
            SPEC.child("schedulingGates").index(index).child("name"),
            f"only deletion is allowed, but found new scheduling gate '{gate.get('name')}'",
        )
        for index, gate in enumerate(new)
        if gate.get("name") not in before
    ]


def _with_allowed_changes_undone(spec: Obj, before: Obj, found: Errors) -> Obj:
    """A copy of the new spec in which everything that may change has its old value again."""
    munged = copy.deepcopy(spec)
    for field in ("containers", "initContainers"):
        for container, known in zip(munged.get(field) or (), before.get(field) or (), strict=True):
            container["image"] = known.get("image")
    for field in ("activeDeadlineSeconds", "schedulingGates", "tolerations"):
        _restore(munged, before, field)
    grace = before.get("terminationGracePeriodSeconds")
    if grace is not None and grace < 0 and munged.get("terminationGracePeriodSeconds") == 1:
        munged["terminationGracePeriodSeconds"] = grace
    if before.get("schedulingGates"):
        _undo_placement(munged, before, found)
    return munged


def _restore(target: Obj, source: Obj, field: str) -> None:
    if field in source:
        target[field] = source[field]
    else:
        target.pop(field, None)


def _undo_placement(munged: Obj, before: Obj, found: Errors) -> None:
    """A gated pod may still become choosier about nodes."""
    new, known = munged.get("nodeSelector") or {}, before.get("nodeSelector") or {}
    if not same(new, known):
        if any(new.get(key) != value for key, value in known.items()):
            detail = "only additions are allowed (no mutations or deletions)"
            found.append(invalid(SPEC.child("nodeSelector"), new, detail))
        _restore(munged, before, "nodeSelector")
    affinity, affinity_before = munged.get("affinity") or {}, before.get("affinity") or {}
    nodes, nodes_before = affinity.get("nodeAffinity"), affinity_before.get("nodeAffinity")
    if not same(nodes, nodes_before):
        found += _node_affinity_change(nodes or {}, nodes_before or {}, SPEC.child("affinity", "nodeAffinity"))
        merged = dict(affinity)
        _restore(merged, affinity_before, "nodeAffinity")
        munged["affinity"] = merged


def _node_affinity_change(new: Obj, known: Obj, path: Path) -> Errors:
    place = path.child(placement.REQUIRED, "nodeSelectorTerms")
    old_terms = (known.get(placement.REQUIRED) or {}).get("nodeSelectorTerms") or []
    if not old_terms:
        return []
    terms = (new.get(placement.REQUIRED) or {}).get("nodeSelectorTerms") or []
    if len(terms) != len(old_terms):
        return [invalid(place, terms, "no additions/deletions to non-empty NodeSelectorTerms list are allowed")]
    found: Errors = []
    for index, (term, before) in enumerate(zip(terms, old_terms, strict=True)):
        grown = all(
            (term.get(field) or [])[: len(before.get(field) or [])] == (before.get(field) or [])
            for field in ("matchExpressions", "matchFields")
        )
        emptied = not any(before.values()) and any(term.values())
        if not grown or emptied:
            detail = "only additions are allowed (no mutations or deletions)"
            found.append(invalid(place.index(index), term, detail))
    return found


def status_update(pod: Obj, old: Obj) -> Errors:
    status, before = pod.get("status") or {}, old.get("status") or {}
    spec = old.get("spec") or {}
    found = _annotation_changes(pod, old)
    for index, condition in enumerate(status.get("conditions") or ()):
        if (condition.get("observedGeneration") or 0) < 0:
            place = STATUS.child("conditions").index(index).child("observedGeneration")
            detail = "must be a non-negative integer"
            found.append(invalid(place, condition["observedGeneration"], detail))
    nominated = status.get("nominatedNodeName") or ""
    place = STATUS.child("nominatedNodeName")
    if nominated and nominated != (before.get("nominatedNodeName") or ""):
        found += [invalid(place, nominated, text) for text in names.dns1123_subdomain(nominated)]
        if spec.get("nodeName"):
            found.append(forbidden(place, "may not be set on pods that are already bound to a node"))
    if (status.get("observedGeneration") or 0) < 0:
        detail = "must be a non-negative integer"
        found.append(invalid(STATUS.child("observedGeneration"), status["observedGeneration"], detail))
    found += immutable(status.get("qosClass") or "", before.get("qosClass") or "", STATUS.child("qosClass"))
    for field in ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"):
        found += _transitions(status.get(field) or (), before.get(field) or (), field, spec)
    return found + _addresses(status, before)


def _transitions(new: Sequence[Obj], known: Sequence[Obj], field: str, spec: Obj) -> Errors:
    """A container that ended stays ended, unless it is one that would be restarted."""
    found: Errors = []
    listed = {"containerStatuses": "containers", "initContainerStatuses": "initContainers"}.get(field, "")
    by_name = {container.get("name"): container for container in spec.get(listed) or ()}
    if listed and _restarts_everything(spec):
        return found
    for index, before in enumerate(known):
        ended = (before.get("state") or {}).get("terminated")
        if ended is None:
            continue
        now = next((one for one in new if one.get("name") == before.get("name")), None)
        if now is None or (now.get("state") or {}).get("terminated") is not None:
            continue
        container = by_name.get(before.get("name"))
        if container is None or not may_restart(container, spec, ended.get("exitCode") or 0):
            place = STATUS.child(field).index(index).child("state")
            found.append(forbidden(place, "may not be transitioned to non-terminated state"))
    return found


def _restarts_everything(spec: Obj) -> bool:
    return any(
        rule.get("action") == "RestartAllContainers"
        for field in ("containers", "initContainers")
        for container in spec.get(field) or ()
        for rule in container.get("restartPolicyRules") or ()
    )


def may_restart(container: Obj, spec: Obj, exit_code: int) -> bool:
    """Whether a container that ended with `exit_code` is started again."""
    if container.get("restartPolicy") is not None:
        for rule in container.get("restartPolicyRules") or ():
            codes = rule.get("exitCodes") or {}
            inside = exit_code in (codes.get("values") or ())
            if inside == (codes.get("operator") == "In"):
                return bool(rule.get("action") == "Restart")
        policy = container["restartPolicy"]
    else:
        policy = spec.get("restartPolicy")
    return policy == "Always" or (policy == "OnFailure" and exit_code != 0)


def _addresses(status: Obj, before: Obj) -> Errors:
    found: Errors = []
    for field in ("podIPs", "hostIPs"):
        place = STATUS.child(field)
        listed = [one.get("ip") or "" for one in status.get(field) or ()]
        known = {one.get("ip") for one in before.get(field) or ()}
        if field == "hostIPs" and listed and status.get("hostIP") != listed[0]:
            found.append(invalid(place.index(0).child("ip"), listed[0], "must be equal to `hostIP`"))
        for index, address in enumerate(listed):
            if address not in known:
                found += [invalid(place.index(index), address, text) for text in names.ip_address(address)]
        families = [":" in address for address in listed]
        if len(listed) > 1 and (len(listed) > 2 or families[0] == families[1]):
            detail = "may specify no more than one IP for each IP family"
            found.append(invalid(place, status.get(field), detail))
    return found


def ephemeral_containers_update(pod: Obj, old: Obj) -> Errors:
    found = _whole_with_meta(pod) + _annotation_changes(pod, old)
    if MIRROR in (old["metadata"].get("annotations") or {}):
        return [forbidden(Path("[]"), "static pods do not support ephemeral containers")]
    place = SPEC.child("ephemeralContainers")
    new = {one.get("name"): one for one in (pod.get("spec") or {}).get("ephemeralContainers") or ()}
    for before in (old.get("spec") or {}).get("ephemeralContainers") or ():
        name = quote(before.get("name") or "")
        now = new.get(before.get("name"))
        if now is None:
            found.append(forbidden(place, f"existing ephemeral containers {name} may not be removed\n"))
        elif not same(now, before):
            detail = f"existing ephemeral containers {name} may not be changed\n{differences(before, now)}"
            found.append(forbidden(place, detail))
    return found


def resize_update(pod: Obj, old: Obj) -> Errors:
    """Only CPU and memory may change, without changing the pod's class and without dropping any of them."""
    found = _whole_with_meta(pod)
    spec, before = pod.get("spec") or {}, old.get("spec") or {}
    if MIRROR in (old["metadata"].get("annotations") or {}):
        return [forbidden(Path("[]"), "static pods cannot be resized")]
    if (before.get("os") or {}).get("name") == "windows":
        return [forbidden(Path("[]"), "windows pods cannot be resized")]
    if qos.qos_class(old) != qos.compute(spec):
        shown = (pod.get("status") or {}).get("qosClass") or ""
        found.append(invalid(SPEC, shown, "Pod QOS Class may not change as a result of resizing"))
    running = [
        s for s in (old.get("status") or {}).get("containerStatuses") or () if (s.get("state") or {}).get("running")
    ]
    if running and running[0].get("resources") is None:
        found.append(forbidden(SPEC, "Pod running on node without support for resize"))
    munged = copy.deepcopy(spec)
    found += _pod_level_resize(munged, spec, before)
    wrong = _order(spec, before)
    if wrong:
        return found + wrong
    for field in ("initContainers", "containers"):
        for index, container in enumerate(before.get(field) or ()):
            place = SPEC.child(field).index(index).child("resources")
            new = (spec[field][index].get("resources") or {}, container.get("resources") or {})
            for side in ("requests", "limits"):
                if set(new[1].get(side) or ()) - set(new[0].get(side) or ()):
                    found.append(forbidden(place.child(side), f"resource {side} cannot be removed"))
    found += _only_cpu_and_memory(munged, spec, before)
    if not found and not same(munged, before):
        found.append(forbidden(SPEC, "only cpu and memory resources are mutable"))
    return found


def _pod_level_resize(munged: Obj, spec: Obj, before: Obj) -> Errors:
    new, known = spec.get("resources"), before.get("resources")
    if not any((table or {}).get(side) for table in (new, known) for side in ("requests", "limits")):
        return []
    place = SPEC.child("resources")
    if known is not None and new is None:
        return [forbidden(place, "pod-level resources cannot be removed")]
    found: Errors = []
    for side in ("requests", "limits"):
        if set((known or {}).get(side) or ()) - set((new or {}).get(side) or ()):
            found.append(forbidden(place.child(side), f"pod-level resource {side} cannot be removed"))
    munged["resources"] = _old_cpu_and_memory(new or {}, known or {})
    if not same(munged["resources"], known):
        found.append(forbidden(SPEC, "only cpu and memory resources are mutable at pod-level"))
    return found


def _order(spec: Obj, before: Obj) -> Errors:
    found: Errors = []
    for field in ("containers", "initContainers"):
        new, known = spec.get(field) or [], before.get(field) or []
        if len(new) != len(known):
            found.append(forbidden(SPEC.child(field), f"{field} may not be added or removed on resize"))
            continue
        for index, (one, other) in enumerate(zip(new, known, strict=True)):
            if one.get("name") != other.get("name"):
                place = SPEC.child(field).index(index).child("name")
                found.append(forbidden(place, f"{field} may not be renamed or reordered on resize"))
    return found


def _only_cpu_and_memory(munged: Obj, spec: Obj, before: Obj) -> Errors:
    found: Errors = []
    for field in ("containers", "initContainers"):
        for index, (container, known) in enumerate(zip(munged.get(field) or (), before.get(field) or (), strict=True)):
            changed = not same(container, known)
            container["resources"] = _old_cpu_and_memory(container.get("resources") or {}, known.get("resources") or {})
            if same(container, known):
                continue
            if field == "containers":
                found.append(forbidden(SPEC, "only cpu and memory resources are mutable"))
            elif is_sidecar(container):
                place = SPEC.child(field).index(index)
                detail = "only cpu and memory resources for init or sidecar containers are mutable"
                found.append(forbidden(place, detail))
            elif changed:
                found.append(forbidden(SPEC, "resources for non-sidecar init containers are immutable"))
    return found


def _old_cpu_and_memory(new: Obj, known: Obj) -> Obj:
    munged: Obj = {}
    for side in ("limits", "requests"):
        table = {name: text for name, text in (new.get(side) or {}).items() if name not in {"cpu", "memory"}}
        table.update({n: t for n, t in (known.get(side) or {}).items() if n in {"cpu", "memory"}})
        if table:
            munged[side] = table
    return munged


def binding(obj: Obj) -> Errors:
    """A Binding: the node a pod shall run on."""
    target = obj.get("target") or {}
    found: Errors = []
    if target.get("kind") not in {None, "", "Node"}:
        found.append(not_supported(Path("target", "kind"), target["kind"], ("Node", "<empty>")))
    if not target.get("name"):
        found.append(required(Path("target", "name")))
    return found

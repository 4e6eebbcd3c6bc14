"""What a DELETE does to an object: remove it now, or mark it and wait for a kubelet or for finalizers. Pure."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

from apimachinery import errors, fields, timestamps
from apimachinery.resources import ResourceInfo
from apiserver.registry import traits

JSON = dict[str, Any]
ORPHAN, FOREGROUND = "orphan", "foregroundDeletion"
_POLICIES = ("Foreground", "Background", "Orphan")
DEFAULT_GRACE = 30
_DEFINITIONS = "customresourcedefinitions.apiextensions.k8s.io"
CLEANUP = "customresourcecleanup.apiextensions.k8s.io"


@dataclass(frozen=True, slots=True)
class Options:
    grace: int | None = None
    policy: str = ""
    uid: str = ""
    resource_version: str = ""
    orphan_dependents: bool | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """`remove`: take the key away. Else `changed` is what to store, None to leave it as it is."""

    remove: bool
    changed: JSON | None = None


def parse_options(body: JSON) -> Options:
    """From a decoded DeleteOptions. Raises StatusError 422."""
    policy, orphan = body.get("propagationPolicy"), body.get("orphanDependents")
    place, found = fields.Path("propagationPolicy"), []
    if policy is not None and orphan is not None:
        detail = "orphanDependents and deletionPropagation cannot be both set"
        found.append(fields.invalid(place, policy, detail))
    if policy is not None and policy not in _POLICIES:
        found.append(fields.not_supported(place, policy, (*_POLICIES, "nil")))
    dry_run = body.get("dryRun") or []
    if set(dry_run) - {"All"}:
        found.append(fields.not_supported(fields.Path("dryRun"), dry_run, ("All",)))
    if found:
        raise errors.invalid("meta.k8s.io", "DeleteOptions", "", found)
    grace = body.get("gracePeriodSeconds")
    preconditions = body.get("preconditions") or {}
    return Options(
        int(grace) if grace is not None else None,
        policy or "",
        preconditions.get("uid") or "",
        preconditions.get("resourceVersion") or "",
        orphan,
    )


def check_preconditions(info: ResourceInfo, obj: JSON, options: Options) -> None:
    """Raises StatusError 409."""
    metadata = obj["metadata"]
    if options.uid and options.uid != metadata.get("uid"):
        raise errors.conflict(
            info.plural,
            info.group,
            metadata["name"],
            f"Precondition failed: UID in precondition: {options.uid}, UID in object meta: {metadata.get('uid', '')}",
        )
    found = metadata.get("resourceVersion", "")
    if options.resource_version and options.resource_version != found:
        raise errors.conflict(
            info.plural,
            info.group,
            metadata["name"],
            f"Precondition failed: ResourceVersion in precondition: {options.resource_version}, "
            f"ResourceVersion in object meta: {found}",
        )


def decide(info: ResourceInfo, obj: JSON, options: Options, now: float) -> Decision:
    """`obj` is not changed."""
    new = copy.copy(obj)
    metadata = new["metadata"] = dict(obj["metadata"])
    if info.group_resource == _DEFINITIONS and not metadata.get("deletionTimestamp"):
        _terminate(new, now)
        return Decision(False, new)
    finalizers = _finalizers(info, metadata, options)
    changed = finalizers != list(metadata.get("finalizers") or ())
    _set_finalizers(metadata, finalizers)
    waiting = bool(finalizers)
    if info.kind == "Namespace" and info.group == "":
        waiting = waiting or bool((obj.get("spec") or {}).get("finalizers"))
    if metadata.get("deletionTimestamp"):
        pending, shortened = _shorten(metadata, options)
        if pending and not shortened:
            return Decision(False, new if changed else None)
        if shortened and (waiting or metadata["deletionGracePeriodSeconds"] > 0):
            return Decision(False, new)
        return Decision(not waiting, new if waiting and changed else None)
    grace = _grace(info, obj, options)
    if grace == 0 and not waiting:
        return Decision(True, new if changed else None)
    mark(metadata, grace, now)
    if info.kind == "Namespace" and info.group == "":
        new["status"] = {**(new.get("status") or {}), "phase": "Terminating"}
    return Decision(False, new)


def _terminate(definition: JSON, now: float) -> None:
    """A CustomResourceDefinition first loses its instances: see `apiserver.extensions.keeper`."""
    metadata = definition["metadata"]
    metadata["deletionTimestamp"] = timestamps.format(now)
    finalizers = list(metadata.get("finalizers") or ())
    metadata["finalizers"] = finalizers if CLEANUP in finalizers else [*finalizers, CLEANUP]
    status = definition["status"] = dict(definition.get("status") or {})
    others = [one for one in status.get("conditions") or () if one.get("type") != "Terminating"]
    message = "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon"
    terminating = {"type": "Terminating", "status": "True", "lastTransitionTime": timestamps.format(now)}
    status["conditions"] = [*others, {**terminating, "reason": "InstanceDeletionPending", "message": message}]


def mark(metadata: JSON, grace: int, now: float) -> None:
    metadata["deletionTimestamp"] = timestamps.format(now + grace)
    metadata["deletionGracePeriodSeconds"] = grace
    if metadata.get("generation"):
        metadata["generation"] += 1


def _shorten(metadata: JSON, options: Options) -> tuple[bool, bool]:
    """(a grace period is still running, it was made shorter just now)."""
    running = metadata.get("deletionGracePeriodSeconds")
    if not running:
        return False, False
    if options.grace is None or options.grace >= running:
        return True, False
    start = timestamps.parse(metadata["deletionTimestamp"]) - running
    grace = max(0, options.grace)
    metadata["deletionTimestamp"] = timestamps.format(start + grace)
    metadata["deletionGracePeriodSeconds"] = grace
    return True, True


def _grace(info: ResourceInfo, obj: JSON, options: Options) -> int:
    """Only pods end gracefully, and only those which a kubelet runs."""
    if info.kind != "Pod" or info.group:
        return 0
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    period = options.grace
    if period is None:
        period = spec.get("terminationGracePeriodSeconds")
    period = DEFAULT_GRACE if period is None else int(period)
    if period < 0:
        period = 1
    if not spec.get("nodeName") or status.get("phase") in ("Failed", "Succeeded"):
        period = 0
    return period


def _finalizers(info: ResourceInfo, metadata: JSON, options: Options) -> list[str]:
    """The finalizers that make the garbage collector act as the policy says."""
    present: list[str] = list(metadata.get("finalizers") or ())
    wanted = _wanted(info, present, options)
    kept = [name for name in present if name not in (ORPHAN, FOREGROUND)]
    return [*kept, wanted] if wanted else kept


def _wanted(info: ResourceInfo, present: list[str], options: Options) -> str:
    if options.orphan_dependents is not None:
        return ORPHAN if options.orphan_dependents else ""
    if options.policy:
        return {"Orphan": ORPHAN, "Foreground": FOREGROUND}.get(options.policy, "")
    for name in (ORPHAN, FOREGROUND):
        if name in present:
            return name
    return ORPHAN if traits.orphans_by_default(info) else ""


def _set_finalizers(metadata: JSON, finalizers: list[str]) -> None:
    if finalizers:
        metadata["finalizers"] = finalizers
    else:
        metadata.pop("finalizers", None)


def finished(info: ResourceInfo, obj: JSON) -> bool:
    """An update took away the last thing that kept a deleted object."""
    metadata = obj["metadata"]
    if not metadata.get("deletionTimestamp") or metadata.get("finalizers"):
        return False
    if info.kind == "Namespace" and info.group == "" and (obj.get("spec") or {}).get("finalizers"):
        return False
    return not metadata.get("deletionGracePeriodSeconds")

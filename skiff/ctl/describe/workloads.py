"""Deployments, replica sets, daemon sets, stateful sets and jobs."""

from __future__ import annotations

from typing import Any

from skiff.ctl.describe.around import JSON, Around
from skiff.ctl.describe.pieces import NONE, conditions, events, head, selector, time
from skiff.ctl.describe.template import template_lines

_REVISION = "deployment.kubernetes.io/revision"


def deployment(obj: JSON, around: Around) -> list[str]:
    spec, status = obj["spec"], obj.get("status") or {}
    counts = (
        f"{spec.get('replicas', 1)} desired | {status.get('updatedReplicas', 0)} updated | "
        f"{status.get('replicas', 0)} total | {status.get('availableReplicas', 0)} available | "
        f"{status.get('unavailableReplicas', 0)} unavailable"
    )
    strategy = spec.get("strategy") or {}
    top = head(obj)
    top.insert(2, f"CreationTimestamp:\t{time(obj['metadata'].get('creationTimestamp'))}")
    lines = [
        *top,
        f"Selector:\t{selector(spec.get('selector'))}",
        f"Replicas:\t{counts}",
        f"StrategyType:\t{strategy.get('type', '')}",
        f"MinReadySeconds:\t{spec.get('minReadySeconds', 0)}",
    ]
    if rolling := strategy.get("rollingUpdate"):
        surge, unavailable = rolling.get("maxSurge"), rolling.get("maxUnavailable")
        lines.append(f"RollingUpdateStrategy:\t{unavailable} max unavailable, {surge} max surge")
    lines += template_lines(spec["template"])
    lines += conditions(status.get("conditions"))
    lines += _replica_sets(obj, around.replica_sets or [])
    return lines + events(around.events, around.now)


def _replica_sets(obj: JSON, found: list[JSON]) -> list[str]:
    revision = (obj["metadata"].get("annotations") or {}).get(_REVISION)
    uid = obj["metadata"]["uid"]
    own = [one for one in found if any(ref.get("uid") == uid for ref in one["metadata"].get("ownerReferences") or ())]
    new = [one for one in own if (one["metadata"].get("annotations") or {}).get(_REVISION) == revision]
    old = [one for one in own if one not in new]
    old.sort(key=lambda one: str(one["metadata"].get("creationTimestamp")))
    return [f"OldReplicaSets:\t{_names(old)}", f"NewReplicaSet:\t{_names(new)}"]


def _names(found: list[JSON]) -> str:
    texts = []
    for one in found:
        have, wanted = (one.get("status") or {}).get("replicas", 0), one["spec"].get("replicas", 0)
        texts.append(f"{one['metadata']['name']} ({have}/{wanted} replicas created)")
    return ", ".join(texts) or NONE


def replicas(obj: JSON, around: Around) -> list[str]:
    """Replica sets, stateful sets, daemon sets, replication controllers."""
    spec, status = obj["spec"], obj.get("status") or {}
    lines = head(obj)
    kind = obj["kind"]
    place = 3 if kind == "StatefulSet" else 2
    found = spec.get("selector")
    if kind == "ReplicationController":
        found = {"matchLabels": found}
    lines.insert(2, f"Selector:\t{selector(found)}")
    if kind == "StatefulSet":
        lines.insert(2, f"CreationTimestamp:\t{time(obj['metadata'].get('creationTimestamp'))}")
    owner = next((one for one in obj["metadata"].get("ownerReferences") or () if one.get("controller")), None)
    if owner is not None:
        lines.append(f"Controlled By:\t{owner['kind']}/{owner['name']}")
    lines += _counts(kind, spec, status, place)
    counts = {"Running": 0, "Waiting": 0, "Succeeded": 0, "Failed": 0}
    for pod in around.pods or ():
        phase = str((pod.get("status") or {}).get("phase") or "")
        counts[{"Pending": "Waiting"}.get(phase, phase) if phase != "Unknown" else "Waiting"] += 1
    lines.append("Pods Status:\t" + " / ".join(f"{count} {name}" for name, count in counts.items()))
    lines += template_lines(spec["template"])
    for claim in spec.get("volumeClaimTemplates") or ():
        storage = ((claim["spec"].get("resources") or {}).get("requests") or {}).get("storage", "")
        lines += ["Volume Claims:", f"  Name:\t{claim['metadata']['name']}"]
        lines += [f"  StorageClass:\t{claim['spec'].get('storageClassName', '')}", f"  Capacity:\t{storage}"]
    lines += conditions(status.get("conditions"))
    return lines + events(around.events, around.now)


def _counts(kind: str, spec: dict[str, Any], status: dict[str, Any], place: int) -> list[str]:
    if kind == "DaemonSet":
        names = (
            ("Desired Number of Nodes Scheduled", "desiredNumberScheduled"),
            ("Current Number of Nodes Scheduled", "currentNumberScheduled"),
            ("Number of Nodes Scheduled with Up-to-date Pods", "updatedNumberScheduled"),
            ("Number of Nodes Scheduled with Available Pods", "numberAvailable"),
            ("Number of Nodes Misscheduled", "numberMisscheduled"),
        )
        return [f"{title}: {status.get(key, 0)}" for title, key in names]
    if place == 3:
        lines = [f"Replicas:\t{spec.get('replicas', 1)} desired | {status.get('replicas', 0)} total"]
        strategy = spec.get("updateStrategy") or {}
        lines.append(f"Update Strategy:\t{strategy.get('type', '')}")
        if rolling := strategy.get("rollingUpdate"):
            lines.append(f"  Partition:\t{rolling.get('partition', 0)}")
        return lines
    return [f"Replicas:\t{status.get('replicas', 0)} current / {spec.get('replicas', 1)} desired"]


def job(obj: JSON, around: Around) -> list[str]:
    spec, status = obj["spec"], obj.get("status") or {}
    lines = head(obj)
    lines.insert(2, f"Selector:\t{selector(spec.get('selector'))}")
    owner = next((one for one in obj["metadata"].get("ownerReferences") or () if one.get("controller")), None)
    if owner is not None:
        lines.append(f"Controlled By:\t{owner['kind']}/{owner['name']}")
    lines += [
        f"Parallelism:\t{spec.get('parallelism', '<unset>')}",
        f"Completions:\t{spec.get('completions', '<unset>')}",
        f"Completion Mode:\t{spec.get('completionMode', 'NonIndexed')}",
        f"Suspend:\t{str(spec.get('suspend', False)).lower()}",
        f"Backoff Limit:\t{spec.get('backoffLimit', 6)}",
    ]
    for key, title in (("startTime", "Start Time"), ("completionTime", "Completed At")):
        if status.get(key):
            lines.append(f"{title}:\t{time(status[key])}")
    active = f"{status.get('active', 0)} Active ({status.get('ready', 0)} Ready)"
    lines.append(
        f"Pods Statuses:\t{active} / {status.get('succeeded', 0)} Succeeded / {status.get('failed', 0)} Failed"
    )
    lines += template_lines(spec["template"])
    return lines + events(around.events, around.now)

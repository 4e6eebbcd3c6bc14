"""What a Deployment's users read: counts, and the conditions Available, Progressing and ReplicaFailure.

`kubectl rollout status` and `kubectl wait` act on these; reasons and sentences are upstream's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from apimachinery import timestamps
from controller_manager import conditions
from controller_manager.deployment.rollout import bounds
from controller_manager.views import Condition, Deployment, DeploymentStatus, ReplicaSet, condition

MINIMUM_AVAILABLE = Condition("Available", "True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
MINIMUM_MISSING = Condition(
    "Available", "False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability."
)
NEW_AVAILABLE = "NewReplicaSetAvailable"
TIMED_OUT = "ProgressDeadlineExceeded"


def counts(deployment: Deployment, current: ReplicaSet | None, sets: Sequence[ReplicaSet]) -> DeploymentStatus:
    """All but the conditions."""
    total = sum(rs.status.replicas for rs in sets)
    available = sum(rs.status.availableReplicas for rs in sets)
    wanted = sum(rs.spec.replicas for rs in sets)
    return DeploymentStatus(
        observedGeneration=deployment.metadata.generation,
        replicas=total,
        updatedReplicas=current.status.replicas if current else 0,
        readyReplicas=sum(rs.status.readyReplicas for rs in sets),
        availableReplicas=available,
        unavailableReplicas=max(0, wanted - available),
        terminatingReplicas=sum(rs.status.terminatingReplicas or 0 for rs in sets),
        collisionCount=deployment.status.collisionCount,
        conditions=deployment.status.conditions,
    )


def is_complete(deployment: Deployment, status: DeploymentStatus) -> bool:
    wanted = deployment.spec.replicas
    return (
        status.updatedReplicas == wanted
        and status.replicas == wanted
        and status.availableReplicas == wanted
        and status.observedGeneration >= deployment.metadata.generation
    )


def is_progressing(deployment: Deployment, new: DeploymentStatus) -> bool:
    """Something moved since the last status: more updated, ready or available pods, or fewer old ones."""
    old = deployment.status
    return (
        new.updatedReplicas > old.updatedReplicas
        or new.replicas - new.updatedReplicas < old.replicas - old.updatedReplicas
        or new.readyReplicas > old.readyReplicas
        or new.availableReplicas > old.availableReplicas
    )


def has_deadline(deployment: Deployment) -> bool:
    return deployment.spec.progressDeadlineSeconds not in (None, 2**31 - 1)


def deadline_left(deployment: Deployment, now: float) -> float | None:
    """Seconds until the roll-out counts as stuck; None when it is done, paused or has no deadline."""
    progressing = condition(deployment.status.conditions, "Progressing")
    if progressing is None or not has_deadline(deployment) or deployment.spec.paused:
        return None
    if progressing.reason in (NEW_AVAILABLE, TIMED_OUT):
        return None
    since = timestamps.parse_or(progressing.lastUpdateTime, now)
    return since + (deployment.spec.progressDeadlineSeconds or 0) - now


def with_conditions(
    deployment: Deployment, current: ReplicaSet | None, sets: Sequence[ReplicaSet], new: DeploymentStatus, now: float
) -> list[Condition]:
    least = deployment.spec.replicas - bounds(deployment.spec.strategy, deployment.spec.replicas).unavailable
    available = MINIMUM_AVAILABLE if new.availableReplicas >= least else MINIMUM_MISSING
    result = _updated(deployment.status.conditions, available, now)
    if has_deadline(deployment):
        result = _with_progress(deployment, current, new, result, now)
    failure = next((f for rs in sets if (f := condition(rs.status.conditions, "ReplicaFailure"))), None)
    if failure is not None:
        return _updated(result, failure, now)
    return conditions.without(result, "ReplicaFailure")


def _with_progress(
    deployment: Deployment, current: ReplicaSet | None, new: DeploymentStatus, known: list[Condition], now: float
) -> list[Condition]:
    shown = condition(known, "Progressing")
    complete_already = new.replicas == new.updatedReplicas and shown is not None and shown.reason == NEW_AVAILABLE
    if complete_already:
        return known
    subject = f'ReplicaSet "{current.metadata.name}"' if current else f'Deployment "{deployment.metadata.name}"'
    if is_complete(deployment, new):
        text = f"{subject} has successfully progressed."
        return _updated(known, Condition("Progressing", "True", NEW_AVAILABLE, text), now)
    if is_progressing(deployment, new):
        text = f"{subject} is progressing."
        return _updated(known, Condition("Progressing", "True", "ReplicaSetUpdated", text), now, touch=True)
    left = deadline_left(deployment, now)
    if left is not None and left <= 0:
        text = f"{subject} has timed out progressing."
        return _updated(known, Condition("Progressing", "False", TIMED_OUT, text), now)
    return known


def _updated(known: Sequence[Condition], new: Condition, now: float, touch: bool = False) -> list[Condition]:
    """Set by type; `lastUpdateTime` moves with the reason, or always with `touch`."""
    when = timestamps.format(now)
    old = condition(list(known), new.type)
    if old is not None and (old.status, old.reason) == (new.status, new.reason) and not touch:
        return list(known)
    moved = when if old is None or old.status != new.status else old.lastTransitionTime
    new = msgspec.structs.replace(new, lastUpdateTime=when, lastTransitionTime=moved)
    if old is None:
        return [*known, new]
    return [new if c.type == new.type else c for c in known]


def progress_note(deployment: Deployment, reason: str, message: str, now: float) -> list[Condition]:
    """The conditions with Progressing set for a step the controller itself took."""
    status = "Unknown" if reason in ("DeploymentPaused", "DeploymentResumed") else "True"
    return _updated(deployment.status.conditions, Condition("Progressing", status, reason, message), now)


def to_json(status: DeploymentStatus) -> dict[str, Any]:
    """For a merge patch: zero counts are written as null, so that they vanish as in upstream's objects."""
    body = {k: v or None for k, v in msgspec.to_builtins(status).items()}
    body["conditions"] = conditions.to_json(status.conditions) or None
    return body

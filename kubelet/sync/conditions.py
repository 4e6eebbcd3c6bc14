"""The pod conditions the kubelet owns. Pure: previous conditions in, new ones out, transition times kept."""

from collections.abc import Sequence
from typing import Any

from kubelet import times
from kubelet.pod import Pod

JSON = dict[str, Any]
OWNED = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")


def pod_conditions(
    pod: Pod,
    *,
    phase: str,
    sandbox_ready: bool,
    init_statuses: Sequence[JSON],
    statuses: Sequence[JSON],
    now: float,
) -> list[JSON]:
    previous = {c["type"]: c for c in pod.status.get("conditions") or ()}
    containers_ready = _containers_ready(pod, phase, init_statuses, statuses)
    wanted = {
        "PodReadyToStartContainers": _verdict(sandbox_ready and phase not in ("Succeeded", "Failed")),
        "Initialized": _initialized(pod, phase, init_statuses, statuses),
        "Ready": _ready(pod, containers_ready, previous),
        "ContainersReady": containers_ready,
        "PodScheduled": _verdict(True),
    }
    result = []
    for kind, verdict in wanted.items():
        result.append(_stamp(kind, verdict, previous.get(kind), pod.metadata.generation, now))
    result += [c for kind, c in previous.items() if kind not in wanted]
    return result


def _verdict(ok: bool, reason: str = "", message: str = "") -> JSON:
    verdict: JSON = {"status": "True" if ok else "False"}
    if reason:
        verdict["reason"] = reason
    if message:
        verdict["message"] = message
    return verdict


def _stamp(kind: str, verdict: JSON, before: JSON | None, generation: int, now: float) -> JSON:
    stamped: JSON = {"type": kind, **verdict, "lastProbeTime": None}
    same = before is not None and before.get("status") == verdict["status"]
    stamped["lastTransitionTime"] = (
        before["lastTransitionTime"]
        if before is not None and same and before.get("lastTransitionTime")
        else times.text(now)
    )
    if generation:
        stamped["observedGeneration"] = generation
    return stamped


def _initialized(pod: Pod, phase: str, inits: Sequence[JSON], statuses: Sequence[JSON]) -> JSON:
    if phase == "Succeeded":
        return _verdict(True, "PodCompleted")
    by_name = {s["name"]: s for s in inits}
    if any(
        s.get("state", {}).get("running") or s.get("lastState") or s.get("state", {}).get("terminated")
        for s in statuses
    ):
        return _verdict(True)
    incomplete = []
    for container in pod.spec.init_containers or ():
        status = by_name.get(container.name, {})
        done = status.get("started") if container.is_sidecar else status.get("ready")
        if not done:
            incomplete.append(container.name)
    if incomplete:
        message = f"containers with incomplete status: [{' '.join(incomplete)}]"
        return _verdict(False, "ContainersNotInitialized", message)
    return _verdict(True)


def _containers_ready(pod: Pod, phase: str, inits: Sequence[JSON], statuses: Sequence[JSON]) -> JSON:
    if phase == "Succeeded":
        return _verdict(False, "PodCompleted")
    if phase == "Failed":
        return _verdict(False, "PodFailed")
    by_name = {s["name"]: s for s in (*inits, *statuses)}
    watched = [c for c in pod.spec.init_containers or () if c.is_sidecar] + pod.spec.containers
    unready = [c.name for c in watched if not by_name.get(c.name, {}).get("ready")]
    if unready:
        return _verdict(False, "ContainersNotReady", f"containers with unready status: [{' '.join(unready)}]")
    return _verdict(True)


def _ready(pod: Pod, containers_ready: JSON, previous: dict[str, JSON]) -> JSON:
    if containers_ready["status"] != "True":
        return containers_ready
    complaints = []
    for gate in pod.spec.readiness_gates or ():
        condition = previous.get(gate.condition_type)
        if condition is None:
            complaints.append(f'corresponding condition of pod readiness gate "{gate.condition_type}" does not exist.')
        elif condition.get("status") != "True":
            complaints.append(
                f'the status of pod readiness gate "{gate.condition_type}" is not "True", but {condition.get("status")}'
            )
    if complaints:
        return _verdict(False, "ReadinessGatesNotReady", ", ".join(complaints))
    return containers_ready

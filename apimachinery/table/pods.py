"""The row of a pod: its state summed up the way people know it from `kubectl get pods`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from apimachinery import timestamps
from apimachinery.table import ages

Obj = dict[str, Any]
NONE = "<none>"


def conditions(pod: Obj) -> list[Obj] | None:
    """The row condition by which `kubectl get` hides or greys what has completed."""
    phase = (pod.get("status") or {}).get("phase")
    message = {"Succeeded": "The pod has completed successfully.", "Failed": "The pod failed."}.get(phase or "")
    if message is None:
        return None
    return [{"type": "Completed", "status": "True", "reason": phase, "message": message}]


@dataclass
class _Tally:
    """Counts that grow while the statuses are read."""

    ready: int = 0
    restarts: int = 0
    last_restart: float = 0.0

    def add(self, status: Obj) -> None:
        self.restarts += status.get("restartCount") or 0
        ended = (status.get("lastState") or {}).get("terminated")
        if ended is not None:
            self.last_restart = max(self.last_restart, timestamps.parse_or(ended.get("finishedAt"), 0.0))


def row(pod: Obj, now: float) -> list[Any]:
    spec, status, meta = pod.get("spec") or {}, pod.get("status") or {}, pod.get("metadata") or {}
    sidecars = {c.get("name") for c in spec.get("initContainers") or () if c.get("restartPolicy") == "Always"}
    total = len(spec.get("containers") or ()) + len(sidecars)
    reason = status.get("reason") or status.get("phase") or ""
    for condition in status.get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("reason") == "SchedulingGated":
            reason = "SchedulingGated"
    tally, of_sidecars = _Tally(), _Tally()
    init_reason = _init_state(spec, status, sidecars, tally, of_sidecars)
    if init_reason is not None:
        reason = init_reason
    if init_reason is None or _is_true(status, "Initialized"):
        tally.restarts, tally.last_restart = of_sidecars.restarts, of_sidecars.last_restart
        reason = _running_state(status, reason, tally)
    if meta.get("deletionTimestamp"):
        if status.get("reason") == "NodeLost":
            reason = "Unknown"
        elif status.get("phase") not in {"Succeeded", "Failed"}:
            reason = "Terminating"
    restarts = str(tally.restarts)
    if tally.restarts and tally.last_restart:
        restarts = f"{tally.restarts} ({ages.human(now - tally.last_restart)} ago)"
    addresses = status.get("podIPs") or ()
    return [
        meta.get("name") or "",
        f"{tally.ready}/{total}",
        reason,
        restarts,
        ages.of(pod, now),
        (addresses[0].get("ip") if addresses else "") or NONE,
        spec.get("nodeName") or NONE,
        status.get("nominatedNodeName") or NONE,
        _gates(spec, status),
    ]


def _init_state(spec: Obj, status: Obj, sidecars: set[Any], tally: _Tally, of_sidecars: _Tally) -> str | None:
    """What the first unfinished init container is at, or None when there is none."""
    for index, one in enumerate(status.get("initContainerStatuses") or ()):
        tally.add(one)
        sidecar = one.get("name") in sidecars
        if sidecar:
            of_sidecars.add(one)
        state = one.get("state") or {}
        ended, waiting = state.get("terminated"), state.get("waiting") or {}
        if ended is not None and not ended.get("exitCode"):
            continue
        if sidecar and one.get("started"):
            tally.ready += 1 if one.get("ready") else 0
            continue
        if ended is not None:
            return "Init:" + _ending(ended)
        if waiting.get("reason") and waiting["reason"] != "PodInitializing":
            return f"Init:{waiting['reason']}"
        return f"Init:{index}/{len(spec.get('initContainers') or ())}"
    return None


def _ending(ended: Obj) -> str:
    if ended.get("reason"):
        return str(ended["reason"])
    if ended.get("signal"):
        return f"Signal:{ended['signal']}"
    return f"ExitCode:{ended.get('exitCode') or 0}"


def _running_state(status: Obj, reason: str, tally: _Tally) -> str:
    running = False
    error = ""
    for one in reversed(status.get("containerStatuses") or ()):
        tally.add(one)
        state = one.get("state") or {}
        ended, waiting = state.get("terminated"), state.get("waiting") or {}
        if waiting.get("reason"):
            reason = waiting["reason"]
        elif ended is not None:
            reason = _ending(ended)
            if ended.get("exitCode"):
                error = reason
        elif one.get("ready") and state.get("running") is not None:
            running = True
            tally.ready += 1
    if reason == "Completed":
        if running and _is_true(status, "Ready"):
            return "Running"
        if error:
            return error
        if running:
            return "NotReady"
    return reason


def _is_true(status: Obj, kind: str) -> bool:
    return any(c.get("type") == kind and c.get("status") == "True" for c in status.get("conditions") or ())


def _gates(spec: Obj, status: Obj) -> str:
    gates = spec.get("readinessGates") or ()
    if not gates:
        return NONE
    passed = sum(_is_true(status, gate.get("conditionType") or "") for gate in gates)
    return f"{passed}/{len(gates)}"

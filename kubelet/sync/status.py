"""Pod status, generated whole from what is wanted and what is seen. Pure; the worker decides whether it is news.

`generate_status` returns the JSON object for pod.status. Container states follow three sources in this order: the
runtime's latest attempt, the worker's waiting reasons (back-offs, image and config errors), and the pod's stage.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kubelet import times
from kubelet.pod import Container, Mount, Pod
from kubelet.sync.conditions import pod_conditions
from kubelet.sync.observed import Address, ContainerSeen, PodSeen, Probed, State, Waiting
from kubelet.sync.plan import should_restart

JSON = dict[str, Any]


@dataclass(frozen=True, slots=True)
class StatusInputs:
    pod: Pod
    seen: PodSeen
    now: float
    qos_class: str
    probed: Probed = field(default_factory=Probed)
    waiting: Mapping[str, Waiting] = field(default_factory=dict)
    address: Address = field(default_factory=Address)
    terminal: bool = False
    """The pod will not start anything again: it is being deleted, was evicted, or ran past its deadline."""
    reason: str = ""
    message: str = ""
    forced_phase: str = ""


def generate_status(given: StatusInputs) -> JSON:
    pod, seen = given.pod, given.seen
    statuses = [_container_status(given, c, "container") for c in pod.spec.containers]
    inits = [_container_status(given, c, "init") for c in pod.spec.init_containers or ()]
    ephemeral = [_container_status(given, c, "ephemeral") for c in pod.spec.ephemeral_containers or ()]
    phase = given.forced_phase or _phase(given, inits, statuses)
    before = pod.status.get("phase")
    if before in ("Succeeded", "Failed"):
        phase = before
    sandbox = seen.sandbox
    sandbox_ready = sandbox is not None and sandbox.ready and (pod.spec.host_network or bool(sandbox.ips))
    status: JSON = {"phase": phase, "qosClass": given.qos_class}
    if pod.metadata.generation:
        status["observedGeneration"] = pod.metadata.generation
    status["conditions"] = pod_conditions(
        pod, phase=phase, sandbox_ready=sandbox_ready, init_statuses=inits, statuses=statuses, now=given.now
    )
    for key, value in (("reason", given.reason), ("message", given.message)):
        value = value or pod.status.get(key, "")
        if value:
            status[key] = value
    status.update(_addresses(given))
    status["startTime"] = pod.status.get("startTime") or times.text(given.now)
    status["containerStatuses"] = statuses
    if inits:
        status["initContainerStatuses"] = inits
    if ephemeral:
        status["ephemeralContainerStatuses"] = ephemeral
    for kept in ("nominatedNodeName", "resize", "resourceClaimStatuses"):
        if kept in pod.status:
            status[kept] = pod.status[kept]
    return status


def _addresses(given: StatusInputs) -> JSON:
    out: JSON = {}
    hosts = given.address.host_ips
    if hosts:
        out["hostIP"] = hosts[0]
        out["hostIPs"] = [{"ip": ip} for ip in hosts]
    sandbox = given.seen.sandbox
    if given.pod.spec.host_network:
        ips = hosts
    else:
        ips = sandbox.ips if sandbox is not None and sandbox.ips else ()
    if ips:
        out["podIP"] = ips[0]
        out["podIPs"] = [{"ip": ip} for ip in ips]
    elif not given.pod.spec.host_network and given.terminal and given.pod.status.get("podIP"):
        # The address stays visible while a finished pod waits for deletion, as clients expect.
        out["podIP"] = given.pod.status["podIP"]
        out["podIPs"] = given.pod.status.get("podIPs", [])
    return out


def _container_status(given: StatusInputs, container: Container, kind: str) -> JSON:
    attempts = given.seen.attempts(container.name)
    last = attempts[0] if attempts else None
    old = _old_status(given.pod, container.name, kind)
    status: JSON = {
        "name": container.name,
        "image": container.image,
        "imageID": "",
        "restartCount": 0,
        "ready": False,
        "started": False,
    }
    if last is None:
        status["restartCount"] = old.get("restartCount", 0)
        status["state"] = {"waiting": _waiting(given, container, kind)}
        if given.terminal and old.get("state", {}).get("terminated"):
            return old
        status["lastState"] = old.get("lastState") or {}
    else:
        status["image"] = last.image or container.image
        status["imageID"] = last.image_id
        status["containerID"] = f"{given.address.runtime_name}://{last.id}"
        status["restartCount"] = last.attempt
        status["state"] = _state(given, last)
        status["lastState"] = _last_state(given, attempts[1:], old, last)
        waiting = given.waiting.get(container.name)
        if waiting is not None and last.state != State.RUNNING and not given.terminal:
            if "terminated" in status["state"]:
                status["lastState"] = status["state"]
            status["state"] = {"waiting": _waiting(given, container, kind)}
        _add_readiness(given, container, kind, last, status)
    _add_resources(status, container, last)
    if container.volume_mounts:
        status["volumeMounts"] = [_mount_status(m) for m in container.volume_mounts]
    return status


def _old_status(pod: Pod, name: str, kind: str) -> JSON:
    key = {
        "container": "containerStatuses",
        "init": "initContainerStatuses",
        "ephemeral": "ephemeralContainerStatuses",
    }[kind]
    return next((s for s in pod.status.get(key) or () if s.get("name") == name), {})


def _add_readiness(given: StatusInputs, container: Container, kind: str, last: ContainerSeen, status: JSON) -> None:
    running = last.state == State.RUNNING
    if kind == "init" and not container.is_sidecar:
        status["started"] = running
        status["ready"] = last.state == State.EXITED and last.exit_code == 0
        return
    started = running and (container.startup_probe is None or last.id in given.probed.started)
    status["started"] = started
    if kind == "ephemeral":
        return
    status["ready"] = started and (container.readiness_probe is None or last.id in given.probed.ready)


def _add_resources(status: JSON, container: Container, last: ContainerSeen | None) -> None:
    resources: JSON = {}
    if container.resources.limits:
        resources["limits"] = dict(container.resources.limits)
    if container.resources.requests:
        resources["requests"] = dict(container.resources.requests)
    if container.resources.requests:
        status["allocatedResources"] = dict(container.resources.requests)
    if last is not None:
        status["resources"] = resources


def _mount_status(mount: Mount) -> JSON:
    out: JSON = {"name": mount.name, "mountPath": mount.mount_path}
    if mount.read_only:
        out["readOnly"] = True
        out["recursiveReadOnly"] = "Disabled"
    return out


def _waiting(given: StatusInputs, container: Container, kind: str) -> JSON:
    known = given.waiting.get(container.name)
    if known is not None:
        return {"reason": known.reason, "message": known.message} if known.message else {"reason": known.reason}
    if kind == "init" or (given.pod.spec.init_containers and not _init_done(given)):
        return {"reason": "PodInitializing"}
    return {"reason": "ContainerCreating"}


def _init_done(given: StatusInputs) -> bool:
    if any(given.seen.latest(c.name) is not None for c in given.pod.spec.containers):
        return True
    for container in given.pod.spec.init_containers or ():
        last = given.seen.latest(container.name)
        if last is None:
            return False
        if container.is_sidecar:
            if last.state != State.RUNNING:
                return False
        elif last.state != State.EXITED or last.exit_code != 0:
            return False
    return True


def _state(given: StatusInputs, seen: ContainerSeen) -> JSON:
    if seen.state == State.RUNNING:
        return {"running": {"startedAt": times.text(seen.started_at)}}
    if seen.state == State.EXITED:
        return {"terminated": _terminated(given, seen)}
    if seen.state == State.UNKNOWN:
        lost = {"exitCode": 137, "reason": "ContainerStatusUnknown", "message": "The container could not be located"}
        return {"terminated": lost}
    return {"waiting": {"reason": "ContainerCreating"}}


def _terminated(given: StatusInputs, seen: ContainerSeen) -> JSON:
    out: JSON = {
        "exitCode": seen.exit_code,
        "reason": seen.reason or ("Completed" if seen.exit_code == 0 else "Error"),
        "startedAt": times.text(seen.started_at) if seen.started_at > 0 else None,
        "finishedAt": times.text(seen.finished_at) if seen.finished_at > 0 else None,
        "containerID": f"{given.address.runtime_name}://{seen.id}",
    }
    if seen.message:
        out["message"] = seen.message
    return out


def _last_state(given: StatusInputs, earlier: Sequence[ContainerSeen], old: JSON, last: ContainerSeen) -> JSON:
    for seen in earlier:
        if seen.state == State.EXITED:
            return {"terminated": _terminated(given, seen)}
    if last.attempt == 0:
        return {}
    kept: JSON = old.get("lastState") or {}
    return kept


def _phase(given: StatusInputs, inits: Sequence[JSON], statuses: Sequence[JSON]) -> str:
    pod = given.pod
    initialized = _init_done(given)
    for container, status in zip(pod.spec.init_containers or (), inits, strict=True):
        if container.is_sidecar or initialized:
            continue
        ended = status["state"].get("terminated") or (status.get("lastState") or {}).get("terminated")
        if ended and ended["exitCode"] != 0:
            if not should_restart(pod, container, ended["exitCode"]):
                return "Failed"
            return "Failed" if given.terminal else "Pending"
    waiting = stopped = succeeded = restarting = 0
    # A pod whose containers are done still runs while its sidecars do.
    running = sum(
        container.is_sidecar and "running" in status["state"]
        for container, status in zip(pod.spec.init_containers or (), inits, strict=True)
    )
    for container, status in zip(pod.spec.containers, statuses, strict=True):
        ended = status["state"].get("terminated")
        if status["state"].get("running"):
            running += 1
            continue
        if ended is None:
            ended = (status.get("lastState") or {}).get("terminated")
        if ended is None:
            waiting += 1
            continue
        stopped += 1
        succeeded += ended["exitCode"] == 0
        restarting += should_restart(pod, container, ended["exitCode"])
    if given.terminal:
        if running:
            return "Running"
        return "Succeeded" if succeeded == stopped and not waiting else "Failed"
    if (pod.spec.init_containers and not initialized) or waiting:
        return "Pending"
    if running or restarting:
        return "Running"
    return "Succeeded" if succeeded == stopped else "Failed"

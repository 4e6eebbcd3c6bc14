"""The Node object, written down from facts. Pure: what is reported is decided here, `keeper` sends it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from kubelet import times
from kubelet.containers.amounts import exact
from kubelet.node.machine import Disk, Machine
from kubelet.settings import Settings

JSON = dict[str, Any]
KUBELET_VERSION = "v1.36.0+skiff"
MAX_IMAGES = 50
MAX_NAMES = 5


@dataclass(frozen=True, slots=True)
class Health:
    """What the conditions are made of. Empty texts mean that all is well."""

    complaints: tuple[str, ...] = ()
    memory_pressure: bool = False
    disk_pressure: bool = False
    pid_pressure: bool = False


@dataclass(frozen=True, slots=True)
class NodeReport:
    settings: Settings
    machine: Machine
    disk: Disk
    ips: Sequence[str]
    host_name: str
    runtime: str
    health: Health
    images: Sequence[JSON] = ()
    port: int = 10250
    handlers: Sequence[JSON] = field(default_factory=list)


def labels(settings: Settings, machine: Machine) -> dict[str, str]:
    return {
        "beta.kubernetes.io/arch": machine.architecture,
        "beta.kubernetes.io/os": "linux",
        "kubernetes.io/arch": machine.architecture,
        "kubernetes.io/hostname": settings.hostname,
        "kubernetes.io/os": "linux",
        **settings.labels,
    }


def new_node(report: NodeReport, now: float) -> JSON:
    settings = report.settings
    spec: JSON = {}
    if settings.taints:
        spec["taints"] = [dict(taint) for taint in settings.taints]
    if settings.unschedulable:
        spec["unschedulable"] = True
    if settings.provider_id:
        spec["providerID"] = settings.provider_id
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": settings.hostname,
            "labels": labels(settings, report.machine),
            "annotations": {"volumes.kubernetes.io/controller-managed-attach-detach": "true"},
        },
        "spec": spec,
        "status": node_status(report, {}, now),
    }


def node_status(report: NodeReport, before: JSON, now: float) -> JSON:
    """`before` gives the transition times of conditions that stay as they are."""
    capacity = _capacity(report)
    machine = report.machine
    info: JSON = {
        "machineID": machine.machine_id,
        "systemUUID": machine.system_uuid,
        "bootID": machine.boot_id,
        "kernelVersion": machine.kernel,
        "osImage": machine.os_image,
        "containerRuntimeVersion": report.runtime,
        "kubeletVersion": KUBELET_VERSION,
        "kubeProxyVersion": "",
        "operatingSystem": "linux",
        "architecture": machine.architecture,
    }
    if machine.swap_bytes:
        info["swap"] = {"capacity": machine.swap_bytes}
    status: JSON = {
        "addresses": [
            *({"type": "InternalIP", "address": ip} for ip in report.ips),
            {"type": "Hostname", "address": report.host_name},
        ],
        "capacity": capacity,
        "allocatable": _allocatable(report, capacity),
        "conditions": _conditions(report.health, before, now),
        "daemonEndpoints": {"kubeletEndpoint": {"Port": report.port}},
        "nodeInfo": info,
        "images": list(report.images),
        "features": {"supplementalGroupsPolicy": True},
    }
    if report.handlers:
        status["runtimeHandlers"] = list(report.handlers)
    return status


def _capacity(report: NodeReport) -> dict[str, str]:
    machine = report.machine
    return {
        "cpu": str(machine.cpus),
        "ephemeral-storage": f"{report.disk.total // 1024}Ki",
        **{f"hugepages-{size}": str(amount) for size, amount in machine.huge_pages},
        "memory": f"{machine.memory_bytes // 1024}Ki",
        "pods": str(report.settings.max_pods),
    }


def _allocatable(report: NodeReport, capacity: Mapping[str, str]) -> dict[str, str]:
    settings = report.settings
    cpu = exact(capacity["cpu"]) - exact(settings.reserved.get("cpu", "0"))
    memory = exact(capacity["memory"]) - exact(settings.reserved.get("memory", "0"))
    memory -= threshold(settings.eviction_hard, "memory.available", report.machine.memory_bytes)
    storage = exact(capacity["ephemeral-storage"]) - exact(settings.reserved.get("ephemeral-storage", "0"))
    storage -= threshold(settings.eviction_hard, "nodefs.available", report.disk.total)
    cores = cpu if cpu.denominator == 1 else None
    return {
        **capacity,
        "cpu": str(cores) if cores is not None else f"{int(cpu * 1000)}m",
        "ephemeral-storage": str(max(0, int(storage))),
        "memory": f"{max(0, int(memory)) // 1024}Ki",
    }


def threshold(table: Mapping[str, str], signal: str, total: int) -> Fraction:
    """The amount below which `signal` means pressure: a quantity, or per cent of the total."""
    text = table.get(signal, "0")
    if text.endswith("%"):
        return Fraction(text[:-1]) * total / 100
    return exact(text)


def _conditions(health: Health, before: JSON, now: float) -> list[JSON]:
    known = {c["type"]: c for c in before.get("conditions") or ()}
    pressures = (
        ("MemoryPressure", health.memory_pressure, "InsufficientMemory", "SufficientMemory", "memory available"),
        ("DiskPressure", health.disk_pressure, "DiskPressure", "NoDiskPressure", "disk pressure"),
        ("PIDPressure", health.pid_pressure, "InsufficientPID", "SufficientPID", "PID available"),
    )
    out = []
    for kind, pressed, bad, good, subject in pressures:
        words = {"MemoryPressure": "sufficient", "DiskPressure": "no", "PIDPressure": "sufficient"}[kind]
        if pressed:
            words = {"MemoryPressure": "insufficient", "DiskPressure": "", "PIDPressure": "insufficient"}[kind]
        message = " ".join(f"kubelet has {words} {subject}".split())
        verdict = ("True", f"KubeletHas{bad}") if pressed else ("False", f"KubeletHas{good}")
        out.append(_condition(kind, *verdict, message, known, now))
    if health.complaints:
        message = f"[{', '.join(health.complaints)}]" if len(health.complaints) > 1 else health.complaints[0]
        out.append(_condition("Ready", "False", "KubeletNotReady", message, known, now))
    else:
        out.append(_condition("Ready", "True", "KubeletReady", "kubelet is posting ready status", known, now))
    return out


def _condition(kind: str, status: str, reason: str, message: str, known: Mapping[str, JSON], now: float) -> JSON:
    old = known.get(kind, {})
    changed = old.get("status") != status
    return {
        "type": kind,
        "status": status,
        "lastHeartbeatTime": times.text(now),
        "lastTransitionTime": times.text(now) if changed else old.get("lastTransitionTime") or times.text(now),
        "reason": reason,
        "message": message,
    }


def image_list(images: Iterable[tuple[Sequence[str], int]]) -> list[JSON]:
    """(names, bytes) of each image, the largest first, as many as upstream reports."""
    ordered = sorted(images, key=lambda pair: -pair[1])
    return [{"names": list(names)[:MAX_NAMES], "sizeBytes": size} for names, size in ordered if names][:MAX_IMAGES]


def same_status(a: JSON, b: JSON) -> bool:
    """Equal but for the heartbeats."""
    return _without_heartbeats(a) == _without_heartbeats(b)


def _without_heartbeats(status: JSON) -> JSON:
    conditions = [{k: v for k, v in c.items() if k != "lastHeartbeatTime"} for c in status.get("conditions") or ()]
    return {**status, "conditions": conditions}


def status_patch(status: JSON, before: JSON) -> JSON:
    """A strategic merge patch: conditions merge by type; addresses and images are replaced as a whole."""
    patch = {key: value for key, value in status.items() if before.get(key) != value}
    patch["conditions"] = status["conditions"]
    if "addresses" in patch and before.get("addresses"):
        patch["addresses"] = [*patch["addresses"], {"$patch": "replace"}]
    return {"status": patch}


def transitions(status: JSON, before: JSON) -> list[str]:
    """Reasons of the events that conditions deserve which changed."""
    old = {c["type"]: c["status"] for c in before.get("conditions") or ()}
    reasons = []
    for condition in status["conditions"]:
        kind, now = condition["type"], condition["status"]
        if old.get(kind) == now:
            continue
        if kind == "Ready":
            reasons.append("NodeReady" if now == "True" else "NodeNotReady")
        else:
            reasons.append(condition["reason"].replace("Kubelet", "Node", 1))
    return reasons

"""Records as the messages CRI clients see, and the filters of its list calls."""

from __future__ import annotations

import signal
from collections.abc import Iterable, Mapping
from typing import Any

from kubelet.cri_shim.records import ContainerRecord, SandboxRecord
from skiff_pb.cri import runtime_pb2 as cri


def sandbox_state(record: SandboxRecord, live: bool) -> cri.PodSandboxState:
    return cri.SANDBOX_READY if live and not record.stopped else cri.SANDBOX_NOTREADY


def sandbox_item(record: SandboxRecord, live: bool) -> cri.PodSandbox:
    config = record.pod_config()
    return cri.PodSandbox(
        id=record.id,
        metadata=config.metadata,
        state=sandbox_state(record, live),
        created_at=record.created_at,
        labels=config.labels,
        annotations=config.annotations,
        runtime_handler=record.runtime_handler,
    )


def sandbox_status(record: SandboxRecord, live: bool) -> cri.PodSandboxStatus:
    config = record.pod_config()
    options = config.linux.security_context.namespace_options
    status = cri.PodSandboxStatus(
        id=record.id,
        metadata=config.metadata,
        state=sandbox_state(record, live),
        created_at=record.created_at,
        labels=config.labels,
        annotations=config.annotations,
        runtime_handler=record.runtime_handler,
    )
    status.linux.namespaces.options.CopyFrom(options)
    status.network.SetInParent()
    if record.ips and not record.stopped:
        status.network.ip = record.ips[0]
        status.network.additional_ips.extend(cri.PodIP(ip=address) for address in record.ips[1:])
    return status


def container_item(record: ContainerRecord) -> cri.Container:
    config = record.container_config()
    return cri.Container(
        id=record.id,
        pod_sandbox_id=record.sandbox_id,
        metadata=config.metadata,
        image=config.image,
        image_ref=record.image_ref,
        image_id=record.image_id,
        state=record.state,
        created_at=record.created_at,
        labels=config.labels,
        annotations=config.annotations,
    )


def container_status(record: ContainerRecord) -> cri.ContainerStatus:
    config = record.container_config()
    status = cri.ContainerStatus(
        id=record.id,
        metadata=config.metadata,
        state=record.state,
        created_at=record.created_at,
        started_at=record.started_at,
        finished_at=record.finished_at,
        exit_code=record.exit_code,
        image=cri.ImageSpec(image=config.image.user_specified_image or config.image.image),
        image_ref=record.image_ref,
        image_id=record.image_id,
        reason=exit_reason(record),
        message=record.message,
        labels=config.labels,
        annotations=config.annotations,
        mounts=config.mounts,
        log_path=record.log_path,
        stop_signal=signal_value(record.stop_signal),
    )
    status.resources.linux.CopyFrom(config.linux.resources)
    user = status.user.linux
    user.uid, user.gid = record.uid, record.gid
    user.supplemental_groups.extend(record.groups)
    return status


def exit_reason(record: ContainerRecord) -> str:
    if not record.finished_at or record.reason:
        return record.reason
    if record.oom_killed:
        return "OOMKilled"
    return "Completed" if record.exit_code == 0 else "Error"


def signal_value(name: str) -> cri.Signal:
    """CRI's enumeration value of a signal name; what it has no name for counts as the default."""
    field = name.replace("+", "PLUS").replace("-", "MINUS")
    known: dict[str, Any] = dict(cri.Signal.items())
    value: cri.Signal = known.get(field, cri.RUNTIME_DEFAULT)
    return value


def signal_number(text: str) -> int:
    """`SIGTERM`, `TERM`, `15`, `SIGRTMIN+3` as a number; raises ValueError."""
    text = text.strip().upper()
    if text.isdigit():
        return int(text)
    name = text if text.startswith("SIG") else f"SIG{text}"
    for base, start in (("SIGRTMIN", int(signal.SIGRTMIN)), ("SIGRTMAX", int(signal.SIGRTMAX))):
        rest = name.removeprefix(base).replace("PLUS", "+").replace("MINUS", "-")
        if name.startswith(base) and rest[:1] in ("", "+", "-"):
            return start + int(rest or "0")
    try:
        return int(signal.Signals[name])
    except KeyError:
        raise ValueError(f"{text!r} is not a signal") from None


def labels_match(labels: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    return all(labels.get(name) == value for name, value in wanted.items())


def filter_sandboxes(items: Iterable[cri.PodSandbox], chosen: cri.PodSandboxFilter) -> list[cri.PodSandbox]:
    return [
        item
        for item in items
        if (not chosen.id or item.id.startswith(chosen.id))
        and (not chosen.HasField("state") or item.state == chosen.state.state)
        and labels_match(item.labels, chosen.label_selector)
    ]


def filter_containers(items: Iterable[cri.Container], chosen: cri.ContainerFilter) -> list[cri.Container]:
    return [
        item
        for item in items
        if (not chosen.id or item.id.startswith(chosen.id))
        and (not chosen.pod_sandbox_id or item.pod_sandbox_id.startswith(chosen.pod_sandbox_id))
        and (not chosen.HasField("state") or item.state == chosen.state.state)
        and labels_match(item.labels, chosen.label_selector)
    ]

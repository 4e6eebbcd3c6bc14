"""Capabilities, seccomp, masked paths and devices of a container, from its CRI security context."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from kubelet.cri_shim.oci_resources import HostTraits
from kubelet.cri_shim.seccomp_profile import default_profile
from skiff_pb.cri import runtime_pb2 as cri

ALL_CAPABILITIES = tuple(
    f"CAP_{name}"
    for name in [
        "CHOWN",
        "DAC_OVERRIDE",
        "DAC_READ_SEARCH",
        "FOWNER",
        "FSETID",
        "KILL",
        "SETGID",
        "SETUID",
        "SETPCAP",
        "LINUX_IMMUTABLE",
        "NET_BIND_SERVICE",
        "NET_BROADCAST",
        "NET_ADMIN",
        "NET_RAW",
        "IPC_LOCK",
        "IPC_OWNER",
        "SYS_MODULE",
        "SYS_RAWIO",
        "SYS_CHROOT",
        "SYS_PTRACE",
        "SYS_PACCT",
        "SYS_ADMIN",
        "SYS_BOOT",
        "SYS_NICE",
        "SYS_RESOURCE",
        "SYS_TIME",
        "SYS_TTY_CONFIG",
        "MKNOD",
        "LEASE",
        "AUDIT_WRITE",
        "AUDIT_CONTROL",
        "SETFCAP",
        "MAC_OVERRIDE",
        "MAC_ADMIN",
        "SYSLOG",
        "WAKE_ALARM",
        "BLOCK_SUSPEND",
        "AUDIT_READ",
        "PERFMON",
        "BPF",
        "CHECKPOINT_RESTORE",
    ]
)
DEFAULT_CAPABILITIES = tuple(
    f"CAP_{name}"
    for name in [
        "CHOWN",
        "DAC_OVERRIDE",
        "FSETID",
        "FOWNER",
        "MKNOD",
        "NET_RAW",
        "SETGID",
        "SETUID",
        "SETFCAP",
        "SETPCAP",
        "NET_BIND_SERVICE",
        "SYS_CHROOT",
        "KILL",
        "AUDIT_WRITE",
    ]
)
MASKED_PATHS = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
)
READONLY_PATHS = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


def capabilities(context: cri.LinuxContainerSecurityContext, traits: HostTraits) -> dict[str, list[str]]:
    """The five sets. What this process itself may not hold cannot be given away, so it is left out."""
    wanted = _wanted(context)
    held = [name for name in wanted if not traits.capabilities or name in traits.capabilities]
    ambient = [name for name in _names(context.capabilities.add_ambient_capabilities) if name in held]
    return {
        "bounding": held,
        "effective": held,
        "permitted": held,
        "inheritable": ambient,
        "ambient": ambient,
    }


def _wanted(context: cri.LinuxContainerSecurityContext) -> list[str]:
    if context.privileged:
        return list(ALL_CAPABILITIES)
    chosen = set(DEFAULT_CAPABILITIES)
    drop = _names(context.capabilities.drop_capabilities)
    add = _names(context.capabilities.add_capabilities) | _names(context.capabilities.add_ambient_capabilities)
    if "CAP_ALL" in add:
        chosen = set(ALL_CAPABILITIES)
    if "CAP_ALL" in drop:
        chosen = set()
    chosen |= add & set(ALL_CAPABILITIES)
    chosen -= drop
    return [name for name in ALL_CAPABILITIES if name in chosen]


def _names(listed: Any) -> set[str]:
    upper = (name.upper() for name in listed)
    return {name if name.startswith("CAP_") else f"CAP_{name}" for name in upper}


def seccomp(
    profile: cri.SecurityProfile | None,
    *,
    privileged: bool,
    held: list[str],
    traits: HostTraits,
    read_profile: Callable[[str], str],
) -> dict[str, Any] | None:
    """None means unconfined."""
    if privileged or profile is None or not traits.seccomp:
        return None
    if profile.profile_type == cri.SecurityProfile.Unconfined:
        return None
    if profile.profile_type == cri.SecurityProfile.RuntimeDefault:
        return default_profile(held, traits.architecture)
    loaded = json.loads(read_profile(profile.localhost_ref))
    if not isinstance(loaded, dict):
        raise ValueError(f"seccomp profile {profile.localhost_ref} is not a JSON object")
    return loaded

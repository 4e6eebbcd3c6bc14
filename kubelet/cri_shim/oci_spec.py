"""OCI runtime specs of sandboxes and containers, as pure functions of their CRI configs and of the machine's traits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kubelet.cri_shim.oci_resources import HostTraits, cgroups_path, linux_resources, oom_score_adj
from kubelet.cri_shim.oci_security import MASKED_PATHS, READONLY_PATHS, capabilities, seccomp
from skiff_pb.cri import runtime_pb2 as cri

SANDBOX_OOM_SCORE_ADJ = -998
SANDBOX_CPU_SHARES = 2
DEFAULT_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
POD, CONTAINER, NODE, TARGET = cri.POD, cri.CONTAINER, cri.NODE, cri.TARGET
PROPAGATION = {
    cri.PROPAGATION_PRIVATE: "rprivate",
    cri.PROPAGATION_HOST_TO_CONTAINER: "rslave",
    cri.PROPAGATION_BIDIRECTIONAL: "rshared",
}


@dataclass(frozen=True, slots=True)
class ResolvedUser:
    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class BindMount:
    """A mount the shim itself adds (hosts, resolv.conf, shm), unless the pod mounts something there."""

    source: str
    target: str
    readonly: bool = False


@dataclass(frozen=True, slots=True)
class HostDevice:
    path: str
    kind: str
    major: int
    minor: int
    mode: int = 0o666
    uid: int = 0
    gid: int = 0


@dataclass(frozen=True, slots=True)
class ContainerInputs:
    """All that a container's spec depends on."""

    container_id: str
    sandbox_id: str
    config: cri.ContainerConfig
    sandbox_config: cri.PodSandboxConfig
    image_config: Mapping[str, Any]
    user: ResolvedUser
    sandbox_pid: int
    netns_path: str = ""
    target_pid: int = 0
    binds: Sequence[BindMount] = ()
    devices: Sequence[tuple[HostDevice, str, str]] = ()  # device, path in the container, permissions
    host_devices: Sequence[HostDevice] = ()
    image_mounts: Mapping[str, str] = field(default_factory=dict)  # mount target -> directory on the host


def sandbox_spec(
    sandbox_id: str,
    config: cri.PodSandboxConfig,
    netns_path: str,
    traits: HostTraits,
    read_profile: Callable[[str], str],
) -> dict[str, Any]:
    """The pause container: it holds the pod's namespaces and runs nothing of the user's."""
    context = config.linux.security_context
    options = context.namespace_options
    container_context = cri.LinuxContainerSecurityContext(privileged=False)
    caps = capabilities(container_context, traits)
    namespaces: list[dict[str, Any]] = [{"type": "mount"}]
    if options.pid != NODE:
        namespaces.append({"type": "pid"})
    if options.ipc != NODE:
        namespaces.append({"type": "ipc"})
    if options.network != NODE:
        namespaces += [{"type": "network", "path": netns_path}, {"type": "uts"}]
    if traits.cgroup_version == 2:
        namespaces.append({"type": "cgroup"})
    resources = linux_resources(
        cri.LinuxContainerResources(cpu_shares=config.linux.resources.cpu_shares or SANDBOX_CPU_SHARES), traits
    )
    resources["devices"] = [{"allow": False, "access": "rwm"}]
    process = {
        "terminal": False,
        "user": {
            "uid": context.run_as_user.value if context.HasField("run_as_user") else 65535,
            "gid": context.run_as_group.value if context.HasField("run_as_group") else 65535,
        },
        "args": ["/pause"],
        "env": [DEFAULT_PATH],
        "cwd": "/",
        "capabilities": caps,
        "noNewPrivileges": True,
        "oomScoreAdj": oom_score_adj(SANDBOX_OOM_SCORE_ADJ, traits),
    }
    linux: dict[str, Any] = {
        "resources": resources,
        "cgroupsPath": cgroups_path(config.linux.cgroup_parent, sandbox_id, traits),
        "namespaces": namespaces,
        "maskedPaths": list(MASKED_PATHS),
        "readonlyPaths": list(READONLY_PATHS),
        "sysctl": _sysctls(config, options),
    }
    profile = context.seccomp if context.HasField("seccomp") else None
    filtered = seccomp(
        profile, privileged=context.privileged, held=caps["bounding"], traits=traits, read_profile=read_profile
    )
    if filtered is not None:
        linux["seccomp"] = filtered
    spec: dict[str, Any] = {
        "ociVersion": "1.0.2",
        "process": process,
        "root": {"path": "rootfs", "readonly": True},
        "mounts": _base_mounts(privileged=False, cgroup=False),
        "annotations": _annotations("sandbox", sandbox_id, config),
        "linux": linux,
    }
    if options.network != NODE and config.hostname:
        spec["hostname"] = config.hostname
    return spec


def _sysctls(config: cri.PodSandboxConfig, options: cri.NamespaceOption) -> dict[str, str]:
    """What the pod asked for, and two that let a non-root container bind low ports and ping, as containerd sets."""
    sysctls = dict(config.linux.sysctls)
    if options.network != NODE:
        sysctls.setdefault("net.ipv4.ip_unprivileged_port_start", "0")
        sysctls.setdefault("net.ipv4.ping_group_range", "0 2147483647")
    return sysctls


def container_spec(inputs: ContainerInputs, traits: HostTraits, read_profile: Callable[[str], str]) -> dict[str, Any]:
    config, context = inputs.config, inputs.config.linux.security_context
    caps = capabilities(context, traits)
    resources = linux_resources(config.linux.resources, traits)
    resources["devices"] = _device_rules(inputs)
    linux: dict[str, Any] = {
        "resources": resources,
        "cgroupsPath": cgroups_path(inputs.sandbox_config.linux.cgroup_parent, inputs.container_id, traits),
        "namespaces": _container_namespaces(inputs, traits),
        "devices": _devices(inputs),
        "rootfsPropagation": _rootfs_propagation(config),
    }
    if not context.privileged:
        linux["maskedPaths"] = list(context.masked_paths)
        linux["readonlyPaths"] = list(context.readonly_paths)
    profile = context.seccomp if context.HasField("seccomp") else None
    filtered = seccomp(
        profile, privileged=context.privileged, held=caps["bounding"], traits=traits, read_profile=read_profile
    )
    if filtered is not None:
        linux["seccomp"] = filtered
    return {
        "ociVersion": "1.0.2",
        "process": _process(inputs, caps, traits),
        "root": {"path": "rootfs", "readonly": context.readonly_rootfs},
        "mounts": _mounts(inputs),
        "annotations": _annotations("container", inputs.sandbox_id, inputs.sandbox_config, config),
        "linux": linux,
    }


def _process(inputs: ContainerInputs, caps: dict[str, list[str]], traits: HostTraits) -> dict[str, Any]:
    config, image = inputs.config, inputs.image_config
    user: dict[str, Any] = {"uid": inputs.user.uid, "gid": inputs.user.gid}
    if inputs.user.groups:
        user["additionalGids"] = list(inputs.user.groups)
    args = process_args(config, image)
    if not args:
        raise ValueError("no command is given, neither in the container's config nor in its image")
    return {
        "terminal": config.tty,
        "user": user,
        "args": args,
        "env": environment(config, image, inputs.sandbox_config.hostname),
        "cwd": config.working_dir or image.get("WorkingDir") or "/",
        "capabilities": caps,
        "noNewPrivileges": config.linux.security_context.no_new_privs,
        "oomScoreAdj": oom_score_adj(config.linux.resources.oom_score_adj, traits),
    }


def process_args(config: cri.ContainerConfig, image: Mapping[str, Any]) -> list[str]:
    command, args = list(config.command), list(config.args)
    if not command:
        command = list(image.get("Entrypoint") or [])
        if not args:
            args = list(image.get("Cmd") or [])
    return command + args


def environment(config: cri.ContainerConfig, image: Mapping[str, Any], hostname: str) -> list[str]:
    """Later entries win; each name stays where it first stood."""
    entries: dict[str, str] = {}
    base = [DEFAULT_PATH, *(["TERM=xterm"] if config.tty else []), *([f"HOSTNAME={hostname}"] if hostname else [])]
    for entry in (*base, *(image.get("Env") or [])):
        name, _, value = entry.partition("=")
        entries[name] = value
    for pair in config.envs:
        entries[pair.key] = pair.value.decode() if isinstance(pair.value, bytes) else pair.value
    return [f"{name}={value}" for name, value in entries.items()]


def _container_namespaces(inputs: ContainerInputs, traits: HostTraits) -> list[dict[str, Any]]:
    options = inputs.config.linux.security_context.namespace_options
    proc = f"/proc/{inputs.sandbox_pid}/ns"
    namespaces: list[dict[str, Any]] = [{"type": "mount"}]
    if options.pid == CONTAINER:
        namespaces.append({"type": "pid"})
    elif options.pid == POD:
        namespaces.append({"type": "pid", "path": f"{proc}/pid"})
    elif options.pid == TARGET:
        namespaces.append({"type": "pid", "path": f"/proc/{inputs.target_pid}/ns/pid"})
    if options.ipc != NODE:
        namespaces.append({"type": "ipc", "path": f"{proc}/ipc"})
    if options.network != NODE:
        namespaces.append({"type": "network", "path": inputs.netns_path or f"{proc}/net"})
        namespaces.append({"type": "uts", "path": f"{proc}/uts"})
    if traits.cgroup_version == 2 and not inputs.config.linux.security_context.privileged:
        namespaces.append({"type": "cgroup"})
    return namespaces


def _base_mounts(*, privileged: bool, cgroup: bool) -> list[dict[str, Any]]:
    access = "rw" if privileged else "ro"
    mounts: list[dict[str, Any]] = [
        {"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"]},
        {
            "destination": "/dev",
            "type": "tmpfs",
            "source": "tmpfs",
            "options": ["nosuid", "strictatime", "mode=755", "size=65536k"],
        },
        {
            "destination": "/dev/pts",
            "type": "devpts",
            "source": "devpts",
            "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        },
        {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": ["nosuid", "noexec", "nodev"]},
        {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", access]},
    ]
    if cgroup:
        options = ["nosuid", "noexec", "nodev", "relatime", access]
        mounts.append({"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": options})
    return mounts


def _mounts(inputs: ContainerInputs) -> list[dict[str, Any]]:
    """Base mounts, then the shim's own, then the pod's; a pod's mount replaces what stood at the same place."""
    context = inputs.config.linux.security_context
    asked = {mount.container_path.rstrip("/") or "/" for mount in inputs.config.mounts}
    mounts = [
        mount for mount in _base_mounts(privileged=context.privileged, cgroup=True) if mount["destination"] not in asked
    ]
    for bind in inputs.binds:
        if bind.target not in asked:
            access = "ro" if bind.readonly else "rw"
            mounts.append(
                {
                    "destination": bind.target,
                    "type": "bind",
                    "source": bind.source,
                    "options": ["rbind", "rprivate", access],
                }
            )
    # Parents before children, so that a mount is never hidden by a later one above it.
    for mount in sorted(inputs.config.mounts, key=lambda each: each.container_path.rstrip("/").count("/")):
        mounts.append(_pod_mount(mount, inputs.image_mounts))
    return mounts


def _pod_mount(mount: cri.Mount, image_mounts: Mapping[str, str]) -> dict[str, Any]:
    source = image_mounts.get(mount.container_path) or mount.host_path
    if not mount.container_path.startswith("/"):
        raise ValueError(f"mount target {mount.container_path!r} is not an absolute path")
    options = ["rbind", PROPAGATION[mount.propagation]]
    if mount.recursive_read_only:
        if not mount.readonly:
            raise ValueError(f"mount {mount.container_path}: recursive_read_only needs readonly")
        options.append("rro")
    options.append("ro" if mount.readonly or mount.image.image else "rw")
    return {"destination": mount.container_path, "type": "bind", "source": source, "options": options}


def _rootfs_propagation(config: cri.ContainerConfig) -> str:
    kinds = {mount.propagation for mount in config.mounts}
    if cri.PROPAGATION_BIDIRECTIONAL in kinds:
        return "rshared"
    return "rslave" if cri.PROPAGATION_HOST_TO_CONTAINER in kinds else "rprivate"


def _device_rules(inputs: ContainerInputs) -> list[dict[str, Any]]:
    if inputs.config.linux.security_context.privileged:
        return [{"allow": True, "access": "rwm"}]
    rules: list[dict[str, Any]] = [{"allow": False, "access": "rwm"}]
    for device, _, permissions in inputs.devices:
        rules.append(
            {
                "allow": True,
                "type": device.kind,
                "major": device.major,
                "minor": device.minor,
                "access": permissions or "rwm",
            }
        )
    return rules


def _devices(inputs: ContainerInputs) -> list[dict[str, Any]]:
    chosen = {device.path: device for device in inputs.host_devices}
    chosen.update({path: device for device, path, _ in inputs.devices})
    return [
        {
            "path": path,
            "type": device.kind,
            "major": device.major,
            "minor": device.minor,
            "fileMode": device.mode,
            "uid": device.uid,
            "gid": device.gid,
        }
        for path, device in chosen.items()
    ]


def _annotations(
    kind: str, sandbox_id: str, sandbox: cri.PodSandboxConfig, config: cri.ContainerConfig | None = None
) -> dict[str, str]:
    """The names other tools (crictl inspect, monitoring agents) read on any CRI runtime's containers."""
    annotations = {
        "io.kubernetes.cri.container-type": kind,
        "io.kubernetes.cri.sandbox-id": sandbox_id,
        "io.kubernetes.cri.sandbox-name": sandbox.metadata.name,
        "io.kubernetes.cri.sandbox-namespace": sandbox.metadata.namespace,
        "io.kubernetes.cri.sandbox-uid": sandbox.metadata.uid,
    }
    if config is not None:
        annotations["io.kubernetes.cri.container-name"] = config.metadata.name
        annotations["io.kubernetes.cri.image-name"] = config.image.image
    return annotations

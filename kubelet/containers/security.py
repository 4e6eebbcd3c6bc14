"""securityContext of pod and container, merged and put into CRI words."""

from kubelet.pod import Container, Pod, Profile, SecurityContext, SELinuxOptions
from skiff_pb.cri import runtime_pb2 as cri

MASKED_PATHS = (
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
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


def run_as_user(pod: Pod, container: Container) -> int | None:
    own = container.security_context.run_as_user if container.security_context else None
    return own if own is not None else pod.spec.security_context.run_as_user


def run_as_non_root(pod: Pod, container: Container) -> bool:
    own = container.security_context.run_as_non_root if container.security_context else None
    return bool(own if own is not None else pod.spec.security_context.run_as_non_root)


def namespace_options(pod: Pod, target_id: str = "") -> cri.NamespaceOption:
    """POD for a shared network; the process namespace is the container's own unless shared or the host's."""
    spec = pod.spec
    options = cri.NamespaceOption(
        network=cri.NODE if spec.host_network else cri.POD,
        ipc=cri.NODE if spec.host_ipc else cri.POD,
        pid=cri.NODE if spec.host_pid else (cri.POD if spec.share_process_namespace else cri.CONTAINER),
    )
    if target_id:
        options.pid = cri.TARGET
        options.target_id = target_id
    return options


def seccomp(profile: Profile | None, root: str = "/var/lib/kubelet/seccomp") -> cri.SecurityProfile:
    if profile is None or profile.type == "Unconfined":
        return cri.SecurityProfile(profile_type=cri.SecurityProfile.Unconfined)
    if profile.type == "RuntimeDefault":
        return cri.SecurityProfile(profile_type=cri.SecurityProfile.RuntimeDefault)
    local = profile.localhost_profile or ""
    return cri.SecurityProfile(profile_type=cri.SecurityProfile.Localhost, localhost_ref=f"{root}/{local}")


def apparmor(profile: Profile | None) -> cri.SecurityProfile | None:
    if profile is None:
        return None
    kinds = {
        "RuntimeDefault": cri.SecurityProfile.RuntimeDefault,
        "Unconfined": cri.SecurityProfile.Unconfined,
        "Localhost": cri.SecurityProfile.Localhost,
    }
    return cri.SecurityProfile(profile_type=kinds[profile.type], localhost_ref=profile.localhost_profile or "")


def _selinux(options: SELinuxOptions | None) -> cri.SELinuxOption | None:
    if options is None:
        return None
    return cri.SELinuxOption(user=options.user, role=options.role, type=options.type, level=options.level)


def supplemental_groups(pod: Pod) -> list[int]:
    security = pod.spec.security_context
    groups = list(security.supplemental_groups or ())
    if security.fs_group is not None:
        groups.append(security.fs_group)
    return groups


def _policy(pod: Pod) -> cri.SupplementalGroupsPolicy:
    strict = pod.spec.security_context.supplemental_groups_policy == "Strict"
    return cri.SupplementalGroupsPolicy.Strict if strict else cri.SupplementalGroupsPolicy.Merge


def container_security(
    pod: Pod, container: Container, *, image_user: str = "", image_uid: int | None = None, target_id: str = ""
) -> cri.LinuxContainerSecurityContext:
    own = container.security_context or SecurityContext()
    shared = pod.spec.security_context
    out = cri.LinuxContainerSecurityContext(
        privileged=bool(own.privileged),
        readonly_rootfs=bool(own.read_only_root_filesystem),
        no_new_privs=own.allow_privilege_escalation is False,
        namespace_options=namespace_options(pod, target_id),
        supplemental_groups=supplemental_groups(pod),
        supplemental_groups_policy=_policy(pod),
        seccomp=seccomp(own.seccomp_profile or shared.seccomp_profile),
    )
    user = run_as_user(pod, container)
    if user is not None:
        out.run_as_user.value = user
    elif image_uid is not None:
        out.run_as_user.value = image_uid
    elif image_user:
        out.run_as_username = image_user
    group = own.run_as_group if own.run_as_group is not None else shared.run_as_group
    if group is not None:
        out.run_as_group.value = group
    if own.capabilities is not None:
        out.capabilities.add_capabilities.extend(own.capabilities.add or ())
        out.capabilities.drop_capabilities.extend(own.capabilities.drop or ())
    profile = apparmor(own.app_armor_profile or shared.app_armor_profile)
    if profile is not None:
        out.apparmor.CopyFrom(profile)
    options = _selinux(own.se_linux_options or shared.se_linux_options)
    if options is not None:
        out.selinux_options.CopyFrom(options)
    if not own.privileged and own.proc_mount != "Unmasked":
        out.masked_paths.extend(MASKED_PATHS)
        out.readonly_paths.extend(READONLY_PATHS)
    return out


def sandbox_security(pod: Pod) -> cri.LinuxSandboxSecurityContext:
    shared = pod.spec.security_context
    privileged = any(c.security_context and c.security_context.privileged for c in pod.all_containers())
    out = cri.LinuxSandboxSecurityContext(
        privileged=privileged,
        namespace_options=namespace_options(pod),
        supplemental_groups=supplemental_groups(pod),
        seccomp=cri.SecurityProfile(profile_type=cri.SecurityProfile.RuntimeDefault),
    )
    if shared.run_as_user is not None:
        out.run_as_user.value = shared.run_as_user
    if shared.run_as_group is not None and shared.run_as_user is not None:
        out.run_as_group.value = shared.run_as_group
    options = _selinux(shared.se_linux_options)
    if options is not None:
        out.selinux_options.CopyFrom(options)
    return out

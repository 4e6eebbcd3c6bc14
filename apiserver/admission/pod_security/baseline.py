"""The baseline standard: no known ways out of a pod. In the order in which violations are told."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from apimachinery.fields import quote
from apiserver.admission.pod_security.subject import (
    Check,
    Subject,
    Violation,
    containers,
    context,
    listed,
    plural,
    setters,
)

CAPABILITIES = frozenset(
    (
        "AUDIT_WRITE",
        "CHOWN",
        "DAC_OVERRIDE",
        "FOWNER",
        "FSETID",
        "KILL",
        "MKNOD",
        "NET_BIND_SERVICE",
        "SETFCAP",
        "SETGID",
        "SETPCAP",
        "SETUID",
        "SYS_CHROOT",
    )
)
#: sysctl -> the minor version since which it is safe
SYSCTLS = {
    "kernel.shm_rmid_forced": 0,
    "net.ipv4.ip_local_port_range": 0,
    "net.ipv4.tcp_syncookies": 0,
    "net.ipv4.ping_group_range": 0,
    "net.ipv4.ip_unprivileged_port_start": 0,
    "net.ipv4.ip_local_reserved_ports": 27,
    "net.ipv4.tcp_keepalive_time": 29,
    "net.ipv4.tcp_fin_timeout": 29,
    "net.ipv4.tcp_keepalive_intvl": 29,
    "net.ipv4.tcp_keepalive_probes": 29,
    "net.ipv4.tcp_rmem": 32,
    "net.ipv4.tcp_wmem": 32,
}
SELINUX_TYPES = {"": 0, "container_t": 0, "container_init_t": 0, "container_kvm_t": 0, "container_engine_t": 31}
APPARMOR_ANNOTATION = "container.apparmor.security.beta.kubernetes.io/"
SECCOMP_TYPES = ("RuntimeDefault", "Localhost")


def app_armor(pod: Subject) -> Violation | None:
    def profile(security: Mapping[str, Any]) -> str:
        kind = str((security.get("appArmorProfile") or {}).get("type") or "")
        return "" if kind in SECCOMP_TYPES else kind

    names = pod.names(lambda one: profile(context(one)))
    values = {profile(pod.security), *(profile(context(one)) for one in pod.containers)} - {""}
    bad = setters(bool(profile(pod.security)), names)
    forbidden = sorted(
        f"{key}={quote(value)}"
        for key, value in pod.annotations.items()
        if key.startswith(APPARMOR_ANNOTATION) and value not in ("", "runtime/default")
        if not value.startswith("localhost/")
    )
    if forbidden:
        bad.append(plural("annotation", "annotations", len(forbidden)))
    if not bad:
        return None
    shown = [*sorted(values), *forbidden]
    reason = plural("forbidden AppArmor profile", "forbidden AppArmor profiles", len(shown))
    return Violation(reason, f"{' and '.join(bad)} must not set AppArmor profile type to {listed(shown)}")


def capabilities(pod: Subject) -> Violation | None:
    def added(container: Mapping[str, Any]) -> set[str]:
        return set((context(container).get("capabilities") or {}).get("add") or ()) - CAPABILITIES

    names = pod.names(added)
    if not names:
        return None
    values = sorted(set().union(*(added(one) for one in pod.containers)))
    detail = f"{containers(names)} must not include {listed(values)} in securityContext.capabilities.add"
    return Violation("non-default capabilities", detail)


def host_namespaces(pod: Subject) -> Violation | None:
    used = [f"{key}=true" for key in ("hostNetwork", "hostPID", "hostIPC") if pod.spec.get(key)]
    return Violation("host namespaces", ", ".join(used)) if used else None


def host_paths(pod: Subject) -> Violation | None:
    names = [one["name"] for one in pod.spec.get("volumes") or () if one.get("hostPath") is not None]
    return (
        Violation("hostPath volumes", f"{plural('volume', 'volumes', len(names))} {listed(names)}") if names else None
    )


def host_ports(pod: Subject) -> Violation | None:
    def ports(container: Mapping[str, Any]) -> set[str]:
        return {str(one["hostPort"]) for one in container.get("ports") or () if one.get("hostPort")}

    names = pod.names(ports)
    if not names:
        return None
    used = sorted(set().union(*(ports(one) for one in pod.containers)))
    uses, word = plural("uses", "use", len(names)), plural("hostPort", "hostPorts", len(used))
    return Violation("hostPort", f"{containers(names)} {uses} {word} {', '.join(used)}")


def host_probes(pod: Subject) -> Violation | None:
    """Probes of other hosts make the node's own network reachable."""
    if pod.minor < 34:
        return None
    names = sorted(set(pod.names(lambda one: list(_hosts(one)))))
    if not names:
        return None
    hosts = sorted({host for one in pod.containers for host in _hosts(one)})
    uses = plural("uses", "use", len(names))
    word = plural("probe or lifecycle host", "probe or lifecycle hosts", len(hosts))
    return Violation("probe or lifecycle host", f"{containers(names)} {uses} {word} {listed(hosts)}")


def _hosts(container: Mapping[str, Any]) -> Iterator[str]:
    lifecycle = container.get("lifecycle") or {}
    handlers = [container.get(key) for key in ("livenessProbe", "readinessProbe", "startupProbe")]
    for handler in (*handlers, lifecycle.get("postStart"), lifecycle.get("preStop")):
        for kind in ("httpGet", "tcpSocket"):
            host = ((handler or {}).get(kind) or {}).get("host")
            if host:
                yield host


def privileged(pod: Subject) -> Violation | None:
    names = pod.names(lambda one: context(one).get("privileged"))
    if not names:
        return None
    return Violation("privileged", f"{containers(names)} must not set securityContext.privileged=true")


def proc_mount(pod: Subject) -> Violation | None:
    return None if pod.in_user_namespace else unmasked_proc(pod)


def unmasked_proc(pod: Subject) -> Violation | None:
    def mount(container: Mapping[str, Any]) -> str:
        value = context(container).get("procMount")
        return "" if value in (None, "Default") else str(value)

    names = pod.names(mount)
    if not names:
        return None
    values = sorted({mount(one) for one in pod.containers} - {""})
    return Violation("procMount", f"{containers(names)} must not set securityContext.procMount to {listed(values)}")


def se_linux(pod: Subject) -> Violation | None:
    def faults(security: Mapping[str, Any]) -> list[str]:
        options = security.get("seLinuxOptions")
        if options is None:
            return []
        kind = options.get("type") or ""
        found = [] if SELINUX_TYPES.get(kind, pod.minor + 1) <= pod.minor else [f"type {kind}"]
        return found + [word for word in ("user", "role") if options.get(word)]

    own = faults(pod.security)
    names = pod.names(lambda one: faults(context(one)))
    bad = setters(bool(own), names)
    if not bad:
        return None
    everything = {*own, *(fault for one in pod.containers for fault in faults(context(one)))}
    types = sorted(fault.removeprefix("type ") for fault in everything if fault.startswith("type "))
    data = [f"{plural('type', 'types', len(types))} {listed(types)}"] if types else []
    data += [f"{word} may not be set" for word in ("user", "role") if word in everything]
    detail = f"{' and '.join(bad)} set forbidden securityContext.seLinuxOptions: {'; '.join(data)}"
    return Violation("seLinuxOptions", detail)


def seccomp(pod: Subject) -> Violation | None:
    bad, values = bad_seccomp(pod)
    if not bad:
        return None
    detail = f"{' and '.join(bad)} must not set securityContext.seccompProfile.type to {listed(values)}"
    return Violation("seccompProfile", detail)


def bad_seccomp(pod: Subject) -> tuple[list[str], list[str]]:
    """Who sets a profile that confines nothing, and which."""

    def profile(security: Mapping[str, Any]) -> str:
        kind = (security.get("seccompProfile") or {}).get("type")
        return "" if kind is None or kind in SECCOMP_TYPES else str(kind)

    names = pod.names(lambda one: profile(context(one)))
    values = {profile(pod.security), *(profile(context(one)) for one in pod.containers)} - {""}
    return setters(bool(profile(pod.security)), names), sorted(values)


def sysctls(pod: Subject) -> Violation | None:
    names = [one["name"] for one in pod.security.get("sysctls") or ()]
    forbidden = [name for name in names if SYSCTLS.get(name, pod.minor + 1) > pod.minor]
    return Violation("forbidden sysctls", ", ".join(forbidden)) if forbidden else None


def windows_host_process(pod: Subject) -> Violation | None:
    def host_process(security: Mapping[str, Any]) -> bool:
        return bool((security.get("windowsOptions") or {}).get("hostProcess"))

    bad = setters(host_process(pod.security), pod.names(lambda one: host_process(context(one))))
    if not bad:
        return None
    detail = f"{' and '.join(bad)} must not set securityContext.windowsOptions.hostProcess=true"
    return Violation("hostProcess", detail)


CHECKS: tuple[Check, ...] = (
    app_armor,
    capabilities,
    host_namespaces,
    host_paths,
    host_ports,
    host_probes,
    privileged,
    proc_mount,
    se_linux,
    seccomp,
    sysctls,
    windows_host_process,
)

"""A sandbox's files on the host: hostname, hosts and resolv.conf that its containers see, and its shared memory."""

from __future__ import annotations

import os
import shutil

from kubelet.cri_shim import linux_syscalls
from kubelet.cri_shim.oci_spec import BindMount
from kubelet.cri_shim.settings import Settings
from skiff_pb.cri import runtime_pb2 as cri


def resolver_text(config: cri.DNSConfig) -> str | None:
    """The resolv.conf the pod asks for; None when it asks for the host's own."""
    lines = []
    if config.searches:
        lines.append(f"search {' '.join(config.searches)}")
    lines += [f"nameserver {server}" for server in config.servers]
    if config.options:
        lines.append(f"options {' '.join(config.options)}")
    return "\n".join(lines) + "\n" if lines else None


def prepare(settings: Settings, sandbox_id: str, config: cri.PodSandboxConfig) -> None:
    root = settings.sandbox_root(sandbox_id)
    os.makedirs(root, mode=0o711, exist_ok=True)
    _write(os.path.join(root, "hostname"), f"{config.hostname or os.uname().nodename}\n")
    _write(os.path.join(root, "hosts"), _host_file("/etc/hosts"))
    wanted = resolver_text(config.dns_config) if config.HasField("dns_config") else None
    _write(os.path.join(root, "resolv.conf"), _host_file("/etc/resolv.conf") if wanted is None else wanted)
    if config.linux.security_context.namespace_options.ipc != cri.NODE:
        shm = _shm(settings, sandbox_id)
        if not os.path.ismount(shm):
            linux_syscalls.mount_shm(shm)


def release(settings: Settings, sandbox_id: str) -> None:
    """What a stopped sandbox no longer needs; its files stay until it is removed."""
    if os.path.isdir(_shm(settings, sandbox_id)):
        linux_syscalls.unmount(_shm(settings, sandbox_id))
    shutil.rmtree(settings.sandbox_state(sandbox_id), ignore_errors=True)


def remove(settings: Settings, sandbox_id: str) -> None:
    release(settings, sandbox_id)
    shutil.rmtree(settings.sandbox_root(sandbox_id), ignore_errors=True)


def binds(settings: Settings, sandbox_id: str, config: cri.PodSandboxConfig, *, readonly: bool) -> list[BindMount]:
    """What the shim mounts into each container of the sandbox."""
    root = settings.sandbox_root(sandbox_id)
    mounts = [
        BindMount(os.path.join(root, name), f"/etc/{name}", readonly) for name in ("hostname", "hosts", "resolv.conf")
    ]
    host_ipc = config.linux.security_context.namespace_options.ipc == cri.NODE
    mounts.append(BindMount("/dev/shm" if host_ipc else _shm(settings, sandbox_id), "/dev/shm"))
    return mounts


def _shm(settings: Settings, sandbox_id: str) -> str:
    return os.path.join(settings.sandbox_state(sandbox_id), "shm")


def _host_file(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except FileNotFoundError:
        return ""


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(path, 0o644)

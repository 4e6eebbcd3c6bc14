"""Starting the supervisor as a process of its own, watching it bring the services up, and stopping it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from component_base.clock import Clock
from skiff.cluster import host, status
from skiff.cluster.layout import Layout
from skiff.cluster.settings import Settings

LOOK_SECONDS = 0.1


def supervisor_command(layout: Layout) -> list[str]:
    return [sys.executable, "-m", "skiff.cluster.supervisor", f"--state-dir={layout.state}"]


def supervisor_pid(layout: Layout) -> int:
    """0 when no supervisor runs for this cluster."""
    try:
        pid = int(layout.supervisor_pid.read_text())
    except (OSError, ValueError):
        return 0
    return pid if status.is_running(pid, supervisor_command(layout), any_program=True) else 0


def start_supervisor(layout: Layout) -> int:
    """In a session of its own, so that it outlives the shell that ran `skiff up`."""
    log = layout.log_of("supervisor")
    with log.open("ab") as output:
        child = subprocess.Popen(
            supervisor_command(layout),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            cwd="/",
            close_fds=True,
        )
    return child.pid


def taken_ports(settings: Settings) -> str | None:
    """A sentence about the first of our ports that another program listens on."""
    ports = settings.ports
    wanted = {"kubelet": ports.kubelet, "kube_proxy": ports.proxy_health, "cluster_dns": ports.dns}
    if settings.role == "control-plane":
        wanted |= {
            "etcd": ports.etcd_client,
            "etcd's peers": ports.etcd_peer,
            "apiserver": ports.apiserver,
            "controller_manager": ports.controller_manager,
            "scheduler": ports.scheduler,
        }
    for service, port in wanted.items():
        if port and (problem := host.port_owner("0.0.0.0", port)):
            return f"{problem}, but {service} needs it; stop what listens there (ss -ltnp 'sport = :{port}')"
    return None


async def follow(layout: Layout, clock: Clock, seconds: float) -> AsyncIterator[status.ProcessStatus]:
    """Each process whose state has changed, until all are ready. Raises TimeoutError."""
    end = clock.monotonic() + seconds
    shown: dict[str, tuple[str, int]] = {}
    while clock.monotonic() < end:
        current = status.read(layout.status)
        if current is not None and current.supervisor_pid == supervisor_pid(layout):
            for process in current.processes:
                if shown.get(process.name) != (process.state, process.restarts):
                    shown[process.name] = (process.state, process.restarts)
                    yield process
            if current.all_ready:
                return
        await clock.sleep(LOOK_SECONDS)
    raise TimeoutError


async def stop_supervisor(layout: Layout, clock: Clock, seconds: float = 60.0) -> bool:
    """Ask it to stop everything; True when it has ended."""
    pid = supervisor_pid(layout)
    if not pid:
        return True
    os.kill(pid, signal.SIGTERM)
    end = clock.monotonic() + seconds
    while clock.monotonic() < end:
        if not status.is_running(pid, supervisor_command(layout), any_program=True):
            return True
        await clock.sleep(LOOK_SECONDS)
    return False


def last_lines(path: Path, count: int = 5) -> str:
    """The end of a service's log, for an error message."""
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError:
        return ""
    return "\n".join(f"    {line}" for line in lines[-count:])

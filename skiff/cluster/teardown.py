"""Ending what a cluster left running: services, containers, network. Only ours, by our own marks."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
from pathlib import Path

from skiff.cluster import status
from skiff.cluster.layout import Layout

BRIDGE = "cbr0"
CGROUPS = Path("/sys/fs/cgroup")
PATIENCE_SECONDS = 10.0
TABLES = (("ip", "kube-proxy"), ("ip6", "kube-proxy"))


def end_services(layout: Layout) -> None:
    """Those that a killed supervisor has left behind."""
    current = status.read(layout.status)
    if current is None:
        return
    for process in reversed(current.processes):
        if status.is_running(process.pid, process.argv):
            _end(process.pid)


def end_containers(layout: Layout) -> None:
    """The shims of our containerd, and with each its containers; then the mounts below our folders."""
    marks = (str(layout.containerd_state), str(layout.containerd_socket))
    for pid in _shims(marks):
        _end_group(pid)
    remove_cgroups(layout)
    unmount_below(layout.run)
    unmount_below(layout.state)


def remove_cgroups(layout: Layout, root: Path = CGROUPS) -> None:
    """Those of our pods, by the pods' ids, once their containers have ended. What is not empty stays."""
    pods = [folder.name for folder in (layout.kubelet / "pods").glob("*")]
    parents = [
        parent for top in (root, *root.glob("*")) for parent in (top / "kubepods", *(top / "kubepods").glob("*"))
    ]
    for parent in parents:
        for pod in pods:
            for folder, _, _ in os.walk(parent / f"pod{pod}", topdown=False):
                with contextlib.suppress(OSError):
                    os.rmdir(folder)


def _shims(marks: tuple[str, ...]) -> list[int]:
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            arguments = (folder / "cmdline").read_bytes().decode("utf-8", "replace").split("\0")
            if "containerd-shim" in arguments[0] and any(a in marks for a in arguments):
                found.append(int(folder.name))
    return found


def _end_group(shim: int) -> None:
    children = _descendants(shim)
    for pid in (*children, shim):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    _wait_gone([*children, shim])


def _descendants(pid: int) -> list[int]:
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in (Path("/proc") / str(pid) / "task").iterdir():
            for child in (task / "children").read_text().split():
                found += [int(child), *_descendants(int(child))]
    return found


def _end(pid: int) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        if _wait_gone([pid]):
            return


def _wait_gone(pids: list[int]) -> bool:
    """True when all have ended within our patience (pidfd, Linux 5.3)."""
    for pid in pids:
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        try:
            ended, _, _ = select.select([descriptor], [], [], PATIENCE_SECONDS)
        finally:
            os.close(descriptor)
        if not ended:
            return False
    return True


def unmount_below(folder: Path) -> None:
    """Deepest first; a mount that is in use is detached."""
    mounts = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        point = line.split()[4].encode().decode("unicode_escape")
        if point.startswith(f"{folder}/"):
            mounts.append(point)
    for point in sorted(mounts, key=len, reverse=True):
        subprocess.run(["umount", "-l", point], check=False, capture_output=True)


def remove_network() -> None:
    """The bridge and our nftables tables; both are made anew when needed."""
    subprocess.run(["ip", "link", "delete", BRIDGE], check=False, capture_output=True)
    for family, name in TABLES:
        subprocess.run(["nft", "delete", "table", family, name], check=False, capture_output=True)

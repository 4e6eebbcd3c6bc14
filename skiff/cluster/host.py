"""What the host offers: name, address, tools, kernel settings. Reads only; `doctor` explains what it finds."""

from __future__ import annotations

import ipaddress
import os
import shutil
import socket
from dataclasses import dataclass
from pathlib import Path

from skiff.cluster.plan import CNI_FOLDERS
from skiff.cluster.settings import HostFacts

#: tool -> the Debian package that brings it
TOOLS = {
    "containerd": "containerd",
    "containerd-shim-runc-v2": "containerd",
    "runc": "runc",
    "nft": "nftables",
    "ip": "iproute2",
    "conntrack": "conntrack",
    "mount": "mount",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of `skiff doctor`: what was looked at, whether it is good, and what to do when it is not."""

    subject: str
    ok: bool
    detail: str
    advice: str = ""
    fatal: bool = True


def facts() -> HostFacts:
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if not any((folder / "bridge").exists() for folder in CNI_FOLDERS):
        missing.append("CNI plugins")
    return HostFacts(socket.gethostname().lower(), primary_ip(), os.geteuid() == 0, tuple(missing))


def has_address(text: str) -> bool:
    """Whether somebody here could listen on it."""
    try:
        family = socket.AF_INET6 if ipaddress.ip_address(text).version == 6 else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((text, 0))
    except (ValueError, OSError):
        return False
    return True


def primary_ip() -> str | None:
    """The address this host would use towards the outside; else the first one that is not loopback; else None."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # nothing is sent: a datagram socket only picks a route
            return str(probe.getsockname()[0])
        except OSError:
            pass
    from pyroute2 import IPRoute  # not needed on most hosts, and slow to import

    with IPRoute() as route:
        for message in route.get_addr(family=socket.AF_INET):
            address = str(message.get_attr("IFA_ADDRESS"))
            if not address.startswith("127."):
                return address
    return None


def port_owner(address: str, port: int) -> str | None:
    """None when `port` can be bound; else a sentence saying that it is taken."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            return f"port {port} on {address} is not free: {error.strerror}"
    return None


def read_number(path: str) -> int | None:
    try:
        return int(Path(path).read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return None


def inspect_host() -> list[Finding]:
    host = facts()
    found = [
        Finding("root", host.is_root, f"running as uid {os.geteuid()}", "run as root: `sudo skiff up`"),
        *(tool_finding(tool) for tool in TOOLS),
        cni_finding(),
        Finding(
            "address",
            host.primary_ip is not None,
            host.primary_ip or "no address but loopback",
            "give this host an address, or pass --node-ip",
        ),
        cgroup_finding(),
        *sysctl_findings(),
        disk_finding(Path("/var/lib")),
    ]
    return found


def tool_finding(tool: str) -> Finding:
    path = shutil.which(tool)
    return Finding(tool, path is not None, path or "not found", f"apt-get install {TOOLS[tool]}")


def cni_finding() -> Finding:
    folder = next((f for f in CNI_FOLDERS if (f / "bridge").exists()), None)
    return Finding(
        "CNI plugins", folder is not None, str(folder or "not found"), "apt-get install containernetworking-plugins"
    )


def cgroup_finding() -> Finding:
    root = Path("/sys/fs/cgroup")
    if (root / "cgroup.controllers").exists():
        have = (root / "cgroup.controllers").read_text().split()
        version = "v2"
    else:
        have = [path.name for path in root.iterdir()] if root.exists() else []
        version = "v1"
    lacking = [name for name in ("cpu", "memory", "pids") if name not in have]
    return Finding(
        "cgroups",
        not lacking,
        f"{version}" + (f", without {', '.join(lacking)}" if lacking else ""),
        f"the kernel or its command line withholds these controllers: {', '.join(lacking)}",
    )


def sysctl_findings() -> list[Finding]:
    """Limits whose exhaustion shows as a riddle elsewhere (`too many open files` from inotify above all)."""
    wanted = {
        "fs.inotify.max_user_instances": 256,
        "fs.inotify.max_user_watches": 65536,
        "fs.file-max": 100000,
    }
    found = []
    for name, least in wanted.items():
        value = read_number("/proc/sys/" + name.replace(".", "/"))
        found.append(
            Finding(name, value is None or value >= least, str(value), f"sysctl -w {name}={least}", fatal=False)
        )
    return found


def disk_finding(path: Path) -> Finding:
    free = shutil.disk_usage(path).free
    return Finding(
        f"disk space at {path}",
        free > 2 * 1024**3,
        f"{free / 1024**3:.1f} GiB free",
        "free at least 2 GiB",
        fatal=False,
    )

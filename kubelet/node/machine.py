"""What the machine is: processors, memory, disks, kernel, operating system, addresses. Read from /proc and /etc."""

import os
import platform
import shutil
import socket
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Machine:
    cpus: int
    memory_bytes: int
    kernel: str
    os_image: str
    machine_id: str
    system_uuid: str
    boot_id: str
    architecture: str
    swap_bytes: int = 0
    huge_pages: tuple[tuple[str, int], ...] = ()
    """("2Mi", bytes) for each size the kernel knows."""


_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}


def read_machine(proc: Path = Path("/proc"), etc: Path = Path("/etc"), sys: Path = Path("/sys")) -> Machine:
    release = _fields(_text(etc / "os-release"), "=")
    memory = _fields(_text(proc / "meminfo"), ":")
    return Machine(
        cpus=len(os.sched_getaffinity(0)) if proc == Path("/proc") else 1,
        memory_bytes=_kib(memory.get("MemTotal", "0")),
        kernel=platform.release(),
        os_image=release.get("PRETTY_NAME", "Linux").strip('"'),
        machine_id=_text(etc / "machine-id"),
        system_uuid=_text(sys / "class/dmi/id/product_uuid") or _text(etc / "machine-id"),
        boot_id=_text(proc / "sys/kernel/random/boot_id"),
        architecture=_ARCHITECTURES.get(platform.machine(), platform.machine()),
        swap_bytes=_kib(memory.get("SwapTotal", "0")),
        huge_pages=_huge_pages(sys / "kernel/mm/hugepages"),
    )


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _fields(text: str, separator: str) -> dict[str, str]:
    pairs = (line.partition(separator) for line in text.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def _kib(text: str) -> int:
    number = text.split()[0] if text else "0"
    return int(number) * 1024


def _huge_pages(folder: Path) -> tuple[tuple[str, int], ...]:
    found = []
    for entry in sorted(folder.iterdir()) if folder.is_dir() else ():
        kib = int(entry.name.removeprefix("hugepages-").removesuffix("kB"))
        name = f"{kib // (1 << 20)}Gi" if kib >= 1 << 20 else f"{kib // 1024}Mi" if kib >= 1024 else f"{kib}Ki"
        found.append((name, int(_text(entry / "nr_hugepages") or 0) * kib * 1024))
    return tuple(found)


def available_memory(proc: Path = Path("/proc")) -> int:
    return _kib(_fields(_text(proc / "meminfo"), ":").get("MemAvailable", "0"))


@dataclass(frozen=True, slots=True)
class Disk:
    total: int
    free: int
    inodes: int
    inodes_free: int


def read_disk(folder: Path) -> Disk:
    """Of the filesystem that holds the folder, or the nearest parent that exists."""
    while not folder.exists():
        folder = folder.parent
    facts = os.statvfs(folder)
    usage = shutil.disk_usage(folder)
    return Disk(usage.total, usage.free, facts.f_files, facts.f_favail)


def process_count(proc: Path = Path("/proc")) -> tuple[int, int]:
    """(tasks running, the most the kernel allows)."""
    running = int(_text(proc / "loadavg").split()[3].partition("/")[2] or 0)
    limits = [int(_text(proc / "sys/kernel" / name) or 0) for name in ("pid_max", "threads-max")]
    return running, min(limits)


def outward_address() -> str:
    """The address this host would use towards the outside; nothing is sent."""
    for family, target in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            try:
                probe.connect((target, 53))
            except OSError:
                continue
            return str(probe.getsockname()[0])
    return "127.0.0.1"

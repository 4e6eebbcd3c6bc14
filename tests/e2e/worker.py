"""A second node for the cluster of these tests: a network namespace and a state folder of its own, one cable between.

cluster's namespace        skiff-e2e-lan          worker's namespace
eth0 ───────────────── end ── bridge ── port ───────────── eth0
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from tests.e2e.cluster import SKIFF, Cluster, eventually

WORKER_IP = "10.89.77.2"


@dataclass
class Worker:
    cluster: Cluster
    folder: Path
    name: str = "worker"
    address: str = WORKER_IP
    node: Cluster = field(init=False)

    def __post_init__(self) -> None:
        self.node = Cluster(self.folder, f"{self.cluster.namespace}-{self.name}")

    @property
    def lan(self) -> str:
        return f"{self.cluster.namespace}-lan"

    def connect(self) -> None:
        own, lan = self.node.namespace, self.lan
        for command in (
            f"ip netns add {lan}",
            f"ip netns add {own}",
            f"ip -n {lan} link add bridge type bridge",
            f"ip -n {lan} link set bridge up",
            f"ip -n {self.cluster.namespace} link set end netns {lan}",
            f"ip -n {lan} link set end master bridge up",
            f"ip -n {own} link set lo up",
            f"ip -n {lan} link add port type veth peer name eth0 netns {own}",
            f"ip -n {lan} link set port master bridge up",
            f"ip -n {own} address add {self.address}/24 dev eth0",
            f"ip -n {own} link set eth0 up",
            f"ip -n {own} route add default dev eth0",
        ):
            subprocess.run(command.split(), check=True, capture_output=True)

    def disconnect(self) -> None:
        """The cluster gets its end of the cable back: it goes on without us."""
        for command in (
            f"ip -n {self.lan} link set end nomaster",
            f"ip -n {self.lan} link set end netns {self.cluster.namespace}",
            f"ip -n {self.cluster.namespace} link set end up",
            f"ip netns delete {self.node.namespace}",
            f"ip netns delete {self.lan}",
        ):
            subprocess.run(command.split(), check=False, capture_output=True)

    def join(self, *flags: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.node.skiff("join", *flags, check=check)

    def invitation(self) -> list[str]:
        """The flags that `skiff token create` prints."""
        line = self.cluster.skiff("token", "create", "--ttl=10m").stdout
        found = re.fullmatch(r"skiff join (--server \S+) (--token \S+) (--ca-hash \S+)\n", line)
        assert found is not None, line
        return [word for part in found.groups() for word in part.split()]

    def lose_power(self) -> None:
        """SIGKILL to the supervisor, to every service, and to every container."""
        noted = json.loads((self.folder / "run" / "status.json").read_text())
        supervisor = int((self.folder / "run" / "supervisor.pid").read_text())
        for pid in (supervisor, *(p["pid"] for p in noted["processes"]), *self._containers()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        eventually(lambda: not self._containers(), "the end of the worker's containers")

    def _containers(self) -> list[int]:
        """Every process whose network is the worker's or that one of its containerd shims has started."""
        shims, parents = set(), {}
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit():
                with contextlib.suppress(OSError, IndexError):
                    arguments = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
                    parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
                    if "containerd-shim" in arguments[0] and any(a.startswith(str(self.folder)) for a in arguments):
                        shims.add(int(folder.name))
        return [pid for pid, parent in parents.items() if pid in shims or parent in shims]

    def remove(self) -> None:
        self.node.run(SKIFF, "down", "--purge", f"--state-dir={self.folder}", check=False)

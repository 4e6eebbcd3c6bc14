"""A whole cluster for tests: `skiff up` in a network namespace and a state folder of its own.

The host's network, its containerd and a cluster that may be up on it are neither seen nor touched. Commands that are to
reach the cluster run inside the namespace.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
SKIFF = Path(sys.executable).parent / "skiff"
NODE_IP = "10.89.77.1"
KUBECTL_FOLDERS = ("/usr/lib/google-cloud-sdk/bin", "/usr/local/bin", "/usr/bin", "/snap/bin")


def need(condition: bool, sentence: str) -> None:
    """What is missing skips a test on a developer's machine and fails it in CI."""
    if condition:
        return
    if os.environ.get("CI"):
        pytest.fail(sentence)
    pytest.skip(sentence)


def kubectls() -> list[Path]:
    """The oldest and the newest kubectl on this machine (one, where there is only one)."""
    found: dict[tuple[int, ...], Path] = {}
    for folder in KUBECTL_FOLDERS:
        for path in Path(folder).glob("kubectl.1.*"):
            found[tuple(int(part) for part in path.name.split(".")[1:])] = path
    ordered = [found[version] for version in sorted(found)]
    if not ordered and (plain := shutil.which("kubectl")):
        ordered = [Path(plain)]
    return [ordered[0], ordered[-1]] if len(ordered) > 1 else ordered


@dataclass
class Cluster:
    """`run` executes in the cluster's network namespace."""

    folder: Path
    namespace: str = "skiff-e2e"
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def kubeconfig(self) -> Path:
        return self.folder / "kubeconfig" / "admin.conf"

    @property
    def prefix(self) -> list[str]:
        return ["nsenter", f"--net=/run/netns/{self.namespace}"]

    def run(
        self, *command: str | Path, check: bool = True, timeout: float = 120, **more: Any
    ) -> subprocess.CompletedProcess[str]:
        result = subprocess.run(
            [*self.prefix, *map(str, command)],
            capture_output=True,
            text=True,
            timeout=timeout,
            env={**os.environ, "KUBECONFIG": str(self.kubeconfig), **self.environment},
            check=False,
            **more,
        )
        if check and result.returncode != 0:
            raise AssertionError(f"{' '.join(map(str, command))}\n{result.stdout}\n{result.stderr}")
        return result

    def popen(self, *command: str | Path, **more: Any) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*self.prefix, *map(str, command)],
            text=True,
            env={**os.environ, "KUBECONFIG": str(self.kubeconfig), **self.environment},
            **more,
        )

    def skiff(self, *arguments: str, check: bool = True, timeout: float = 180) -> subprocess.CompletedProcess[str]:
        return self.run(SKIFF, *arguments, f"--state-dir={self.folder}", check=check, timeout=timeout)

    def up(self) -> str:
        flags = (f"--node-ip={NODE_IP}", "--node-name=e2e", "--no-kubeconfig")
        return self.skiff("up", *flags).stdout

    def make_network(self) -> None:
        """A namespace whose only way out is a cable to itself: there is a default route, and nothing at its end."""
        self.remove_network()
        for command in (
            ["ip", "netns", "add", self.namespace],
            ["ip", "-n", self.namespace, "link", "set", "lo", "up"],
            ["ip", "-n", self.namespace, "link", "add", "eth0", "type", "veth", "peer", "name", "end"],
            ["ip", "-n", self.namespace, "link", "set", "end", "up"],
            ["ip", "-n", self.namespace, "address", "add", f"{NODE_IP}/24", "dev", "eth0"],
            ["ip", "-n", self.namespace, "link", "set", "eth0", "up"],
            ["ip", "-n", self.namespace, "route", "add", "default", "dev", "eth0"],
        ):
            subprocess.run(command, check=True, capture_output=True)

    def remove_network(self) -> None:
        subprocess.run(["ip", "netns", "delete", self.namespace], check=False, capture_output=True)

    def pids(self) -> dict[str, int]:
        """Process ids by service, as the supervisor notes them."""
        noted = json.loads((self.folder / "run" / "status.json").read_text())
        return {p["name"]: p["pid"] for p in noted["processes"] if p["state"] == "ready"}

    def logs(self) -> str:
        """The end of every log, for a report."""
        parts = []
        for path in sorted((self.folder / "log").glob("*.log")):
            lines = path.read_text(errors="replace").splitlines()[-15:]
            parts.append(f"== {path.name}\n" + "\n".join(lines))
        return "\n".join(parts)


@dataclass(frozen=True)
class Kubectl:
    cluster: Cluster
    program: Path

    def __call__(
        self, *arguments: str, check: bool = True, timeout: float = 120, **more: Any
    ) -> subprocess.CompletedProcess[str]:
        return self.cluster.run(self.program, *arguments, check=check, timeout=timeout, **more)

    def json(self, *arguments: str) -> Any:
        return json.loads(self(*arguments, "-o", "json").stdout)

    def popen(self, *arguments: str, **more: Any) -> subprocess.Popen[str]:
        return self.cluster.popen(self.program, *arguments, **more)

    def pods(self, namespace: str, selector: str) -> list[dict[str, Any]]:
        """Pods that are not on their way out."""
        items: list[dict[str, Any]] = self.json("get", "pods", "-n", namespace, "-l", selector)["items"]
        return [pod for pod in items if "deletionTimestamp" not in pod["metadata"]]


def eventually(condition: Callable[[], Any], what: str, seconds: float = 90, pause: float = 0.25) -> Any:
    """The first true answer of `condition`; what it raises counts as not yet.

    What takes a second on an idle machine may take half a minute on a slow one full of other work: less than the
    default needs a reason.
    """
    end = time.monotonic() + seconds
    last: object = None
    while time.monotonic() < end:
        try:
            last = condition()
            if last:
                return last
        except (AssertionError, subprocess.SubprocessError, OSError, ValueError, KeyError, IndexError) as error:
            last = error
        time.sleep(pause)
    raise AssertionError(f"{what} did not happen within {seconds} s; last: {last}")


def answers(kubectl: Kubectl, namespace: str, pod: str, url: str, times: int) -> set[str]:
    """What `times` requests from inside a pod answered."""
    script = f"for i in $(seq {times}); do wget -qO- {url}; done"
    return set(kubectl("exec", "-n", namespace, pod, "--", "sh", "-c", script).stdout.split("\n")) - {""}


def is_ready(pod: dict[str, Any]) -> bool:
    conditions: Sequence[dict[str, Any]] = pod["status"].get("conditions") or ()
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)

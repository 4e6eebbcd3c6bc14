"""A store as a process of the test's own: Debian's etcd, or ours by the same flags."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.integration.ports import free_port

UPSTREAM = ("/usr/bin/etcd", "--unsafe-no-fsync=true", "--experimental-watch-progress-notify-interval=100ms")
OURS = (sys.executable, "-m", "etcd_raft", "--experimental-watch-progress-notify-interval=100ms")


class EtcdProcess:
    """One member on a port that stays the same over `stop` and `start`."""

    def __init__(self, folder: Path, command: Sequence[str] = UPSTREAM) -> None:
        self._command = command
        self.endpoint = f"http://127.0.0.1:{free_port()}"
        self._peer = f"http://127.0.0.1:{free_port()}"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(
            [
                *self._command,
                f"--data-dir={self._folder / 'data'}",
                f"--listen-client-urls={self.endpoint}",
                f"--advertise-client-urls={self.endpoint}",
                f"--listen-peer-urls={self._peer}",
                f"--initial-advertise-peer-urls={self._peer}",
                f"--initial-cluster=default={self._peer}",
            ],
            stdout=subprocess.DEVNULL,
            stderr=(self._folder / "log").open("ab"),
        )

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

"""The supervisor's view of its processes, as other commands read it: one small JSON file, replaced atomically."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

State = Literal["waiting", "starting", "ready", "backoff", "stopped"]


class ProcessStatus(msgspec.Struct, kw_only=True):
    """`since` and `ready_at` are wall-clock seconds; `last_exit` is a sentence, "" before the first exit."""

    name: str
    state: State = "waiting"
    pid: int = 0
    since: float = 0.0
    ready_at: float = 0.0
    restarts: int = 0
    last_exit: str = ""
    argv: list[str] = []


class ClusterStatus(msgspec.Struct, kw_only=True):
    supervisor_pid: int
    started: float
    processes: list[ProcessStatus]

    @property
    def all_ready(self) -> bool:
        return all(process.state == "ready" for process in self.processes)


def read(path: Path) -> ClusterStatus | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=ClusterStatus)
    except (FileNotFoundError, msgspec.MsgspecError):
        return None


def write(path: Path, status: ClusterStatus) -> None:
    part = path.with_suffix(".part")
    part.write_bytes(msgspec.json.encode(status))
    part.replace(path)


def is_running(pid: int, argv: list[str], any_program: bool = False) -> bool:
    """Whether `pid` is still the process we started: pids are reused, command lines of ours are not.

    With `any_program` only the arguments count: another copy of skiff may have started it with its own Python.
    """
    if pid <= 0:
        return False
    try:
        running = Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").split(b"\0")
    except OSError:
        return False
    first = 1 if any_program else 0
    return running[first:] == [part.encode() for part in argv[first:]]

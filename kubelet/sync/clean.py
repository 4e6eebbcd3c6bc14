"""What is left of ended containers, and of pods that nobody wants: chosen purely, then removed."""

import logging
import shutil
from pathlib import Path

from kubelet.cri.runtime import Containers
from kubelet.sync.observed import PodSeen, State

log = logging.getLogger(__name__)
KEPT_ATTEMPTS = 1
"""Ended attempts of a container that are kept beside the newest."""


def stale_containers(seen: PodSeen) -> list[str]:
    """Ended attempts beyond those that `kubectl logs --previous` and lastState still need."""
    doomed: list[str] = []
    for name in {c.name for c in seen.containers}:
        attempts = seen.attempts(name)
        newest_runs = attempts[0].state != State.EXITED
        ended = [c for c in attempts if c.state == State.EXITED]
        doomed += [c.id for c in ended[KEPT_ATTEMPTS if newest_runs else KEPT_ATTEMPTS + 1 :]]
    return doomed


def stale_sandboxes(seen: PodSeen) -> list[str]:
    """All but the newest, once no container of theirs is left."""
    occupied = {c.sandbox_id for c in seen.containers}
    return [s.id for s in seen.sandboxes[1:] if s.id not in occupied and not s.ready]


async def remove_all(runtime: Containers, seen: PodSeen) -> None:
    for container in seen.containers:
        await runtime.remove_container(container.id)
    for sandbox in seen.sandboxes:
        await runtime.stop_sandbox(sandbox.id)
        await runtime.remove_sandbox(sandbox.id)


def remove_log_folder(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)

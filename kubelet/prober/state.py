"""What a run of probe outcomes means. Pure: outcomes in, verdict out."""

from dataclasses import dataclass
from enum import StrEnum

from kubelet.pod import Probe


class Kind(StrEnum):
    STARTUP = "Startup"
    LIVENESS = "Liveness"
    READINESS = "Readiness"


INITIAL = {Kind.STARTUP: None, Kind.LIVENESS: True, Kind.READINESS: False}
"""Until concluded: not known to have started, presumed alive, not ready."""


@dataclass(slots=True)
class ProbeState:
    kind: Kind
    probe: Probe
    verdict: bool | None = None
    run: int = 0
    last: bool | None = None
    settled: bool = False
    """No more probing of this container: it has started, or it is about to be killed."""

    def __post_init__(self) -> None:
        self.verdict = INITIAL[self.kind]

    def recall(self) -> None:
        """Takes over the good verdict of the kubelet before this one."""
        self.verdict = True
        self.settled = self.kind == Kind.STARTUP

    def observe(self, ok: bool) -> bool:
        """Takes one outcome; returns whether the verdict is new."""
        self.run = self.run + 1 if ok == self.last else 1
        self.last = ok
        threshold = self.probe.success_threshold if ok else self.probe.failure_threshold
        if self.run < threshold:
            return False
        changed = self.verdict is not ok
        self.verdict = ok
        if (self.kind == Kind.STARTUP) or (self.kind == Kind.LIVENESS and not ok):
            self.settled = True
        return changed


def first_probe_at(probe: Probe, started_at: float) -> float:
    return started_at + probe.initial_delay_seconds

"""What the runtime says about one pod, in the kubelet's own words: the second input of the plan and of the status."""

from dataclasses import dataclass, field
from enum import StrEnum


class State(StrEnum):
    CREATED = "created"
    RUNNING = "running"
    EXITED = "exited"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class ContainerSeen:
    """One attempt of one container. Instants are epoch seconds, 0 when unset."""

    id: str
    name: str
    state: State
    sandbox_id: str = ""
    attempt: int = 0
    spec_hash: str = ""
    created_at: float = 0.0
    started_at: float = 0.0
    finished_at: float = 0.0
    exit_code: int = 0
    reason: str = ""
    message: str = ""
    image: str = ""
    image_id: str = ""
    log_path: str = ""
    resources: str = ""
    """What it was created with, as `resources_text` writes it."""


@dataclass(frozen=True, slots=True)
class SandboxSeen:
    id: str
    ready: bool
    attempt: int = 0
    created_at: float = 0.0
    ips: tuple[str, ...] = ()
    host_network: bool = False


@dataclass(frozen=True, slots=True)
class PodSeen:
    """Sandboxes and containers newest first."""

    uid: str = ""
    name: str = ""
    namespace: str = ""
    sandboxes: tuple[SandboxSeen, ...] = ()
    containers: tuple[ContainerSeen, ...] = ()

    def latest(self, name: str) -> ContainerSeen | None:
        return next((c for c in self.containers if c.name == name), None)

    def attempts(self, name: str) -> list[ContainerSeen]:
        return [c for c in self.containers if c.name == name]

    @property
    def sandbox(self) -> SandboxSeen | None:
        return self.sandboxes[0] if self.sandboxes else None

    @property
    def running(self) -> list[ContainerSeen]:
        return [c for c in self.containers if c.state in (State.RUNNING, State.UNKNOWN)]


@dataclass(frozen=True, slots=True)
class Probed:
    """The probes' standing verdicts by container id. A missing id means that the probe has not concluded yet."""

    started: frozenset[str] = frozenset()
    ready: frozenset[str] = frozenset()
    liveness_failed: frozenset[str] = frozenset()
    startup_failed: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Waiting:
    """Why a container is not running now, as status.containerStatuses[].state.waiting shows it."""

    reason: str
    message: str = ""
    until: float = 0.0


@dataclass(frozen=True, slots=True)
class Address:
    """The node's part in a pod's status."""

    host_ips: tuple[str, ...] = ()
    runtime_name: str = field(default="containerd")

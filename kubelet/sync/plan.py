"""The kubelet's core: `compute_pod_actions(pod, seen, ...)` says what to do for a pod, and does nothing.

In: the pod as the API wants it, the runtime's report on it, the probes' verdicts, the restart delays owed, now.
Out: a PodActions value, carried out in the order kill, sandbox, init containers, containers. It is recomputed after
every event, so each call plans only as far as the next event (one ordinary init container at a time).
"""

import hashlib
from dataclasses import dataclass, field

from kubelet.pod import Container, Pod
from kubelet.sync.backoff import Backoff
from kubelet.sync.observed import ContainerSeen, PodSeen, Probed, SandboxSeen, State, Waiting


@dataclass(frozen=True, slots=True)
class Start:
    """`kind` is "init", "sidecar", "container" or "ephemeral"; `attempt` numbers the log file."""

    name: str
    attempt: int
    kind: str


@dataclass(frozen=True, slots=True)
class Kill:
    """`cause` tells which probe asked for it ("liveness", "startup"), whose own grace period then applies."""

    container_id: str
    name: str
    message: str
    cause: str = ""


@dataclass(frozen=True, slots=True)
class PodActions:
    kill_pod: bool = False
    """Stop every container and every sandbox first. Without `create_sandbox` the pod has finished."""
    create_sandbox: bool = False
    sandbox_attempt: int = 0
    sandbox_id: str = ""
    kills: tuple[Kill, ...] = ()
    starts: tuple[Start, ...] = ()
    waiting: dict[str, Waiting] = field(default_factory=dict)
    """Containers that must wait out a delay; the earliest `until` is when to plan again."""

    @property
    def wake_at(self) -> float | None:
        return min((w.until for w in self.waiting.values() if w.until), default=None)

    @property
    def is_empty(self) -> bool:
        return not (self.kill_pod or self.create_sandbox or self.kills or self.starts)


def container_hash(container: Container) -> str:
    """Only the image may change in place (an immutable field otherwise), so only it is watched for a restart."""
    digest = hashlib.sha256(f"{container.name}\0{container.image}".encode()).hexdigest()
    return digest[:8]


def backoff_key(container: Container) -> str:
    return f"{container.name}:{container_hash(container)}"


def should_restart(pod: Pod, container: Container, exit_code: int) -> bool:
    """The restart policy for an exited container: a matching rule first, then the container's, then the pod's."""
    for rule in container.restart_policy_rules or ():
        codes = rule.exit_codes
        if codes is None or rule.action != "Restart":
            continue
        listed = exit_code in (codes.values or ())
        if listed == (codes.operator == "In"):
            return True
    policy = container.restart_policy or pod.spec.restart_policy
    return policy == "Always" or (policy == "OnFailure" and exit_code != 0)


def compute_pod_actions(
    pod: Pod, seen: PodSeen, *, now: float, backoff: Backoff, probed: Probed | None = None
) -> PodActions:
    probed = probed or Probed()
    replace, attempt = _sandbox_verdict(pod, seen)
    if replace:
        return _plan_new_sandbox(pod, seen, attempt)
    sandbox = seen.sandbox
    assert sandbox is not None
    draft = _Draft(pod, seen, sandbox, now, backoff, probed)
    draft.plan_ephemeral()
    if draft.plan_init():
        if draft.finished:
            return PodActions(kill_pod=True, sandbox_id=sandbox.id, sandbox_attempt=attempt)
        return draft.result(attempt)
    keep = draft.plan_containers()
    if not keep and not draft.starts and not draft.waiting:
        return PodActions(kill_pod=True, sandbox_id=sandbox.id, sandbox_attempt=attempt)
    return draft.result(attempt)


def _sandbox_verdict(pod: Pod, seen: PodSeen) -> tuple[bool, int]:
    """Whether a new sandbox is needed, and the attempt number of the one to use."""
    latest = seen.sandbox
    if latest is None:
        return True, 0
    if sum(s.ready for s in seen.sandboxes) > 1 or not latest.ready:
        return True, latest.attempt + 1
    if latest.host_network != pod.spec.host_network:
        return True, latest.attempt + 1
    if not pod.spec.host_network and not latest.ips:
        return True, latest.attempt + 1
    return False, latest.attempt


def _plan_new_sandbox(pod: Pod, seen: PodSeen, attempt: int) -> PodActions:
    kill = bool(seen.sandboxes)
    starts: list[Start] = []
    for container in pod.spec.containers:
        last = seen.latest(container.name)
        if last is not None and last.state == State.EXITED and not should_restart(pod, container, last.exit_code):
            continue
        starts.append(Start(container.name, _next_attempt(last), "container"))
    # A failed init container under Never, or all containers done: the pod is over and needs no new sandbox.
    init_failed = any(
        (last := seen.latest(c.name)) is not None
        and last.state == State.EXITED
        and last.exit_code != 0
        and not should_restart(pod, c, last.exit_code)
        for c in pod.spec.init_containers or ()
    )
    if not starts or (init_failed and attempt > 0):
        return PodActions(kill_pod=True)
    inits = pod.spec.init_containers or []
    if inits:
        first = inits[0]
        kind = "sidecar" if first.is_sidecar else "init"
        starts = [Start(first.name, _next_attempt(seen.latest(first.name)), kind)]
    return PodActions(kill_pod=kill, create_sandbox=True, sandbox_attempt=attempt, starts=tuple(starts))


def _next_attempt(last: ContainerSeen | None) -> int:
    return 0 if last is None else last.attempt + 1


@dataclass(slots=True)
class _Draft:
    pod: Pod
    seen: PodSeen
    sandbox: SandboxSeen
    now: float
    backoff: Backoff
    probed: Probed
    kills: list[Kill] = field(default_factory=list)
    starts: list[Start] = field(default_factory=list)
    waiting: dict[str, Waiting] = field(default_factory=dict)
    finished: bool = False

    def result(self, attempt: int) -> PodActions:
        return PodActions(
            sandbox_id=self.sandbox.id,
            sandbox_attempt=attempt,
            kills=tuple(self.kills),
            starts=tuple(self.starts),
            waiting=self.waiting,
        )

    def _here(self, name: str) -> ContainerSeen | None:
        """The container's latest attempt, if it belongs to the present sandbox."""
        last = self.seen.latest(name)
        return last if last is not None and last.sandbox_id in ("", self.sandbox.id) else None

    def plan_ephemeral(self) -> None:
        for container in self.pod.spec.ephemeral_containers or ():
            if self.seen.latest(container.name) is None:
                self.starts.append(Start(container.name, 0, "ephemeral"))

    def plan_init(self) -> bool:
        """True while initialization is unfinished (or has failed): ordinary containers must not start."""
        initialized = any(self._here(c.name) is not None for c in self.pod.spec.containers)
        for container in self.pod.spec.init_containers or ():
            last = self._here(container.name)
            if container.is_sidecar:
                if not self._sidecar_up(container, last) and not initialized:
                    return True
                continue
            if initialized:
                continue
            if last is None:
                self._start(container, "init", self.seen.latest(container.name))
                return True
            if last.state == State.EXITED and last.exit_code == 0:
                continue
            if last.state == State.EXITED and not should_restart(self.pod, container, last.exit_code):
                self.finished = True
            elif last.state == State.EXITED:
                self._start_after_backoff(container, "init", last)
            elif last.state == State.UNKNOWN:
                self._kill_unknown(container, last)
                self._start(container, "init", last)
            elif last.state == State.CREATED:
                self._start(container, "init", last)
            return True
        return False

    def _sidecar_up(self, container: Container, last: ContainerSeen | None) -> bool:
        """Keeps a sidecar alive. True once it has started (its startup probe, if any, has passed)."""
        if last is None or last.state == State.CREATED:
            self._start(container, "sidecar", last or self.seen.latest(container.name))
        elif last.state == State.RUNNING:
            message, cause = self._probe_verdict(container, last)
            if message:
                self.kills.append(Kill(last.id, container.name, f"{message}, will be restarted", cause))
                self._start_after_backoff(container, "sidecar", last)
                return False
            return container.startup_probe is None or last.id in self.probed.started
        elif last.state == State.EXITED:
            self._start_after_backoff(container, "sidecar", last)
        else:
            self._kill_unknown(container, last)
            self._start(container, "sidecar", last)
        return False

    def plan_containers(self) -> int:
        """Plans the ordinary containers; returns how many of them run on untouched."""
        keep = 0
        for container in self.pod.spec.containers:
            last = self._here(container.name)
            if last is None:
                self._start_missing(container)
            elif last.state == State.RUNNING:
                keep += self._plan_running(container, last)
            elif last.state == State.EXITED:
                if should_restart(self.pod, container, last.exit_code):
                    self._start_after_backoff(container, "container", last)
            else:
                if last.state == State.UNKNOWN:
                    self._kill_unknown(container, last)
                self._start(container, "container", last)
        return keep

    def _start_missing(self, container: Container) -> None:
        earlier = self.seen.latest(container.name)
        done = (
            earlier is not None
            and earlier.state == State.EXITED
            and not should_restart(self.pod, container, earlier.exit_code)
        )
        if not done:
            self._start(container, "container", earlier)

    def _plan_running(self, container: Container, last: ContainerSeen) -> int:
        message, cause = self._probe_verdict(container, last)
        changed = bool(last.spec_hash) and last.spec_hash != container_hash(container)
        if changed:
            message, cause = f"Container {container.name} definition changed", ""
        if not message:
            return 1
        restart = changed or should_restart(self.pod, container, 137)
        if restart:
            message += ", will be restarted"
        self.kills.append(Kill(last.id, container.name, message, cause))
        if restart:
            self._start_after_backoff(container, "container", last)
            return 0
        return 1

    def _probe_verdict(self, container: Container, last: ContainerSeen) -> tuple[str, str]:
        if last.id in self.probed.liveness_failed:
            return f"Container {container.name} failed liveness probe", "liveness"
        if last.id in self.probed.startup_failed:
            return f"Container {container.name} failed startup probe", "startup"
        return "", ""

    def _kill_unknown(self, container: Container, last: ContainerSeen) -> None:
        message = f"Container is in unknown state, try killing it before restart: {container.name}"
        self.kills.append(Kill(last.id, container.name, message))

    def _start(self, container: Container, kind: str, last: ContainerSeen | None) -> None:
        self.starts.append(Start(container.name, _next_attempt(last), kind))

    def _start_after_backoff(self, container: Container, kind: str, last: ContainerSeen) -> None:
        ended = last.finished_at or self.now
        until = self.backoff.until(backoff_key(container), ended)
        if until <= self.now:
            self._start(container, kind, last)
            return
        delay = self.backoff.delay(backoff_key(container), ended)
        self.waiting[container.name] = Waiting(
            "CrashLoopBackOff",
            f"back-off {_minutes(delay)} restarting failed container={container.name} pod={self.pod.full_name}",
            until,
        )


def _minutes(delay: float) -> str:
    """Go's text for the delays of the table: 10s, 1m20s, 5m0s."""
    minutes, seconds = divmod(int(delay), 60)
    return f"{minutes}m{seconds}s" if minutes else f"{seconds}s"

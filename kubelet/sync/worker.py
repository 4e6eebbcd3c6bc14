"""One pod's life on this node, from first sight to the final delete: a loop of observe, plan, act, tell.

Stages only go forward: sync (keep it running), terminating (stop it), terminated (clean up, tell, wait for the delete),
done. A round is interrupted when a deletion arrives or its grace period shrinks; nothing else cuts an action short.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import httpx
import msgspec

from apimachinery.errors import StatusError
from component_base.clock import Clock
from kubelet import times
from kubelet.api import Api, pod_path
from kubelet.containers.cgroups import CgroupTree, pod_cgroup_path
from kubelet.containers.config import log_directory
from kubelet.containers.env import named_objects
from kubelet.containers.resources import container_resources, pod_cgroup, qos_class, resources_text
from kubelet.cri.observe import observe_pod
from kubelet.cri.runtime import Containers, RuntimeFailure
from kubelet.events import NORMAL, WARNING, Events, pod_reference
from kubelet.images.pull import ImagePuller
from kubelet.pod import Pod
from kubelet.prober.workers import Prober
from kubelet.sync.admit import Refusal
from kubelet.sync.backoff import Backoff
from kubelet.sync.clean import remove_all, remove_log_folder, stale_containers, stale_sandboxes
from kubelet.sync.conditions import OWNED
from kubelet.sync.executor import Executor
from kubelet.sync.observed import Address, PodSeen, State, Waiting
from kubelet.sync.plan import compute_pod_actions
from kubelet.sync.publish import StatusPublisher
from kubelet.sync.status import StatusInputs, generate_status
from kubelet.sync.stop import Stopper
from kubelet.volumes.payload import VolumeError
from kubelet.volumes.setup import PodVolumes
from kubelet.volumes.tokens import TokenStore

log = logging.getLogger(__name__)
JSON = dict[str, Any]
RESYNC = 300.0
RETRY = 2.0
MAX_RETRY = 30.0
VOLUME_RETRY = 2.0
MAX_VOLUME_SILENCE = 122.0
"""A failing volume is told of less and less often: a pod may cause 25 events, and needs some for what follows."""
PULL_STATUS_SECONDS = 3.0
"""How long a failed pull shows as ErrImagePull before it shows as ImagePullBackOff."""
ENDED = ("Succeeded", "Failed")


class Stage(StrEnum):
    SYNC = "sync"
    TERMINATING = "terminating"
    TERMINATED = "terminated"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class NodeParts:
    """What all workers share."""

    runtime: Containers
    executor: Executor
    stopper: Stopper
    volumes: PodVolumes
    tokens: TokenStore
    puller: ImagePuller
    prober: Prober
    cgroups: CgroupTree
    api: Api
    events: Events
    clock: Clock
    address: Callable[[], Address]
    admit: Callable[[Pod], Refusal | None]
    pod_logs: Path
    cgroup_root: str = "kubepods"
    pids_limit: int | None = None
    node_memory: int = 1 << 30


@dataclass(frozen=True, slots=True)
class Verdict:
    """The kubelet itself has ended the pod: evicted, refused, past its deadline."""

    reason: str
    message: str
    grace: int | None = None


@dataclass(frozen=True, slots=True)
class Complaint:
    """What was told of a volume last, and from when on it may be told again."""

    text: str = ""
    silence: float = 0.0
    again_at: float = 0.0


class PodWorker:
    def __init__(self, parts: NodeParts, pod: Pod) -> None:
        self.pod = pod
        self.stage = Stage.SYNC
        self.admitted = False
        self.status: JSON = pod.status
        self.seen = PodSeen(pod.uid)
        self._parts = parts
        self._publisher = StatusPublisher(parts.api, parts.clock, pod)
        self._backoff = Backoff()
        self._waiting: dict[str, Waiting] = {}
        self._wake = asyncio.Event()
        self._wake.set()
        self._due: float | None = None
        self._guard: asyncio.Timeout | None = None
        self._gone = False
        self._verdict: Verdict | None = None
        self._refresh = True
        self._retry = RETRY
        self._complaint = Complaint()
        self._sized: dict[str, str] = {}
        """Container id -> the resources it was given last."""

    @property
    def counts(self) -> bool:
        """Whether the pod takes resources of the node."""
        return self.admitted and self.stage in (Stage.SYNC, Stage.TERMINATING)

    def update(self, pod: Pod) -> None:
        before, self.pod = self.pod, pod
        if not pod.is_static:
            self._publisher.observed(pod)
        changed = pod.spec != before.spec or _identity(pod) != _identity(before)
        self._refresh = self._refresh or changed
        if _grace(pod) != _grace(before) and (_grace(before) is None or (_grace(pod) or 0) < (_grace(before) or 0)):
            self._interrupt()
        # Our own status comes back by the watch: no reason to look at the pod again.
        if changed or _others_say(pod) != _others_say(before):
            self._wake.set()

    def remove(self) -> None:
        """The pod is not in the API any more."""
        if not self._gone:
            self._gone = self._publisher.gone = True
            if self.stage is Stage.SYNC:
                self._interrupt()
        self._wake.set()

    def mirrored(self, mirror: Pod, made_anew: bool) -> None:
        """A static pod's mirror in the API is a new one, or has changed."""
        if made_anew:
            self._publisher.send_again()
        else:
            self._publisher.observed(mirror)

    def end(self, verdict: Verdict) -> None:
        """Stops the pod for a reason of the node's own; it stays Failed in the API."""
        if self._verdict is None and self.stage is Stage.SYNC:
            self._verdict = verdict
            self._interrupt()
            self._wake.set()

    def wake(self, refresh: bool = False) -> None:
        self._refresh = self._refresh or refresh
        self._wake.set()

    def _interrupt(self) -> None:
        if self._guard is not None and self.stage in (Stage.SYNC, Stage.TERMINATING):
            self._guard.reschedule(asyncio.get_running_loop().time())

    async def run(self) -> None:
        while self.stage is not Stage.DONE:
            await self._until_due()
            try:
                async with asyncio.timeout(None) as self._guard:
                    await self._round()
                    self._retry = RETRY
            except TimeoutError:
                self._wake.set()
            except (RuntimeFailure, StatusError, httpx.HTTPError, OSError) as error:
                log.warning("pod %s: %s: %s", self.pod.full_name, type(error).__name__, error)
                self._at(self._parts.clock.now() + self._retry)
                self._retry = min(self._retry * 2, MAX_RETRY)
            finally:
                self._guard = None

    async def _until_due(self) -> None:
        """Sleeps until woken, or until the earliest instant noted with `_at`."""
        if not self._wake.is_set():
            if self._due is None:
                await self._wake.wait()
            else:
                sleep = asyncio.ensure_future(self._parts.clock.sleep(self._due - self._parts.clock.now()))
                woken = asyncio.ensure_future(self._wake.wait())
                try:
                    await asyncio.wait((sleep, woken), return_when=asyncio.FIRST_COMPLETED)
                finally:
                    sleep.cancel()
                    woken.cancel()
        self._wake.clear()
        self._due = None

    def _at(self, instant: float | None) -> None:
        if instant:
            self._due = instant if self._due is None else min(self._due, instant)

    async def _round(self) -> None:
        if self.stage is Stage.SYNC:
            self._check_deadline()
            if self._must_end():
                self.stage = Stage.TERMINATING
            else:
                await self._sync()
        if self.stage is Stage.TERMINATING:
            await self._terminate()
        if self.stage is Stage.TERMINATED:
            await self._finish()

    def _must_end(self) -> bool:
        deleted = self.pod.metadata.deletion_timestamp is not None
        return self._gone or deleted or self._verdict is not None or self.pod.status.get("phase") in ENDED

    def _check_deadline(self) -> None:
        limit, started = self.pod.spec.active_deadline_seconds, self.status.get("startTime")
        if limit is None or not started or self._verdict is not None:
            return
        ends = times.parse(started) + limit
        if ends > self._parts.clock.now():
            self._at(ends)
            return
        verdict = Verdict("DeadlineExceeded", "Pod was active on the node longer than the specified deadline")
        self._verdict = verdict
        self._parts.events.event(pod_reference(self.pod), NORMAL, verdict.reason, verdict.message)

    async def _observe(self) -> PodSeen:
        self.seen = await observe_pod(self._parts.runtime, self.pod.uid)
        return self.seen

    async def _sync(self) -> None:
        parts = self._parts
        seen = await self._observe()
        if not self.admitted and not self._admit(seen):
            return
        parts.prober.sync(self.pod, seen)
        actions = compute_pod_actions(
            self.pod, seen, now=parts.clock.now(), backoff=self._backoff, probed=parts.prober.probed(self.pod.uid)
        )
        if actions.kill_pod and not actions.create_sandbox:
            self.stage = Stage.TERMINATING
            return
        self._waiting = {n: w for n, w in self._waiting.items() if n not in actions.waiting} | actions.waiting
        self._tell(seen)
        if (self._refresh or not actions.is_empty) and not await self._prepare(seen):
            return
        if not actions.is_empty or actions.waiting:
            progress = await parts.executor.carry_out(self.pod, seen, actions, self._backoff)
            changed = progress.waiting != self._waiting
            self._waiting = progress.waiting
            self._at(progress.retry_at)
            if progress.changed:
                self._wake.set()
            elif changed:
                self._tell(seen)
        await self._resize(seen)
        self._plan_wake()
        if not self._wake.is_set():
            await self._prune(seen)

    def _admit(self, seen: PodSeen) -> bool:
        refusal = None if seen.sandboxes else self._parts.admit(self.pod)
        if refusal is None:
            self.admitted = True
            return True
        self._parts.events.event(pod_reference(self.pod), WARNING, refusal.reason, refusal.message)
        self.status = {
            "phase": "Failed",
            "reason": refusal.reason,
            "message": f"Pod was rejected: {refusal.message}",
            "qosClass": qos_class(self.pod),
            "startTime": times.text(self._parts.clock.now()),
        }
        self._publisher.publish(self.status)
        self.stage = Stage.TERMINATED
        return False

    async def _prepare(self, seen: PodSeen) -> bool:
        """Volumes and the pod's cgroup. False when a volume is not ready yet."""
        parts, pod = self._parts, self.pod
        maps: set[str] = set()
        secrets: set[str] = set()
        for container in pod.all_containers():
            more_maps, more_secrets = named_objects(pod, container)
            maps |= more_maps
            secrets |= more_secrets
        ips = seen.sandbox.ips if seen.sandbox is not None else ()
        limits = pod_cgroup(pod, parts.pids_limit)
        await asyncio.to_thread(parts.cgroups.ensure, pod_cgroup_path(pod, parts.cgroup_root), limits)
        # Before, not after: what changes while the volumes are being written has to be written in another round.
        self._refresh = False
        try:
            await parts.volumes.set_up(pod, maps, secrets, ips)
        except VolumeError as error:
            self._refresh = True
            self._complain(str(error))
            self._at(parts.clock.now() + VOLUME_RETRY)
            return False
        self._complaint = Complaint()
        return True

    def _complain(self, text: str) -> None:
        now, last = self._parts.clock.now(), self._complaint
        if text == last.text and now < last.again_at:
            return
        silence = min(2 * last.silence, MAX_VOLUME_SILENCE) if text == last.text else VOLUME_RETRY
        self._complaint = Complaint(text, silence, now + silence)
        self._parts.events.event(pod_reference(self.pod), WARNING, "FailedMount", text)

    async def _resize(self, seen: PodSeen) -> None:
        """Brings running containers to the limits the pod asks for now; a container knows those it began with."""
        for container in self.pod.spec.containers:
            last = seen.latest(container.name)
            if last is None or last.state is not State.RUNNING:
                continue
            wanted = resources_text(container)
            if self._sized.setdefault(last.id, last.resources or wanted) == wanted:
                continue
            memory = self._parts.node_memory
            await self._parts.runtime.update_resources(last.id, container_resources(self.pod, container, memory))
            self._sized[last.id] = wanted
            text = f"Pod resize completed: {container.name}"
            self._parts.events.event(pod_reference(self.pod, container), NORMAL, "ResizeCompleted", text)

    def _plan_wake(self) -> None:
        now = self._parts.clock.now()
        for waiting in self._waiting.values():
            until = waiting.until or now + RETRY
            self._at(min(until, now + PULL_STATUS_SECONDS) if waiting.reason == "ErrImagePull" else until)
        renew = self._parts.tokens.renew_at(self.pod.uid)
        if renew is not None:
            self._at(renew)
            self._refresh = self._refresh or renew <= now
        self._at(now + RESYNC)

    def _tell(self, seen: PodSeen, terminal: bool = False) -> None:
        parts, verdict = self._parts, self._verdict
        inputs = StatusInputs(
            pod=msgspec.structs.replace(self.pod, status=self._known_status()),
            seen=seen,
            now=parts.clock.now(),
            qos_class=qos_class(self.pod),
            probed=parts.prober.probed(self.pod.uid),
            waiting=self._waiting,
            address=parts.address(),
            terminal=terminal,
            reason=verdict.reason if verdict else "",
            message=verdict.message if verdict else "",
            forced_phase="Failed" if verdict else "",
        )
        self.status = generate_status(inputs)
        self._publisher.publish(self.status)

    def _known_status(self) -> JSON:
        """Our latest status, which the watch may not have brought back yet, with the conditions of others."""
        ours = {c["type"] for c in self.status.get("conditions") or ()}
        others = [c for c in self.pod.status.get("conditions") or () if c["type"] not in ours]
        current = {c["type"]: c for c in self.pod.status.get("conditions") or ()}
        gates = {g.condition_type for g in self.pod.spec.readiness_gates or ()}
        mine = [current.get(c["type"], c) if c["type"] in gates else c for c in self.status.get("conditions") or ()]
        return {**self.pod.status, **self.status, "conditions": [*mine, *others]}

    async def _terminate(self) -> None:
        parts, pod = self._parts, self.pod
        seen = await self._observe()
        parts.prober.stop_pod(pod.uid, liveness_only=True)
        untouched = not seen.containers and pod.status.get("phase") in ENDED
        if not untouched:
            self._tell(seen, terminal=True)
        await parts.stopper.stop_pod(pod, seen, self._verdict.grace if self._verdict else None)
        seen = await self._observe()
        if seen.running:
            self._at(parts.clock.now() + RETRY)
            return
        parts.prober.stop_pod(pod.uid)
        if not untouched:
            self._tell(seen, terminal=True)
        self.stage = Stage.TERMINATED

    async def _finish(self) -> None:
        parts, pod = self._parts, self.pod
        try:
            await parts.volumes.tear_down(pod.uid)
        except VolumeError as error:
            log.warning("pod %s: %s", pod.full_name, error)
            self._at(parts.clock.now() + RETRY)
            return
        await asyncio.to_thread(parts.cgroups.remove, pod_cgroup_path(pod, parts.cgroup_root))
        parts.puller.forget(pod.uid)
        if not self._gone and pod.metadata.deletion_timestamp is None:
            return
        if not self._gone:
            await self._publisher.flush()
            await self._delete()
        await remove_all(parts.runtime, await self._observe())
        await asyncio.to_thread(remove_log_folder, Path(log_directory(str(parts.pod_logs), pod)))
        self.stage = Stage.DONE

    async def _delete(self) -> None:
        options = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "gracePeriodSeconds": 0,
            "preconditions": {"uid": self.pod.uid},
        }
        try:
            await self._parts.api.delete(pod_path(self.pod.metadata.namespace, self.pod.metadata.name), options)
        except StatusError as error:
            if error.code not in (404, 409):
                raise

    async def _prune(self, seen: PodSeen) -> None:
        """Keeps one ended attempt of each container, for its logs and lastState."""
        for container in stale_containers(seen):
            await self._parts.runtime.remove_container(container)
        for sandbox in stale_sandboxes(seen):
            await self._parts.runtime.stop_sandbox(sandbox)
            await self._parts.runtime.remove_sandbox(sandbox)


def _identity(pod: Pod) -> object:
    meta = pod.metadata
    deletion = (meta.deletion_timestamp, meta.deletion_grace_period_seconds)
    return meta.labels, meta.annotations, meta.generation, deletion


def _others_say(pod: Pod) -> object:
    """What a status says that is not the kubelet's to say: conditions of others, and an end they have declared."""
    conditions = [c for c in pod.status.get("conditions") or () if c["type"] not in OWNED]
    return conditions, pod.status.get("phase") in ENDED


def _grace(pod: Pod) -> int | None:
    if pod.metadata.deletion_timestamp is None:
        return None
    return pod.metadata.deletion_grace_period_seconds or 0

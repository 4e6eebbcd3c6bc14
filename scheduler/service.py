"""The scheduler at work: watches feed the cache and the queue, one loop decides, bindings go out beside it.

Decisions are made one after the other on one thread, each seeing the pods assumed by those before. Only bindings and
status writes wait for the network.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

import httpx

from apimachinery.errors import StatusError
from component_base.clock import Clock
from component_base.metrics import counter, gauge, histogram
from component_base.rng import Rng
from component_base.tasks import spawn
from kubeclient.informer import Informer, Informers
from scheduler import hints, preemption
from scheduler.binding import Cluster
from scheduler.cache import Cache, Nomination
from scheduler.framework.cycle import Decision, decide, default_profile
from scheduler.plugins.volume_binding import Binding, VolumeBinding
from scheduler.pod_info import PodInfo
from scheduler.queue import SchedulingQueue, Waiting
from scheduler.storage import InformedStorage
from scheduler.views import Meta, Namespace, Node, Pod

log = logging.getLogger(__name__)

ATTEMPTS = counter("scheduler_schedule_attempts", "Decisions, by result.", ("result", "profile"))
PENDING = gauge("scheduler_pending_pods", "Pods without a node, by what they wait for.", ("queue",))
DECIDE_SECONDS = histogram("scheduler_scheduling_algorithm_duration_seconds", "Time for one decision.")
E2E_SECONDS = histogram("scheduler_scheduling_attempt_duration_seconds", "Decision and binding.", ("result", "profile"))

#: Bindings under way at a time; more would only queue up in the apiserver.
MAX_BINDINGS = 64


class SchedulerService:
    """`run` for ever, once the informers are synced."""

    def __init__(
        self, informers: Informers, cluster: Cluster, clock: Clock, rng: Rng, name: str = "default-scheduler"
    ) -> None:
        self.name = name
        self.cache = Cache()
        self.queue = SchedulingQueue()
        self._cluster = cluster
        self._clock = clock
        self._rng = rng
        self._storage = InformedStorage(informers)
        self._volumes = VolumeBinding(self._storage)
        self._profile = default_profile(self.cache, self._labels_of, self._volumes)
        self._wake = asyncio.Event()
        self._slots = asyncio.Semaphore(MAX_BINDINGS)
        self._namespaces: Informer[Namespace] = informers.of("/api/v1/namespaces", Namespace)
        informers.of("/api/v1/nodes", Node).add_handler(self.on_node)
        informers.of("/api/v1/pods", Pod).add_handler(self.on_pod)
        self._storage.on_change(lambda: self._moved(hints.storage_changed))

    def _labels_of(self, namespace: str) -> dict[str, str]:
        found = self._namespaces.get(namespace)
        return found.metadata.labels if found is not None else {}

    # Watches

    def on_node(self, old: Node | None, new: Node | None) -> None:
        if new is None:
            assert old is not None
            self.cache.remove_node(old.metadata.name)
            return
        if old is not None and not hints.node_changed(old, new):
            return
        self.cache.set_node(new)
        self._moved(hints.node_appeared)

    def on_pod(self, old: Pod | None, new: Pod | None) -> None:
        if new is None:
            assert old is not None
            self._gone(old.metadata)
            return
        if old is not None and old.metadata.uid != new.metadata.uid:
            self._gone(old.metadata)  # deleted and made again while nobody watched
            old = None
        if new.spec.nodeName:
            self._bound(old, new)
        elif new.spec.schedulerName == self.name:
            if new.is_terminal or new.metadata.deletionTimestamp is not None:
                self._leaves_queue(new.metadata.uid)
            elif new.metadata.uid not in self.cache.placed:
                pod = PodInfo(new)
                self._note_nomination(old, pod)
                self.queue.set_pod(pod, self._clock.monotonic())
                self._wake.set()

    def _note_nomination(self, old: Pod | None, pod: PodInfo) -> None:
        """Nominations may come from before our start, or from others."""
        shown = pod.pod.status.nominatedNodeName
        if shown == (old.status.nominatedNodeName if old is not None else ""):
            return
        known = self.cache.nominated.get(pod.uid)
        if not shown:
            self.cache.nominated.pop(pod.uid, None)
        elif known is None or known.node != shown:
            self.cache.nominated[pod.uid] = Nomination(shown, pod)

    def _leaves_queue(self, uid: str) -> None:
        self.queue.remove(uid)
        if self.cache.nominated.pop(uid, None) is not None:
            self._moved(hints.pod_gone)

    def _bound(self, old: Pod | None, new: Pod) -> None:
        self.queue.done(new.metadata.uid)
        self.cache.nominated.pop(new.metadata.uid, None)
        self.cache.set_pod(PodInfo(new))
        if old is None or not old.spec.nodeName:
            self._moved(hints.pod_came)
        elif hints.pod_matters(old, new):
            self._moved(hints.pod_gone)

    def _gone(self, meta: Meta) -> None:
        self._leaves_queue(meta.uid)
        if meta.uid in self.cache.placed:
            self.cache.remove_pod(meta.uid)
            self._moved(hints.pod_gone)

    def _moved(self, helps: Callable[[Waiting], bool]) -> None:
        self.queue.move(self._clock.monotonic(), helps)
        self._wake.set()

    # Decisions

    async def run(self) -> None:
        while True:
            self._wake.clear()
            waiting = self.queue.pop(self._clock.monotonic())
            if waiting is None:
                for place, count in self.queue.counts().items():
                    PENDING.labels(place).set(count)
                await self._rest()
                continue
            await self._slots.acquire()
            self.schedule(waiting)
            await asyncio.sleep(0)  # watches and bindings go on between two decisions

    async def _rest(self) -> None:
        due = self.queue.next_due()
        if due is None:
            await self._wake.wait()
            return
        timer = asyncio.ensure_future(self._clock.sleep(due - self._clock.monotonic()))
        woken = asyncio.ensure_future(self._wake.wait())
        try:
            await asyncio.wait([timer, woken], return_when=asyncio.FIRST_COMPLETED)
        finally:
            timer.cancel()
            woken.cancel()

    def schedule(self, waiting: Waiting) -> None:
        """Decide one pod; its writes are started and end by themselves. Takes over one of the binding slots."""
        started = self._clock.monotonic()
        nomination = self.cache.nominated.get(waiting.pod.uid)
        with self.cache.nominated_counted(waiting.pod):
            there = nomination.node if nomination is not None else ""
            decision = decide(waiting.pod, self.cache.table, self._profile, self._rng, there)
        DECIDE_SECONDS.observe(self._clock.monotonic() - started)
        if decision.node is not None:
            bindings = self._volumes.bindings(waiting.pod, self.cache.table, decision.node)
            self.cache.assume(waiting.pod, decision.node)
            self.cache.nominated.pop(waiting.pod.uid, None)
            spawn(self._bind(waiting.pod, decision.node, bindings, started), f"bind {waiting.pod.key}")
            return
        ATTEMPTS.labels("unschedulable", self.name).inc()
        with self.cache.nominated_counted(waiting.pod):
            chosen, sentence = self._preempt(waiting.pod, decision)
        losers = self._nominate(waiting.pod, chosen)
        self.queue.failed(waiting.pod.uid, decision.blocked_by, self._clock.monotonic())
        message = decision.message + sentence
        spawn(self._report(waiting.pod.pod, message, chosen, losers), f"report {waiting.pod.key}")

    def _preempt(self, pod: PodInfo, decision: Decision) -> tuple[preemption.Preemption | None, str]:
        nodes = len(self.cache.table)
        if nodes == 0:
            return None, ""
        refused = f" preemption: 0/{nodes} nodes are available: "
        if not preemption.may_preempt(pod, self.cache):
            return None, refused + f"{nodes} No preemption victims found for incoming pod."
        chosen = preemption.find(pod, self.cache, self._profile, decision)
        if chosen is not None:
            return chosen, ""
        if not decision.resolvable:
            return None, refused + f"{nodes} Preemption is not helpful for scheduling."
        return None, refused + f"{nodes} No preemption victims found for incoming pod."

    def _nominate(self, pod: PodInfo, chosen: preemption.Preemption | None) -> list[Pod]:
        """The room that is made is the pod's from now on. Returns the pods for which none is made any more: those who
        have lost theirs on that node to it, or the pod itself."""
        if chosen is None:
            gave_up = pod.uid in self.cache.nominated and preemption.may_preempt(pod, self.cache)
            return [self.cache.nominated.pop(pod.uid).pod.pod] if gave_up else []
        lost = [
            uid
            for uid, other in self.cache.nominated.items()
            if other.node == chosen.node and other.pod.priority < pod.priority
        ]
        victims = frozenset(victim.uid for victim in chosen.victims)
        self.cache.nominated[pod.uid] = Nomination(chosen.node, pod, victims)
        return [self.cache.nominated.pop(uid).pod.pod for uid in lost]

    # Writes

    async def _bind(self, pod: PodInfo, node: str, bindings: Sequence[Binding], started: float) -> None:
        try:
            if bindings:
                await self._storage.until_bound(await self._cluster.bind_volumes(bindings, node), node)
            await self._cluster.bind(pod.pod, node)
        except (StatusError, httpx.HTTPError, OSError, ValueError) as error:
            ATTEMPTS.labels("error", self.name).inc()
            self.cache.forget(pod.uid)
            self.queue.failed(pod.uid, frozenset(), self._clock.monotonic())
            self._moved(hints.pod_gone)
            if not (isinstance(error, StatusError) and error.code == 404):
                self._cluster.event(pod.pod, "Warning", "FailedScheduling", f"binding rejected: {error}")
            return
        finally:
            self._slots.release()
        self.queue.done(pod.uid)
        ATTEMPTS.labels("scheduled", self.name).inc()
        E2E_SECONDS.labels("scheduled", self.name).observe(self._clock.monotonic() - started)
        self._cluster.event(pod.pod, "Normal", "Scheduled", f"Successfully assigned {pod.key} to {node}")

    async def _report(
        self, pod: Pod, message: str, chosen: preemption.Preemption | None, losers: Sequence[Pod]
    ) -> None:
        now = self._clock.now()
        self._cluster.event(pod, "Warning", "FailedScheduling", message)
        try:
            await self._cluster.mark_unschedulable(pod, message, now)
            for other in losers:
                await self._cluster.nominate(other, "")
            if chosen is not None:
                await self._cluster.nominate(pod, chosen.node)
                await self._evict(pod, chosen, now)
        except (StatusError, httpx.HTTPError, OSError) as error:
            log.debug("what keeps %s waiting could not be written: %s", pod.key, error)
            self.cache.nominated.pop(pod.metadata.uid, None)  # nobody may be going: the next round looks anew
        finally:
            self._slots.release()

    async def _evict(self, pod: Pod, chosen: preemption.Preemption, now: float) -> None:
        for victim in chosen.victims:
            try:
                await self._cluster.evict(victim.pod, pod, now)
            except StatusError as error:
                if error.code != 404:
                    raise
                continue  # gone by itself
            note = f"Preempted by pod {pod.metadata.uid} on node {chosen.node}"
            self._cluster.event(victim.pod, "Normal", "Preempted", note)

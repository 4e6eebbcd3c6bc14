"""The loop that every controller runs in: keys in, plans out, failures retried with growing delays.

    informers ──handlers──► WorkQueue of keys ──► reconcile(key, now) -> Plan ──► Executor

A controller is anything with `name`, `watch(enqueue)` (register handlers that add keys) and `reconcile`. It reads from
informers, writes nothing, and may be asked for any key at any time: absent objects mean there is nothing to do.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

import httpx

from apimachinery.errors import StatusError
from component_base.clock import Clock
from component_base.metrics import counter, histogram
from kubeclient.executor import Executor, is_namespace_ending
from kubeclient.plan import Plan
from kubeclient.workqueue import ShutDown, WorkQueue

log = logging.getLogger(__name__)

RECONCILES = counter("skiff_controller_reconciles", "Keys worked on, by result.", ("controller", "result"))
SECONDS = histogram("skiff_controller_reconcile_seconds", "From taking a key to its last write.", ("controller",))


class Controller(Protocol):
    @property
    def name(self) -> str: ...

    def watch(self, enqueue: Callable[[str], None]) -> None:
        """Called once, before the informers run."""
        ...

    def reconcile(self, key: str, now: float) -> Plan:
        """Pure but for reading the informers. `now` is wall time in seconds.

        A controller that also has `failed(key, error)` is told when its plan was refused, before the next try.
        """
        ...


class Syncer(Protocol):
    """A controller that has to look beyond the caches: it acts by itself and says when to look again."""

    @property
    def name(self) -> str: ...

    def watch(self, enqueue: Callable[[str], None]) -> None: ...

    async def sync(self, key: str, now: float) -> float | None: ...


class ControllerRunner:
    """Runs one controller with `workers` keys at a time. `run` lasts for ever; cancel it to stop."""

    def __init__(self, controller: Controller | Syncer, executor: Executor, clock: Clock, workers: int = 5) -> None:
        self._controller = controller
        self._executor = executor
        self._clock = clock
        self._workers = workers
        self.queue: WorkQueue[str] = WorkQueue(clock)
        controller.watch(self.queue.add)

    async def run(self) -> None:
        """Informers must be synced before: a controller that sees half of the world makes wrong plans."""
        try:
            async with asyncio.TaskGroup() as group:
                for number in range(self._workers):
                    group.create_task(self._work(), name=f"{self._controller.name} worker {number}")
        finally:
            self.queue.shut_down()

    async def _work(self) -> None:
        while True:
            try:
                key = await self.queue.get()
            except ShutDown:
                return
            try:
                await self.process(key)
            finally:
                self.queue.done(key)

    async def process(self, key: str) -> None:
        """One round for one key: wait for our own writes, plan, execute, arrange the next look."""
        name = self._controller.name
        started = self._clock.monotonic()
        try:
            again = await self._round(key)
        except (StatusError, httpx.HTTPError, OSError) as error:
            if isinstance(error, StatusError) and is_namespace_ending(error):
                # What was to be made there would be deleted at once; the end of the namespace ends the matter.
                self.queue.forget(key)
                return
            RECONCILES.labels(name, "error").inc()
            expected = isinstance(error, StatusError) and error.reason in ("Conflict", "NotFound", "AlreadyExists")
            level = logging.DEBUG if expected else logging.WARNING
            log.log(level, "%s: %s failed, to be tried again: %s", name, key, error or type(error).__name__)
            if isinstance(error, StatusError) and (tell := getattr(self._controller, "failed", None)) is not None:
                tell(key, error)
            self.queue.add_rate_limited(key)
            return
        except Exception:  # one bad object must not end the controller for all others
            RECONCILES.labels(name, "bug").inc()
            log.exception("%s: %s failed in a way nobody expected", name, key)
            self.queue.add_rate_limited(key)
            return
        RECONCILES.labels(name, "ok").inc()
        SECONDS.labels(name).observe(self._clock.monotonic() - started)
        self.queue.forget(key)
        if again is not None:
            self.queue.add_after(key, again)

    async def _round(self, key: str) -> float | None:
        controller = self._controller
        identity = (controller.name, key)
        await self._executor.caught_up(identity)
        reconcile = getattr(controller, "reconcile", None)
        if reconcile is None:
            return await controller.sync(key, self._clock.now())  # type: ignore[union-attr]
        plan: Plan = reconcile(key, self._clock.now())
        await self._executor.execute(identity, plan)
        return plan.requeue_after

"""Leader election on a Lease (client-go tools/leaderelection): one of several equal processes works, the rest wait.

It bounds, but cannot exclude, that two work at once: a paused process may believe in a lease that has expired. Writes
that must not happen twice need a resourceVersion. Times are judged by the local clock since a record was last seen to
change, so clocks need not agree, only run at about the same speed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import httpx

from apimachinery import timestamps
from apimachinery.errors import StatusError
from component_base.clock import Clock
from component_base.rng import Rng, system_rng
from kubeclient.rest import RestClient

log = logging.getLogger(__name__)


class LeadershipLost(Exception):
    """The lease could not be renewed in time; whoever led must end its process, not go on."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds; upstream's --leader-elect-lease-duration, -renew-deadline and -retry-period."""

    lease: float = 15.0
    renew: float = 10.0
    retry: float = 2.0


class LeaderElector:
    def __init__(
        self,
        client: RestClient,
        namespace: str,
        name: str,
        identity: str,
        clock: Clock,
        timing: Timing | None = None,
        rng: Rng | None = None,
    ) -> None:
        self._client = client
        self._collection = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        self._path = f"{self._collection}/{name}"
        self._name = name
        self._namespace = namespace
        self._identity = identity
        self._clock = clock
        self._timing = timing or Timing()
        self._rng = rng or system_rng()
        self._seen: dict[str, Any] = {}
        self._seen_at = float("-inf")
        self.is_leader = False

    async def run(self, lead: Callable[[], Awaitable[None]]) -> None:
        """Wait to become leader, then run `lead` while the lease is renewed. Raises LeadershipLost."""
        while not await self._try():
            await self._clock.sleep(self._timing.retry * (1 + 0.2 * self._rng.random()))
        self.is_leader = True
        log.info("%s leads: it holds lease %s/%s", self._identity, self._namespace, self._name)
        work = asyncio.ensure_future(lead())
        renewal = asyncio.ensure_future(self._renew())
        try:
            done, _ = await asyncio.wait([work, renewal], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            self.is_leader = False
            for task in (work, renewal):
                task.cancel()
            await asyncio.gather(work, renewal, return_exceptions=True)

    async def release(self) -> None:
        """Give the lease up, so that another need not wait for its end. Errors are of no consequence."""
        spec = self._seen.get("spec") or {}
        if spec.get("holderIdentity") != self._identity:
            return
        now = timestamps.format_micro(self._clock.now())
        spec = {**spec, "holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": now, "acquireTime": now}
        try:
            await self._client.replace(self._path, {**self._seen, "spec": spec})
        except (StatusError, httpx.HTTPError, OSError) as error:
            log.debug("the lease %s was not given back: %s", self._name, error)

    async def _renew(self) -> None:
        last = self._clock.monotonic()
        while True:
            await self._clock.sleep(self._timing.retry)
            if await self._try():
                last = self._clock.monotonic()
            elif self._clock.monotonic() - last > self._timing.renew or not self._holds():
                raise LeadershipLost(f"lease {self._namespace}/{self._name} could not be renewed")

    def _holds(self) -> bool:
        return (self._seen.get("spec") or {}).get("holderIdentity") == self._identity

    async def _try(self) -> bool:
        """One attempt to take or renew; False when another holds it or the apiserver does not answer."""
        try:
            if not self._seen or not self._holds():
                self._observe(await self._client.get(self._path))
            return await self._update()
        except StatusError as error:
            if error.code == 404:
                return await self._create()
            if error.code == 409:
                self._seen = {}
            log.debug("lease %s: %s", self._name, error)
        except (httpx.HTTPError, OSError) as error:
            log.debug("lease %s: %s", self._name, error or type(error).__name__)
        return False

    def _observe(self, lease: dict[str, Any]) -> None:
        if lease.get("spec") != self._seen.get("spec"):
            self._seen_at = self._clock.monotonic()
        self._seen = lease

    async def _update(self) -> bool:
        spec = self._seen.get("spec") or {}
        holder = spec.get("holderIdentity") or ""
        duration = float(spec.get("leaseDurationSeconds") or self._timing.lease)
        if holder not in ("", self._identity) and self._clock.monotonic() < self._seen_at + duration:
            return False
        now = timestamps.format_micro(self._clock.now())
        taken = holder != self._identity
        new = {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": int(self._timing.lease),
            "acquireTime": now if taken else spec.get("acquireTime", now),
            "renewTime": now,
            "leaseTransitions": int(spec.get("leaseTransitions") or 0) + (1 if taken else 0),
        }
        self._observe(await self._client.replace(self._path, {**self._seen, "spec": new}))
        return True

    async def _create(self) -> bool:
        now = timestamps.format_micro(self._clock.now())
        lease = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": self._name, "namespace": self._namespace},
            "spec": {
                "holderIdentity": self._identity,
                "leaseDurationSeconds": int(self._timing.lease),
                "acquireTime": now,
                "renewTime": now,
                "leaseTransitions": 0,
            },
        }
        try:
            self._observe(await self._client.create(self._collection, lease))
        except (StatusError, httpx.HTTPError, OSError) as error:
            log.debug("lease %s cannot be made: %s", self._name, error or type(error).__name__)
            return False
        return True

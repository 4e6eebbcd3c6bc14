"""Whether the servers behind APIServices can be used, written to their `Available` condition.

What the caches tell is looked at every second, and at once when an APIService changes; the server itself is asked when
any of that changed, again soon after a failure, and every half minute. Several apiservers may do this side by side.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from apimachinery import resources, timestamps
from apimachinery.errors import StatusError
from apimachinery.resources import ResourceInfo
from apiserver.aggregation.backends import Backend, Backends, info
from apiserver.aggregation.transport import BackendTransport, Unreachable
from apiserver.ports import Objects, User
from apiserver.webhooks.services import SERVICE_LABEL
from component_base.clock import Clock

log = logging.getLogger(__name__)

JSON = dict[str, Any]
LOOK_SECONDS = 1.0
ASK_SECONDS = 30.0
FIRST_RETRY_SECONDS = 1.0
ANSWER_SECONDS = 5.0
#: Servers hand requests out over several endpoints: one that answers is enough.
ATTEMPTS = 5
AGGREGATOR = User("system:kube-aggregator", ("system:masters",))


@dataclass(frozen=True, slots=True)
class Condition:
    status: str
    reason: str
    message: str


LOCAL = Condition("True", "Local", "Local APIServices are always available")
PASSED = Condition("True", "Passed", "all checks passed")


def unreachable(backend: Backend, service: JSON | None, slices: Sequence[JSON]) -> Condition | None:
    """What the Service and its endpoints say against it; None: it can be asked. Pure."""
    place = f'service/{backend.service} in "{backend.namespace}"'
    if service is None:
        return Condition("False", "ServiceNotFound", f"{place} is not present")
    spec = service.get("spec") or {}
    if spec.get("type", "ClusterIP") != "ClusterIP":
        return None
    names = [port.get("name") or "" for port in spec.get("ports") or () if port["port"] == backend.port]
    if not names:
        return Condition("False", "ServicePortError", f"{place} is not listening on port {backend.port}")
    if not slices:
        return Condition("False", "EndpointsNotFound", f"cannot find endpointslices for {place}")
    if not any(_serves(one, names[0]) for one in slices):
        message = f'endpointslices for {place} have no addresses with port name "{names[0]}"'
        return Condition("False", "MissingEndpoints", message)
    return None


def _serves(one: JSON, port_name: str) -> bool:
    ready = any((end.get("conditions") or {}).get("ready") is not False for end in one.get("endpoints") or ())
    return ready and any((port.get("name") or "") == port_name and port.get("port") for port in one.get("ports") or ())


def with_condition(obj: JSON, condition: Condition, now: float) -> JSON | None:
    """The APIService with its condition; None if it has it already."""
    status = obj.setdefault("status", {})
    conditions = list(status.get("conditions") or ())
    present = next((one for one in conditions if one.get("type") == "Available"), None)
    wanted = {"status": condition.status, "reason": condition.reason, "message": condition.message}
    if present is not None and all(present.get(key) == value for key, value in wanted.items()):
        return None
    since = present["lastTransitionTime"] if present and present.get("status") == condition.status else None
    since = since or timestamps.format(now)
    updated = {"type": "Available", "status": condition.status, "lastTransitionTime": since, **wanted}
    status["conditions"] = [*(one for one in conditions if one.get("type") != "Available"), updated]
    return obj


@dataclass(slots=True)
class _Seen:
    """What was known when a server was last asked."""

    fingerprint: tuple[object, ...]
    due: float
    retry: float


class Availability:
    def __init__(self, objects: Objects, backends: Backends, transport: BackendTransport, clock: Clock) -> None:
        self._objects = objects
        self._backends = backends
        self._transport = transport
        self._clock = clock
        self._seen: dict[str, _Seen] = {}
        self._changed = asyncio.Event()
        backends.on_change(self._changed.set)

    async def run(self) -> None:
        """For ever."""
        while True:
            self._changed.clear()
            backends = self._backends.all()
            for name in self._seen.keys() - {one.name for one in backends}:
                del self._seen[name]
            due = [one for one in backends if self._is_due(one)]
            if due:
                await asyncio.gather(*(self._check(one) for one in due))
            for name in self._backends.turned_local():
                await self._write(name, LOCAL)
            try:
                async with asyncio.timeout(LOOK_SECONDS if backends else None):
                    await self._changed.wait()
            except TimeoutError:
                pass

    def _is_due(self, backend: Backend) -> bool:
        seen = self._seen.get(backend.name)
        return seen is None or seen.due <= self._clock.monotonic() or seen.fingerprint != self._fingerprint(backend)

    def _known(self, backend: Backend) -> tuple[JSON | None, Sequence[JSON]]:
        service = self._objects.get(_info("", "services"), backend.namespace, backend.service)
        slices = self._objects.labelled(
            _info("discovery.k8s.io", "endpointslices"), backend.namespace, SERVICE_LABEL, backend.service
        )
        return service, slices

    def _fingerprint(self, backend: Backend) -> tuple[object, ...]:
        service, slices = self._known(backend)
        versions = [one["metadata"].get("resourceVersion") for one in (*((service,) if service else ()), *slices)]
        address = (backend.namespace, backend.service, backend.port, backend.authority, backend.verify)
        return (*address, *versions)

    async def _check(self, backend: Backend) -> None:
        fingerprint = self._fingerprint(backend)
        condition = unreachable(backend, *self._known(backend)) or await self._ask(backend)
        before = self._seen.get(backend.name)
        retry = ASK_SECONDS
        if condition.reason == "FailedDiscoveryCheck":
            retry = min(ASK_SECONDS, before.retry * 2 if before and before.retry < ASK_SECONDS else FIRST_RETRY_SECONDS)
        self._seen[backend.name] = _Seen(fingerprint, self._clock.monotonic() + retry, retry)
        await self._write(backend.name, condition)

    async def _ask(self, backend: Backend) -> Condition:
        asking = [asyncio.ensure_future(self._ask_once(backend)) for _ in range(ATTEMPTS)]
        problem = ""
        try:
            for one in asyncio.as_completed(asking):
                problem = await one
                if not problem:
                    return PASSED
        finally:
            for task in asking:
                task.cancel()
            await asyncio.gather(*asking, return_exceptions=True)
        return Condition("False", "FailedDiscoveryCheck", problem)

    async def _ask_once(self, backend: Backend) -> str:
        try:
            address = self._transport.resolve(backend)
            url = f"https://{address.authority}{backend.path}"
            response = await self._transport.get(backend, backend.path, AGGREGATOR, ANSWER_SECONDS)
        except StatusError as error:
            return error.message
        except Unreachable as error:
            return f"failing or missing response from {url}: {error}"
        if not 200 <= response.status_code < 300:
            said = f"bad status from {url}: {response.status_code}"
            return f"failing or missing response from {url}: {said}"
        return ""

    async def _write(self, name: str, condition: Condition) -> None:
        try:
            await self._objects.update_raw(
                info(), "", name, lambda obj: with_condition(obj, condition, self._clock.now())
            )
        except StatusError as error:
            if error.code != 404:
                log.warning("the availability of the APIService %s cannot be written: %s", name, error)


def _info(group: str, plural: str) -> ResourceInfo:
    found = resources.find(group, "v1", plural)
    assert found is not None, plural
    return found

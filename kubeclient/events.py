"""Events about objects: recorded without waiting, counted instead of repeated, written by one background task.

The correlation is upstream's (client-go tools/record): the same event again raises its count; more than ten alike
within ten minutes are combined; one object may cause 25 at once and then one in five minutes.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

import httpx

from apimachinery import timestamps
from apimachinery.errors import StatusError
from component_base.clock import Clock
from kubeclient.rest import STRATEGIC, RestClient

log = logging.getLogger(__name__)

JSON = dict[str, Any]

MAX_QUEUED = 1000
MAX_REMEMBERED = 4096
BURST = 25
REFILL_SECONDS = 300.0
SIMILAR_LIMIT = 10
SIMILAR_SECONDS = 600.0
MAX_MESSAGE = 1024
COMBINED = "(combined from similar events): "


@dataclass(slots=True)
class _Seen:
    name: str
    namespace: str
    first: str
    count: int
    stored: bool = False


@dataclass(slots=True)
class _Similar:
    last: float
    messages: set[str] = field(default_factory=set)


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float


class Correlator:
    """Decides what becomes of an event. No input, no output; `now` is wall time."""

    def __init__(self, component: str, host: str) -> None:
        self._component = component
        self._host = host
        self._seen: OrderedDict[tuple[str, ...], _Seen] = OrderedDict()
        self._similar: OrderedDict[tuple[str, ...], _Similar] = OrderedDict()
        self._buckets: OrderedDict[tuple[str, ...], _Bucket] = OrderedDict()

    def correlate(self, reference: JSON, kind: str, reason: str, message: str, now: float) -> tuple[JSON, _Seen] | None:
        """The event to create or to count up; None for one that is too much."""
        who = tuple(str(reference.get(k, "")) for k in ("apiVersion", "kind", "namespace", "name", "uid", "fieldPath"))
        if not self._allowed(who[:5], now):
            return None
        message = self._combine((*who, kind, reason), message[:MAX_MESSAGE], now)
        key = (*who, kind, reason, message)
        when = timestamps.format(now)
        seen = self._seen.get(key)
        if seen is None:
            namespace = who[2] or "default"
            seen = self._seen[key] = _Seen(f"{who[3]}.{int(now * 1e9):x}", namespace, when, 0)
            if len(self._seen) > MAX_REMEMBERED:
                self._seen.popitem(last=False)
        self._seen.move_to_end(key)
        seen.count += 1
        return self._body(reference, kind, reason, message, when, seen), seen

    def _body(self, reference: JSON, kind: str, reason: str, message: str, when: str, seen: _Seen) -> JSON:
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": seen.name, "namespace": seen.namespace},
            "involvedObject": {k: v for k, v in reference.items() if v},
            "reason": reason,
            "message": message,
            "source": {"component": self._component, **({"host": self._host} if self._host else {})},
            "firstTimestamp": seen.first,
            "lastTimestamp": when,
            "count": seen.count,
            "type": kind,
            "eventTime": None,
            "reportingComponent": self._component,
            "reportingInstance": self._host,
        }

    def _allowed(self, who: tuple[str, ...], now: float) -> bool:
        bucket = self._buckets.get(who)
        if bucket is None:
            bucket = self._buckets[who] = _Bucket(float(BURST), now)
            if len(self._buckets) > MAX_REMEMBERED:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(who)
        bucket.tokens = min(float(BURST), bucket.tokens + (now - bucket.at) / REFILL_SECONDS)
        bucket.at = now
        if bucket.tokens < 1:
            return False
        bucket.tokens -= 1
        return True

    def _combine(self, alike: tuple[str, ...], message: str, now: float) -> str:
        similar = self._similar.get(alike)
        if similar is None or now - similar.last > SIMILAR_SECONDS:
            similar = self._similar[alike] = _Similar(now)
            if len(self._similar) > MAX_REMEMBERED:
                self._similar.popitem(last=False)
        self._similar.move_to_end(alike)
        similar.last = now
        if message in similar.messages or len(similar.messages) < SIMILAR_LIMIT:
            similar.messages.add(message)
            return message
        return COMBINED + message


class EventRecorder:
    """`event` never blocks and never fails; what cannot be written within a few tries is dropped and logged."""

    def __init__(self, client: RestClient, component: str, host: str, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._correlator = Correlator(component, host)
        self._queue: asyncio.Queue[tuple[JSON, _Seen]] = asyncio.Queue(MAX_QUEUED)

    def event(self, reference: JSON, type: str, reason: str, message: str) -> None:
        """`reference` is an ObjectReference: kind, namespace, name, uid, apiVersion, fieldPath."""
        found = self._correlator.correlate(reference, type, reason, message, self._clock.now())
        if found is None:
            return
        try:
            self._queue.put_nowait(found)
        except asyncio.QueueFull:
            log.warning("event %s of %s is dropped: %d wait to be written", reason, reference.get("name"), MAX_QUEUED)

    async def run(self) -> None:
        """Writes for ever; run it beside the service."""
        while True:
            body, seen = await self._queue.get()
            for attempt in range(4):
                try:
                    await self._write(body, seen)
                    break
                except StatusError as error:
                    log.debug("event %s is not accepted: %s", body["reason"], error)
                    break
                except (httpx.HTTPError, OSError) as error:
                    log.debug("event %s, try %d: %s", body["reason"], attempt, error)
                    await self._clock.sleep(2.0**attempt)

    async def _write(self, body: JSON, seen: _Seen) -> None:
        collection = f"/api/v1/namespaces/{seen.namespace}/events"
        if seen.stored:
            change = {k: body[k] for k in ("count", "lastTimestamp", "message")}
            try:
                await self._client.patch(f"{collection}/{seen.name}", change, STRATEGIC)
                return
            except StatusError as error:
                if error.code != 404:  # its hour is over: a new one is written
                    raise
        await self._client.create(collection, body)
        seen.stored = True


def reference_to(api_version: str, kind: str, metadata: Any) -> JSON:
    """An ObjectReference from a typed view's metadata."""
    return {
        "apiVersion": api_version,
        "kind": kind,
        "namespace": metadata.namespace,
        "name": metadata.name,
        "uid": metadata.uid,
        "resourceVersion": metadata.resourceVersion,
    }

"""Where Events go: straight into the log, or into batches that are written or sent beside the requests.

An Event is turned into text when it is taken, so that nothing of its request is kept alive by what waits.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import orjson

from apiserver.audit import metrics
from apiserver.audit.policy import VERSION
from apiserver.webhooks.failures import describe
from component_base.clock import Clock
from component_base.lazy import lazily
from component_base.tasks import spawn
from kubeclient.kubeconfig import KubeConfig, KubeConfigError, TokenSource

if TYPE_CHECKING:
    import httpx
else:
    httpx = lazily("httpx")

log = logging.getLogger(__name__)

JSON = dict[str, Any]
Encode = Callable[[JSON], bytes]
#: Of a webhook: how long an answer may take, how often a batch is sent, and how the pause between grows.
ANSWER_SECONDS, TRIES, PAUSE_FACTOR = 30.0, 5, 1.5
#: What is still waiting when the apiserver ends gets this long.
LAST_SECONDS = 5.0


class Writable(Protocol):
    """A file that may be exchanged for a new one as it grows."""

    @property
    def full(self) -> object: ...

    def write(self, line: bytes) -> None: ...

    def tidy(self) -> None: ...

    def close(self) -> None: ...


class Backend(Protocol):
    def take(self, event: JSON) -> bool:
        """False: the Event is lost, and its request is to be refused if nothing has been done yet."""
        ...

    async def close(self) -> None:
        """Once nothing more comes: what waits is written."""
        ...


@dataclass(frozen=True, slots=True)
class Truncation:
    """Upstream's: an Event that is too big loses its bodies, and one that still is, is dropped."""

    max_event: int
    max_batch: int

    def encode(self, event: JSON, encode: Encode) -> bytes | None:
        data = encode(event)
        if len(data) > self.max_event and ("requestObject" in event or "responseObject" in event):
            bare = {name: value for name, value in event.items() if name not in ("requestObject", "responseObject")}
            bare["annotations"] = {**event.get("annotations", {}), "audit.k8s.io/truncated": "true"}
            data = encode(bare)
        return data if len(data) <= self.max_event else None


class LogBackend:
    """Into a file, while the request waits. `is_strict`: what cannot be written shall not be done either."""

    name = "log"

    def __init__(self, file: Writable, encode: Encode, truncation: Truncation | None, is_strict: bool) -> None:
        self._file = file
        self._encode = encode
        self._truncation = truncation
        self._is_strict = is_strict
        self._tidying: asyncio.Task[None] | None = None

    def take(self, event: JSON) -> bool:
        data = encoded(event, self._encode, self._truncation, self.name)
        return (data is not None and self.write(data)) or not self._is_strict

    def write(self, data: bytes) -> bool:
        before = self._file.full
        try:
            self._file.write(data)
        except OSError as error:
            metrics.ERRORS.labels(self.name).inc()
            log.error("audit log: an event is lost: %s", error)
            return False
        if self._file.full is not before and (self._tidying is None or self._tidying.done()):
            self._tidying = spawn(asyncio.to_thread(self._file.tidy), "tidy the audit log")
        return True

    async def send(self, batch: Sequence[bytes]) -> None:
        """For batches: all lines at once."""
        self.write(b"".join(batch))

    async def close(self) -> None:
        if self._tidying is not None:
            await asyncio.wait([self._tidying])
        self._file.close()


@dataclass(frozen=True, slots=True)
class BatchOptions:
    """`per_second` batches on the average and `burst` at once; 0: as many as come."""

    buffer: int
    most: int
    wait: float
    per_second: float = 0.0
    burst: int = 0


class Batches:
    """Keeps Events until a batch is full or has waited long enough; drops them when too many wait."""

    def __init__(
        self,
        name: str,
        send: Callable[[Sequence[bytes]], Awaitable[None]],
        close: Callable[[], Awaitable[None]],
        encode: Encode,
        truncation: Truncation | None,
        options: BatchOptions,
        clock: Clock,
    ) -> None:
        self._name = name
        self._send = send
        self._close = close
        self._encode = encode
        self._truncation = truncation
        self._options = options
        self._clock = clock
        self._waiting: deque[bytes] = deque()
        self._news = asyncio.Event()
        self._full = asyncio.Event()
        self._tokens, self._counted = float(options.burst), clock.monotonic()
        self._running: asyncio.Task[None] | None = None

    def take(self, event: JSON) -> bool:
        data = encoded(event, self._encode, self._truncation, self._name)
        if data is None:
            return True
        if len(self._waiting) >= self._options.buffer:
            metrics.ERRORS.labels(self._name).inc()
            log.error("audit %s: an event is dropped, %d are waiting", self._name, len(self._waiting))
            return True
        self._waiting.append(data)
        self._news.set()
        if len(self._waiting) >= self._options.most:
            self._full.set()
        if self._running is None:
            self._running = spawn(self._run(), f"audit {self._name}")
        return True

    async def _run(self) -> None:
        while True:
            await self._news.wait()
            await self._until_full()
            await self._turn()
            await self._send(self._batch())

    async def _until_full(self) -> None:
        if len(self._waiting) >= self._options.most:
            return
        self._full.clear()
        timer = spawn(self._clock.sleep(self._options.wait), "wait for more audit events")
        full = spawn(self._full.wait(), "wait for a full batch")
        try:
            await asyncio.wait([timer, full], return_when=asyncio.FIRST_COMPLETED)
        finally:
            timer.cancel()
            full.cancel()

    async def _turn(self) -> None:
        """A token bucket."""
        rate = self._options.per_second
        if not rate:
            return
        now = self._clock.monotonic()
        self._tokens = min(float(self._options.burst), self._tokens + (now - self._counted) * rate)
        self._counted = now
        if self._tokens < 1:
            await self._clock.sleep((1 - self._tokens) / rate)
            self._tokens, self._counted = 1.0, self._clock.monotonic()
        self._tokens -= 1

    def _batch(self) -> list[bytes]:
        """The next; at least one Event, then as many as fit."""
        found: list[bytes] = []
        size, most = 0, self._truncation.max_batch if self._truncation else 0
        while self._waiting and len(found) < self._options.most:
            size += len(self._waiting[0])
            if found and most and size > most:
                break
            found.append(self._waiting.popleft())
        if not self._waiting:
            self._news.clear()
        return found

    async def close(self) -> None:
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait([self._running])
        try:
            async with asyncio.timeout(LAST_SECONDS):
                while batch := self._batch():
                    await self._send(batch)
        except TimeoutError:
            log.error("audit %s: %d events are lost at the end", self._name, len(self._waiting))
        await self._close()


class Webhook:
    """Sends EventLists to the server that a kubeconfig names. What it does not take is sent again, then lost."""

    name = "webhook"

    def __init__(self, path: str, first_pause: float, clock: Clock) -> None:
        """Raises ValueError naming the file and what is wrong in it."""
        try:
            self._config = KubeConfig.load(path)
            context = self._config.ssl_context()
        except KubeConfigError as error:
            raise ValueError(str(error)) from None
        self._token = TokenSource(self._config)
        self._first_pause = first_pause
        self._clock = clock
        self._client = httpx.AsyncClient(verify=context, timeout=ANSWER_SECONDS, trust_env=False)

    async def send(self, batch: Sequence[bytes]) -> None:
        body = b'{"kind":"EventList","apiVersion":"%b","metadata":{},"items":[%b]}' % (
            VERSION.encode(),
            b",".join(batch),
        )
        pause = self._first_pause
        for attempt in range(TRIES):
            problem = await self._once(body)
            if not problem:
                return
            if attempt + 1 < TRIES:
                await self._clock.sleep(pause)
                pause *= PAUSE_FACTOR
        metrics.ERRORS.labels(self.name).inc(len(batch))
        log.error("audit webhook: %d events are lost: %s", len(batch), problem)

    async def _once(self, body: bytes) -> str:
        """Why it was not taken, empty if it was."""
        config, url = self._config, httpx.URL(self._config.server)
        headers = {"content-type": "application/json"}
        if token := await asyncio.to_thread(self._token.token, self._clock.monotonic()):
            headers["authorization"] = f"Bearer {token}"
        extensions = {"sni_hostname": config.tls_server_name} if config.tls_server_name else {}
        try:
            response = await self._client.post(url, content=body, headers=headers, extensions=extensions)
        except (httpx.TransportError, OSError) as error:
            name = config.tls_server_name or url.host
            return f'Post "{url}": {describe(error, f"{url.host}:{url.port or 443}", name)}'
        return "" if 200 <= response.status_code < 300 else f"{url} answers with {response.status_code}"

    async def close(self) -> None:
        await self._client.aclose()


def encoded(event: JSON, encode: Encode, truncation: Truncation | None, plugin: str) -> bytes | None:
    """None, counted and logged: it is too big even without its bodies, or holds what is no JSON."""
    try:
        data = truncation.encode(event, encode) if truncation else encode(event)
        problem = "it is too large even after truncating"
    except orjson.JSONEncodeError as error:
        data, problem = None, str(error)
    if data is None:
        metrics.ERRORS.labels(plugin).inc()
        log.error("audit %s: the event of request %s is lost: %s", plugin, event["auditID"], problem)
    return data

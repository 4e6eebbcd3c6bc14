"""Asking a server that a kubeconfig names: who a token belongs to, and what somebody may do.

One POST of a review object, one answer of the same kind. What fails for a moment is tried again.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import orjson

from apimachinery import errors
from apiserver.webhooks.client import WebhookError
from apiserver.webhooks.failures import DEADLINE, describe
from component_base.clock import Clock
from component_base.lazy import lazily
from kubeclient.kubeconfig import KubeConfig, KubeConfigError

if TYPE_CHECKING:
    import httpx
else:
    httpx = lazily("httpx")

JSON = dict[str, Any]
T = TypeVar("T")
ANSWER_SECONDS = 10.0
MAX_ANSWER_BYTES = 1024 * 1024
#: Upstream's: half a second, then half as long again each time.
TRIES, FIRST_PAUSE_SECONDS, PAUSE_FACTOR = 5, 0.5, 1.5


class ReviewClient:
    def __init__(self, path: str, clock: Clock) -> None:
        """Raises ValueError naming the file and what is wrong in it."""
        try:
            self._config = KubeConfig.load(path)
            context = self._config.ssl_context()
        except KubeConfigError as error:
            raise ValueError(str(error)) from None
        self._clock = clock
        self._client = httpx.AsyncClient(verify=context, timeout=None, trust_env=False, follow_redirects=False)

    async def ask(self, review: JSON) -> JSON:
        """The answer's `status`. Raises WebhookError."""
        pause = FIRST_PAUSE_SECONDS
        for attempt in range(TRIES):
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    return await self._once(review)
            except _Momentary as error:
                if attempt + 1 == TRIES:
                    raise WebhookError(str(error)) from None
            except TimeoutError:
                raise WebhookError(f'Post "{self._config.server}": {DEADLINE}') from None
            await self._clock.sleep(pause)
            pause *= PAUSE_FACTOR
        raise AssertionError("the loop returns or raises")

    async def _once(self, review: JSON) -> JSON:
        config = self._config
        headers = {"content-type": "application/json", "accept": "application/json"}
        if token := await self._token():
            headers["authorization"] = f"Bearer {token}"
        extensions = {"sni_hostname": config.tls_server_name} if config.tls_server_name else {}
        url = httpx.URL(config.server)
        try:
            response = await self._client.post(
                url, content=orjson.dumps(review), headers=headers, extensions=extensions
            )
        except (httpx.TransportError, OSError) as error:
            name = config.tls_server_name or url.host
            raise _Momentary(f'Post "{url}": {describe(error, f"{url.host}:{url.port or 443}", name)}') from error
        if response.status_code in (429, 500, 502, 503, 504):
            raise _Momentary(errors.from_body(response.status_code, response.text[:1024]).message)
        try:
            found = orjson.loads(response.content) if len(response.content) <= MAX_ANSWER_BYTES else None
        except orjson.JSONDecodeError:
            found = None
        if not 200 <= response.status_code < 300 or not isinstance(found, dict):
            raise WebhookError(f"{url} answers with {response.status_code} and no review")
        status = found.get("status")
        return status if isinstance(status, dict) else {}

    async def _token(self) -> str | None:
        """A token file is rotated: it is read each time."""
        config = self._config
        if config.token_file is None:
            return config.token
        return (await asyncio.to_thread(Path(config.token_file).read_text)).strip()

    async def close(self) -> None:
        await self._client.aclose()


class _Momentary(Exception):
    """Worth another try."""


class Remembered(Generic[T]):
    """Answers by question, each for as long as it is good; the oldest go when there are too many."""

    def __init__(self, clock: Clock, most: int = 4096) -> None:
        self._clock = clock
        self._most = most
        self._known: dict[object, tuple[T, float]] = {}

    def get(self, key: object) -> T | None:
        found = self._known.get(key)
        return found[0] if found is not None and self._clock.monotonic() < found[1] else None

    def put(self, key: object, answer: T, seconds: float) -> None:
        if seconds <= 0:
            return
        if len(self._known) >= self._most:
            del self._known[next(iter(self._known))]
        self._known.pop(key, None)
        self._known[key] = (answer, self._clock.monotonic() + seconds)

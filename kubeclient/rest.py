"""The REST client of every service: one connection pool, JSON in and out, failures as `StatusError`.

What cannot be reached raises httpx.TransportError; what the apiserver refuses raises StatusError with the Status it
sent. Reads that meet a closing connection or 429 with Retry-After are repeated by the caller's loop, never here.
"""

from __future__ import annotations

import copy
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, NamedTuple

import httpx
import msgspec

from apimachinery.errors import StatusError, from_body
from component_base.clock import Clock, SystemClock
from kubeclient.kubeconfig import KubeConfig, TokenSource

JSON = dict[str, Any]
Params = Mapping[str, str] | Sequence[tuple[str, str]]

MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
JSON_PATCH = "application/json-patch+json"
APPLY = "application/apply-patch+yaml"

#: Seconds for a request that is no watch. The apiserver gives up after 60.
REQUEST_SECONDS = 65.0
#: A watch that stays silent for longer than its own timeout has lost its peer.
WATCH_SECONDS = 420
MAX_EVENT_BYTES = 64 * 1024 * 1024


class WatchEvent(NamedTuple):
    """`object` is the JSON of the object, or of a Status when `type` is ERROR."""

    type: str
    object: bytes


class _Event(msgspec.Struct):
    type: str
    object: msgspec.Raw


_decode_event = msgspec.json.Decoder(_Event).decode


class RestClient:
    def __init__(
        self,
        config: KubeConfig,
        user_agent: str = "skiff",
        clock: Clock | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        max_connections: int = 64,
    ) -> None:
        """`transport` replaces the network, for tests and for apiservers in the same process."""
        self.config = config
        self._clock = clock or SystemClock()
        self._tokens = TokenSource(config)
        self._user_agent = user_agent
        self._transport = transport
        self._max_connections = max_connections
        self._auth: httpx.Auth | None = None
        self._http = self._connections(config)

    def with_auth(self, auth: httpx.Auth) -> RestClient:
        """The same connections, for somebody else: `auth` signs each request. Closed together with this one."""
        other = copy.copy(self)
        other._auth = auth
        return other

    def _connections(self, config: KubeConfig) -> httpx.AsyncClient:
        verify = config.ssl_context() if config.server.startswith("https") and self._transport is None else False
        return httpx.AsyncClient(
            base_url=config.server,
            verify=verify,
            transport=self._transport,
            headers={"User-Agent": self._user_agent, "Accept": "application/json"},
            timeout=httpx.Timeout(REQUEST_SECONDS, connect=10.0),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=self._max_connections),
            trust_env=False,
        )

    async def use(self, config: KubeConfig) -> None:
        """Other credentials from now on, e.g. a renewed certificate. Open watches break and are made anew."""
        old, self._http = self._http, self._connections(config)
        self.config, self._tokens = config, TokenSource(config)
        await old.aclose()

    async def close(self) -> None:
        await self._http.aclose()

    async def get(self, path: str, params: Params | None = None) -> JSON:
        return await self._json("GET", path, params=params)

    async def get_bytes(self, path: str, params: Params | None = None, accept: str = "application/json") -> bytes:
        response = await self.request("GET", path, params=params, headers={"Accept": accept})
        return response.content

    async def create(self, path: str, body: JSON | bytes, params: Params | None = None) -> JSON:
        return await self._json("POST", path, body, params)

    async def replace(self, path: str, body: JSON | bytes, params: Params | None = None) -> JSON:
        return await self._json("PUT", path, body, params)

    async def patch(self, path: str, body: Any, content_type: str = STRATEGIC, params: Params | None = None) -> JSON:
        return await self._json("PATCH", path, body, params, content_type)

    async def delete(self, path: str, body: JSON | None = None, params: Params | None = None) -> JSON:
        """The deleted object or a Status, as the apiserver answers."""
        return await self._json("DELETE", path, body, params)

    async def watch(
        self, path: str, params: Params | None = None, accept: str = "application/json"
    ) -> AsyncIterator[WatchEvent]:
        """Events until the server ends the stream. Raises StatusError when the watch is refused at once."""
        query = _pairs(params)
        if not any(key == "timeoutSeconds" for key, _ in query):
            query.append(("timeoutSeconds", str(WATCH_SECONDS)))
        seconds = next(int(str(value)) for key, value in query if key == "timeoutSeconds")
        query.append(("watch", "true"))
        timeout = httpx.Timeout(REQUEST_SECONDS, read=seconds + 30.0)
        headers = {**self._headers(), "Accept": accept}
        request = self._http.build_request("GET", path, params=query, headers=headers, timeout=timeout)
        response = await self._http.send(request, stream=True, auth=self._auth)
        try:
            if response.status_code >= 400:
                raise refusal(response.status_code, await response.aread())
            async for line in _lines(response):
                event = _decode_event(line)
                yield WatchEvent(event.type, bytes(event.object))
        finally:
            await response.aclose()

    async def stream(self, path: str, params: Params | None = None) -> AsyncIterator[bytes]:
        """A body as it comes, without a limit in time: logs that are followed."""
        timeout = httpx.Timeout(REQUEST_SECONDS, read=None)
        request = self._http.build_request(
            "GET", path, params=_pairs(params), headers={**self._headers(), "Accept": "*/*"}, timeout=timeout
        )
        response = await self._http.send(request, stream=True, auth=self._auth)
        try:
            if response.status_code >= 400:
                raise refusal(response.status_code, await response.aread())
            async for chunk in response.aiter_bytes():
                yield chunk
        finally:
            await response.aclose()

    async def request(
        self,
        method: str,
        path: str,
        *,
        content: bytes | None = None,
        params: Params | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """Any request; raises StatusError for 4xx and 5xx."""
        response = await self._http.request(
            method,
            path,
            content=content,
            params=_pairs(params) or None,
            headers={**self._headers(), **(headers or {})},
            auth=self._auth,
        )
        if response.status_code >= 400:
            raise refusal(response.status_code, response.content)
        return response

    async def _json(
        self,
        method: str,
        path: str,
        body: Any = None,
        params: Params | None = None,
        content_type: str = "application/json",
    ) -> JSON:
        content = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"Content-Type": content_type} if content is not None else {}
        response = await self.request(method, path, content=content, params=params, headers=headers)
        answer: JSON = json.loads(response.content) if response.content else {}
        return answer

    def _headers(self) -> dict[str, str]:
        token = self._tokens.token(self._clock.monotonic())
        return {"Authorization": f"Bearer {token}"} if token else {}


def _pairs(params: Params | None) -> list[tuple[str, str | int | float | bool | None]]:
    if params is None:
        return []
    return list(params.items()) if isinstance(params, Mapping) else list(params)


async def _lines(response: httpx.Response) -> AsyncIterator[bytes]:
    """Lines as bytes, joined from chunks without copying the rest again for each line."""
    parts: list[bytes] = []
    size = 0
    async for chunk in response.aiter_bytes():
        pieces = chunk.split(b"\n")
        parts.append(pieces[0])
        size += len(pieces[0])
        if size > MAX_EVENT_BYTES:
            raise httpx.DecodingError(f"a watch event is larger than {MAX_EVENT_BYTES} bytes")
        for piece in pieces[1:]:
            line = b"".join(parts)
            if line.strip():
                yield line
            parts, size = [piece], len(piece)


def refusal(code: int, content: bytes) -> StatusError:
    """The StatusError of an answer; proxies on the way answer without a Status."""
    try:
        body = json.loads(content)
    except ValueError:
        body = None
    if not isinstance(body, dict) or body.get("kind") != "Status":
        text = content[:512].decode("utf-8", "replace").strip()
        body = {"kind": "Status", "status": "Failure", "code": code, "message": text or f"the server answered {code}"}
    return from_body(code, body)

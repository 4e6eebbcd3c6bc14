"""The HTTPS client of webhooks: one POST, one answer, both JSON objects.

Connections are kept and used again, per authority and server name. Redirects are never followed, the environment's
proxies never used, and an answer is read only up to a limit: a webhook is somebody else's program.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import ssl
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

import orjson

from apimachinery import errors
from apimachinery.errors import StatusError
from apiserver.webhooks.failures import DEADLINE, describe
from apiserver.webhooks.services import Address, ServiceResolver
from component_base.lazy import lazily

if TYPE_CHECKING:
    import httpx
else:
    httpx = lazily("httpx")

JSON = dict[str, Any]
#: Objects have 3 MiB at most; a patch that replaces all of one, in base64, and lists that are converted are larger.
MAX_ANSWER_BYTES = 64 * 1024 * 1024
#: Clients kept at a time; each holds the connections to the servers of one authority.
MAX_CLIENTS = 64
IDLE_CONNECTIONS = 32
_JSON_HEADERS = {"content-type": "application/json", "accept": "application/json, */*"}


class WebhookError(Exception):
    """The call brought no usable answer; the text says why, as upstream words it."""


@dataclass(frozen=True, slots=True)
class Hook:
    """Where a webhook is: `url` as configured or made from the Service, which is None for a plain URL."""

    url: str
    service: tuple[str, str, int] | None
    """Namespace, name, port."""
    authority: bytes
    """PEM; empty for the host's own trust."""

    @property
    def server_name(self) -> str:
        """What the server's certificate must be for."""
        return urlsplit(self.url).hostname or ""


def hook_of(client_config: JSON) -> Hook:
    """From the `clientConfig` of webhook configurations and CustomResourceDefinitions. Raises WebhookError."""
    try:
        authority = base64.b64decode(client_config.get("caBundle") or "", validate=True)
    except (binascii.Error, ValueError):
        raise WebhookError("unable to load root certificates: the caBundle is not base64") from None
    service = client_config.get("service")
    if not service:
        return Hook(str(client_config.get("url") or ""), None, authority)
    namespace, name, port = service["namespace"], service["name"], int(service.get("port") or 443)
    path = str(service.get("path") or "/")
    path = path if path.startswith("/") else f"/{path}"
    return Hook(f"https://{name}.{namespace}.svc:{port}{path}", (namespace, name, port), authority)


@dataclass(slots=True)
class _Kept:
    client: httpx.AsyncClient
    uses: int = 0


class WebhookClient:
    """One for the whole apiserver."""

    def __init__(self, services: ServiceResolver) -> None:
        self._services = services
        self._clients: OrderedDict[tuple[bytes, str], _Kept] = OrderedDict()

    async def call(self, hook: Hook, body: JSON, timeout: float, limit: int = MAX_ANSWER_BYTES) -> JSON:
        """The answer's JSON object. `timeout` bounds all of the call, and is told to the webhook in its query.

        Raises WebhookError: not reached, not trusted, too late, another status than 2xx, or no JSON object.
        """
        url = _with_timeout(hook.url, timeout)
        address = self._address(hook, url)
        try:
            async with asyncio.timeout(timeout), self._client(hook) as client:
                status, data = await self._post(client, hook, url, address, orjson.dumps(body), limit)
        except TimeoutError:
            raise WebhookError(f'Post "{url}": {DEADLINE}') from None
        except (httpx.TransportError, OSError) as error:
            raise WebhookError(f'Post "{url}": {describe(error, address.authority, hook.server_name)}') from error
        except (httpx.InvalidURL, ValueError) as error:
            raise WebhookError(f'Post "{url}": {error}') from error
        return _answer(status, data)

    async def close(self) -> None:
        kept, self._clients = list(self._clients.values()), OrderedDict()
        for one in kept:
            await one.client.aclose()

    def _address(self, hook: Hook, url: str) -> Address:
        if hook.service is not None:
            try:
                return self._services.resolve(*hook.service)
            except StatusError as error:
                raise WebhookError(f'Post "{url}": {error.message}') from None
        parts = urlsplit(hook.url)
        if parts.scheme != "https" or not parts.hostname:
            raise WebhookError(f'Post "{url}": the URL of a webhook must be https://host[:port]/path')
        return Address(parts.hostname, parts.port or 443)

    @asynccontextmanager
    async def _client(self, hook: Hook) -> AsyncIterator[httpx.AsyncClient]:
        key = (hook.authority, hook.server_name)
        if key not in self._clients:
            context = await asyncio.to_thread(_context, hook.authority)
            limits = httpx.Limits(max_connections=None, max_keepalive_connections=IDLE_CONNECTIONS)
            client = httpx.AsyncClient(
                verify=context, timeout=None, limits=limits, trust_env=False, follow_redirects=False
            )
            self._clients.setdefault(key, _Kept(client))
        kept = self._clients[key]
        self._clients.move_to_end(key)
        kept.uses += 1
        try:
            yield kept.client
        finally:
            kept.uses -= 1
            await self._forget_oldest()

    async def _forget_oldest(self) -> None:
        if len(self._clients) <= MAX_CLIENTS:
            return
        for key, kept in self._clients.items():
            if not kept.uses:
                del self._clients[key]
                await kept.client.aclose()
                return

    async def _post(
        self, client: httpx.AsyncClient, hook: Hook, url: str, address: Address, body: bytes, limit: int
    ) -> tuple[int, bytes]:
        parts = urlsplit(url)
        headers = {**_JSON_HEADERS, "host": parts.netloc.rpartition("@")[2], "user-agent": "kube-apiserver-admission"}
        extensions = {"sni_hostname": hook.server_name}
        target = urlunsplit(("https", address.authority, parts.path, parts.query, ""))
        last = None
        for _ in range(2):
            request = client.build_request("POST", target, content=body, headers=headers, extensions=extensions)
            try:
                response = await client.send(request, stream=True)
            except httpx.RemoteProtocolError as error:
                last = error  # a kept connection that the other side was just closing: a new one once
                continue
            try:
                return response.status_code, await _read(response, limit)
            finally:
                await response.aclose()
        assert last is not None
        raise last


async def _read(response: httpx.Response, limit: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for chunk in response.aiter_bytes():
        size += len(chunk)
        if size > limit:
            raise WebhookError(f"the answer is longer than {limit} bytes")
        parts.append(chunk)
    return b"".join(parts)


def _answer(status: int, data: bytes) -> JSON:
    try:
        found = orjson.loads(data)
    except orjson.JSONDecodeError:
        found = None
    if not 200 <= status <= 206:
        said = found if isinstance(found, dict) else data[:2048].decode("utf-8", "replace")
        raise WebhookError(errors.from_body(status, said).message)
    if not isinstance(found, dict):
        raise WebhookError("the answer is not a JSON object")
    return found


def _with_timeout(url: str, timeout: float) -> str:
    parts = urlsplit(url)
    said = f"timeout={timeout:g}s"
    return urlunsplit(parts._replace(query=f"{parts.query}&{said}" if parts.query else said))


def _context(authority: bytes) -> ssl.SSLContext:
    """Raises WebhookError for an authority that is none."""
    try:
        return ssl.create_default_context(cadata=authority.decode("latin-1") if authority else None)
    except (ssl.SSLError, ValueError) as error:
        raise WebhookError(f"unable to load root certificates: {error}") from error

"""Connections to the servers behind APIServices: the front proxy's certificate is shown, theirs is checked."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from apiserver.aggregation.backends import Backend
from apiserver.ports import User
from apiserver.webhooks.failures import describe
from apiserver.webhooks.services import Address, ServiceResolver
from component_base.lazy import lazily

if TYPE_CHECKING:
    import httpx
else:
    httpx = lazily("httpx")

DIAL_SECONDS = 10.0
Headers = list[tuple[bytes, bytes]]


class Unreachable(Exception):
    """Nothing came back; the text says why."""


@dataclass(frozen=True, slots=True)
class Identity:
    """How a user is told to servers that trust the front proxy's certificate: the names of headers."""

    username: str = "X-Remote-User"
    uid: str = "X-Remote-Uid"
    group: str = "X-Remote-Group"
    extra_prefix: str = "X-Remote-Extra-"

    def headers(self, user: User) -> Headers:
        found = [(self.username, user.name)]
        if user.uid and self.uid:
            found.append((self.uid, user.uid))
        found += [(self.group, group) for group in user.groups]
        for key, values in user.extra.items():
            found += [(self.extra_prefix + escaped(key), value) for value in values]
        return [(name.encode("latin-1", "replace"), value.encode()) for name, value in found]


def escaped(key: str) -> str:
    """A header's name can hold letters, digits and a few signs; the rest is percent-encoded, as readers undo it."""
    kept = "!#$&'*+-.^_`|~"
    return "".join(
        c if c.isascii() and (c.isalnum() or c in kept) else "".join(f"%{b:02X}" for b in c.encode()) for c in key
    )


class BackendTransport:
    """HTTP clients by who is trusted and under which name; `certificate` and `key` are files, both or none."""

    def __init__(self, services: ServiceResolver, certificate: str, key: str, identity: Identity) -> None:
        self.identity = identity
        self._services = services
        self._files = (certificate, key) if certificate and key else None
        self._stamp = self._stamps()
        self._clients: dict[tuple[bytes, bool, str], httpx.AsyncClient] = {}
        self._contexts: dict[tuple[bytes, bool], ssl.SSLContext] = {}

    def resolve(self, backend: Backend) -> Address:
        """Raises StatusError."""
        return self._services.resolve(backend.namespace, backend.service, backend.port)

    async def client(self, backend: Backend) -> httpx.AsyncClient:
        """For requests and streamed answers. Raises Unreachable for an authority that is none."""
        self._renew()
        key = (backend.authority, backend.verify, backend.server_name)
        found = self._clients.get(key)
        if found is None:
            context = await self.context(backend)
            limits = httpx.Limits(max_connections=None, max_keepalive_connections=64)
            timeout = httpx.Timeout(None, connect=DIAL_SECONDS)
            made = httpx.AsyncClient(verify=context, timeout=timeout, limits=limits, trust_env=False)
            found = self._clients.setdefault(key, made)
        return found

    async def open(self, backend: Backend, address: Address) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A raw connection, for upgrades. Raises Unreachable."""
        self._renew()
        context = await self.context(backend)
        try:
            async with asyncio.timeout(DIAL_SECONDS):
                return await asyncio.open_connection(
                    address.host, address.port, ssl=context, server_hostname=backend.server_name
                )
        except TimeoutError:
            raise Unreachable(f"dial tcp {address.authority}: i/o timeout") from None
        except OSError as error:
            raise Unreachable(describe(error, address.authority, backend.server_name)) from error

    async def get(
        self, backend: Backend, path: str, user: User, seconds: float, headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        """A whole, small answer. Raises Unreachable, StatusError."""
        address = self.resolve(backend)
        client = await self.client(backend)
        url = f"https://{address.authority}{path}"
        sent = [*self.identity.headers(user), *((k.encode(), v.encode()) for k, v in (headers or {}).items())]
        extensions = {"sni_hostname": backend.server_name}
        request = client.build_request("GET", url, headers=sent, extensions=extensions)
        try:
            async with asyncio.timeout(seconds):
                return await client.send(request)
        except TimeoutError:
            raise Unreachable(f'Get "{url}": context deadline exceeded') from None
        except (httpx.TransportError, OSError) as error:
            raise Unreachable(f'Get "{url}": {describe(error, address.authority, backend.server_name)}') from error

    async def context(self, backend: Backend) -> ssl.SSLContext:
        key = (backend.authority, backend.verify)
        found = self._contexts.get(key)
        if found is None:
            try:
                made = await asyncio.to_thread(_context, backend.authority, backend.verify, self._files)
            except (OSError, ssl.SSLError, ValueError) as error:
                raise Unreachable(f"unable to load root certificates: {error}") from error
            found = self._contexts.setdefault(key, made)
        return found

    async def close(self) -> None:
        clients, self._clients = list(self._clients.values()), {}
        for client in clients:
            await client.aclose()

    def _stamps(self) -> tuple[float, ...]:
        return tuple(Path(file).stat().st_mtime for file in self._files or ())

    def _renew(self) -> None:
        """The front proxy's certificate is renewed while the apiserver runs."""
        try:
            stamp = self._stamps()
        except OSError:
            return
        if stamp != self._stamp:
            self._stamp = stamp
            self._contexts.clear()
            self._clients = {}  # the old clients end with the requests that use them


def _context(authority: bytes, verify: bool, files: tuple[str, str] | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=authority.decode("latin-1") if authority and verify else None)
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if files is not None:
        context.load_cert_chain(*files)
    return context

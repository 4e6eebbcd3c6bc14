"""Connections to kubelets and pods: TLS contexts that follow their files, one HTTP client, raw streams for upgrades."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from apimachinery import errors
from apiserver.proxy.target import Target
from component_base.lazy import lazily

if TYPE_CHECKING:
    import httpx
else:
    httpx = lazily("httpx")

DIAL_SECONDS = 10.0
RECHECK_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class KubeletFiles:
    """Ours to show, theirs to check; without `authority` the kubelet is not checked, as upstream has it."""

    certificate: str = ""
    key: str = ""
    authority: str = ""

    def stamps(self) -> tuple[float, ...]:
        return tuple(Path(file).stat().st_mtime for file in (self.certificate, self.key, self.authority) if file)


class Transport:
    """Certificates are renewed while the apiserver runs: contexts are built again when their files have changed."""

    def __init__(self, files: KubeletFiles) -> None:
        """Raises FileNotFoundError or ssl.SSLError for files that are absent or do not fit together."""
        self._files = files
        self._stamps = files.stamps()
        self._verified = self._kubelet_context(verify=True)
        self._unverified = self._kubelet_context(verify=False)
        self._plain = _trusting_context()
        self._clients: dict[tuple[bool, bool], httpx.AsyncClient] = {}

    async def client(self, target: Target) -> httpx.AsyncClient:
        """For whole requests and answers; never follows redirects, never uses a proxy of the environment."""
        await self._refresh()
        key = (target.is_kubelet, target.verify)
        client = self._clients.get(key)
        if client is None:
            timeout = httpx.Timeout(None, connect=DIAL_SECONDS)
            limits = httpx.Limits(max_connections=None, max_keepalive_connections=32)
            client = httpx.AsyncClient(
                verify=self._context(target), timeout=timeout, limits=limits, trust_env=False, follow_redirects=False
            )
            self._clients[key] = client
        return client

    async def open(self, target: Target) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A raw connection. Raises StatusError 500 when nobody answers there."""
        await self._refresh()
        context = self._context(target) if target.scheme == "https" else None
        try:
            async with asyncio.timeout(DIAL_SECONDS):
                return await asyncio.open_connection(target.host, target.port, ssl=context)
        except TimeoutError:
            raise dial_failed(target, "i/o timeout") from None
        except OSError as error:
            raise dial_failed(target, error.strerror or str(error)) from error

    async def close(self) -> None:
        clients, self._clients = list(self._clients.values()), {}
        for client in clients:
            await client.aclose()

    def _context(self, target: Target) -> ssl.SSLContext:
        if not target.is_kubelet:
            return self._plain
        return self._verified if target.verify else self._unverified

    async def _refresh(self) -> None:
        stamps = self._files.stamps()
        if stamps == self._stamps:
            return
        try:
            self._verified, self._unverified = self._kubelet_context(True), self._kubelet_context(False)
        except (OSError, ssl.SSLError):
            return  # half-written: the old ones serve until the pair fits
        self._stamps = stamps
        self._clients = {}  # the old clients end with the requests that use them

    def _kubelet_context(self, verify: bool) -> ssl.SSLContext:
        context = _trusting_context()
        if self._files.authority and verify:
            context = ssl.create_default_context(cafile=self._files.authority)
        if self._files.certificate:
            context.load_cert_chain(self._files.certificate, self._files.key)
        return context


def dial_failed(target: Target, why: object) -> errors.StatusError:
    return errors.internal(f"error dialing backend: dial tcp {target.authority}: {why}")


def _trusting_context() -> ssl.SSLContext:
    """For pods, whose certificates nobody here can check, as upstream has it: the system's authorities are not read."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context

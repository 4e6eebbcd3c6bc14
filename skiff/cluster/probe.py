"""Asks a process whether it is ready: an HTTP 200 or an accepted connection, nothing deeper."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from types import TracebackType

import httpx

from skiff.cluster.plan import Probe

TIMEOUT_SECONDS = 2.0


class Prober:
    """One HTTP client for each CA file, kept open: a TLS context costs more than the request."""

    def __init__(self) -> None:
        self._clients: dict[Path | None, httpx.AsyncClient] = {}

    async def __aenter__(self) -> Prober:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for client in self._clients.values():
            await client.aclose()

    async def is_ready(self, probe: Probe) -> bool:
        try:
            if probe.socket is not None:
                _, writer = await asyncio.wait_for(asyncio.open_unix_connection(probe.socket), TIMEOUT_SECONDS)
                writer.close()
                return True
            response = await self._client(probe.ca).get(probe.url)
            return response.status_code == 200
        except (OSError, httpx.HTTPError, TimeoutError):
            return False

    def _client(self, ca: Path | None) -> httpx.AsyncClient:
        if ca not in self._clients:
            if ca is not None and ca.exists():
                context: ssl.SSLContext | bool = ssl.create_default_context(cafile=str(ca))
            else:
                # Health endpoints on loopback with self-signed certificates: nothing secret goes either way.
                context = False
            self._clients[ca] = httpx.AsyncClient(verify=context, timeout=TIMEOUT_SECONDS)
        return self._clients[ca]

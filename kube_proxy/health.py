"""What load balancers ask a node: does the proxy work, and has this Service endpoints here (healthCheckNodePort)."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Iterable, Mapping

from component_base import metrics
from kube_proxy.rules.service_map import ServicePort
from serving.host import App, HttpServer

log = logging.getLogger(__name__)


def _app(answer: Callable[[str], tuple[int, bytes, str]]) -> App:
    """A plain ASGI application: these ports answer load balancers many times a second on every node."""

    async def serve(scope: Mapping[str, object], receive: object, send: Callable[[dict[str, object]], object]) -> None:
        status, body, kind = answer(str(scope["path"]))
        headers = [(b"content-type", kind.encode()), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})  # type: ignore[misc]
        await send({"type": "http.response.body", "body": body})  # type: ignore[misc]

    return serve


def proxy_health(is_healthy: Callable[[], bool], node_is_leaving: Callable[[], bool]) -> App:
    """`/healthz` fails as well while the node is being taken down (KEP-3836); `/livez` does not."""

    def answer(path: str) -> tuple[int, bytes, str]:
        healthy = is_healthy() and not (path == "/healthz" and node_is_leaving())
        if path not in ("/healthz", "/livez"):
            return 404, b"404 page not found\n", "text/plain"
        body = json.dumps({"nodeEligible": not node_is_leaving(), "healthy": is_healthy()}).encode()
        return (200 if healthy else 503), body, "application/json"

    return _app(answer)


def proxy_metrics(mode: str = "nftables") -> App:
    def answer(path: str) -> tuple[int, bytes, str]:
        if path == "/metrics":
            return 200, metrics.exposition(), metrics.CONTENT_TYPE
        if path == "/proxyMode":
            return 200, mode.encode(), "text/plain"
        if path == "/healthz":
            return 200, b"ok", "text/plain"
        return 404, b"404 page not found\n", "text/plain"

    return _app(answer)


class ServiceHealth:
    """One small HTTP port for each Service that wants one."""

    def __init__(self, is_healthy: Callable[[], bool]) -> None:
        self._is_healthy = is_healthy
        self._servers: dict[int, HttpServer] = {}
        self._local: dict[int, tuple[str, str, int]] = {}  # port -> namespace, name, local endpoints

    async def update(self, services: Iterable[ServicePort]) -> None:
        wanted: dict[int, tuple[str, str, int]] = {}
        for service in services:
            if service.health_check_node_port:
                local = sum(e.is_local and e.ready for e in service.endpoints)
                wanted[service.health_check_node_port] = (service.namespace, service.name, local)
        self._local = wanted
        for port in self._servers.keys() - wanted.keys():
            await self._servers.pop(port).stop(0)
        for port in wanted.keys() - self._servers.keys():
            server = HttpServer(_app(lambda path, port=port: self._answer(port)), "0.0.0.0", port)  # type: ignore[misc]
            try:
                await server.start()
            except OSError as error:
                log.warning("health of %s/%s is not served: %s", *wanted[port][:2], error.strerror)
                continue
            self._servers[port] = server

    def _answer(self, port: int) -> tuple[int, bytes, str]:
        namespace, name, local = self._local.get(port, ("", "", 0))
        healthy = self._is_healthy()
        body = {
            "service": {"namespace": namespace, "name": name},
            "localEndpoints": local,
            "serviceProxyHealthy": healthy,
        }
        return (200 if local and healthy else 503), json.dumps(body).encode(), "application/json"

    async def stop(self) -> None:
        await asyncio.gather(*(server.stop(0) for server in self._servers.values()))

"""The parts of aggregation, joined."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

from apiserver.aggregation.availability import Availability
from apiserver.aggregation.backends import Backends
from apiserver.aggregation.discovery import RemoteDiscovery
from apiserver.aggregation.forwarding import Forwarder
from apiserver.aggregation.openapi import RemoteOpenApi
from apiserver.aggregation.registration import Registration
from apiserver.aggregation.transport import BackendTransport, Identity
from apiserver.authn.options import header_names
from apiserver.endpoints.exchange import Exchange
from apiserver.ports import Objects
from apiserver.registry.catalog import Catalog
from apiserver.webhooks.services import ServiceResolver
from component_base.clock import Clock
from component_base.flags import Values
from component_base.tasks import spawn


class Aggregation:
    def __init__(
        self, values: Values, objects: Objects, catalog: Catalog, services: ServiceResolver, clock: Clock
    ) -> None:
        """Raises OSError for a certificate of the front proxy that is not there."""
        self._backends = Backends(objects)
        certificate, key = values["proxy-client-cert-file"], values["proxy-client-key-file"]
        self._transport = BackendTransport(services, certificate, key, Identity())
        self._forward = Forwarder(self._transport, header_names(values))
        self._availability = Availability(objects, self._backends, self._transport, clock)
        self._registration = Registration(objects, catalog, clock)
        self.discovery = RemoteDiscovery(self._backends, self._transport, clock)
        self.openapi = RemoteOpenApi(self._backends, self._transport)

    def elsewhere(self, exchange: Exchange) -> Callable[[Exchange], Awaitable[None]] | None:
        """Who answers the request in our place."""
        target = exchange.target
        backend = self._backends.for_path(exchange.path, target.group, target.version, target.resource)
        return None if backend is None else partial(self._forward, backend)

    def start(self, is_first: bool) -> list[asyncio.Task[None]]:
        """The first of several workers keeps the objects for all."""
        running = [spawn(self.discovery.run(), "read the discovery of APIServices")]
        if is_first:
            running.append(spawn(self._registration.run(), "keep our own APIServices"))
            running.append(spawn(self._availability.run(), "watch over APIServices"))
        return running

    async def close(self) -> None:
        await self._transport.close()

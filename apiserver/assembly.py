"""All parts of one apiserver, joined."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from apiserver import admission, app
from apiserver.admission import webhooks
from apiserver.admission.policies import plugins as policies
from apiserver.aggregation.parts import Aggregation
from apiserver.authn import options as authn
from apiserver.authz import modes
from apiserver.authz.aggregation import Aggregator
from apiserver.bootstrap import start as bootstrap
from apiserver.discovery.serve import Discovery
from apiserver.endpoints.components import https_probe
from apiserver.endpoints.core import Core
from apiserver.endpoints.identity import RememberedIdentities
from apiserver.endpoints.server import ApiServer, Limits
from apiserver.extensions.conversion import Converter
from apiserver.extensions.keeper import Keeper
from apiserver.extensions.kinds import CustomKinds
from apiserver.flowcontrol.parts import FlowControl
from apiserver.health import Check, Health, ping
from apiserver.openapi.serve import OpenApi
from apiserver.options import Options
from apiserver.proxy import options as proxy
from apiserver.registry.catalog import Catalog
from apiserver.registry.kubernetes_service import KubernetesService
from apiserver.registry.objects import StoredObjects
from apiserver.registry.services import ServiceSide
from apiserver.registry.writer import Writer
from apiserver.storage.compaction import compact_for_ever
from apiserver.storage.feed import Feed
from apiserver.storage.listing import Lister
from apiserver.storage.store import ObjectStore
from apiserver.tokens import options as tokens
from apiserver.webhooks.client import WebhookClient
from apiserver.webhooks.services import ServiceResolver
from apiserver.workers import Worker
from component_base.clock import Clock
from component_base.flags import Values
from component_base.rng import system_rng
from component_base.rpc import RpcError
from component_base.tasks import spawn
from kubeclient.etcd3 import EtcdClient

if TYPE_CHECKING:
    from apiserver.audit.options import Auditing

log = logging.getLogger(__name__)
#: A store that does not answer within this is down, as far as /readyz is concerned.
PROBE_SECONDS = 2.0
BOOTSTRAP_RETRY_SECONDS = 1.0
#: Where upstream's parts listen on the same host; only ComponentStatus asks.
CONTROLLER_MANAGER_PORT, SCHEDULER_PORT = 10257, 10259


class Assembly:
    def __init__(self, chosen: Options, clock: Clock, worker: Worker | None = None) -> None:
        """Raises ValueError or OSError with a sentence for flags and files that cannot work."""
        values = chosen.values
        self._chosen = chosen
        self._clock = clock
        self._worker = worker or Worker()
        self.ready = asyncio.Event()
        self._stopping = False
        rng = system_rng()
        self._etcd = EtcdClient(values["etcd-servers"], chosen.etcd_tls, clock)
        self.catalog = Catalog()
        self.feed = Feed(self._etcd, clock)
        store = ObjectStore(self._etcd, clock)
        self.writer = Writer(self.feed, store, None, clock, rng, int(values["event-ttl"]))
        self.objects = StoredObjects(self.feed, store, self.writer)
        for info in self.catalog.stored():
            self.feed.cache(info)
        self._services = ServiceSide(self.objects, store, chosen.service_ranges, chosen.node_ports, rng, clock)
        self.writer.sides["services"] = self._services
        self._kubernetes = KubernetesService(self.objects, self._etcd, chosen, clock)
        authenticator = authn.build(values, self.objects, clock)
        authorizer = modes.build(values, self.objects, clock)
        self._webhooks = WebhookClient(ServiceResolver(self.objects, rng))
        asking = webhooks.makers(self.objects, self._webhooks, self.catalog, clock, authorizer)
        more = {**asking, **policies.makers(self.objects, self.catalog, authorizer)}
        self.writer.admission = admission.build(values, self.objects, authorizer, clock, rng, more)
        external = f"{values['external-hostname'] or chosen.address}:{chosen.port}"
        signed = tokens.build(
            values, self.objects, authenticator, authorizer, clock, external, rng, self.writer.admission
        )
        kinds = CustomKinds(self.feed, self.catalog, Converter(self._webhooks))
        self._keeper = Keeper(self.feed, self.objects, self.writer, kinds, clock)
        self._proxies = proxy.build(values, self.objects, authorizer, rng)
        self.core = Core(
            self.catalog,
            self.feed,
            Lister(self._etcd, self.feed),
            self.writer,
            clock,
            rng,
            dict(signed.answerers),
            dict(self._proxies.connectors),
        )
        self.core.min_request_timeout = values["min-request-timeout"]
        self.health = self._health()
        self.core.components = {
            "controller-manager": https_probe(CONTROLLER_MANAGER_PORT),
            "scheduler": https_probe(SCHEDULER_PORT),
            "etcd-0": self.health.checks["etcd"],
        }
        self._aggregation = Aggregation(values, self.objects, self.catalog, ServiceResolver(self.objects, rng), clock)
        discovery = Discovery(self.catalog, external, self._aggregation.discovery)
        openapi = OpenApi(self.catalog, app.VERSION["gitVersion"], self._aggregation.openapi)
        folder = Path(values["log-dir"])
        shell = app.Shell(self.catalog, discovery, openapi, self.health, signed.documents, folder, self._worker)
        reads, writes = self._part("max-requests-inflight"), self._part("max-mutating-requests-inflight")
        limits = Limits(reads, writes, values["request-timeout"])
        proxied = authn.header_names(values)
        remembered = RememberedIdentities(
            authenticator, clock, (*proxied.username, *proxied.uid, *proxied.group), proxied.extra_prefix
        )
        self._flows = FlowControl(values, reads + writes, self.objects, self.feed, self.catalog, clock)
        elsewhere, gate = self._aggregation.elsewhere, self._flows.gate
        self._auditing: Auditing | None = None
        self.app = self._audited(values)(self.core, remembered, authorizer, shell, limits, elsewhere, gate)

    def _audited(self, values: Values) -> Callable[..., ApiServer]:
        """How to make the server: with an audit log where there is a policy for one."""
        if not values["audit-policy-file"]:
            return ApiServer
        from apiserver.audit import options, server

        self._auditing = options.build(values, self._clock)
        return ApiServer if self._auditing is None else partial(server.AuditedServer, self._auditing)

    def _part(self, flag: str) -> int:
        """This worker's part of a number for the whole server; 0 means any number."""
        number: int = self._chosen.values[flag]
        return math.ceil(number / self._worker.count)

    def _health(self) -> Health:
        async def store() -> str:
            try:
                async with asyncio.timeout(PROBE_SECONDS):
                    await self._etcd.range(b"/registry/health", count_only=True)
            except (RpcError, TimeoutError) as error:
                return f"the store does not answer: {error}"
            return ""

        async def bootstrapped() -> str:
            return "" if self.ready.is_set() else "not finished"

        async def informed() -> str:
            return "" if self.feed.ready.is_set() else "not finished"

        async def staying() -> str:
            return "process is shutting down" if self._stopping else ""

        checks: dict[str, Check] = {"ping": ping, "log": ping, "etcd": store, "informer-sync": informed}
        checks["poststarthook/rbac/bootstrap-roles"] = bootstrapped
        checks["shutdown"] = staying
        return Health(checks, {"informer-sync", "shutdown"})

    def start(self) -> list[asyncio.Task[None]]:
        """What runs beside the requests."""
        running = [spawn(self.feed.run(), "follow the store")]
        running.append(spawn(Aggregator(self.objects, self._clock).run(), "aggregate roles"))
        running += self._aggregation.start(self._worker.is_first)
        running += self._flows.start(self.ready, self._worker.is_first)
        running.append(spawn(self._keeper.run(), "keep CustomResourceDefinitions"))
        if self._worker.is_first and (interval := self._chosen.values["etcd-compaction-interval"]):
            running.append(spawn(compact_for_ever(self._etcd, self._clock, interval), "compact the store"))
        return running

    async def loaded(self) -> None:
        await self.feed.ready.wait()

    async def bootstrap(self, port: int) -> None:
        """The objects every cluster has. Tried again until the store takes them."""
        while True:
            try:
                await bootstrap.run(self._chosen.values, self.objects)
                await self._services.start()
                if self._worker.is_first:
                    await self._kubernetes.publish(port)
                break
            except* Exception as group:  # noqa: BLE001 - a cluster without its roles is of no use: never give up
                log.warning("creating the cluster's own objects: %s; trying again", group.exceptions[0])
            await self._clock.sleep(BOOTSTRAP_RETRY_SECONDS)
        self.ready.set()
        if self._worker.is_first:
            await self._kubernetes.keep(port)

    def stopping(self) -> None:
        self._stopping = True

    def end_watches(self) -> None:
        self.feed.end_watches()

    async def close(self) -> None:
        await self._kubernetes.withdraw()
        await self._proxies.close()
        await self._webhooks.close()
        await self._aggregation.close()
        if self._auditing is not None:
            await self._auditing.close()
        await self._etcd.close()

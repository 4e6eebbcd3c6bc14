"""The proxy at work: watches set a flag, one loop brings the kernel to what they say, in one transaction a time.

The first transaction replaces whatever an earlier life left. Should one be refused, the next is a whole one again.
Changes that arrive within `min_sync_seconds` share a transaction; the whole table is compared, never trusted, only at
start: nobody else writes to a table of our name.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

from component_base.clock import Clock
from component_base.metrics import counter, gauge, histogram
from kube_proxy import conntrack
from kube_proxy.health import ServiceHealth
from kube_proxy.nft import Kernel, NftError
from kube_proxy.routes import RouteTable, wanted
from kube_proxy.rules import ruleset, transaction
from kube_proxy.rules.base import Network
from kube_proxy.rules.ruleset import Ruleset
from kube_proxy.rules.service_map import ServicePort, service_ports
from kube_proxy.views import EndpointSlice, Node, Service
from kubeclient.informer import Informers

log = logging.getLogger(__name__)

ZONE = "topology.kubernetes.io/zone"
LEAVING = "ToBeDeletedByClusterAutoscaler"
RETRY_SECONDS = 5.0

SYNC_SECONDS = histogram("kubeproxy_sync_proxy_rules_duration_seconds", "Time for one change of the rules.")
FAILURES = counter("kubeproxy_sync_proxy_rules_nftables_sync_failures", "Transactions the kernel refused.")
SERVICES = gauge("kubeproxy_sync_proxy_rules_services", "Service ports in the rules.")


class ProxyService:
    def __init__(
        self,
        informers: Informers,
        kernel: Kernel,
        routes: RouteTable | None,
        network: Network,
        clock: Clock,
        min_sync_seconds: float = 1.0,
    ) -> None:
        self._services = informers.of("/api/v1/services", Service)
        self._slices = informers.of("/apis/discovery.k8s.io/v1/endpointslices", EndpointSlice)
        self._nodes = informers.of("/api/v1/nodes", Node)
        self._kernel = kernel
        self._routes = routes
        self._network = network
        self._clock = clock
        self._min_sync = min_sync_seconds
        self._dirty = asyncio.Event()
        self._nodes_dirty = True
        self._applied: Ruleset | None = None
        self._applied_services: list[ServicePort] = []
        self.health = ServiceHealth(lambda: self.is_healthy)
        self._services.add_handler(lambda old, new: self._dirty.set())
        self._slices.add_handler(lambda old, new: self._dirty.set())
        self._nodes.add_handler(self._on_node)

    @property
    def is_healthy(self) -> bool:
        """The kernel holds the rules of some moment since this process began."""
        return self._applied is not None

    @property
    def node_is_leaving(self) -> bool:
        """The node carries the taint by which autoscalers announce its end."""
        own = self._nodes.get(self._network.node_name)
        return own is not None and any(taint.key == LEAVING for taint in own.spec.taints)

    def _on_node(self, old: Node | None, new: Node | None) -> None:
        if old is not None and new is not None and old.spec == new.spec and old.status == new.status:
            same_labels = old.metadata.labels == new.metadata.labels
            if same_labels:
                return  # a heartbeat
        self._nodes_dirty = True
        self._dirty.set()

    async def run(self) -> None:
        """For ever, once the informers are synced."""
        self._dirty.set()
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            began = self._clock.monotonic()
            try:
                await self.sync()
            except NftError as error:
                FAILURES.inc()
                log.error("the kernel refused the rules, all of them are written again: %s", error)
                self._applied = None
                self._dirty.set()
                await self._clock.sleep(RETRY_SECONDS)
                continue
            SYNC_SECONDS.observe(self._clock.monotonic() - began)
            await self._clock.sleep(self._min_sync)

    async def sync(self) -> None:
        """One step to the present state of the watches. Raises NftError; then the kernel is as it was."""
        if self._nodes_dirty:
            self._nodes_dirty = False
            await self._look_at_nodes()
        current = service_ports(self._services.values(), self._slices.values(), self._network.node_name)
        rules = ruleset.build(current, self._network)
        if self._applied is None:
            text = transaction.replace(rules, self._network)
        else:
            text = transaction.update(self._applied, rules, self._network)
        if text:
            await self._kernel.apply(text)
        self._applied = rules
        SERVICES.set(len(current))
        await conntrack.forget(conntrack.stale_flows(self._applied_services, current))
        self._applied_services = current
        await self.health.update(current)

    async def _look_at_nodes(self) -> None:
        nodes = self._nodes.values()
        own = self._nodes.get(self._network.node_name)
        if own is not None:
            zone, pod_cidr = own.metadata.labels.get(ZONE, ""), own.spec.podCIDR
            if (zone, pod_cidr) != (self._network.zone, self._network.pod_cidr):
                self._network = replace(self._network, zone=zone, pod_cidr=pod_cidr)
        if self._routes is not None:
            # In a thread: pyroute2 brings an event loop of its own.
            await asyncio.to_thread(self._routes.reconcile, wanted(nodes, self._network.node_name))

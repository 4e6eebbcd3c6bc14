"""Service default/kubernetes, and its endpoints: the addresses of all apiservers that are alive.

Each apiserver keeps a key under a lease; what is there becomes Endpoints and EndpointSlice. Renewing a lease writes
nothing, and the objects are only written when the set of addresses changes: the store tells everybody of keys that
come, and of those that go with their apiserver's lease.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
from typing import Any

from apimachinery import timestamps
from apimachinery.errors import StatusError
from apimachinery.resources import require
from apiserver.options import Options
from apiserver.registry.cluster_ips import FAMILIES, first_address
from apiserver.registry.objects import StoredObjects
from component_base.clock import Clock
from component_base.rpc import RpcError
from kubeclient.etcd3 import EtcdClient, prefix_end

JSON = dict[str, Any]
log = logging.getLogger(__name__)
NAMESPACE, NAME = "default", "kubernetes"
PREFIX = "/registry/masterleases/"
#: An apiserver that has died is listed for so long; upstream's time.
LEASE_SECONDS = 15
RENEW_SECONDS = 5.0


class KubernetesService:
    def __init__(self, objects: StoredObjects, etcd: EtcdClient, chosen: Options, clock: Clock) -> None:
        self._objects = objects
        self._etcd = etcd
        self._address = chosen.address
        self._ranges = chosen.service_ranges
        loopback = ipaddress.ip_address(chosen.address).is_loopback
        self._keeps = chosen.values["endpoint-reconciler-type"] != "none" and not loopback
        """Endpoints on loopback addresses mean another machine to everybody else: they are not allowed."""
        self._clock = clock
        self._lease = 0

    async def publish(self, port: int) -> None:
        await self._ensure_range()
        await self._ensure_service(port)
        if self._keeps:
            await self._renew()
            await self._reconcile(port)

    async def keep(self, port: int) -> None:
        """For ever."""
        if not self._keeps:
            return
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep_lease(port))
            group.create_task(self._follow(port))

    async def _keep_lease(self, port: int) -> None:
        while self._keeps:
            await self._clock.sleep(RENEW_SECONDS)
            try:
                await self._renew()
                await self._reconcile(port)
            except (RpcError, StatusError) as error:
                log.warning("the endpoints of the kubernetes Service: %s", error)

    async def _follow(self, port: int) -> None:
        """React at once to others that come and go."""
        prefix = PREFIX.encode()
        while True:
            try:
                async with contextlib.aclosing(self._etcd.watch(prefix, prefix_end(prefix))) as changes:
                    async for change in changes:
                        if change.events:
                            await self._reconcile(port)
            except (RpcError, StatusError) as error:
                log.info("following the addresses of apiservers: %s", error)
            await self._clock.sleep(RENEW_SECONDS)

    async def withdraw(self) -> None:
        """Leave the set; the last one's endpoints stay, for clients that wait for its return."""
        if not self._lease:
            return
        lease, self._lease, self._keeps = self._lease, 0, False
        try:
            await self._etcd.lease_revoke(lease)
        except RpcError as error:
            log.debug("the lease of this apiserver's address is left to expire: %s", error)

    async def _ensure_service(self, port: int) -> None:
        info = require("v1", "services")
        if self._objects.get(info, NAMESPACE, NAME) is not None:
            return
        try:
            await self._objects.create(info, service(first_address(self._ranges[0]), port))
        except StatusError as error:
            if error.reason != "AlreadyExists":
                raise

    async def _ensure_range(self) -> None:
        """The ServiceCIDR that the flag stands for."""
        info = require("networking.k8s.io/v1", "servicecidrs")
        if self._objects.get(info, "", NAME) is None:
            wanted = {"metadata": {"name": NAME}, "spec": {"cidrs": [str(one) for one in self._ranges]}}
            try:
                await self._objects.create(info, wanted)
            except StatusError as error:
                if error.reason != "AlreadyExists":
                    raise
        now = timestamps.format(self._clock.now())
        await self._objects.update_raw(info, "", NAME, lambda current: with_ready(current, now))

    async def _renew(self) -> None:
        if not self._keeps:
            return
        if self._lease and await self._etcd.lease_keepalive(self._lease) > 0:
            return
        self._lease = (await self._etcd.lease_grant(LEASE_SECONDS)).id
        await self._etcd.put(f"{PREFIX}{self._address}".encode(), b"{}", lease=self._lease)

    async def _reconcile(self, port: int) -> None:
        prefix = PREFIX.encode()
        found = await self._etcd.range(prefix, prefix_end(prefix), keys_only=True)
        addresses = sorted(kv.key.decode()[len(PREFIX) :] for kv in found.kvs)
        if not addresses:
            return
        family = FAMILIES[self._ranges[0].version]
        await self._put("v1", "endpoints", endpoints(addresses, port))
        await self._put("discovery.k8s.io/v1", "endpointslices", endpoint_slice(addresses, port, family))

    async def _put(self, api_version: str, plural: str, wanted: JSON) -> None:
        info = require(api_version, plural)
        present = self._objects.get(info, NAMESPACE, NAME)
        if present is None:
            try:
                await self._objects.create(info, wanted)
            except StatusError as error:
                if error.reason != "AlreadyExists":
                    raise
            return
        parts = [name for name in wanted if name not in ("metadata", "kind", "apiVersion")]
        if all(_same(present.get(name), wanted[name]) for name in parts):
            return
        await self._objects.update(
            info, NAMESPACE, NAME, lambda current: {**current, **{name: wanted[name] for name in parts}}
        )


def with_ready(service_range: JSON, now: str) -> JSON | None:
    """None when it says already that addresses may be taken from it."""
    conditions = (service_range.get("status") or {}).get("conditions") or []
    if any(one.get("type") == "Ready" for one in conditions):
        return None
    ready = {
        "type": "Ready",
        "status": "True",
        "lastTransitionTime": now,
        "reason": "",
        "message": "Kubernetes Service CIDR is ready",
    }
    return {**service_range, "status": {"conditions": [*conditions, ready]}}


def _same(left: Any, right: Any) -> bool:
    return bool(left == right)


def service(address: str, port: int) -> JSON:
    return {
        "metadata": {
            "name": NAME,
            "namespace": NAMESPACE,
            "labels": {"component": "apiserver", "provider": "kubernetes"},
        },
        "spec": {
            "clusterIP": address,
            "clusterIPs": [address],
            "ports": [{"name": "https", "protocol": "TCP", "port": 443, "targetPort": port}],
            "sessionAffinity": "None",
            "type": "ClusterIP",
        },
    }


def endpoints(addresses: list[str], port: int) -> JSON:
    subset = {
        "addresses": [{"ip": address} for address in addresses],
        "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
    }
    labels = {"endpointslice.kubernetes.io/skip-mirror": "true"}
    return {"metadata": {"name": NAME, "namespace": NAMESPACE, "labels": labels}, "subsets": [subset]}


def endpoint_slice(addresses: list[str], port: int, family: str) -> JSON:
    return {
        "metadata": {"name": NAME, "namespace": NAMESPACE, "labels": {"kubernetes.io/service-name": NAME}},
        "addressType": family,
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}} for address in addresses],
        "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
    }

"""This server as an endpoint of Service kube-dns: an EndpointSlice of its own for each node.

Ready only while the server answers; taken back when it stops. A node that dies leaves its slice: the owner reference
to the Node lets the garbage collector take it.
"""

from __future__ import annotations

import logging
from typing import Any

import httpx

from apimachinery.errors import StatusError
from component_base.clock import Clock
from kubeclient.rest import RestClient

log = logging.getLogger(__name__)

NAMESPACE = "kube-system"
SERVICE = "kube-dns"
COLLECTION = f"/apis/discovery.k8s.io/v1/namespaces/{NAMESPACE}/endpointslices"
MANAGER = "cluster-dns.skiff"
RETRY_SECONDS = 1.0
MAX_RETRY_SECONDS = 15.0


def slice_for(node_name: str, address: str, port: int, metrics_port: int, ready: bool) -> dict[str, Any]:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": f"{SERVICE}-{node_name}",
            "namespace": NAMESPACE,
            "labels": {
                "kubernetes.io/service-name": SERVICE,
                "endpointslice.kubernetes.io/managed-by": MANAGER,
            },
        },
        "addressType": "IPv6" if ":" in address else "IPv4",
        "endpoints": [
            {
                "addresses": [address],
                "nodeName": node_name,
                "conditions": {"ready": ready, "serving": ready, "terminating": False},
                # A pod asks the server of its own node; others only while that one is away.
                "hints": {"forNodes": [{"name": node_name}]},
            }
        ],
        "ports": [
            {"name": "dns", "port": port, "protocol": "UDP"},
            {"name": "dns-tcp", "port": port, "protocol": "TCP"},
            {"name": "metrics", "port": metrics_port, "protocol": "TCP"},
        ],
    }


class Registration:
    def __init__(self, client: RestClient, clock: Clock, wanted: dict[str, Any]) -> None:
        self._client = client
        self._clock = clock
        self._wanted = wanted
        self._path = f"{COLLECTION}/{wanted['metadata']['name']}"

    async def announce(self) -> None:
        """Returns once the slice is written; tries for as long as that takes."""
        delay = RETRY_SECONDS
        while True:
            try:
                await self._write(self._wanted)
                return
            except (StatusError, httpx.TransportError) as error:
                log.warning("not announced yet, again in %.0f s: %s", delay, error or type(error).__name__)
                await self._clock.sleep(delay)
                delay = min(delay * 2, MAX_RETRY_SECONDS)

    async def withdraw(self) -> None:
        """Pods stop asking here. Errors are of no consequence: the process ends anyway."""
        gone = {**self._wanted, "endpoints": []}
        try:
            await self._write(gone)
        except (StatusError, httpx.TransportError) as error:
            log.info("the announcement stays: %s", error or type(error).__name__)

    async def _write(self, body: dict[str, Any]) -> None:
        try:
            await self._client.create(COLLECTION, body)
        except StatusError as error:
            if error.reason != "AlreadyExists":
                raise
            await self._client.replace(self._path, body)

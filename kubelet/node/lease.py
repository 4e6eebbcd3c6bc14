"""The node's heartbeat: a Lease in kube-node-lease, renewed four times in its duration."""

import logging
from collections.abc import Callable
from typing import Any

import httpx

from apimachinery.errors import StatusError
from component_base.clock import Clock
from kubelet import times
from kubelet.api import Api

log = logging.getLogger(__name__)
JSON = dict[str, Any]
COLLECTION = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
FIRST_DELAY = 0.2
MAX_DELAY = 7.0


class NodeLease:
    def __init__(self, api: Api, clock: Clock, name: str, seconds: int) -> None:
        self._api = api
        self._clock = clock
        self._name = name
        self._seconds = seconds
        self._lease: JSON | None = None

    async def run(self, node_uid: Callable[[], str]) -> None:
        """For ever. The Lease belongs to the Node: while there is none ("") nothing is renewed."""
        delay = FIRST_DELAY
        while True:
            try:
                if uid := node_uid():
                    await self.renew(uid)
            except (StatusError, httpx.HTTPError, OSError) as error:
                log.warning("cannot renew the node's lease, retrying in %.1f s: %s", delay, error)
                self._lease = None
                await self._clock.sleep(delay)
                delay = min(delay * 2, MAX_DELAY)
                continue
            delay = FIRST_DELAY
            await self._clock.sleep(self._seconds / 4)

    async def renew(self, node_uid: str) -> None:
        path = f"{COLLECTION}/{self._name}"
        if self._lease is None:
            try:
                self._lease = await self._api.get(path)
            except StatusError as error:
                if error.code != 404:
                    raise
        spec = {
            "holderIdentity": self._name,
            "leaseDurationSeconds": self._seconds,
            "renewTime": times.micro_text(self._clock.now()),
        }
        if self._lease is None:
            owner = {"apiVersion": "v1", "kind": "Node", "name": self._name, "uid": node_uid}
            metadata = {"name": self._name, "namespace": "kube-node-lease", "ownerReferences": [owner]}
            body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}
            self._lease = await self._api.create(COLLECTION, body)
            return
        self._lease = await self._api.replace(path, {**self._lease, "spec": {**self._lease.get("spec", {}), **spec}})

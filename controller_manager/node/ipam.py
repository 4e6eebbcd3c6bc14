"""A podCIDR for every node, cut from --cluster-cidr; the lowest free one, released when its node is gone."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable

from controller_manager.views import Node
from kubeclient.informer import Informers
from kubeclient.plan import NOTHING, Event, Patch, Plan
from kubeclient.rest import STRATEGIC


class NodeIpamController:
    """Run it with one worker: two nodes decided at once would be given the same range."""

    name = "nodeipam"

    def __init__(self, informers: Informers, cluster_cidr: str, mask: int) -> None:
        """Raises ValueError for a range that cannot be cut so."""
        self._network = ipaddress.ip_network(cluster_cidr)
        if not self._network.prefixlen <= mask <= self._network.max_prefixlen:
            raise ValueError(f"{cluster_cidr} cannot be cut into parts of /{mask}")
        self._mask = mask
        self._nodes = informers.of("/api/v1/nodes", Node)
        self._promised: dict[str, str] = {}  # by node, until the watch shows it
        self._next = 0

    def watch(self, enqueue: Callable[[str], None]) -> None:
        self._nodes.add_key_handler(enqueue)

    def reconcile(self, key: str, now: float) -> Plan:
        node = self._nodes.get(key)
        if node is None or node.spec.podCIDR:
            self._promised.pop(key, None)
            return NOTHING
        cidr = self._promised.get(key) or self._free()
        if cidr is None:
            reference = {"apiVersion": "v1", "kind": "Node", "name": key, "uid": key}
            text = f"Node {key} status is now: CIDRNotAvailable"
            return Plan([[Event(reference, "Normal", "CIDRNotAvailable", text)]], requeue_after=30.0)
        self._promised[key] = cidr
        meta = {"uid": node.metadata.uid}
        return Plan(
            [
                [
                    Patch(
                        f"/api/v1/nodes/{key}",
                        {"metadata": meta, "spec": {"podCIDR": cidr, "podCIDRs": [cidr]}},
                        STRATEGIC,
                    )
                ]
            ]
        )

    def _free(self) -> str | None:
        taken = {node.spec.podCIDR for node in self._nodes.values()} | set(self._promised.values())
        for candidate in self._network.subnets(new_prefix=self._mask):
            if str(candidate) not in taken:
                return str(candidate)
        return None

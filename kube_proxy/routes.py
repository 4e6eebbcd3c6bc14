"""Routes to the other nodes' pods: each podCIDR by way of its node's address. Only for nodes on the same network.

Ours carry a protocol number of their own, so that those of an earlier life are found and nobody else's are touched.
"""

from __future__ import annotations

import ipaddress
import logging
import socket
from collections.abc import Iterable, Mapping

from kube_proxy.views import Node

log = logging.getLogger(__name__)

#: rtnetlink's route protocol of our routes (a free number above RTPROT_STATIC).
PROTOCOL = 157


def wanted(nodes: Iterable[Node], own_name: str) -> dict[str, str]:
    """podCIDR -> gateway, for every other node that has both."""
    routes = {}
    for node in nodes:
        if node.metadata.name == own_name:
            continue
        for cidr in node.spec.podCIDRs or ([node.spec.podCIDR] if node.spec.podCIDR else []):
            gateway = node.internal_ip(":" in cidr)
            if gateway is not None:
                routes[str(ipaddress.ip_network(cidr))] = gateway
    return routes


class RouteTable:
    """The kernel's main table, as far as it is ours. Calls block for microseconds: netlink stays on the host."""

    def reconcile(self, routes: Mapping[str, str]) -> None:
        """Make our routes these. A gateway that is not on-link is logged and left out."""
        from pyroute2 import IPRoute  # heavy, and not needed on a single node
        from pyroute2.netlink.exceptions import NetlinkError

        with IPRoute() as kernel:
            present: dict[str, str] = {}
            for route in kernel.get_routes(family=socket.AF_INET, proto=PROTOCOL):
                destination = f"{route.get_attr('RTA_DST')}/{route['dst_len']}"
                present[destination] = str(route.get_attr("RTA_GATEWAY"))
            for destination in present.keys() - routes.keys():
                kernel.route("del", dst=destination, proto=PROTOCOL)
            for destination, gateway in routes.items():
                if present.get(destination) == gateway:
                    continue
                try:
                    kernel.route("replace", dst=destination, gateway=gateway, proto=PROTOCOL)
                except NetlinkError as error:
                    log.warning("no route to pods %s by %s: %s", destination, gateway, error)

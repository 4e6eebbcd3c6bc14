"""Connections the kernel remembers outlive the rules that made them: UDP flows to endpoints that are gone must go too.

TCP takes care of itself: a reset ends the flow. UDP clients would go on sending into nowhere for as long as they send.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import dataclass

from kube_proxy.rules.service_map import ServicePort

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, order=True)
class Stale:
    """Flows to `address` (or to node port `port`) that were sent on to `endpoint`; "" stands for all of them."""

    address: str
    endpoint: str
    port: int = 0


def stale_flows(old: Iterable[ServicePort], new: Iterable[ServicePort]) -> list[Stale]:
    """What has to be forgotten after the rules went from `old` to `new`."""
    before = {s.key: s for s in old if s.protocol == "udp"}
    after = {s.key: s for s in new if s.protocol == "udp"}
    found: set[Stale] = set()
    for key, service in before.items():
        current = after.get(key)
        kept = {e.ip for e in current.endpoints} if current is not None else set()
        for ip in {e.ip for e in service.endpoints} - kept:
            found |= _flows(service, ip)
    for key, service in after.items():
        earlier = before.get(key)
        if service.endpoints and (earlier is None or not earlier.endpoints):
            found |= _flows(service, "")  # flows from the time without endpoints lead to the address itself
    return sorted(found)


def _flows(service: ServicePort, endpoint: str) -> set[Stale]:
    addresses = (service.cluster_ip, *service.external_ips, *service.load_balancer_ips)
    found = {Stale(address, endpoint) for address in addresses}
    if service.node_port:
        found.add(Stale("", endpoint, service.node_port))
    return found


def command(flow: Stale) -> list[str]:
    """conntrack(8)'s arguments."""
    arguments = ["-D", "-p", "udp"]
    if flow.address:
        arguments += ["--orig-dst", flow.address]
    if flow.port:
        arguments += ["--orig-port-dst", str(flow.port)]
    if flow.endpoint:
        arguments += ["--reply-src", flow.endpoint]
    return arguments


async def forget(flows: Iterable[Stale], program: str = "conntrack") -> None:
    for flow in flows:
        try:
            child = await asyncio.create_subprocess_exec(
                program, *command(flow), stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
            )
        except OSError as error:
            log.warning("%s cannot be run, old UDP flows stay: %s", program, error.strerror)
            return
        await child.wait()  # 1: there was no such flow

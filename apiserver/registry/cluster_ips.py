"""Addresses of Services: each taken by creating the IPAddress object of its name, which only one can do."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from typing import Any

from apimachinery.errors import StatusError
from apimachinery.resources import require
from apiserver.ports import Objects
from component_base.rng import Rng

JSON = dict[str, Any]
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
FAMILIES = {4: "IPv4", 6: "IPv6"}
_RANDOM_TRIES = 64
MANAGED_BY, ALLOCATOR = "ipaddress.kubernetes.io/managed-by", "ipallocator.k8s.io"


class AddressRefused(Exception):
    """Why the address cannot be had, in upstream's words."""


def network_of(networks: Sequence[Network], family: str) -> Network | None:
    return next((network for network in networks if FAMILIES[network.version] == family), None)


def first_address(network: Network) -> str:
    """The address of Service default/kubernetes."""
    return str(network.network_address + 1)


def reserved_below(network: Network) -> int:
    """The first addresses are for those who ask for one by name; automatic ones come from above."""
    size = min(network.num_addresses, 1 << 32)
    return min(max(16, size // 16), 256) if size >= 32 else 0


class ClusterIPs:
    def __init__(self, objects: Objects, networks: Sequence[Network], rng: Rng) -> None:
        self._objects = objects
        self._networks = networks
        self._rng = rng
        self._info = require("networking.k8s.io/v1", "ipaddresses")

    async def take(self, address: str, namespace: str, name: str, dry_run: bool) -> None:
        """Raises AddressRefused."""
        parsed = ipaddress.ip_address(address)
        network = network_of(self._networks, FAMILIES[parsed.version])
        if network is None or parsed not in network or parsed in _ends(network):
            valid = network or self._networks[0]
            raise AddressRefused(
                f"the provided IP ({address}) is not in the valid range. The range of valid IPs is {valid}"
            )
        if not await self._claim(address, namespace, name, dry_run):
            raise AddressRefused("provided IP is already allocated")

    async def take_any(self, family: str, namespace: str, name: str, dry_run: bool) -> str:
        """Raises AddressRefused when the range is full."""
        network = network_of(self._networks, family)
        if network is None:
            raise AddressRefused(f"no range of family {family} is configured")
        for address in self._candidates(network):
            if self._objects.get(self._info, "", address) is None and await self._claim(
                address, namespace, name, dry_run
            ):
                return address
        raise AddressRefused("range is full")

    def _candidates(self, network: Network) -> Iterator[str]:
        size = min(network.num_addresses, 1 << 32)
        low = reserved_below(network)
        last = size - (1 if network.version == 4 and size > 2 else 0)
        base = network.network_address
        for _ in range(_RANDOM_TRIES):
            yield str(base + self._rng.randrange(max(low, 1), last))
        for offset in (*range(max(low, 1), min(last, 1 << 20)), *range(1, low)):
            yield str(base + offset)

    async def _claim(self, address: str, namespace: str, name: str, dry_run: bool) -> bool:
        if dry_run:
            return self._objects.get(self._info, "", address) is None
        try:
            await self._objects.create(self._info, ip_address(address, namespace, name))
        except StatusError as error:
            if error.reason != "AlreadyExists":
                raise
            return await self._is_ours(address, namespace, name)
        return True

    async def _is_ours(self, address: str, namespace: str, name: str) -> bool:
        """Left over by an attempt that was cut off between the address and its Service."""
        present = await self._objects.get_latest(self._info, "", address)
        reference = ((present or {}).get("spec") or {}).get("parentRef") or {}
        same = reference.get("namespace") == namespace and reference.get("name") == name
        return same and self._objects.get(require("v1", "services"), namespace, name) is None

    async def give_back(self, address: str) -> None:
        await self._objects.delete(self._info, "", address)


def _ends(network: Network) -> tuple[Any, ...]:
    return (network.network_address, network.broadcast_address) if network.version == 4 else (network.network_address,)


def ip_address(address: str, namespace: str, name: str) -> JSON:
    labels = {
        "ipaddress.kubernetes.io/ip-family": FAMILIES[ipaddress.ip_address(address).version],
        MANAGED_BY: ALLOCATOR,
    }
    reference = {"group": "", "resource": "services", "namespace": namespace, "name": name}
    return {"metadata": {"name": address, "labels": labels}, "spec": {"parentRef": reference}}

"""What a Service's writes do besides storing it: IP families, cluster IPs, node ports, and giving them back."""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from apimachinery import errors, timestamps
from apimachinery.fields import FieldError, Path, invalid
from apimachinery.resources import require
from apiserver.ports import Objects
from apiserver.registry.cluster_ips import ALLOCATOR, FAMILIES, MANAGED_BY, AddressRefused, ClusterIPs, Network
from apiserver.registry.node_ports import NodePorts, PortRefused
from apiserver.storage.store import ObjectStore
from component_base.clock import Clock
from component_base.rng import Rng

JSON = dict[str, Any]
NONE = "None"
SPEC = Path("spec")
#: Younger addresses may belong to a Service that another apiserver is just about to store.
ORPHAN_SECONDS = 120.0


@dataclass(slots=True)
class _Taken:
    addresses: list[str] = field(default_factory=list)
    ports: list[int] = field(default_factory=list)


class ServiceSide:
    def __init__(
        self, objects: Objects, store: ObjectStore, networks: Sequence[Network], ports: range, rng: Rng, clock: Clock
    ) -> None:
        self._clock = clock
        self._objects = objects
        self._families = [FAMILIES[network.version] for network in networks]
        self.addresses = ClusterIPs(objects, networks, rng)
        self._ports = NodePorts(store, ports, rng)

    async def start(self) -> None:
        used = [port for service in self._objects.list(require("v1", "services")) for port in ports_of(service)]
        await self._ports.repair(used)
        await self._free_orphans()

    async def _free_orphans(self) -> None:
        """Addresses whose Service was never stored, or is gone: an apiserver was killed in between."""
        services = require("v1", "services")
        for address in list(self._objects.list(require("networking.k8s.io/v1", "ipaddresses"))):
            metadata, reference = address["metadata"], address["spec"].get("parentRef") or {}
            if (metadata.get("labels") or {}).get(MANAGED_BY) != ALLOCATOR or reference.get("resource") != "services":
                continue
            age = self._clock.now() - timestamps.parse(metadata["creationTimestamp"])
            service = self._objects.get(services, reference.get("namespace", ""), reference.get("name", ""))
            if age > ORPHAN_SECONDS and (service is None or metadata["name"] not in addresses_of(service)):
                await self.addresses.give_back(metadata["name"])

    async def prepare(self, new: JSON | None, old: JSON | None, dry_run: bool) -> Callable[[bool], Awaitable[None]]:
        if new is None:
            assert old is not None
            freed = _Taken(addresses_of(old), ports_of(old))
            return self._settle(_Taken(), freed)
        if old is not None:
            keep_allocated(new, old)
        self._settle_families(new, old)
        taken = _Taken()
        before = set(ports_of(old)) if old else set()
        try:
            await self._take_addresses(new, old, taken, dry_run)
            await self._take_ports(new, before, taken, dry_run)
        except BaseException:
            if not dry_run:
                await self._release(taken)
            raise
        freed = _Taken()
        if old is not None:
            kept = set(addresses_of(new))
            freed.addresses = [address for address in addresses_of(old) if address not in kept]
            freed.ports = sorted(before - set(ports_of(new)))
        return self._settle(_Taken() if dry_run else taken, freed)

    def _settle(self, taken: _Taken, freed: _Taken) -> Callable[[bool], Awaitable[None]]:
        async def settle(done: bool) -> None:
            await self._release(freed if done else taken)

        return settle

    async def _release(self, what: _Taken) -> None:
        for address in what.addresses:
            await self.addresses.give_back(address)
        await self._ports.give_back(what.ports)

    # -- Families

    def _settle_families(self, service: JSON, old: JSON | None) -> None:
        spec = service["spec"]
        if spec.get("type") == "ExternalName":
            return
        addresses = spec.get("clusterIPs") or []
        if not addresses and spec.get("clusterIP"):
            addresses = spec["clusterIPs"] = [spec["clusterIP"]]
        elif addresses and not spec.get("clusterIP") and old is None:
            spec["clusterIP"] = addresses[0]
        headless = addresses[:1] == [NONE]
        families: list[str] = list(spec.get("ipFamilies") or ())
        policy = spec.get("ipFamilyPolicy")
        if headless and not spec.get("selector"):
            policy = policy or "RequireDualStack"
            families = families or [self._families[0]]
            if policy != "SingleStack" and len(families) == 1:
                families.append("IPv6" if families[0] == "IPv4" else "IPv4")
        else:
            policy = policy or ("RequireDualStack" if len(addresses) > 1 or len(families) > 1 else "SingleStack")
            families = self._complete_families(service, families, addresses, policy)
        spec["ipFamilyPolicy"], spec["ipFamilies"] = policy, families

    def _complete_families(self, service: JSON, families: list[str], addresses: list[str], policy: str) -> list[str]:
        if policy == "RequireDualStack" and len(self._families) < 2:
            raise _refuse(
                service,
                invalid(
                    SPEC.child("ipFamilyPolicy"),
                    policy,
                    "this cluster is not configured for dual-stack services",
                ),
            )
        if not families:
            families = [FAMILIES[ipaddress.ip_address(a).version] for a in addresses if a != NONE and _is_ip(a)]
        families = families or [self._families[0]]
        for position, family in enumerate(families):
            if family not in self._families:
                path = SPEC.child("ipFamilies").index(position)
                raise _refuse(service, invalid(path, family, "not configured on this cluster"))
        if policy != "SingleStack" and len(families) == 1 and len(self._families) > 1:
            families = [*families, *(f for f in self._families if f not in families)]
        return families[:1] if policy == "SingleStack" else families

    # -- Addresses

    async def _take_addresses(self, service: JSON, old: JSON | None, taken: _Taken, dry_run: bool) -> None:
        spec, metadata = service["spec"], service["metadata"]
        if spec.get("type") == "ExternalName" or spec.get("clusterIP") == NONE:
            return
        held = addresses_of(old) if old else []
        wanted: list[str] = list(spec.get("clusterIPs") or ())
        found: list[str] = []
        for position, family in enumerate(spec["ipFamilies"]):
            asked = wanted[position] if position < len(wanted) else ""
            if asked and asked in held:
                found.append(asked)
                continue
            if asked and not _is_ip(asked):
                return  # validation says what is wrong with it
            try:
                if asked:
                    await self.addresses.take(asked, metadata["namespace"], metadata["name"], dry_run)
                else:
                    asked = await self.addresses.take_any(family, metadata["namespace"], metadata["name"], dry_run)
            except AddressRefused as refused:
                problem = invalid(SPEC.child("clusterIPs"), wanted, f"failed to allocate IP {asked}: {refused}")
                raise _refuse(service, problem) from None
            taken.addresses.append(asked)
            found.append(asked)
        spec["clusterIPs"], spec["clusterIP"] = found, found[0]

    # -- Ports

    async def _take_ports(self, service: JSON, held: set[int], taken: _Taken, dry_run: bool) -> None:
        spec = service["spec"]
        if not needs_node_ports(spec):
            return
        known: dict[int, int] = {}
        for position, port in enumerate(spec.get("ports") or ()):
            asked = port.get("nodePort") or 0
            if asked and asked not in held and asked not in known:
                known[asked] = position
        try:
            await self._ports.take(known, 0, dry_run)
        except PortRefused as refused:
            asked, position = next(iter(known.items()))
            path = SPEC.child("ports").index(position).child("nodePort")
            raise _refuse(service, invalid(path, asked, str(refused))) from None
        taken.ports += known
        empty = [port for port in spec.get("ports") or () if not port.get("nodePort")]
        check = needs_health_port(spec)
        chosen = await self._choose(service, _distinct(empty) + (1 if check else 0), taken, dry_run)
        by_number: dict[int, int] = {}
        for port in empty:
            number = port.get("port") or 0
            if number not in by_number:
                by_number[number] = chosen.pop()
            port["nodePort"] = by_number[number]
        if check:
            spec["healthCheckNodePort"] = chosen.pop()

    async def _choose(self, service: JSON, count: int, taken: _Taken, dry_run: bool) -> list[int]:
        if not count:
            return []
        try:
            chosen = await self._ports.take((), count, dry_run)
        except PortRefused as refused:
            cause = f"failed to allocate a nodePort: {refused}"
            raise errors.internal(cause) from None
        taken.ports += chosen
        return list(chosen)


def _distinct(ports: list[JSON]) -> int:
    """The same port over TCP and UDP shares one node port."""
    return len({port.get("port") for port in ports})


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _refuse(service: JSON, problem: FieldError) -> errors.StatusError:
    return errors.invalid("", "Service", service["metadata"].get("name", ""), [problem])


def needs_cluster_ip(spec: JSON) -> bool:
    return spec.get("type", "ClusterIP") in ("ClusterIP", "NodePort", "LoadBalancer") and spec.get("clusterIP") != NONE


def needs_node_ports(spec: JSON) -> bool:
    if spec.get("type") == "NodePort":
        return True
    return spec.get("type") == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts") is not False


def needs_health_port(spec: JSON) -> bool:
    local = spec.get("type") == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local"
    return local and not spec.get("healthCheckNodePort")


def addresses_of(service: JSON) -> list[str]:
    spec = service.get("spec") or {}
    found = spec.get("clusterIPs") or ([spec["clusterIP"]] if spec.get("clusterIP") else [])
    return [address for address in found if address and address != NONE]


def ports_of(service: JSON) -> list[int]:
    spec = service.get("spec") or {}
    found = [port["nodePort"] for port in spec.get("ports") or () if port.get("nodePort")]
    if spec.get("healthCheckNodePort"):
        found.append(spec["healthCheckNodePort"])
    return found


def keep_allocated(new: JSON, old: JSON) -> None:
    """What was allocated before stays, where a writer leaves it out."""
    spec, before = new["spec"], old.get("spec") or {}
    if needs_cluster_ip(before) and needs_cluster_ip(spec):
        if not spec.get("clusterIP") and before.get("clusterIP"):
            spec["clusterIP"] = before["clusterIP"]
        if not spec.get("clusterIPs") and spec.get("clusterIP") == before.get("clusterIP"):
            spec["clusterIPs"] = list(before.get("clusterIPs") or ())
        for name in ("ipFamilies", "ipFamilyPolicy"):
            if not spec.get(name) and before.get(name):
                spec[name] = before[name]
    if needs_node_ports(before) and needs_node_ports(spec):
        known = {(p.get("protocol", "TCP"), p.get("port")): p.get("nodePort") for p in before.get("ports") or ()}
        used = set(ports_of(new))
        for port in spec.get("ports") or ():
            previous = known.get((port.get("protocol", "TCP"), port.get("port")))
            if not port.get("nodePort") and previous and previous not in used:
                port["nodePort"] = previous
    if before.get("healthCheckNodePort") and not spec.get("healthCheckNodePort"):
        local = spec.get("type") == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local"
        if local:
            spec["healthCheckNodePort"] = before["healthCheckNodePort"]

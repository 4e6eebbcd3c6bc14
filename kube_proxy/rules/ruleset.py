"""The whole wanted state of the table: chains with their rules, sets with their declarations, map elements.

Names begin with what the chain does and a hash of its key, so that they are unique within nftables' limit of 128
characters and still tell a reader of `nft list ruleset` which Service they belong to.
"""

from __future__ import annotations

import hashlib
from base64 import b32encode
from collections.abc import Iterable
from dataclasses import dataclass, field

from kube_proxy.rules import base
from kube_proxy.rules.base import Network
from kube_proxy.rules.endpoints import Choice, choose
from kube_proxy.rules.service_map import Endpoint, ServicePort

NAME_LIMIT = 120


@dataclass(slots=True)
class Ruleset:
    """`elements[map][key]` is the verdict, or "" for a plain set. Equal rulesets need no transaction."""

    chains: dict[str, tuple[str, ...]] = field(default_factory=dict)
    sets: dict[str, str] = field(default_factory=dict)
    elements: dict[str, dict[str, str]] = field(default_factory=dict)

    def add(self, where: str, key: str, verdict: str = "") -> None:
        """The first verdict for a key wins: two Services may claim the same external address and port."""
        self.elements[where].setdefault(key, verdict)


def build(services: Iterable[ServicePort], network: Network) -> Ruleset:
    sets = base.map_types(network)
    rules = Ruleset(base.chains(network), dict(sets), {name: {} for name in sets})
    for service in services:
        add_service(rules, service, network)
    return rules


def add_service(rules: Ruleset, service: ServicePort, network: Network) -> None:
    choice = choose(service, network.node_name, network.zone)
    rules.add(base.CLUSTER_IPS, service.cluster_ip)
    for endpoint in choice.all:
        add_endpoint(rules, service, endpoint, network)
    cluster_chain = chain_name("service", service.key)
    local_chain = chain_name("local", service.key)
    if choice.cluster:
        rules.chains[cluster_chain] = balance(service, choice.cluster, network)
    if choice.local:
        rules.chains[local_chain] = balance(service, choice.local, network)
    add_internal(rules, service, choice, network, local_chain if service.internal_local else cluster_chain)
    if service.is_externally_accessible:
        add_external(rules, service, choice, network)


def add_internal(rules: Ruleset, service: ServicePort, choice: Choice, network: Network, target: str) -> None:
    key = address_key(service.cluster_ip, service)
    serving = choice.local if service.internal_local else choice.cluster
    if not serving:
        rules.add(base.NO_ENDPOINT_IPS, key, "drop" if choice.exists_elsewhere else f"goto {base.CHAIN_REJECT}")
        return
    entry = chain_name("cluster-ip", service.key)
    mark = ""
    if network.masquerade_all:
        mark = f"jump {base.CHAIN_MARK}"
    elif network.cluster_cidr:
        mark = f"{network.family} saddr != {network.cluster_cidr} jump {base.CHAIN_MARK}"
    rules.chains[entry] = tuple(rule for rule in (mark, f"goto {target}") if rule)
    rules.add(base.SERVICE_IPS, key, f"goto {entry}")


def add_external(rules: Ruleset, service: ServicePort, choice: Choice, network: Network) -> None:
    serving = choice.local if service.external_local else choice.cluster
    addresses = (*service.external_ips, *service.load_balancer_ips)
    reachable = serving or (service.external_local and choice.cluster)
    if not reachable:
        verdict = "drop" if choice.exists_elsewhere else f"goto {base.CHAIN_REJECT}"
        for address in addresses:
            rules.add(base.NO_ENDPOINT_IPS, address_key(address, service), verdict)
        if service.node_port:
            rules.add(base.NO_ENDPOINT_NODE_PORTS, port_key(service), verdict)
        return
    entry = chain_name("external", service.key)
    rules.chains[entry] = external_rules(service, choice, network)
    for address in addresses:
        rules.add(base.SERVICE_IPS, address_key(address, service), f"goto {entry}")
    if service.node_port:
        rules.add(base.SERVICE_NODE_PORTS, port_key(service), f"goto {entry}")
    if service.source_ranges:
        firewall = chain_name("firewall", service.key)
        allowed = ", ".join(sorted({*service.source_ranges, *service.load_balancer_ips}))
        rules.chains[firewall] = (f"{network.family} saddr != {{ {allowed} }} drop",)
        for address in service.load_balancer_ips:
            rules.add(base.FIREWALL_IPS, address_key(address, service), f"goto {firewall}")


def external_rules(service: ServicePort, choice: Choice, network: Network) -> tuple[str, ...]:
    cluster_chain, local_chain = chain_name("service", service.key), chain_name("local", service.key)
    if not service.external_local:
        return (f"jump {base.CHAIN_MARK}", f"goto {cluster_chain}")
    rules: list[str] = []
    if choice.cluster:
        # Clients inside the cluster need no source address kept by the policy: any endpoint serves them.
        if network.cluster_cidr:
            rules.append(f"{network.family} saddr {network.cluster_cidr} goto {cluster_chain}")
        rules.append(f"fib saddr type local jump {base.CHAIN_MARK}")
        rules.append(f"fib saddr type local goto {cluster_chain}")
    rules.append(f"goto {local_chain}" if choice.local else "drop")
    return tuple(rules)


def balance(service: ServicePort, endpoints: tuple[Endpoint, ...], network: Network) -> tuple[str, ...]:
    """Remembered clients first, then one endpoint at random, each with the same chance."""
    rules = []
    if service.affinity_seconds:
        for e in endpoints:
            seen = affinity_set(service, e)
            rules.append(f"{network.family} saddr @{seen} goto {endpoint_chain(service, e)}")
    if len(endpoints) == 1:
        rules.append(f"goto {endpoint_chain(service, endpoints[0])}")
    else:
        targets = ", ".join(f"{n} : goto {endpoint_chain(service, e)}" for n, e in enumerate(endpoints))
        rules.append(f"numgen random mod {len(endpoints)} vmap {{ {targets} }}")
    return tuple(rules)


def add_endpoint(rules: Ruleset, service: ServicePort, endpoint: Endpoint, network: Network) -> None:
    ip, v6 = endpoint.ip, network.v6
    # A pod that reaches itself through its Service must see an answer from the Service, not from itself.
    chain = [f"{network.family} saddr {ip} jump {base.CHAIN_MARK}"]
    if service.affinity_seconds:
        seen = affinity_set(service, endpoint)
        rules.sets[seen] = (
            f"set {seen} {{ type {network.address_type} ; flags dynamic,timeout ; "
            f"timeout {service.affinity_seconds}s ; }}"
        )
        rules.elements.setdefault(seen, {})
        chain.append(f"update @{seen} {{ {network.family} saddr }}")
    target = f"[{ip}]:{endpoint.port}" if v6 else f"{ip}:{endpoint.port}"
    chain.append(f"meta l4proto {service.protocol} dnat to {target}")
    rules.chains[endpoint_chain(service, endpoint)] = tuple(chain)


def chain_name(kind: str, key: str) -> str:
    digest = b32encode(hashlib.sha256(key.encode()).digest()).decode()[:8]
    return f"{kind}-{digest}-{key.rstrip('/')}"[:NAME_LIMIT]


def endpoint_chain(service: ServicePort, endpoint: Endpoint) -> str:
    return chain_name("endpoint", f"{service.key}__{endpoint.ip.replace(':', '.')}/{endpoint.port}")


def affinity_set(service: ServicePort, endpoint: Endpoint) -> str:
    """The timeout is part of the name: a set's declaration can then never change under its users."""
    target = f"{endpoint.ip.replace(':', '.')}/{endpoint.port}"
    return chain_name("affinity", f"{service.key}__{target}/{service.affinity_seconds}s")


def address_key(address: str, service: ServicePort) -> str:
    return f"{address} . {service.protocol} . {service.port}"


def port_key(service: ServicePort) -> str:
    return f"{service.protocol} . {service.node_port}"

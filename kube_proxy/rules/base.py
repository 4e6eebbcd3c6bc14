"""The frame of the nftables table: hooks, maps and the chains that do not depend on any Service.

A packet for a Service passes these chains (KEP-3866 describes the same design):

    prerouting -110  firewall: load-balancer source ranges
    prerouting -100  services: cluster, external and load-balancer addresses by one map, node ports by another -> dnat
    input, forward, output -110  connections to Services without endpoints are refused or dropped by two maps
    forward -90, output -90  what is still addressed to a cluster address uses a port that nobody serves: refused
    postrouting 100  masquerade what was marked, and what pods send out of the cluster

Lookups are by hash map, so the cost of a packet does not grow with the number of Services.
"""

from __future__ import annotations

from dataclasses import dataclass

TABLE = "kube-proxy"
MARK = "0x4000"  # upstream's masquerade bit (14)

CHAIN_SERVICES = "services"
CHAIN_MARK = "mark-for-masquerade"
CHAIN_REJECT = "reject-chain"
SERVICE_IPS = "service-ips"
SERVICE_NODE_PORTS = "service-nodeports"
NO_ENDPOINT_IPS = "no-endpoint-services"
NO_ENDPOINT_NODE_PORTS = "no-endpoint-nodeports"
FIREWALL_IPS = "firewall-ips"
CLUSTER_IPS = "cluster-ips"


@dataclass(frozen=True, slots=True)
class Network:
    """What the rules need to know of this node and the cluster. CIDRs are "" when unknown."""

    node_name: str
    zone: str = ""
    cluster_cidr: str = ""
    pod_cidr: str = ""
    pod_bridge: str = "cbr0"
    node_port_addresses: tuple[str, ...] = ()  # CIDRs; empty: every local address but loopback
    masquerade_all: bool = False
    masquerade_egress: bool = True
    v6: bool = False

    @property
    def family(self) -> str:
        return "ip6" if self.v6 else "ip"

    @property
    def address_type(self) -> str:
        return "ipv6_addr" if self.v6 else "ipv4_addr"


def map_types(network: Network) -> dict[str, str]:
    """Declarations of the maps and sets whose elements the Services fill."""
    by_address = f"type {network.address_type} . inet_proto . inet_service : verdict ;"
    by_port = "type inet_proto . inet_service : verdict ;"
    return {
        SERVICE_IPS: f"map {SERVICE_IPS} {{ {by_address} }}",
        SERVICE_NODE_PORTS: f"map {SERVICE_NODE_PORTS} {{ {by_port} }}",
        NO_ENDPOINT_IPS: f"map {NO_ENDPOINT_IPS} {{ {by_address} }}",
        NO_ENDPOINT_NODE_PORTS: f"map {NO_ENDPOINT_NODE_PORTS} {{ {by_port} }}",
        FIREWALL_IPS: f"map {FIREWALL_IPS} {{ {by_address} }}",
        CLUSTER_IPS: f"set {CLUSTER_IPS} {{ type {network.address_type} ; }}",
    }


def node_port_match(network: Network) -> str:
    if network.node_port_addresses:
        return f"{network.family} daddr {{ {', '.join(network.node_port_addresses)} }}"
    loopback = "::1" if network.v6 else "127.0.0.0/8"
    return f"fib daddr type local {network.family} daddr != {loopback}"


def chains(network: Network) -> dict[str, tuple[str, ...]]:
    """Every chain of the frame with its rules; a first line in braces declares a hook."""
    ip = network.family
    by_address = f"{ip} daddr . meta l4proto . th dport vmap"
    node_ports = f"{node_port_match(network)} meta l4proto . th dport vmap"
    new = "ct state new"
    return {
        CHAIN_MARK: (f"meta mark set meta mark or {MARK}",),
        CHAIN_REJECT: ("reject",),
        CHAIN_SERVICES: (f"{by_address} @{SERVICE_IPS}", f"{node_ports} @{SERVICE_NODE_PORTS}"),
        "firewall-check": (f"{by_address} @{FIREWALL_IPS}",),
        "service-endpoints-check": (f"{by_address} @{NO_ENDPOINT_IPS}",),
        "nodeport-endpoints-check": (f"{node_ports} @{NO_ENDPOINT_NODE_PORTS}",),
        "cluster-ips-check": (f"{ip} daddr @{CLUSTER_IPS} reject",),
        "masquerading": masquerading(network),
        "filter-prerouting": (
            "{ type filter hook prerouting priority -110 ; }",
            f"{new} jump firewall-check",
        ),
        "filter-input": (
            "{ type filter hook input priority -110 ; }",
            f"{new} jump nodeport-endpoints-check",
            f"{new} jump service-endpoints-check",
        ),
        "filter-forward": (
            "{ type filter hook forward priority -110 ; }",
            f"{new} jump service-endpoints-check",
            f"{new} jump cluster-ips-check",
        ),
        "filter-output": (
            "{ type filter hook output priority -110 ; }",
            f"{new} jump service-endpoints-check",
            f"{new} jump firewall-check",
        ),
        "filter-output-post-dnat": (
            "{ type filter hook output priority -90 ; }",
            f"{new} jump cluster-ips-check",
        ),
        "nat-prerouting": ("{ type nat hook prerouting priority -100 ; }", f"jump {CHAIN_SERVICES}"),
        "nat-output": ("{ type nat hook output priority -100 ; }", f"jump {CHAIN_SERVICES}"),
        "nat-postrouting": ("{ type nat hook postrouting priority 100 ; }", "jump masquerading"),
    }


def masquerading(network: Network) -> tuple[str, ...]:
    rules: list[str] = []
    if network.masquerade_egress and network.pod_cidr:
        multicast = "ff00::/8" if network.v6 else "224.0.0.0/4"
        inside = ", ".join(c for c in (network.cluster_cidr or network.pod_cidr, multicast) if c)
        rules.append(
            f"{network.family} saddr {network.pod_cidr} {network.family} daddr != {{ {inside} }} "
            f'oifname != "{network.pod_bridge}" masquerade fully-random'
        )
    return (
        f"meta mark & {MARK} != 0 meta mark set meta mark xor {MARK} masquerade fully-random",
        *rules,
    )

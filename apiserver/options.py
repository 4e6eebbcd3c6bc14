"""The apiserver's flags, under upstream's names."""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass
from pathlib import Path

from apiserver import admission
from apiserver.audit import flags as audit
from apiserver.authn import options as authn
from apiserver.authz import modes
from apiserver.proxy import options as proxy
from apiserver.tokens import options as tokens
from component_base.flags import FlagSet, Values, fail
from component_base.rpc import ClientTls

PROGRAM = "apiserver"


def declare() -> FlagSet:
    flags = FlagSet(PROGRAM, "serves the Kubernetes API from a store that speaks etcd v3")
    _serving(flags)
    _store(flags)
    authn.declare(flags)
    modes.declare(flags)
    tokens.declare(flags)
    admission.declare(flags)
    proxy.declare(flags)
    audit.declare(flags)
    _cluster(flags)
    _accepted(flags)
    return flags


def _serving(flags: FlagSet) -> None:
    flags.string("bind-address", "0.0.0.0", "address to listen on")
    flags.port("secure-port", 6443, "port to listen on with HTTPS; 0: any free one")
    flags.string("advertise-address", "", "address at which others reach this apiserver; by default --bind-address")
    flags.string("external-hostname", "", "host name in URLs that are made for clients outside the cluster")
    flags.string("tls-cert-file", "", "PEM certificate to serve with", required=True)
    flags.string("tls-private-key-file", "", "PEM key of --tls-cert-file", required=True)
    flags.boolean("enable-priority-and-fairness", True, "queue requests by FlowSchemas and priority levels")
    flags.integer("workers", 1, "processes that serve the port together", minimum=1)
    flags.integer("max-requests-inflight", 400, "reads at a time; with priorities, seats for all together", minimum=0)
    flags.integer("max-mutating-requests-inflight", 200, "writes at a time; with priorities, more seats", minimum=0)
    flags.duration("request-timeout", 60, "how long a request may take, watches and connections aside")
    flags.duration("min-request-timeout", 1800, "how long watches last that name no timeout, at least")
    flags.duration("shutdown-delay-duration", 0, "keep serving for this long after SIGTERM while /readyz fails")
    flags.integer("v", 0, "log verbosity: from 4 on each request is logged", minimum=0)
    flags.choice("logging-format", "text", ("text", "json"), "form of log lines")
    flags.boolean("profiling", False, "accepted for compatibility")


def _store(flags: FlagSet) -> None:
    flags.strings("etcd-servers", (), "URLs of the store's members, such as https://127.0.0.1:2379", required=True)
    flags.string("etcd-cafile", "", "PEM authorities that sign the store's certificates")
    flags.string("etcd-certfile", "", "PEM client certificate for the store")
    flags.string("etcd-keyfile", "", "PEM key of --etcd-certfile")
    flags.string("etcd-prefix", "/registry", "prefix of all keys; only /registry is supported")
    flags.duration("etcd-compaction-interval", 300, "how often old revisions are forgotten; 0: never")
    flags.duration("event-ttl", 3600, "how long Events are kept")


def _cluster(flags: FlagSet) -> None:
    flags.string(
        "service-cluster-ip-range",
        "10.0.0.0/24",
        "CIDR of Service addresses; a second one of the other family may follow a comma",
    )
    flags.string("service-node-port-range", "30000-32767", "ports of Services of type NodePort and LoadBalancer")
    flags.string("proxy-client-cert-file", "", "PEM certificate that proves to extension servers who proxies")
    flags.string("proxy-client-key-file", "", "PEM key of --proxy-client-cert-file")
    flags.boolean("allow-privileged", True, "pods may ask for privileged containers; only Pod Security forbids them")
    flags.choice(
        "endpoint-reconciler-type",
        "lease",
        ("lease", "master-count", "none"),
        "how the kubernetes Service's endpoints are kept",
    )
    flags.integer("apiserver-count", 1, "accepted for compatibility", minimum=1)


def _accepted(flags: FlagSet) -> None:
    """Upstream's flags which manifests carry and which change nothing here."""
    flags.string("storage-backend", "etcd3", "accepted for compatibility")
    flags.string("storage-media-type", "application/json", "accepted; values are always JSON")
    flags.mapping("feature-gates", {}, "accepted for compatibility")
    flags.mapping("runtime-config", {}, "accepted for compatibility")
    flags.string("tls-min-version", "VersionTLS12", "accepted; TLS 1.2 is the least")
    flags.strings("tls-cipher-suites", (), "accepted for compatibility")
    flags.duration("kubelet-timeout", 5, "accepted for compatibility")
    flags.boolean("enable-aggregator-routing", False, "accepted for compatibility")
    flags.boolean("enable-garbage-collector", True, "accepted for compatibility")
    flags.string("kubernetes-service-node-port", "0", "accepted for compatibility")
    flags.boolean("watch-cache", True, "accepted; reads always come from memory")
    flags.string("cert-dir", "", "accepted for compatibility")
    flags.string("log-dir", "/var/log/skiff", "folder whose files /logs serves")


@dataclass(frozen=True, slots=True)
class Options:
    """What has been checked and is typed beyond the flags' own values."""

    values: Values
    address: str
    """Where others reach this apiserver."""
    port: int
    service_ranges: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]
    node_ports: range
    etcd_tls: ClientTls | None


def parse(arguments: list[str] | None = None) -> Options:
    """Ends the process with one sentence when a flag cannot be right."""
    values = declare().parse(arguments)
    if values["etcd-prefix"].strip("/") != "registry":
        fail(PROGRAM, "--etcd-prefix: only /registry is supported")
    if not values["allow-privileged"]:
        hint = "label namespaces with pod-security.kubernetes.io/enforce=baseline instead"
        fail(PROGRAM, f"--allow-privileged=false is not supported: {hint}")
    for name in ("tls-cert-file", "tls-private-key-file", "etcd-cafile", "etcd-certfile", "etcd-keyfile"):
        if values[name] and not Path(values[name]).is_file():
            fail(PROGRAM, f"--{name}: {values[name]} does not exist or is no file")
    address = values["advertise-address"] or values["bind-address"]
    if address in ("0.0.0.0", "::"):
        address = own_address()
    try:
        ipaddress.ip_address(address)
    except ValueError:
        fail(PROGRAM, f"--advertise-address: {address!r} is not an IP address")
    return Options(values, address, values["secure-port"], _ranges(values), _node_ports(values), _etcd_tls(values))


def own_address() -> str:
    """The address from which this host reaches others; no packet is sent to find out."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.1"
        address: str = probe.getsockname()[0]
        return address


def _ranges(values: Values) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    found = []
    for text in values["service-cluster-ip-range"].split(","):
        try:
            found.append(ipaddress.ip_network(text.strip()))
        except ValueError as error:
            fail(PROGRAM, f"--service-cluster-ip-range: {error}")
    if len(found) > 2 or (len(found) == 2 and found[0].version == found[1].version):
        fail(PROGRAM, "--service-cluster-ip-range: at most one range of each family")
    return tuple(found)


def _node_ports(values: Values) -> range:
    text = values["service-node-port-range"]
    low, dash, high = text.partition("-")
    try:
        first, last = int(low), int(high if dash else low)
    except ValueError:
        fail(PROGRAM, f"--service-node-port-range: {text!r} is not of the form 30000-32767")
    if not 1 <= first <= last <= 65535:
        fail(PROGRAM, f"--service-node-port-range: {text!r} is not a range of ports")
    return range(first, last + 1)


def _etcd_tls(values: Values) -> ClientTls | None:
    secure = [url for url in values["etcd-servers"] if url.startswith("https://")]
    if not secure:
        return None
    if len(secure) != len(values["etcd-servers"]):
        fail(PROGRAM, "--etcd-servers: either all or none of the URLs begin with https://")
    if not values["etcd-cafile"]:
        fail(PROGRAM, "--etcd-cafile is required: --etcd-servers are https:// URLs")
    return ClientTls(
        Path(values["etcd-cafile"]),
        Path(values["etcd-certfile"]) if values["etcd-certfile"] else None,
        Path(values["etcd-keyfile"]) if values["etcd-keyfile"] else None,
    )

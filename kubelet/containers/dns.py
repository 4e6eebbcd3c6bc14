"""resolv.conf for a pod by its dnsPolicy, its host name and domain, and its hosts file. Pure text functions."""

from collections.abc import Sequence
from dataclasses import dataclass

from kubelet.pod import HostAlias, Pod

MAX_NAMESERVERS = 3
MAX_SEARCHES = 32
MAX_SEARCH_CHARACTERS = 2048
MAX_HOSTNAME = 63


@dataclass(frozen=True, slots=True)
class Resolver:
    servers: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ClusterDNS:
    servers: tuple[str, ...] = ()
    domain: str = "cluster.local"


def parse_resolv_conf(text: str) -> Resolver:
    servers: list[str] = []
    searches: list[str] = []
    options: list[str] = []
    for line in text.splitlines():
        words = line.split("#")[0].split(";")[0].split()
        if len(words) < 2:
            continue
        if words[0] == "nameserver":
            servers.append(words[1])
        elif words[0] == "search":
            searches = words[1:]
        elif words[0] == "options":
            options = words[1:]
    return Resolver(tuple(servers), tuple(searches), tuple(options))


def pod_resolver(pod: Pod, cluster: ClusterDNS, host: Resolver) -> Resolver:
    policy = pod.spec.dns_policy
    if policy == "ClusterFirst" and pod.spec.host_network:
        policy = "Default"
    if policy in ("ClusterFirst", "ClusterFirstWithHostNet") and cluster.servers:
        base = _cluster_first(pod.metadata.namespace, cluster, host)
    elif policy == "None":
        base = Resolver()
    else:
        base = host
    config = pod.spec.dns_config
    if config is not None:
        extra = [o.name if o.value is None else f"{o.name}:{o.value}" for o in config.options or ()]
        base = Resolver(
            _unique((*base.servers, *(config.nameservers or ()))),
            _unique((*base.searches, *(config.searches or ()))),
            _merge_options(base.options, extra),
        )
    return _within_limits(base)


def _cluster_first(namespace: str, cluster: ClusterDNS, host: Resolver) -> Resolver:
    domain = cluster.domain
    searches = (f"{namespace}.svc.{domain}", f"svc.{domain}", domain) if domain else ()
    return Resolver(cluster.servers, _unique((*searches, *host.searches)), ("ndots:5",))


def _unique(items: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(items))


def _merge_options(base: Sequence[str], extra: Sequence[str]) -> tuple[str, ...]:
    table = {option.partition(":")[0]: option for option in base}
    table.update({option.partition(":")[0]: option for option in extra})
    return tuple(table.values())


def _within_limits(resolver: Resolver) -> Resolver:
    searches: list[str] = []
    size = 0
    for domain in resolver.searches[:MAX_SEARCHES]:
        size += len(domain) + (1 if searches else 0)
        if size > MAX_SEARCH_CHARACTERS:
            break
        searches.append(domain)
    return Resolver(resolver.servers[:MAX_NAMESERVERS], tuple(searches), resolver.options)


def host_name_and_domain(pod: Pod, cluster_domain: str) -> tuple[str, str]:
    """(hostname, domain); the domain is empty without a subdomain."""
    spec = pod.spec
    if spec.hostname_override is not None:
        return spec.hostname_override, ""
    name = (spec.hostname or pod.metadata.name)[:MAX_HOSTNAME].rstrip("-.")
    domain = f"{spec.subdomain}.{pod.metadata.namespace}.svc.{cluster_domain}" if spec.subdomain else ""
    if spec.set_hostname_as_fqdn and domain:
        return f"{name}.{domain}", domain
    return name, domain


_LOOPBACK = (
    "127.0.0.1\tlocalhost",
    "::1\tlocalhost ip6-localhost ip6-loopback",
    "fe00::0\tip6-localnet",
    "fe00::0\tip6-mcastprefix",
    "fe00::1\tip6-allnodes",
    "fe00::2\tip6-allrouters",
)


def hosts_file(ips: Sequence[str], hostname: str, domain: str, aliases: Sequence[HostAlias] | None) -> str:
    lines = ["# Kubernetes-managed hosts file.", *_LOOPBACK]
    short = hostname.partition(".")[0] if domain and hostname.endswith(domain) else hostname
    for ip in ips:
        lines.append(f"{ip}\t{short}.{domain}\t{short}" if domain else f"{ip}\t{short}")
    return "\n".join(lines) + "\n" + _alias_lines(aliases)


def host_network_hosts_file(node_file: str, aliases: Sequence[HostAlias] | None) -> str:
    return "# Kubernetes-managed hosts file (host network).\n" + node_file + _alias_lines(aliases)


def _alias_lines(aliases: Sequence[HostAlias] | None) -> str:
    if not aliases:
        return ""
    body = "".join(f"{alias.ip}\t{chr(9).join(alias.hostnames or ())}\n" for alias in aliases)
    return "\n# Entries added by HostAliases.\n" + body

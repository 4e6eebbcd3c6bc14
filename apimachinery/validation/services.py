"""Rules of Services; addresses and node ports are expected to be allocated already."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from apimachinery import names
from apimachinery.fields import FieldError, Path, duplicate, forbidden, invalid, not_supported, required
from apimachinery.strategies.services import externally_accessible
from apimachinery.validation.endpoints import endpoint_address
from apimachinery.validation.environment import protocol
from apimachinery.validation.metadata import IMMUTABLE, label_key, labels
from apimachinery.validation.podspec import one_of
from apimachinery.validation.probes import port as port_or_name

Obj = dict[str, Any]
Errors = list[FieldError]

SPEC = Path("spec")
ANNOTATIONS = Path("metadata", "annotations")
HINTS = "service.kubernetes.io/topology-aware-hints"
MODE = "service.kubernetes.io/topology-mode"
RANGES = "service.beta.kubernetes.io/load-balancer-source-ranges"
MAX_AFFINITY_SECONDS = 86400
TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
FAMILY_POLICIES = ("PreferDualStack", "RequireDualStack", "SingleStack")
DISTRIBUTIONS = ("PreferClose", "PreferSameZone", "PreferSameNode")
ONLY_LOAD_BALANCER = "may only be used when `type` is 'LoadBalancer'"


def is_headless(spec: Obj) -> bool:
    return spec.get("clusterIPs") == ["None"]


def create(service: Obj) -> Errors:
    return _whole(service, {})


def update(service: Obj, old: Obj) -> Errors:
    spec, before = service.get("spec") or {}, old.get("spec") or {}
    found: Errors = []
    if "ExternalName" not in {spec.get("type"), before.get("type")}:
        found += _cluster_ip_changes(spec, before) + _family_changes(spec, before)
    found += _load_balancer_class(spec, before)
    moved = (spec.get("healthCheckNodePort") or 0) != (before.get("healthCheckNodePort") or 0)
    if moved and _needs_health_port(spec) and _needs_health_port(before):
        found.append(forbidden(SPEC.child("healthCheckNodePort"), IMMUTABLE))
    return found + _whole(service, old)


def _whole(service: Obj, old: Obj) -> Errors:
    spec, before = service.get("spec") or {}, old.get("spec") or {}
    table = (service.get("metadata") or {}).get("annotations") or {}
    found: Errors = []
    if MODE in table and HINTS in table and table[MODE] != table[HINTS]:
        detail = f"must match annotations[{HINTS}] when both are specified"
        found.append(invalid(ANNOTATIONS.key(MODE), table[MODE], detail))
    kind, ports = spec.get("type") or "", spec.get("ports") or []
    if not ports and not is_headless(spec) and kind != "ExternalName":
        found.append(required(SPEC.child("ports")))
    found += _by_type(spec, kind)
    seen: set[str] = set()
    for index, port in enumerate(ports):
        found += _port(port, len(ports) > 1, seen, SPEC.child("ports").index(index))
    found += labels(spec.get("selector"), SPEC.child("selector"))
    found += _affinity(spec)
    if kind != "ExternalName":
        found += _cluster_ips(spec, before.get("clusterIPs") or ())
    for index, address in enumerate(spec.get("externalIPs") or ()):
        place = SPEC.child("externalIPs").index(index)
        wrong = [] if address in (before.get("externalIPs") or ()) else names.ip_address(address)
        found += [invalid(place, address, text) for text in wrong] or endpoint_address(address, place)
    found += one_of(kind, TYPES, SPEC.child("type"))
    found += _port_numbers(ports, kind)
    found += _source_ranges(service, old, kind)
    allocate = spec.get("allocateLoadBalancerNodePorts")
    if allocate is not None and kind != "LoadBalancer":
        found.append(forbidden(SPEC.child("allocateLoadBalancerNodePorts"), ONLY_LOAD_BALANCER))
    if allocate is None and kind == "LoadBalancer":
        found.append(required(Path("allocateLoadBalancerNodePorts")))
    found += _load_balancer_class(spec, None)
    return found + _traffic(spec, kind)


def _by_type(spec: Obj, kind: str) -> Errors:
    if kind in {"LoadBalancer", "NodePort"} and is_headless(spec):
        detail = f"may not be set to 'None' for {kind} services"
        return [invalid(SPEC.child("clusterIPs").index(0), "None", detail)]
    if kind != "ExternalName":
        return []
    detail = "may not be set for ExternalName services"
    found = [forbidden(SPEC.child(f), detail) for f in ("clusterIPs", "ipFamilies", "ipFamilyPolicy") if spec.get(f)]
    name = (spec.get("externalName") or "").removesuffix(".")
    if not name:
        return [*found, required(SPEC.child("externalName"))]
    return found + [invalid(SPEC.child("externalName"), name, text) for text in names.dns1123_subdomain(name)]


def _port(port: Obj, named: bool, seen: set[str], path: Path) -> Errors:
    name = port.get("name") or ""
    found: Errors = []
    if name:
        found += [invalid(path.child("name"), name, text) for text in names.dns1123_label(name)]
        if name in seen:
            found.append(duplicate(path.child("name"), name))
        seen.add(name)
    elif named:
        found.append(required(path.child("name")))
    number = port.get("port") or 0
    found += [invalid(path.child("port"), number, text) for text in names.port_number(number)]
    found += protocol(port.get("protocol") or "", path.child("protocol"))
    found += port_or_name(port.get("targetPort"), path.child("targetPort"))
    if port.get("appProtocol") is not None:
        found += label_key(port["appProtocol"], path.child("appProtocol"))
    return found


def _affinity(spec: Obj) -> Errors:
    kind, config = spec.get("sessionAffinity") or "", spec.get("sessionAffinityConfig")
    found = one_of(kind, ("ClientIP", "None"), SPEC.child("sessionAffinity"))
    place = SPEC.child("sessionAffinityConfig")
    if kind == "None" and config is not None:
        found.append(forbidden(place, "must not be set when session affinity is None"))
    if kind == "ClientIP":
        detail = "when session affinity type is ClientIP"
        if config is None:
            found.append(required(place, detail))
        elif config.get("clientIP") is None:
            found.append(required(place.child("clientIP"), detail))
        else:
            seconds = config["clientIP"].get("timeoutSeconds")
            where = place.child("clientIP", "timeoutSeconds")
            if seconds is None:
                found.append(required(where, detail))
            elif not 0 < seconds <= MAX_AFFINITY_SECONDS:
                detail = f"must be greater than 0 and less than {MAX_AFFINITY_SECONDS}"
                found.append(invalid(where, seconds, detail))
    return found


def _cluster_ips(spec: Obj, known: Sequence[str]) -> Errors:
    first, addresses, families = spec.get("clusterIP") or "", spec.get("clusterIPs") or [], spec.get("ipFamilies") or []
    place = SPEC.child("clusterIPs")
    found: Errors = []
    if first and not addresses:
        found.append(required(place))
    elif first and addresses[0] != first:
        found.append(invalid(place, addresses, "first value must match `clusterIP`"))
    elif addresses and not first:
        found.append(invalid(place, addresses, "must be empty when `clusterIP` is not specified"))
    for index, family in enumerate(families):
        where = SPEC.child("ipFamilies").index(index)
        if family not in {"IPv4", "IPv6"}:
            found.append(not_supported(where, family, ("IPv4", "IPv6")))
        if family in families[:index]:
            found.append(duplicate(where, family))
    policy = spec.get("ipFamilyPolicy")
    if policy is not None and policy not in FAMILY_POLICIES:
        found.append(not_supported(SPEC.child("ipFamilyPolicy"), policy, FAMILY_POLICIES))
    broken = False
    for index, address in enumerate(addresses):
        if index == 0 and address == "None":
            if len(addresses) > 1:
                broken = True
                found.append(invalid(place, addresses, "'None' must be the first and only value"))
            continue
        wrong = [] if address in known else names.ip_address(address)
        broken = broken or bool(wrong)
        found += [invalid(place.index(index), address, text) for text in wrong]
    if len(addresses) > 2:
        found.append(invalid(place, addresses, "may only hold up to 2 values"))
    if broken:
        return found
    if len(addresses) > 1 and len({":" in address for address in addresses}) < 2:
        found.append(invalid(place, addresses, "may specify no more than one IP for each IP family"))
    if not is_headless(spec):
        for index, (address, family) in enumerate(zip(addresses, families, strict=False)):
            if family in {"IPv4", "IPv6"} and (family == "IPv6") != (":" in address):
                detail = f"expected an {family} value as indicated by `ipFamilies[{index}]`"
                found.append(invalid(place.index(index), address, detail))
    return found


def _port_numbers(ports: Sequence[Obj], kind: str) -> Errors:
    found: Errors = []
    if kind == "ClusterIP":
        for index, port in enumerate(ports):
            if port.get("nodePort"):
                place = SPEC.child("ports").index(index).child("nodePort")
                found.append(forbidden(place, "may not be used when `type` is 'ClusterIP'"))
    taken: set[tuple[Any, Any]] = set()
    for index, port in enumerate(ports):
        key = (port.get("protocol"), port.get("nodePort"))
        if port.get("nodePort"):
            if key in taken:
                found.append(duplicate(SPEC.child("ports").index(index).child("nodePort"), port["nodePort"]))
            taken.add(key)
    taken.clear()
    for index, port in enumerate(ports):
        key = (port.get("protocol"), port.get("port"))
        if key in taken:
            shown = {
                "Name": "",
                "Protocol": key[0],
                "AppProtocol": None,
                "Port": key[1],
                "TargetPort": 0,
                "NodePort": 0,
            }
            found.append(duplicate(SPEC.child("ports").index(index), shown))
        taken.add(key)
    return found


def _source_ranges(service: Obj, old: Obj, kind: str) -> Errors:
    ranges = (service.get("spec") or {}).get("loadBalancerSourceRanges") or ()
    annotation = ((service.get("metadata") or {}).get("annotations") or {}).get(RANGES)
    found: Errors = []
    if ranges:
        place = SPEC.child("LoadBalancerSourceRanges")
        known = {one.strip() for one in (old.get("spec") or {}).get("loadBalancerSourceRanges") or ()}
        if kind != "LoadBalancer":
            found.append(forbidden(place, ONLY_LOAD_BALANCER))
        for index, one in enumerate(ranges):
            text = one.strip()
            if text not in known:
                found += [invalid(place.index(index), text, wrong) for wrong in names.cidr(text)]
    elif annotation is not None:
        place = ANNOTATIONS.key(RANGES)
        if kind != "LoadBalancer":
            found.append(forbidden(place, ONLY_LOAD_BALANCER))
        before = ((old.get("metadata") or {}).get("annotations") or {}).get(RANGES)
        if annotation.strip() and annotation != before:
            for one in annotation.strip().split(","):
                found += [invalid(place, one.strip(), wrong) for wrong in names.cidr(one.strip())]
    return found


def _load_balancer_class(spec: Obj, before: Obj | None) -> Errors:
    place, name = SPEC.child("loadBalancerClass"), spec.get("loadBalancerClass")
    found: Errors = []
    if spec.get("type") == "LoadBalancer":
        if before is not None and before.get("type") == "LoadBalancer" and name != before.get("loadBalancerClass"):
            found.append(invalid(place, name, "may not change once set"))
        if name is not None:
            found += label_key(name, place)
    elif name is not None:
        found.append(forbidden(place, ONLY_LOAD_BALANCER))
    return found


def _needs_health_port(spec: Obj) -> bool:
    return spec.get("type") == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local"


def _traffic(spec: Obj, kind: str) -> Errors:
    found: Errors = []
    policy, place = spec.get("externalTrafficPolicy") or "", SPEC.child("externalTrafficPolicy")
    if externally_accessible(spec):
        found += one_of(policy, ("Cluster", "Local"), place)
    elif policy:
        found.append(invalid(place, policy, "may only be set for externally-accessible services"))
    number, place = spec.get("healthCheckNodePort") or 0, SPEC.child("healthCheckNodePort")
    if not _needs_health_port(spec):
        if number:
            detail = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"
            found.append(invalid(place, number, detail))
    elif not number:
        found.append(required(place))
    else:
        found += [invalid(place, number, text) for text in names.port_number(number)]
    policy, place = spec.get("internalTrafficPolicy"), SPEC.child("internalTrafficPolicy")
    if policy is None and kind in {"NodePort", "LoadBalancer", "ClusterIP"}:
        found.append(required(place))
    if policy not in {None, "Cluster", "Local"}:
        found.append(not_supported(place, policy, ("Cluster", "Local")))
    distribution = spec.get("trafficDistribution")
    if distribution is not None and distribution not in DISTRIBUTIONS:
        found.append(not_supported(SPEC.child("trafficDistribution"), distribution, DISTRIBUTIONS))
    return found


def _cluster_ip_changes(spec: Obj, before: Obj) -> Errors:
    if is_headless(spec) and is_headless(before):
        return []
    new, known = spec.get("clusterIPs") or [], before.get("clusterIPs") or []
    place = SPEC.child("clusterIPs")
    found: Errors = []
    if len(new) == len(known):
        changed = [index for index, address in enumerate(known) if address != new[index]]
        return [invalid(place.index(index), new, "may not change once set") for index in changed]
    if len(known) > len(new) and not new:
        found.append(invalid(place.index(0), new, "primary clusterIP can not be unset"))
    if new and known and new[0] != known[0]:
        found.append(invalid(place.index(0), new, "may not change once set"))
    if len(known) > len(new) == 1 and spec.get("ipFamilyPolicy") != "SingleStack":
        detail = "must be set to 'SingleStack' when releasing the secondary clusterIP"
        found.append(invalid(SPEC.child("ipFamilyPolicy"), spec.get("ipFamilyPolicy"), detail))
    return found


def _family_changes(spec: Obj, before: Obj) -> Errors:
    if is_headless(spec) or is_headless(before):
        return []
    new, known = spec.get("ipFamilies") or [], before.get("ipFamilies") or []
    place = SPEC.child("ipFamilies").index(0)
    found: Errors = []
    if len(new) == len(known):
        changed = sum(family != new[index] for index, family in enumerate(known))
        return [invalid(place, new, "may not change once set") for _ in range(changed)]
    if len(known) > len(new) and not spec.get("clusterIPs"):
        found.append(invalid(place, new, "primary ipFamily can not be unset"))
    if new and known and new[0] != known[0]:
        found.append(invalid(place, spec.get("clusterIPs") or [], "may not change once set"))
    if len(known) > len(new) == 1 and spec.get("ipFamilyPolicy") != "SingleStack":
        detail = "must be set to 'SingleStack' when releasing the secondary ipFamily"
        found.append(invalid(SPEC.child("ipFamilyPolicy"), spec.get("ipFamilyPolicy"), detail))
    return found


def status_update(service: Obj, old: Obj) -> Errors:
    status = (service.get("status") or {}).get("loadBalancer") or {}
    known = {one.get("ip") for one in ((old.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()}
    return load_balancer_status(status, known, (service.get("spec") or {}).get("type") or "")


def load_balancer_status(status: Obj, known: set[Any], kind: str) -> Errors:
    place = Path("status", "loadBalancer", "ingress")
    entries = status.get("ingress") or ()
    found: Errors = []
    if entries and kind != "LoadBalancer":
        found.append(forbidden(place, "may only be used when `spec.type` is 'LoadBalancer'"))
    for index, one in enumerate(entries):
        where, address, mode = place.index(index), one.get("ip") or "", one.get("ipMode")
        if address and address not in known:
            found += [invalid(where.child("ip"), address, text) for text in names.ip_address(address)]
        if mode is None and address and kind == "LoadBalancer":
            found.append(required(where.child("ipMode"), "must be specified when `ip` is set"))
        elif mode is not None and not address:
            found.append(forbidden(where.child("ipMode"), "may not be specified when `ip` is not set"))
        elif mode not in {None, "VIP", "Proxy"}:
            found.append(not_supported(where.child("ipMode"), mode, ("Proxy", "VIP")))
        host = one.get("hostname") or ""
        if host:
            found += [invalid(where.child("hostname"), host, text) for text in names.dns1123_subdomain(host)]
            if not names.ip_address(host):
                found.append(invalid(where.child("hostname"), host, "must be a DNS name, not an IP address"))
    return found

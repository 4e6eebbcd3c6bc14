"""Rules of Ingresses, their classes, NetworkPolicies, ServiceCIDRs and IPAddresses."""

from __future__ import annotations

import ipaddress
from typing import Any

from apimachinery import names
from apimachinery.fields import FieldError, Path, forbidden, invalid, not_supported, required, too_long
from apimachinery.validation.jobs import domain_path
from apimachinery.validation.metadata import IMMUTABLE, immutable, label_selector
from apimachinery.validation.services import load_balancer_status

Obj = dict[str, Any]
Errors = list[FieldError]

SPEC = Path("spec")
CLASS_ANNOTATION = "kubernetes.io/ingress.class"
PATH_TYPES = ("Exact", "ImplementationSpecific", "Prefix")
PROTOCOLS = ("TCP", "UDP", "SCTP")


def ingress(obj: Obj) -> Errors:
    found = _ingress_spec(obj.get("spec") or {}, (), set())
    annotation = ((obj.get("metadata") or {}).get("annotations") or {}).get(CLASS_ANNOTATION)
    chosen = (obj.get("spec") or {}).get("ingressClassName")
    if annotation is not None and chosen is not None and annotation != chosen:
        place = Path("annotations", CLASS_ANNOTATION)
        found.append(invalid(place, annotation, "must match `ingressClassName` when both are specified"))
    return found


def ingress_update(new: Obj, old: Obj) -> Errors:
    before = old.get("spec") or {}
    secrets = {one.get("secretName") for one in before.get("tls") or ()}
    lenient = any(name and names.dns1123_subdomain(name) for name in secrets)
    return _ingress_spec(new.get("spec") or {}, ("secrets",) if lenient else (), secrets)


def _ingress_spec(spec: Obj, lenient: tuple[str, ...], secrets: set[Any]) -> Errors:
    found: Errors = []
    rules, backend = spec.get("rules") or [], spec.get("defaultBackend")
    if not rules and backend is None:
        detail = "either `defaultBackend` or `rules` must be specified"
        found.append(invalid(SPEC, spec.get("rules"), detail))
    if backend is not None:
        found += _backend(backend, SPEC.child("defaultBackend"))
    for index, rule in enumerate(rules):
        place = SPEC.child("rules").index(index)
        if rule.get("host"):
            found += _host(rule["host"], place.child("host"))
        if rule.get("http") is not None:
            found += _http(rule["http"], place.child("http"))
    for index, tls in enumerate(spec.get("tls") or ()):
        place, secret = SPEC.child("tls").index(index), tls.get("secretName") or ""
        for number, host in enumerate(tls.get("hosts") or ()):
            rule_of = names.wildcard_dns1123_subdomain if "*" in host else names.dns1123_subdomain
            found += [invalid(place.child("hosts").index(number), host, text) for text in rule_of(host)]
        if secret and "secrets" not in lenient:
            found += [invalid(place.child("secretName"), secret, text) for text in names.dns1123_subdomain(secret)]
    chosen = spec.get("ingressClassName")
    if chosen is not None:
        found += [invalid(SPEC.child("ingressClassName"), chosen, text) for text in names.dns1123_subdomain(chosen)]
    return found


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _host(host: str, path: Path) -> Errors:
    found = [invalid(path, host, "must be a DNS name, not an IP address")] if _is_address(host) else []
    rule = names.wildcard_dns1123_subdomain if "*" in host else names.dns1123_subdomain
    return found + [invalid(path, host, text) for text in rule(host)]


def _http(rule: Obj, path: Path) -> Errors:
    paths = rule.get("paths") or ()
    found: Errors = [] if paths else [required(path.child("paths"))]
    for index, one in enumerate(paths):
        place, kind, text = path.child("paths").index(index), one.get("pathType"), one.get("path") or ""
        where = place.child("path")
        if kind is None:
            found.append(required(place.child("pathType"), "pathType must be specified"))
            continue
        if kind in {"Exact", "Prefix"}:
            if not text.startswith("/"):
                found.append(invalid(where, text, "must be an absolute path"))
            for mark in ("//", "/./", "/../", "%2f", "%2F"):
                if mark in text:
                    found.append(invalid(where, text, f"must not contain '{mark}'"))
            for mark in ("/..", "/."):
                if text.endswith(mark):
                    found.append(invalid(where, text, f"cannot end with '{mark}'"))
        elif kind == "ImplementationSpecific":
            if text and not text.startswith("/"):
                found.append(invalid(where, text, "must be an absolute path"))
        else:
            found.append(not_supported(place.child("pathType"), kind, PATH_TYPES))
        found += _backend(one.get("backend") or {}, place.child("backend"))
    return found


def _backend(backend: Obj, path: Path) -> Errors:
    resource, service = backend.get("resource"), backend.get("service")
    if resource is not None and service is not None:
        return [invalid(path, "", "cannot set both resource and service backends")]
    if resource is not None:
        return _local_reference(resource, path.child("resource"))
    if service is None:
        return [invalid(path, "", "resource or service backend is required")]
    name, place = service.get("name") or "", path.child("service", "name")
    if not name:
        found: Errors = [required(place)]
    else:
        found = [invalid(place, name, text) for text in names.dns1123_label(name)]
    port = service.get("port") or {}
    label, number = port.get("name") or "", port.get("number") or 0
    if label and number:
        found.append(invalid(path, "", "cannot set both port name & port number"))
    elif label:
        where = path.child("service", "port", "name")
        found += [invalid(where, label, text) for text in names.port_name(label)]
    elif number:
        where = path.child("service", "port", "number")
        found += [invalid(where, number, text) for text in names.port_number(number)]
    else:
        found.append(required(path, "port name or number is required"))
    return found


def _local_reference(reference: Obj, path: Path) -> Errors:
    group = reference.get("apiGroup")
    found: Errors = []
    if group is not None:
        found += [invalid(path.child("apiGroup"), group, text) for text in names.dns1123_subdomain(group)]
    for field in ("kind", "name"):
        found += segment(reference.get(field) or "", path.child(field))
    return found


def segment(text: str, path: Path) -> Errors:
    """A required text that will stand in a URL's path."""
    return [invalid(path, text, wrong) for wrong in names.path_segment(text)] if text else [required(path)]


def ingress_status(new: Obj, old: Obj) -> Errors:
    status = (new.get("status") or {}).get("loadBalancer") or {}
    entries = [{key: value for key, value in one.items() if key != "ports"} for one in status.get("ingress") or ()]
    known = {one.get("ip") for one in ((old.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()}
    # An Ingress' addresses have no mode; any type that may have addresses serves for the shared rule.
    found = load_balancer_status({"ingress": [{**one, "ipMode": "VIP"} for one in entries]}, known, "LoadBalancer")
    return [error for error in found if not error.path.endswith(".ipMode")]


def ingress_class(obj: Obj) -> Errors:
    spec = obj.get("spec") or {}
    controller = spec.get("controller") or ""
    place = SPEC.child("controller")
    found: Errors = [too_long(place, "", 250)] if len(controller) > 250 else []
    found += domain_path(controller, place)
    parameters = spec.get("parameters")
    if parameters is None:
        return found
    place = SPEC.child("parameters")
    found += _local_reference(parameters, place)
    scope, namespace = parameters.get("scope"), parameters.get("namespace")
    if scope is None:
        found.append(required(place.child("scope")))
    elif scope not in {"Cluster", "Namespace"}:
        found.append(not_supported(place.child("scope"), scope, ("Cluster", "Namespace")))
    elif scope == "Namespace":
        if namespace is None:
            found.append(required(place.child("namespace"), "`parameters.scope` is set to 'Namespace'"))
        else:
            found += [invalid(place.child("namespace"), namespace, t) for t in names.dns1123_label(namespace)]
    elif namespace is not None:
        found.append(forbidden(place.child("namespace"), "`parameters.scope` is set to 'Cluster'"))
    return found


def ingress_class_update(new: Obj, old: Obj) -> Errors:
    mine, theirs = (new.get("spec") or {}).get("controller"), (old.get("spec") or {}).get("controller")
    return immutable(mine or "", theirs or "", SPEC.child("controller"))


def network_policy(obj: Obj) -> Errors:
    return _policy_spec(obj.get("spec") or {}, set())


def network_policy_update(new: Obj, old: Obj) -> Errors:
    known: set[str] = set()
    before = old.get("spec") or {}
    for direction, peers in (("ingress", "from"), ("egress", "to")):
        for rule in before.get(direction) or ():
            for peer in rule.get(peers) or ():
                block = peer.get("ipBlock") or {}
                known.update([block.get("cidr") or "", *(block.get("except") or ())])
    return _policy_spec(new.get("spec") or {}, known)


def _policy_spec(spec: Obj, known: set[str]) -> Errors:
    found = label_selector(spec.get("podSelector"), SPEC.child("podSelector"))
    for direction, peers in (("ingress", "from"), ("egress", "to")):
        for index, rule in enumerate(spec.get(direction) or ()):
            place = SPEC.child(direction).index(index)
            for number, port in enumerate(rule.get("ports") or ()):
                found += _policy_port(port, place.child("ports").index(number))
            for number, peer in enumerate(rule.get(peers) or ()):
                found += _peer(peer, place.child(peers).index(number), known)
    kinds = spec.get("policyTypes") or []
    place = SPEC.child("policyTypes")
    if len(kinds) > 2:
        return [*found, invalid(place, kinds, "may not specify more than two policyTypes")]
    for index, kind in enumerate(kinds):
        if kind not in {"Ingress", "Egress"}:
            found.append(not_supported(place.index(index), kind, ("Ingress", "Egress")))
    return found


def _policy_port(port: Obj, path: Path) -> Errors:
    found: Errors = []
    protocol, number, end = port.get("protocol"), port.get("port"), port.get("endPort")
    if protocol is not None and protocol not in PROTOCOLS:
        found.append(not_supported(path.child("protocol"), protocol, PROTOCOLS))
    if number is None:
        if end is not None:
            detail = "may not be specified when `port` is not specified"
            found.append(invalid(path.child("endPort"), end, detail))
    elif isinstance(number, str):
        if end is not None:
            detail = "may not be specified when `port` is non-numeric"
            found.append(invalid(path.child("endPort"), end, detail))
        found += [invalid(path.child("port"), number, text) for text in names.port_name(number)]
    else:
        found += [invalid(path.child("port"), number, text) for text in names.port_number(number)]
        if end is not None:
            if end < number:
                found.append(invalid(path.child("endPort"), number, "must be greater than or equal to `port`"))
            found += [invalid(path.child("endPort"), end, text) for text in names.port_number(end)]
    return found


def _peer(peer: Obj, path: Path, known: set[str]) -> Errors:
    given = [field for field in ("podSelector", "namespaceSelector", "ipBlock") if peer.get(field) is not None]
    found: Errors = []
    for field in given:
        if field == "ipBlock":
            found += _ip_block(peer[field], path.child(field), known)
        else:
            found += label_selector(peer[field], path.child(field))
    if not given:
        found.append(required(path, "must specify a peer"))
    elif len(given) > 1 and "ipBlock" in given:
        found.append(forbidden(path, "may not specify both ipBlock and another peer"))
    return found


def _ip_block(block: Obj, path: Path, known: set[str]) -> Errors:
    text = block.get("cidr") or ""
    if not text:
        return [required(path.child("cidr"))]
    found = [] if text in known else [invalid(path.child("cidr"), text, wrong) for wrong in names.cidr(text)]
    whole = _network(text)
    if whole is None:
        return found
    for index, part in enumerate(block.get("except") or ()):
        place = path.child("except").index(index)
        if part not in known:
            found += [invalid(place, part, wrong) for wrong in names.cidr(part)]
        inner = _network(part)
        if inner is None:
            continue
        inside = inner.version == whole.version and int(inner.network_address) in range(
            int(whole.network_address), int(whole.broadcast_address) + 1
        )
        if not inside or inner.prefixlen <= whole.prefixlen:
            found.append(invalid(place, part, "must be a strict subset of `cidr`"))
    return found


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def service_cidr(obj: Obj) -> Errors:
    return _ranges((obj.get("spec") or {}).get("cidrs") or [])


def _ranges(listed: list[str]) -> Errors:
    place = SPEC.child("cidrs")
    if not listed:
        return [required(place, "at least one CIDR required")]
    if len(listed) > 2:
        return [invalid(place, {"cidrs": listed}, "may only hold up to 2 values")]
    found: Errors = []
    for index, text in enumerate(listed):
        wrong = names.cidr(text)
        network = _network(text)
        if not wrong and network is not None and str(network) != text:
            wrong = [f'must be in canonical form ("{network}")']
        found += [invalid(place.index(index), text, one) for one in wrong]
    networks = [_network(text) for text in listed]
    versions = [network.version for network in networks if network is not None]
    if len(versions) == 2 and versions[0] == versions[1]:
        detail = "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64"
        found.append(invalid(place, listed, detail))
    return found


def service_cidr_update(new: Obj, old: Obj) -> Errors:
    mine, theirs = (new.get("spec") or {}).get("cidrs") or [], (old.get("spec") or {}).get("cidrs") or []
    place = SPEC.child("cidrs")
    if len(mine) == len(theirs):
        changed = [index for index, text in enumerate(theirs) if text != mine[index]]
        return [invalid(place.index(index), mine[index], IMMUTABLE) for index in changed]
    if len(theirs) == 1 and len(mine) == 2:
        found = [] if mine[0] == theirs[0] else [invalid(place.index(0), mine[0], IMMUTABLE)]
        return found + _ranges(mine)
    return [invalid(place, mine, IMMUTABLE)]


def ip_address(obj: Obj) -> Errors:
    parent, place = (obj.get("spec") or {}).get("parentRef"), SPEC.child("parentRef")
    if parent is None:
        return [required(place)]
    found: Errors = []
    if parent.get("group"):
        found += [invalid(place.child("group"), parent["group"], t) for t in names.dns1123_subdomain(parent["group"])]
    for field in ("resource", "name"):
        found += segment(parent.get(field) or "", place.child(field))
    if parent.get("namespace"):
        found += segment(parent["namespace"], place.child("namespace"))
    return found


def ip_address_update(new: Obj, old: Obj) -> Errors:
    mine, theirs = (new.get("spec") or {}).get("parentRef"), (old.get("spec") or {}).get("parentRef")
    return immutable(mine, theirs, SPEC.child("parentRef"))

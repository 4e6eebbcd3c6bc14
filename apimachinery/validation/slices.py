"""Rules of EndpointSlices."""

from __future__ import annotations

from typing import Any

from apimachinery import names
from apimachinery.fields import FieldError, Path, duplicate, invalid, not_supported, required, too_many
from apimachinery.strategies.equality import same
from apimachinery.validation.endpoints import endpoint_address
from apimachinery.validation.environment import PROTOCOLS
from apimachinery.validation.metadata import immutable, label_key, labels

Obj = dict[str, Any]
Errors = list[FieldError]

TYPES = ("FQDN", "IPv4", "IPv6")


def create(obj: Obj) -> Errors:
    return _head(obj) + _endpoints(obj.get("endpoints") or [], obj.get("addressType") or "")


def update(new: Obj, old: Obj) -> Errors:
    found = _head(new)
    if not same(new.get("endpoints"), old.get("endpoints")):
        found += _endpoints(new.get("endpoints") or [], new.get("addressType") or "")
    return found + immutable(new.get("addressType"), old.get("addressType"), Path("addressType"))


def _head(obj: Obj) -> Errors:
    kind = obj.get("addressType") or ""
    found: Errors = []
    if not kind:
        found.append(required(Path("addressType")))
    elif kind not in TYPES:
        found.append(not_supported(Path("addressType"), kind, TYPES))
    ports = obj.get("ports") or []
    if len(ports) > 20000:
        return [*found, too_many(Path("ports"), len(ports), 20000)]
    seen: set[str] = set()
    for index, port in enumerate(ports):
        place, name, protocol = Path("ports").index(index), port.get("name") or "", port.get("protocol")
        if name:
            found += [invalid(place.child("name"), name, text) for text in names.dns1123_label(name)]
        if name in seen:
            found.append(duplicate(place.child("name"), name))
        seen.add(name)
        if protocol is None:
            found.append(required(place.child("protocol")))
        elif protocol not in PROTOCOLS:
            found.append(not_supported(place.child("protocol"), protocol, PROTOCOLS))
        if port.get("appProtocol") is not None:
            found += label_key(port["appProtocol"], place.child("appProtocol"))
    return found


def _endpoints(listed: list[Obj], kind: str) -> Errors:
    if len(listed) > 1000:
        return [too_many(Path("endpoints"), len(listed), 1000)]
    found: Errors = []
    for index, endpoint in enumerate(listed):
        place = Path("endpoints").index(index)
        addresses = endpoint.get("addresses") or []
        where = place.child("addresses")
        if not addresses:
            found.append(required(where, "must contain at least 1 address"))
        elif len(addresses) > 100:
            found.append(too_many(where, len(addresses), 100))
        for number, text in enumerate(addresses):
            found += _address(text, kind, where, where.index(number))
        node, host = endpoint.get("nodeName"), endpoint.get("hostname")
        if node is not None:
            found += [invalid(place.child("nodeName"), node, text) for text in names.dns1123_subdomain(node)]
        topology = endpoint.get("deprecatedTopology") or {}
        if len(topology) > 16:
            found.append(too_many(place.child("deprecatedTopology"), len(topology), 16))
        found += labels(topology, place.child("deprecatedTopology"))
        if host is not None:
            found += [invalid(place.child("hostname"), host, text) for text in names.dns1123_label(host)]
        if endpoint.get("hints") is not None:
            found += _hints(endpoint["hints"], place.child("hints"))
    return found


def _address(text: str, kind: str, whole: Path, path: Path) -> Errors:
    if kind == "FQDN":
        return _domain(text, path)
    if kind not in {"IPv4", "IPv6"}:
        return []
    wrong = names.ip_address(text) if kind == "IPv4" else names.canonical_ip_address(text)
    if wrong:
        return [invalid(path, text, one) for one in wrong]
    found: Errors = []
    if (":" in text) != (kind == "IPv6"):
        found.append(invalid(whole, text, f"must be an {kind} address"))
    return found + endpoint_address(text, path)


def _domain(text: str, path: Path) -> Errors:
    if not text:
        return [required(path)]
    name = text.removesuffix(".")
    wrong = names.dns1123_subdomain(name)
    if wrong:
        return [invalid(path, name, ",".join(wrong))]
    if "." not in name:
        return [invalid(path, name, "should be a domain with at least two segments separated by dots")]
    for label in name.split("."):
        wrong = names.dns1123_label(label)
        if wrong:
            return [invalid(path, label, ",".join(wrong))]
    return []


def _hints(hints: Obj, path: Path) -> Errors:
    found: Errors = []
    for field, rule in (("forZones", names.label_value), ("forNodes", names.dns1123_subdomain)):
        listed = hints.get(field) or []
        if len(listed) > 8:
            return [*found, too_many(path.child(field), len(listed), 8)]
        seen: set[str] = set()
        for index, one in enumerate(listed):
            place, name = path.child(field).index(index).child("name"), one.get("name") or ""
            if name in seen:
                found.append(duplicate(place, name))
            seen.add(name)
            found += [invalid(place, name, text) for text in rule(name)]
    return found

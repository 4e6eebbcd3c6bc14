"""Rules of Endpoints and of single endpoint addresses."""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import Any

from apimachinery import names
from apimachinery.fields import FieldError, Path, invalid, required
from apimachinery.strategies.equality import same
from apimachinery.validation.environment import protocol
from apimachinery.validation.metadata import label_key

Obj = dict[str, Any]
Errors = list[FieldError]


def endpoint_address(text: str, path: Path) -> Errors:
    """An address traffic may be sent to: none of this host's own and none of a link."""
    return [invalid(path, text, wrong) for wrong in _unreachable(text)]


@lru_cache(maxsize=8192)
def _unreachable(text: str) -> tuple[str, ...]:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return ("must be a valid IP address",)
    mapped = getattr(address, "ipv4_mapped", None)
    address = mapped or address
    found: list[str] = []
    if address.is_unspecified:
        found.append(f"may not be unspecified ({text})")
    if address.is_loopback:
        found.append("may not be in the loopback range (127.0.0.0/8, ::1/128)")
    if address.is_link_local:
        found.append("may not be in the link-local range (169.254.0.0/16, fe80::/10)")
    group = ipaddress.ip_network("224.0.0.0/24" if address.version == 4 else "ff02::/16")
    if address in group:
        found.append("may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)")
    return tuple(found)


def create(endpoints: Obj) -> Errors:
    found: Errors = []
    for index, subset in enumerate(endpoints.get("subsets") or ()):
        place = Path("subsets").index(index)
        if not subset.get("addresses") and not subset.get("notReadyAddresses"):
            found.append(required(place, "must specify `addresses` or `notReadyAddresses`"))
        for field in ("addresses", "notReadyAddresses"):
            for number, one in enumerate(subset.get(field) or ()):
                found += _address(one, place.child(field).index(number))
        ports = subset.get("ports") or ()
        for number, port in enumerate(ports):
            found += _port(port, len(ports) > 1, place.child("ports").index(number))
    return found


def _address(one: Obj, path: Path) -> Errors:
    text, host, node = one.get("ip") or "", one.get("hostname") or "", one.get("nodeName")
    found = [invalid(path.child("ip"), text, wrong) for wrong in names.ip_address(text)]
    if host:
        found += [invalid(path.child("hostname"), host, wrong) for wrong in names.dns1123_label(host)]
    if node is not None:
        found += [invalid(path.child("nodeName"), node, wrong) for wrong in names.dns1123_subdomain(node)]
    return found + endpoint_address(text, path.child("ip"))


def _port(port: Obj, named: bool, path: Path) -> Errors:
    name, number = port.get("name") or "", port.get("port") or 0
    found: Errors = []
    if name:
        found += [invalid(path.child("name"), name, text) for text in names.dns1123_label(name)]
    elif named:
        found.append(required(path.child("name")))
    found += [invalid(path.child("port"), number, text) for text in names.port_number(number)]
    found += protocol(port.get("protocol") or "", path.child("protocol"))
    if port.get("appProtocol") is not None:
        found += label_key(port["appProtocol"], path.child("appProtocol"))
    return found


def update(endpoints: Obj, old: Obj) -> Errors:
    """Subsets that were stored before the rules came may stay as they are."""
    return [] if same(endpoints.get("subsets"), old.get("subsets")) else create(endpoints)

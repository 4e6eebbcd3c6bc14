"""Addresses, networks and URLs."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Any, ClassVar
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from apimachinery.cel import types
from apimachinery.cel.errors import CelError
from apimachinery.cel.libraries.standard import by_first, tenth
from apimachinery.cel.library import Library
from apimachinery.cel.types import Type
from apimachinery.cel.values import Opaque

IP_TYPE, CIDR_TYPE, URL_TYPE = types.opaque("net.IP"), types.opaque("net.CIDR"), types.struct("kubernetes.URL")
NETWORK = Library({"IP": IP_TYPE, "CIDR": CIDR_TYPE, "URL": URL_TYPE})
_SCHEME = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*:")
_BAD_ESCAPE = re.compile(r"%(?![0-9a-fA-F]{2})(.{0,2})", re.DOTALL)
_SAFE_PATH = "$&+,/:;=@-_.~!*'()"


@dataclass(frozen=True, slots=True)
class IP(Opaque):
    """An address; never an IPv4 one in the clothes of IPv6, never with a zone."""

    cel_type: ClassVar[Type] = IP_TYPE
    address: ipaddress.IPv4Address | ipaddress.IPv6Address

    def cel_size(self) -> int:
        return self.address.max_prefixlen // 8


@dataclass(frozen=True, slots=True)
class CIDR(Opaque):
    """An address and how many of its bits name a network; the others may be set."""

    cel_type: ClassVar[Type] = CIDR_TYPE
    interface: ipaddress.IPv4Interface | ipaddress.IPv6Interface

    def cel_size(self) -> int:
        return (self.interface.network.prefixlen + 7) // 8


@dataclass(frozen=True, slots=True)
class URL(Opaque):
    """An absolute URL, or an absolute path."""

    cel_type: ClassVar[Type] = URL_TYPE
    scheme: str
    host: str
    path: str
    query: str


def parse_ip(text: str) -> IP:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        why = f'ParseAddr("{text}"): unable to parse IP'
        raise CelError(f'IP Address "{text}" parse error during conversion from string: {why}') from None
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None:
            raise CelError(f'IP address "{text}" with zone value is not allowed')
        if address.ipv4_mapped is not None:
            raise CelError(f'IPv4-mapped IPv6 address "{text}" is not allowed')
    return IP(address)


def parse_cidr(text: str) -> CIDR:
    wrong = "network address parse error during conversion from string: "
    head, slash, bits = text.rpartition("/")
    why = ""
    if not slash:
        why = "no '/'"
    elif not (bits.isascii() and bits.isdigit()) or (len(bits) > 1 and bits[0] == "0"):
        why = f'bad bits after slash: "{bits}"'
    elif "%" in head:
        why = "IPv6 zones cannot be present in a prefix"
    if not why:
        try:
            interface = ipaddress.ip_interface(text)
        except ipaddress.NetmaskValueError:
            why = "prefix length out of range"
        except ValueError:
            why = f'ParseAddr("{head}"): unable to parse IP'
    if why:
        raise CelError(f'{wrong}{wrong}netip.ParsePrefix("{text}"): {why}')
    if isinstance(interface, ipaddress.IPv6Interface) and interface.ip.ipv4_mapped is not None:
        raise CelError(f'{wrong}IPv4-mapped IPv6 address "{text}" is not allowed')
    return CIDR(interface)


def parse_url(text: str) -> URL:
    """Raises ValueError with Go's sentence."""
    if not text:
        raise ValueError(f'parse "{text}": empty url')
    if any(char < " " or char == "\x7f" for char in text):
        raise ValueError(f'parse "{text}": net/url: invalid control character in URL')
    absolute = _SCHEME.match(text)
    if absolute is None and not text.startswith("/"):
        first = text.partition("/")[0]
        if ":" in first:
            raise ValueError(f'parse "{text}": first path segment in URL cannot contain colon')
        raise ValueError(f'parse "{text}": invalid URI for request')
    try:
        parts = urlsplit(text)
        host = parts.netloc.rpartition("@")[2]
        port = parts.port
    except ValueError:
        port, host = None, text.partition("://")[2].partition("/")[0]
        rest = host.rpartition(":")[2]
        raise ValueError(f'parse "{text}": invalid port ":{rest}" after host') from None
    del port
    bad = _BAD_ESCAPE.search(parts.path) or _BAD_ESCAPE.search(host)
    if bad is not None:
        raise ValueError(f'parse "{text}": invalid URL escape "%{bad[1]}"')
    if " " in host:
        raise ValueError(f'parse "{text}": invalid character " " in host name')
    return URL(parts.scheme, host, parts.path, parts.query)


def _can(parse: Any, text: str) -> bool:
    try:
        parse(text)
    except (CelError, ValueError):
        return False
    return True


def _addresses() -> None:
    NETWORK.function("ip(string) -> IP", "string_to_ip", by_first)(parse_ip)
    NETWORK.function("isIP(string) -> bool", "is_ip", by_first)(lambda text: _can(parse_ip, text))
    NETWORK.function("ip.isCanonical(string) -> bool", "ip_is_canonical", lambda args, _: (len(args[0]) * 2 + 9) // 10)(
        lambda text: str(parse_ip(text).address) == text
    )
    NETWORK.method("family(IP) -> int", "ip_family")(lambda ip: ip.address.version)
    NETWORK.function("string(IP) -> string", "ip_to_string")(lambda ip: str(ip.address))
    tests: tuple[tuple[str, str, Any], ...] = (
        ("isUnspecified", "ip_is_unspecified", lambda one: one.is_unspecified),
        ("isLoopback", "ip_is_loopback", lambda one: one.is_loopback),
        ("isLinkLocalMulticast", "ip_is_link_local_multicast", _is_link_local_multicast),
        ("isLinkLocalUnicast", "ip_is_link_local_unicast", lambda one: one.is_link_local),
        ("isGlobalUnicast", "ip_is_global_unicast", _is_global_unicast),
    )
    for name, identity, test in tests:
        NETWORK.method(f"{name}(IP) -> bool", identity)(lambda ip, test=test: bool(test(ip.address)))


def _is_link_local_multicast(one: Any) -> bool:
    if one.version == 4:
        return one in ipaddress.ip_network("224.0.0.0/24")
    return one in ipaddress.ip_network("ff02::/16")


def _is_global_unicast(one: Any) -> bool:
    """As Go sees it: private addresses are global too."""
    if one == ipaddress.ip_address("255.255.255.255"):
        return False
    return not (one.is_unspecified or one.is_loopback or one.is_multicast or one.is_link_local)


def _prefix_cost(args: tuple[Any, ...], _result: Any) -> int:
    cost = tenth(args[0].cel_size() * 2)
    return cost + (tenth(len(args[1])) if isinstance(args[1], str) else 0)


def _network_cost(args: tuple[Any, ...], result: Any) -> int:
    return _prefix_cost(args, result) + tenth(args[0].cel_size()) + 1


def _contains_ip(cidr: CIDR, ip: IP) -> bool:
    return ip.address.version == cidr.interface.version and ip.address in cidr.interface.network


def _contains_cidr(cidr: CIDR, other: CIDR) -> bool:
    one, two = cidr.interface.network, other.interface.network
    return cidr.interface.version == other.interface.version and one.prefixlen <= two.prefixlen and one.overlaps(two)


def _networks() -> None:
    NETWORK.function("cidr(string) -> CIDR", "string_to_cidr", by_first)(parse_cidr)
    NETWORK.function("isCIDR(string) -> bool", "is_cidr", by_first)(lambda text: _can(parse_cidr, text))
    NETWORK.method("containsIP(CIDR, string) -> bool", "cidr_contains_ip_string", _prefix_cost)(
        lambda cidr, text: _contains_ip(cidr, parse_ip(text))
    )
    NETWORK.method("containsIP(CIDR, IP) -> bool", "cidr_contains_ip_ip", _prefix_cost)(_contains_ip)
    NETWORK.method("containsCIDR(CIDR, string) -> bool", "cidr_contains_cidr_string", _network_cost)(
        lambda cidr, text: _contains_cidr(cidr, parse_cidr(text))
    )
    NETWORK.method("containsCIDR(CIDR, CIDR) -> bool", "cidr_contains_cidr", _network_cost)(_contains_cidr)
    NETWORK.method("ip(CIDR) -> IP", "cidr_ip")(lambda cidr: IP(cidr.interface.ip))
    NETWORK.method("prefixLength(CIDR) -> int", "cidr_prefix_length")(lambda cidr: cidr.interface.network.prefixlen)
    NETWORK.method("masked(CIDR) -> CIDR", "cidr_masked")(
        lambda cidr: CIDR(ipaddress.ip_interface(cidr.interface.network))
    )
    NETWORK.function("string(CIDR) -> string", "cidr_to_string")(lambda cidr: str(cidr.interface))


def _url(text: str) -> URL:
    try:
        return parse_url(text)
    except ValueError as error:
        raise CelError(f"URL parse error during conversion from string: {error}") from None


def _hostname(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.rpartition(":")[0] if _port(host) or host.endswith(":") else host


def _port(host: str) -> str:
    tail = host.rpartition("]")[2]
    return tail.rpartition(":")[2] if ":" in tail else ""


def _query(url: URL) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for key, value in parse_qsl(url.query, keep_blank_values=True):
        found.setdefault(key, []).append(value)
    return found


def _urls() -> None:
    NETWORK.function("url(string) -> URL", "string_to_url", by_first)(_url)
    NETWORK.function("isURL(string) -> bool", "is_url_string")(lambda text: _can(parse_url, text))
    NETWORK.method("getScheme(URL) -> string", "url_get_scheme")(lambda url: url.scheme)
    NETWORK.method("getHost(URL) -> string", "url_get_host")(lambda url: url.host)
    NETWORK.method("getHostname(URL) -> string", "url_get_hostname")(lambda url: _hostname(url.host))
    NETWORK.method("getPort(URL) -> string", "url_get_port")(lambda url: _port(url.host))
    NETWORK.method("getEscapedPath(URL) -> string", "url_get_escaped_path")(
        lambda url: quote(unquote(url.path), _SAFE_PATH) if " " in url.path or not url.path.isascii() else url.path
    )
    NETWORK.method("getQuery(URL) -> map<string, list<string>>", "url_get_query")(_query)


for _enrol in (_addresses, _networks, _urls):
    _enrol()

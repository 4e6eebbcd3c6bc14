"""Which texts are valid names, keys and values, with upstream's sentences for those that are not.

Every check returns the list of complaints; an empty list means valid. The sentences are what clients have matched on
for years, the regular expressions quoted in them included.
"""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache

LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
SUBDOMAIN = LABEL + r"(\." + LABEL + ")*"
_LABEL_UNDERSCORE = "_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
_SUBDOMAIN_UNDERSCORE = _LABEL_UNDERSCORE + r"(\." + _LABEL_UNDERSCORE + ")*"
_DNS1035 = "[a-z]([-a-z0-9]*[a-z0-9])?"
_WILDCARD = r"\*\." + SUBDOMAIN
_KEY = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_VALUE = "(" + _KEY + ")?"
_CONFIG_KEY = "[-._a-zA-Z0-9]+"
_HEADER = "[-A-Za-z0-9]+"
_PERCENT = "[0-9]+%"
_PATH = r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+"

_label_re = re.compile(LABEL, re.ASCII)
_subdomain_re = re.compile(SUBDOMAIN, re.ASCII)
_subdomain_underscore_re = re.compile(_SUBDOMAIN_UNDERSCORE, re.ASCII)
_dns1035_re = re.compile(_DNS1035, re.ASCII)
_wildcard_re = re.compile(_WILDCARD, re.ASCII)
_key_re = re.compile(_KEY, re.ASCII)
_value_re = re.compile(_VALUE, re.ASCII)
_config_key_re = re.compile(_CONFIG_KEY, re.ASCII)
_header_re = re.compile(_HEADER, re.ASCII)
_percent_re = re.compile(_PERCENT, re.ASCII)
_path_re = re.compile(_PATH, re.ASCII)
_port_characters_re = re.compile("[-a-z0-9]+", re.ASCII)

_SUBDOMAIN_SENTENCE = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', "
    "and must start and end with an alphanumeric character"
)
_SUBDOMAIN_CASELESS_SENTENCE = (
    "an RFC 1123 subdomain must consist of alphanumeric characters, '-' or '.', "
    "and must start and end with an alphanumeric character"
)
_KEY_SENTENCE = (
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"
)

EMPTY = "must be non-empty"
IP_SENTENCE = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"


def too_long_characters(limit: int) -> str:
    return f"must be no more than {limit} characters"


def too_long_bytes(limit: int) -> str:
    return f"must be no more than {limit} bytes"


def regex_complaint(sentence: str, pattern: str, *examples: str) -> str:
    """The sentence with examples and the expression behind it, punctuated as upstream does (double blank included)."""
    if not examples:
        return f"{sentence} (regex used for validation is '{pattern}')"
    shown = " or ".join(f"'{example}', " for example in examples)
    return f"{sentence} (e.g. {shown}regex used for validation is '{pattern}')"


def _length(value: str) -> int:
    return len(value) if value.isascii() else len(value.encode("utf-8", "surrogatepass"))


def dns1123_label(value: str) -> list[str]:
    found = [] if _length(value) <= 63 else [too_long_characters(63)]
    if not _label_re.fullmatch(value):
        if _subdomain_re.fullmatch(value):
            found.append("must not contain dots")
        else:
            sentence = (
                "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', "
                "and must start and end with an alphanumeric character"
            )
            found.append(regex_complaint(sentence, LABEL, "my-name", "123-abc"))
    return found


def dns1123_subdomain(value: str) -> list[str]:
    return _subdomain(value, too_long_characters(253))


def _subdomain(value: str, too_long: str) -> list[str]:
    found = [] if _length(value) <= 253 else [too_long]
    if not _subdomain_re.fullmatch(value):
        found.append(regex_complaint(_SUBDOMAIN_SENTENCE, SUBDOMAIN, "example.com"))
    return found


def dns1123_subdomain_with_underscore(value: str) -> list[str]:
    found = [] if _length(value) <= 253 else [too_long_characters(253)]
    if not _subdomain_underscore_re.fullmatch(value):
        sentence = (
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', "
            "and must start and end with an alphanumeric character"
        )
        found.append(regex_complaint(sentence, _SUBDOMAIN_UNDERSCORE, "example.com"))
    return found


def dns1035_label(value: str) -> list[str]:
    found = [] if _length(value) <= 63 else [too_long_characters(63)]
    if not _dns1035_re.fullmatch(value):
        sentence = (
            "a DNS-1035 label must consist of lower case alphanumeric characters or '-', "
            "start with an alphabetic character, and end with an alphanumeric character"
        )
        found.append(regex_complaint(sentence, _DNS1035, "my-name", "abc-123"))
    return found


def wildcard_dns1123_subdomain(value: str) -> list[str]:
    found = [] if _length(value) <= 253 else [too_long_characters(253)]
    if not _wildcard_re.fullmatch(value):
        sentence = (
            "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist "
            "of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character"
        )
        found.append(regex_complaint(sentence, _WILDCARD, "*.example.com"))
    return found


def qualified_name(value: str) -> list[str]:
    """A label key, annotation key, finalizer or resource name: an optional DNS prefix, a slash, a short name."""
    prefix, slash, name = value.rpartition("/")
    found: list[str] = []
    if "/" in prefix:
        complaint = regex_complaint(_KEY_SENTENCE, _KEY, "MyName", "my.name", "123-abc")
        optional = " with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
        return [f"a valid label key {complaint}{optional}"]
    if slash:
        if not prefix:
            found.append(f"prefix part {EMPTY}")
        else:
            found += [f"prefix part {complaint}" for complaint in _subdomain(prefix, too_long_bytes(253))]
    if not name:
        found.append(f"name part {EMPTY}")
    elif _length(name) > 63:
        found.append(f"name part {too_long_bytes(63)}")
    if not _key_re.fullmatch(name):
        found.append("name part " + regex_complaint(_KEY_SENTENCE, _KEY, "MyName", "my.name", "123-abc"))
    return found


def label_value(value: str) -> list[str]:
    found = [] if _length(value) <= 63 else [too_long_bytes(63)]
    if not _value_re.fullmatch(value):
        sentence = (
            "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', "
            "and must start and end with an alphanumeric character"
        )
        found.append(regex_complaint(sentence, _VALUE, "MyValue", "my_value", "12345"))
    return found


def path_segment(value: str) -> list[str]:
    """A name that may contain anything a URL path segment can carry (RBAC roles, CSRs)."""
    if value in {".", ".."}:
        return [f"may not be '{value}'"]
    return [f"may not contain '{mark}'" for mark in ("/", "%") if mark in value]


def config_map_key(value: str) -> list[str]:
    found = [] if _length(value) <= 253 else [too_long_characters(253)]
    if not _config_key_re.fullmatch(value):
        sentence = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'"
        found.append(regex_complaint(sentence, _CONFIG_KEY, "key.name", "KEY_NAME", "key-name"))
    if value in {".", ".."}:
        found.append(f"must not be '{value}'")
    elif value.startswith(".."):
        found.append("must not start with '..'")
    return found


def environment_name(value: str) -> list[str]:
    """An environment variable's name; since 1.34 any printable ASCII but `=`."""
    found = [] if value else [f"environment variable name {EMPTY}"]
    if any(not " " <= character <= "~" or character == "=" for character in value):
        found.append("a valid environment variable name must consist only of printable ASCII characters other than '='")
    return found


def http_header_name(value: str) -> list[str]:
    if _header_re.fullmatch(value):
        return []
    sentence = "a valid HTTP header must consist of alphanumeric characters or '-'"
    return [regex_complaint(sentence, _HEADER, "X-Header-Name")]


def percent(value: str) -> list[str]:
    if _percent_re.fullmatch(value):
        return []
    sentence = "a valid percent string must be a numeric string followed by an ending '%'"
    return [regex_complaint(sentence, _PERCENT, "1%", "93%")]


def port_name(value: str) -> list[str]:
    found = [] if _length(value) <= 15 else [too_long_characters(15)]
    if not _port_characters_re.fullmatch(value):
        found.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not any("a" <= character <= "z" for character in value):
        found.append("must contain at least one letter (a-z)")
    if "--" in value:
        found.append("must not contain consecutive hyphens")
    if value.startswith("-") or value.endswith("-"):
        found.append("must not begin or end with a hyphen")
    return found


def in_range(value: int, low: int, high: int) -> list[str]:
    return [] if low <= value <= high else [f"must be between {low} and {high}, inclusive"]


def port_number(value: int) -> list[str]:
    return in_range(value, 1, 65535)


def numeric_id(value: int) -> list[str]:
    """A user or group id."""
    return in_range(value, 0, 2**31 - 1)


def http_path(value: str) -> list[str]:
    return [] if _path_re.fullmatch(value) else [regex_complaint("Invalid path", _PATH)]


def masked(value: str) -> str:
    """A generateName as it is checked: a trailing dash stands for the suffix to come.

    Upstream cuts the character before the dash as well; the verdict depends on it in odd cases, so we do too.
    """
    return value[:-2] + "a" if len(value) > 1 and value.endswith("-") else value


def ip_address(value: str) -> list[str]:
    """An address in a field from before strict parsing; leading zeros and mapped addresses have their own sentences."""
    return list(_ip_address(value))


@lru_cache(maxsize=8192)
def _ip_address(value: str) -> tuple[str, ...]:
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        if re.fullmatch(r"\d+(\.\d+){3}", value, re.ASCII):
            parts = [int(part) for part in value.split(".")]
            if all(part <= 255 for part in parts):
                return ("must not have leading 0s",)
        return (IP_SENTENCE,)
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None:
            return (IP_SENTENCE,)
        if address.ipv4_mapped is not None:
            return ("must not be an IPv4-mapped IPv6 address",)
    return ()


def canonical_ip_address(value: str) -> list[str]:
    """An address in a newer field: as `ip_address`, and it must be written in its one canonical form."""
    found = ip_address(value)
    if not found and str(ipaddress.ip_address(value)) != value:
        found = [f'must be in canonical form ("{ipaddress.ip_address(value)}")']
    return found


def cidr(value: str) -> list[str]:
    """A network in a field from before strict parsing."""
    sentence = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
    address, slash, length = value.partition("/")
    complaints = ip_address(address)
    if not slash or not (length.isascii() and length.isdigit()) or complaints == [IP_SENTENCE]:
        return [sentence]
    if int(length) > (128 if ":" in address else 32):
        return [sentence]
    if complaints == ["must not have leading 0s"] or (len(length) > 1 and length.startswith("0")):
        return ["must not have leading 0s in IP or prefix length"]
    if complaints:
        return ["must not have an IPv4-mapped IPv6 address"]
    network = ipaddress.ip_interface(value).network
    if network.network_address != ipaddress.ip_interface(value).ip:
        return ["must not have bits set beyond the prefix length"]
    return []

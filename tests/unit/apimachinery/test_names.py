"""Names, keys and addresses are accepted or refused with the sentences clients know."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from apimachinery import names

LABEL = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with "
    "an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
SUBDOMAIN = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
NAME_PART = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
NO_IP = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
NO_CIDR = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"


@pytest.mark.parametrize(
    ("rule", "good"),
    [
        (names.dns1123_label, ["a", "a-b", "0", "x" * 63]),
        (names.dns1123_subdomain, ["a", "a.b-c.d", "1.2", "x" * 253]),
        (names.dns1035_label, ["a", "a1-b"]),
        (names.qualified_name, ["a", "A_b.c", "example.com/A", "a" * 63]),
        (names.label_value, ["", "a", "A-b_c.D"]),
        (names.config_map_key, ["a", ".a", "A_b-c.d"]),
        (names.environment_name, ["A", "a.b", "a-b", "1", "x y"]),
        (names.port_name, ["http", "a-1", "123456789012a45"]),
        (names.http_header_name, ["X-A"]),
        (names.percent, ["0%", "100%"]),
        (names.ip_address, ["10.0.0.1", "::1", "2001:DB8::1"]),
        (names.cidr, ["10.0.0.0/8", "2001:db8::/64", "0.0.0.0/0"]),
        (names.path_segment, ["a:b", "A"]),
    ],
)
def test_accepts(rule: Callable[[str], list[str]], good: list[str]) -> None:
    assert {value: rule(value) for value in good if rule(value)} == {}


@pytest.mark.parametrize(
    ("rule", "bad", "complaints"),
    [
        (names.dns1123_label, "", [LABEL]),
        (names.dns1123_label, "A", [LABEL]),
        (names.dns1123_label, "a.b", ["must not contain dots"]),
        (names.dns1123_label, "a\n", [LABEL]),
        (names.dns1123_label, "x" * 64, ["must be no more than 63 characters"]),
        (names.dns1123_subdomain, "a_b", [SUBDOMAIN]),
        (names.dns1123_subdomain, "x" * 254, ["must be no more than 253 characters"]),
        (names.qualified_name, "-a", [NAME_PART]),
        (names.qualified_name, "/a", ["prefix part must be non-empty"]),
        (names.qualified_name, "a/", ["name part must be non-empty", NAME_PART]),
        (names.qualified_name, "x" * 64, ["name part must be no more than 63 bytes"]),
        (names.qualified_name, "E/a", [f"prefix part {SUBDOMAIN}"]),
        (names.label_value, "x" * 64, ["must be no more than 63 bytes"]),
        (names.config_map_key, "..a", ["must not start with '..'"]),
        (names.config_map_key, "..", ["must not be '..'"]),
        (
            names.environment_name,
            "a=b",
            ["a valid environment variable name must consist only of printable ASCII characters other than '='"],
        ),
        (names.port_name, "a--b", ["must not contain consecutive hyphens"]),
        (names.port_name, "80", ["must contain at least one letter (a-z)"]),
        (names.port_name, "-a", ["must not begin or end with a hyphen"]),
        (names.port_name, "a" * 16, ["must be no more than 15 characters"]),
        (names.path_segment, "a/b%", ["may not contain '/'", "may not contain '%'"]),
        (names.path_segment, "..", ["may not be '..'"]),
        (names.ip_address, "10.0.0", [NO_IP]),
        (names.ip_address, "fe80::1%eth0", [NO_IP]),
        (names.ip_address, "010.0.0.1", ["must not have leading 0s"]),
        (names.ip_address, "::ffff:1.2.3.4", ["must not be an IPv4-mapped IPv6 address"]),
        (names.canonical_ip_address, "2001:DB8::1", ['must be in canonical form ("2001:db8::1")']),
        (names.cidr, "10.0.0.0", [NO_CIDR]),
        (names.cidr, "10.0.0.0/33", [NO_CIDR]),
        (names.cidr, "10.0.0.1/8", ["must not have bits set beyond the prefix length"]),
        (names.cidr, "10.0.0.0/08", ["must not have leading 0s in IP or prefix length"]),
    ],
)
def test_refuses(rule: Callable[[str], list[str]], bad: str, complaints: list[str]) -> None:
    assert rule(bad) == complaints


def test_key_with_two_slashes_is_explained_as_a_whole() -> None:
    (complaint,) = names.qualified_name("a/b/c")
    assert complaint.startswith("a valid label key must consist of alphanumeric characters")
    assert complaint.endswith("with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')")


def test_generated_names_may_end_with_a_dash() -> None:
    assert names.dns1123_label(names.masked("web-")) == []
    assert names.dns1123_label(names.masked("-")) != []

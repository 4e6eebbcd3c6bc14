"""Versions and ciphers of TLS as etcd's flags name them: `TLS1.2` and Go's names of cipher suites."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from component_base.flags import FlagError, FlagSet, Values

_VERSIONS: Final = {"TLS1.2": ssl.TLSVersion.TLSv1_2, "TLS1.3": ssl.TLSVersion.TLSv1_3}
#: Of TLS 1.2, by OpenSSL's names. Suites without forward secrecy are known too, since etcd's users may list them.
_SUITES: Final = {
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305": "ECDHE-ECDSA-CHACHA20-POLY1305",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA": "ECDHE-ECDSA-AES128-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256": "ECDHE-ECDSA-AES128-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA": "ECDHE-ECDSA-AES256-SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305": "ECDHE-RSA-CHACHA20-POLY1305",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA": "ECDHE-RSA-AES128-SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256": "ECDHE-RSA-AES128-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA": "ECDHE-RSA-AES256-SHA",
    "TLS_RSA_WITH_AES_128_GCM_SHA256": "AES128-GCM-SHA256",
    "TLS_RSA_WITH_AES_256_GCM_SHA384": "AES256-GCM-SHA384",
    "TLS_RSA_WITH_AES_128_CBC_SHA": "AES128-SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA256": "AES128-SHA256",
    "TLS_RSA_WITH_AES_256_CBC_SHA": "AES256-SHA",
}
#: They cannot be chosen: whoever speaks TLS 1.3 may use them.
_OF_TLS13: Final = ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256")


@dataclass(frozen=True, slots=True)
class Handshakes:
    """What both kinds of listeners agree to."""

    least: ssl.TLSVersion
    most: ssl.TLSVersion
    ciphers: tuple[str, ...]


def declare(flags: FlagSet) -> None:
    flags.choice("tls-min-version", "TLS1.2", ("TLS1.2", "TLS1.3"), "oldest version of TLS that is spoken")
    flags.choice("tls-max-version", "", ("", "TLS1.2", "TLS1.3"), "newest version of TLS that is spoken")
    flags.strings("cipher-suites", [], "suites of TLS 1.2, by Go's names (default: those of OpenSSL)")


def handshakes(values: Values) -> Handshakes:
    """Raises FlagError."""
    least, most = values["tls-min-version"], values["tls-max-version"]
    if most and most < least:
        raise FlagError(f"--tls-max-version: min version ({least}) is greater than max version ({most})")
    suites: Sequence[str] = values["cipher-suites"]
    if suites and least == "TLS1.3":
        raise FlagError("--cipher-suites: cipher suites cannot be configured when only TLS1.3 is enabled")
    unknown = [name for name in suites if name not in _SUITES and name not in _OF_TLS13]
    if unknown:
        raise FlagError(
            f"--cipher-suites: unexpected TLS cipher suite {unknown[0]!r}; give Go's names of TLS 1.2 suites"
        )
    ciphers = tuple(dict.fromkeys(_SUITES[name] for name in suites if name in _SUITES))
    return Handshakes(_VERSIONS[least], _VERSIONS.get(most, ssl.TLSVersion.MAXIMUM_SUPPORTED), ciphers)

"""Flags that deployments of etcd set and that need nothing done here, and those that cannot be obeyed.

A flag of the first kind is accepted with any value, since its effect is always there or concerns parts that this
store does not have. One of the second kind is accepted as long as it asks for nothing; otherwise the start is refused,
because whoever set it counts on it.
"""

from __future__ import annotations

from component_base.flags import FlagError, FlagSet, Values

_ALWAYS_ON = ("strict-reconfig-check", "initial-election-tick-advance", "experimental-compact-hash-check-enabled")
_BOOLEANS = (
    "enable-grpc-gateway",
    "enable-pprof",
    "experimental-enable-lease-checkpoint",
    "experimental-enable-lease-checkpoint-persist",
    "experimental-memory-mlock",
    "experimental-txn-mode-write-with-shared-buffer",
    "experimental-stop-grpc-service-on-defrag",
    "socket-reuse-address",
    "socket-reuse-port",
)
_NUMBERS = (
    "backend-batch-limit",
    "bcrypt-cost",
    "experimental-bootstrap-defrag-threshold-megabytes",
    "experimental-compaction-batch-limit",
    "max-concurrent-streams",
    "max-snapshots",
    "max-wals",
)
_DURATIONS = (
    "backend-batch-interval",
    "compact-hash-check-time",
    "experimental-compact-hash-check-time",
    "experimental-compaction-sleep-interval",
    "experimental-downgrade-check-time",
    "experimental-warning-apply-duration",
    "experimental-warning-unary-request-duration",
    "warning-apply-duration",
    "warning-unary-request-duration",
)
_TEXTS = ("backend-bbolt-freelist-type", "cors", "host-whitelist", "log-rotation-config-json", "v2-deprecation")
#: What asks for something that is not there, and what to do instead.
_REFUSED_SWITCHES = {
    "auto-tls": "make certificates and name them with --cert-file and --key-file",
    "peer-auto-tls": "make certificates and name them with --peer-cert-file and --peer-key-file",
    "enable-v2": "the v2 API is not served; use the v3 API",
    "unsafe-no-fsync": "the log is always synced",
    "enable-log-rotation": "lines go to stderr; let the service manager rotate them",
    "experimental-enable-distributed-tracing": "traces are not exported",
}
_REFUSED_TEXTS = {
    "wal-dir": "the log lies in --data-dir; mount a disk at <data-dir>/member/wal",
    "config-file": "give flags, or variables such as ETCD_NAME",
    "discovery": "list the members in --initial-cluster",
    "discovery-srv": "list the members in --initial-cluster",
    "client-crl-file": "revocation lists are not read; use short-lived certificates",
    "peer-crl-file": "revocation lists are not read; use short-lived certificates",
}


def declare(flags: FlagSet) -> None:
    for name in _ALWAYS_ON:
        flags.boolean(name, True, "always on")
    for name in _BOOLEANS:
        flags.boolean(name, False, "accepted, without effect")
    for name in _NUMBERS:
        flags.integer(name, 0, "accepted, without effect")
    for name in _DURATIONS:
        flags.duration(name, 0.0, "accepted, without effect")
    for name in _TEXTS:
        flags.string(name, "", "accepted, without effect")
    for name, instead in _REFUSED_SWITCHES.items():
        flags.boolean(name, False, f"not available: {instead}")
    for name, instead in _REFUSED_TEXTS.items():
        flags.string(name, "", f"not available: {instead}")
    flags.duration("experimental-watch-progress-notify-interval", 0.0, "older name of --watch-progress-notify-interval")
    flags.choice("metrics", "basic", ("basic", "extensive"), "accepted; all metrics are always there")
    flags.choice("logger", "zap", ("zap",), "accepted")
    flags.strings("log-outputs", ["stderr"], "accepted; lines go to stderr")


def check(values: Values) -> None:
    """Raises FlagError for what cannot be obeyed."""
    for name, instead in {**_REFUSED_SWITCHES, **_REFUSED_TEXTS}.items():
        if values[name]:
            raise FlagError(f"--{name}: this store has no such thing; {instead}")

"""Flags that deployments of etcd set and that need nothing done here, and those that cannot be obeyed.

A flag of the first kind is accepted with any value, since its effect is always there or concerns parts that this
store does not have. One of the second kind is accepted as long as it asks for nothing; otherwise the start is refused,
because whoever set it counts on it.
"""

from __future__ import annotations

from component_base.flags import FlagError, FlagSet, Values, parse_boolean

_ALWAYS_ON = ("strict-reconfig-check", "initial-election-tick-advance", "experimental-compact-hash-check-enabled")
_BOOLEANS = (
    "enable-grpc-gateway",
    "discovery-insecure-skip-tls-verify",
    "discovery-insecure-transport",
    "enable-pprof",
    "experimental-enable-lease-checkpoint",
    "experimental-enable-lease-checkpoint-persist",
    "experimental-memory-mlock",
    "experimental-peer-skip-client-san-verification",
    "experimental-set-member-localaddr",
    "experimental-txn-mode-write-with-shared-buffer",
    "experimental-stop-grpc-service-on-defrag",
    "memory-mlock",
    "peer-skip-client-san-verification",
    "socket-reuse-address",
    "socket-reuse-port",
)
_NUMBERS = (
    "backend-batch-limit",
    "bcrypt-cost",
    "bootstrap-defrag-threshold-megabytes",
    "compaction-batch-limit",
    "distributed-tracing-sampling-rate",
    "experimental-bootstrap-defrag-threshold-megabytes",
    "experimental-compaction-batch-limit",
    "experimental-distributed-tracing-sampling-rate",
    "max-concurrent-streams",
    "max-snapshots",
    "max-wals",
    "proxy-dial-timeout",
    "proxy-failure-wait",
    "proxy-read-timeout",
    "proxy-refresh-interval",
    "proxy-write-timeout",
    "self-signed-cert-validity",
)
_DURATIONS = (
    "backend-batch-interval",
    "compact-hash-check-time",
    "compaction-sleep-interval",
    "discovery-dial-timeout",
    "discovery-keepalive-time",
    "discovery-keepalive-timeout",
    "discovery-request-timeout",
    "downgrade-check-time",
    "experimental-compact-hash-check-time",
    "experimental-compaction-sleep-interval",
    "experimental-downgrade-check-time",
    "experimental-wait-cluster-ready-timeout",
    "experimental-warning-apply-duration",
    "experimental-warning-unary-request-duration",
    "raft-read-timeout",
    "raft-write-timeout",
    "warning-apply-duration",
    "warning-unary-request-duration",
)
_TEXTS = (
    "backend-bbolt-freelist-type",
    "client-cert-file",
    "client-key-file",
    "cors",
    "discovery-cacert",
    "discovery-cert",
    "discovery-fallback",
    "discovery-key",
    "discovery-password",
    "discovery-proxy",
    "discovery-srv-name",
    "discovery-user",
    "distributed-tracing-address",
    "distributed-tracing-instance-id",
    "distributed-tracing-service-name",
    "experimental-backend-bbolt-freelist-type",
    "experimental-distributed-tracing-address",
    "experimental-distributed-tracing-instance-id",
    "experimental-distributed-tracing-service-name",
    "host-whitelist",
    "log-package-levels",
    "log-rotation-config-json",
    "v2-deprecation",
)
#: What etcd 3.6 switches by --feature-gates. InitialCorruptCheck is obeyed; the others are always on or need nothing.
FEATURES = frozenset(
    {
        "AllAlpha",
        "AllBeta",
        "CompactHashCheck",
        "FastLeaseKeepAlive",
        "InitialCorruptCheck",
        "LeaseCheckpoint",
        "LeaseCheckpointPersist",
        "PriorityRequest",
        "SetMemberLocalAddr",
        "StopGRPCServiceOnDefrag",
        "TxnModeWriteWithSharedBuffer",
    }
)
#: What asks for something that is not there, and what to do instead.
_REFUSED_SWITCHES = {
    "auto-tls": "make certificates and name them with --cert-file and --key-file",
    "peer-auto-tls": "make certificates and name them with --peer-cert-file and --peer-key-file",
    "enable-v2": "the v2 API is not served; use the v3 API",
    "unsafe-no-fsync": "the log is always synced",
    "enable-log-rotation": "lines go to stderr; let the service manager rotate them",
    "enable-distributed-tracing": "traces are not exported",
    "experimental-enable-distributed-tracing": "traces are not exported",
}
_REFUSED_TEXTS = {
    "wal-dir": "the log lies in --data-dir; mount a disk at <data-dir>/member/wal",
    "config-file": "give flags, or variables such as ETCD_NAME",
    "discovery": "list the members in --initial-cluster",
    "discovery-token": "list the members in --initial-cluster",
    "discovery-endpoints": "list the members in --initial-cluster",
    "discovery-srv": "list the members in --initial-cluster",
    "experimental-enable-v2v3": "the v2 API is not served; use the v3 API",
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
    flags.mapping("feature-gates", {}, "etcd's features: Name=true,…; only InitialCorruptCheck makes a difference")
    for prefix in ("", "experimental-"):
        flags.integer(f"{prefix}max-learners", 1, "only 1", 1)
    flags.choice("proxy", "off", ("off", "readonly", "on"), "only `off`")
    flags.choice("metrics", "basic", ("basic", "extensive"), "accepted; all metrics are always there")
    flags.choice("logger", "zap", ("zap",), "accepted")
    flags.strings("log-outputs", ["stderr"], "accepted; lines go to stderr")


def checks_at_start(values: Values) -> bool:
    """As etcd 3.6 spells --experimental-initial-corrupt-check."""
    return parse_boolean(values["feature-gates"].get("InitialCorruptCheck", "false"))


def check(values: Values) -> None:
    """Raises FlagError for what cannot be obeyed."""
    if values["proxy"] != "off":
        raise FlagError("--proxy: the v2 proxy is not there; let clients have all members as endpoints")
    if values["max-learners"] > 1 or values["experimental-max-learners"] > 1:
        raise FlagError("--max-learners: a cluster has one learner at a time; promote it before you add the next")
    for name, text in values["feature-gates"].items():
        if name not in FEATURES:
            raise FlagError(
                f"--feature-gates: unrecognized feature gate: {name}; there are {', '.join(sorted(FEATURES))}"
            )
        try:
            parse_boolean(text)
        except ValueError as problem:
            raise FlagError(f"--feature-gates: {name}: {problem}") from None
    for name, instead in {**_REFUSED_SWITCHES, **_REFUSED_TEXTS}.items():
        if values[name]:
            raise FlagError(f"--{name}: this store has no such thing; {instead}")

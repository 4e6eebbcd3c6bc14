"""The command line, in etcd's flags, turned into one checked value. Nothing is opened or contacted here."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from component_base.flags import FlagError, FlagSet, Values, parse_duration
from component_base.http2.connection import Keepalive
from component_base.rpc import ClientTls, ServerTls
from etcd_raft import accepted_flags, tls_flags
from etcd_raft.auth.signed import SigningError, SigningOptions, parse_token_flag
from etcd_raft.certificates import AllowedNames
from etcd_raft.transport.addresses import Address, parse_url

PROGRAM = "etcd_raft"
GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Settings:
    name: str
    data_dir: Path
    listen_client: tuple[Address, ...]
    listen_peer: tuple[Address, ...]
    listen_metrics: tuple[Address, ...]
    advertise_client_urls: tuple[str, ...]
    advertise_peer_urls: tuple[str, ...]
    initial_cluster: dict[str, tuple[str, ...]]
    """Peer URLs by member name."""
    is_new_cluster: bool
    force_new_cluster: bool
    cluster_token: str
    client_tls: ServerTls | None
    peer_tls: ServerTls | None
    peer_client_tls: ClientTls | None
    client_keepalive: Keepalive
    client_allowed: AllowedNames
    peer_allowed: AllowedNames
    heartbeat_seconds: float
    election_ticks: int
    snapshot_count: int
    catch_up_entries: int
    quota_bytes: int
    max_request_bytes: int
    max_txn_ops: int
    compaction_mode: str
    compaction_retention: float
    """Seconds for `periodic`, revisions for `revision`; 0 turns it off."""
    progress_notify_seconds: float
    checks_at_start: bool
    corruption_check_seconds: float
    """0: members are not compared while they run."""
    signed_tokens: SigningOptions | None
    """None: simple tokens, which live `token_seconds` after their last use."""
    token_seconds: float
    pre_vote: bool
    verbosity: int
    log_format: str

    @property
    def request_seconds(self) -> float:
        return 5.0 + 2 * self.election_ticks * self.heartbeat_seconds


def flag_set() -> FlagSet:
    flags = FlagSet(PROGRAM, "a member of the store: etcd's v3 API over a replicated log")
    flags.string("name", "default", "this member's name, as it stands in --initial-cluster")
    flags.string("data-dir", "", "folder of the log and the snapshots (default <name>.etcd)")
    flags.strings("listen-client-urls", ["http://localhost:2379"], "where clients are served")
    flags.strings("listen-client-http-urls", [], "where /health, /version and /metrics are served besides")
    flags.strings("advertise-client-urls", [], "client URLs to tell the cluster (default --listen-client-urls)")
    flags.strings("listen-peer-urls", ["http://localhost:2380"], "where other members are served")
    flags.strings("initial-advertise-peer-urls", ["http://localhost:2380"], "peer URLs to tell the cluster")
    flags.strings("listen-metrics-urls", [], "where /metrics, /health, /livez and /readyz are served")
    flags.string("initial-cluster", "", "members of the new cluster: name=peer-url,…")
    flags.choice("initial-cluster-state", "new", ("new", "existing"), "found a cluster, or join one after `member add`")
    flags.string("initial-cluster-token", "etcd-cluster", "tells clusters apart whose addresses are the same")
    flags.boolean("force-new-cluster", False, "go on alone with this member's data; the others are lost for good")
    for prefix, what in (("", "client"), ("peer-", "peer")):
        flags.string(f"{prefix}cert-file", "", f"certificate of the {what} listeners")
        flags.string(f"{prefix}key-file", "", f"key of --{prefix}cert-file")
        flags.string(f"{prefix}trusted-ca-file", "", f"authority whose {what} certificates are trusted")
        flags.boolean(f"{prefix}client-cert-auth", False, f"demand a certificate of every {what}")
    flags.string("peer-client-cert-file", "", "certificate to show to peers (default --peer-cert-file)")
    flags.string("peer-client-key-file", "", "key of --peer-client-cert-file")
    flags.strings("client-cert-allowed-hostname", [], "clients' certificates must be good for one of these hosts")
    flags.string("peer-cert-allowed-cn", "", "the common name that peers' certificates must have")
    flags.strings("peer-cert-allowed-hostname", [], "peers' certificates must be good for one of these hosts")
    flags.boolean("allow-plaintext", False, "permit http:// on other than loopback addresses")
    flags.integer("heartbeat-interval", 100, "milliseconds between a leader's heartbeats", 10, 5000)
    flags.integer("election-timeout", 1000, "milliseconds of silence before an election", 50, 50000)
    flags.integer("snapshot-count", 10_000, "applied entries between snapshots", 1)
    flags.integer("snapshot-catchup-entries", 5000, "entries kept behind a snapshot for members that lag a little", 1)
    flags.integer("experimental-snapshot-catchup-entries", 0, "older name of --snapshot-catchup-entries", 0)
    flags.integer("quota-backend-bytes", 0, "size at which writes are refused with NOSPACE (0: 2 GiB)", 0)
    flags.integer("max-request-bytes", 1_572_864, "largest request a client may send", 1)
    flags.integer("max-txn-ops", 128, "most operations in one transaction", 1)
    flags.choice("auto-compaction-mode", "periodic", ("periodic", "revision"), "unit of --auto-compaction-retention")
    flags.string("auto-compaction-retention", "0", "history to keep: hours or a duration, or revisions; 0 keeps all")
    flags.string("auth-token", "simple", "simple, or jwt,sign-method=…,priv-key=…,pub-key=…,ttl=…")
    flags.integer("auth-token-ttl", 300, "seconds that a simple token lives unused", 1)
    flags.boolean("pre-vote", True, "ask whether an election could be won before holding it")
    flags.duration("grpc-keepalive-min-time", 5.0, "clients that ping more often are disconnected (0: 5 minutes)")
    flags.duration("grpc-keepalive-interval", 7200.0, "silence after which a client is pinged")
    flags.duration("grpc-keepalive-timeout", 20.0, "silence after such a ping that ends the connection")
    flags.choice("log-level", "info", ("debug", "info", "warn", "error", "panic", "fatal"), "debug says more")
    flags.boolean("debug", False, "older name of --log-level=debug")
    flags.choice("log-format", "text", ("text", "json", "console"), "how log lines look")
    flags.duration("watch-progress-notify-interval", 600.0, "between progress notices of idle watches that want them")
    flags.boolean("experimental-initial-corrupt-check", False, "compare with the other members after starting")
    for prefix in ("", "experimental-"):
        flags.duration(f"{prefix}corrupt-check-time", 0.0, "between the leader's comparisons of all members; 0: none")
    tls_flags.declare(flags)
    accepted_flags.declare(flags)
    return flags


def parse(arguments: Sequence[str] | None = None) -> Settings:
    """Ends the process with one sentence if the flags cannot be meant."""
    flags = flag_set()
    given = list(sys.argv[1:] if arguments is None else arguments)
    values = flags.parse(_from_environment(flags.parse(given)) + given)
    try:
        return _settings(values)
    except FlagError as error:
        raise SystemExit(_complain(error)) from None


def _from_environment(values: Values) -> list[str]:
    """etcd reads ETCD_DATA_DIR and the like where the flag itself is not given."""
    found = ((name, os.environ.get("ETCD_" + name.upper().replace("-", "_"))) for name in values)
    return [f"--{name}={text}" for name, text in found if text and not values.given(name)]


def _complain(error: FlagError) -> int:
    sys.stderr.write(f"{PROGRAM}: {error}\n")
    return 2


def _settings(values: Values) -> Settings:
    accepted_flags.check(values)
    heartbeat, election = values["heartbeat-interval"], values["election-timeout"]
    if election < 5 * heartbeat:
        raise FlagError(f"--election-timeout: {election} ms is less than 5 times --heartbeat-interval ({heartbeat} ms)")
    plaintext = values["allow-plaintext"]
    peer_urls = values["initial-advertise-peer-urls"]
    for url in peer_urls:
        _address("initial-advertise-peer-urls", url)
    client = _addresses(values, "listen-client-urls", plaintext)
    peer = _addresses(values, "listen-peer-urls", plaintext)
    notify = values["experimental-watch-progress-notify-interval"] or values["watch-progress-notify-interval"]
    return Settings(
        name=values["name"],
        data_dir=Path(values["data-dir"] or f"{values['name']}.etcd"),
        listen_client=client,
        listen_peer=peer,
        listen_metrics=(
            *_addresses(values, "listen-metrics-urls", plaintext=True),
            *_addresses(values, "listen-client-http-urls", plaintext),
        ),
        advertise_client_urls=_advertised(values),
        advertise_peer_urls=peer_urls,
        initial_cluster=initial_cluster(values),
        is_new_cluster=values["initial-cluster-state"] == "new",
        force_new_cluster=values["force-new-cluster"],
        cluster_token=values["initial-cluster-token"],
        client_tls=_server_tls(values, "", client),
        peer_tls=_server_tls(values, "peer-", peer),
        peer_client_tls=_peer_client_tls(values),
        client_keepalive=_keepalive(values),
        client_allowed=_allowed(values, ""),
        peer_allowed=_allowed(values, "peer-"),
        heartbeat_seconds=heartbeat / 1000,
        election_ticks=max(2, election // heartbeat),
        snapshot_count=values["snapshot-count"],
        catch_up_entries=values["experimental-snapshot-catchup-entries"] or values["snapshot-catchup-entries"],
        quota_bytes=values["quota-backend-bytes"] or 2 * GIB,
        max_request_bytes=values["max-request-bytes"],
        max_txn_ops=values["max-txn-ops"],
        compaction_mode=values["auto-compaction-mode"],
        compaction_retention=_retention(values),
        progress_notify_seconds=notify,
        checks_at_start=values["experimental-initial-corrupt-check"] or accepted_flags.checks_at_start(values),
        corruption_check_seconds=values["corrupt-check-time"] or values["experimental-corrupt-check-time"],
        signed_tokens=_signed_tokens(values),
        token_seconds=float(values["auth-token-ttl"]),
        pre_vote=values["pre-vote"],
        verbosity=4 if values["log-level"] == "debug" or values["debug"] else 0,
        log_format="json" if values["log-format"] == "json" else "text",
    )


def _address(flag: str, url: str) -> Address:
    try:
        return parse_url(url)
    except ValueError as problem:
        raise FlagError(f"--{flag}: {problem}") from None


def _addresses(values: Values, flag: str, plaintext: bool) -> tuple[Address, ...]:
    found = tuple(_address(flag, url) for url in values[flag])
    for address in found:
        if not address.is_tls and not address.is_loopback and not plaintext:
            raise FlagError(f"--{flag}: {address} is neither TLS nor loopback; use https:// or add --allow-plaintext")
    return found


def _advertised(values: Values) -> tuple[str, ...]:
    urls: tuple[str, ...] = values["advertise-client-urls"]
    for url in urls:
        _address("advertise-client-urls", url)
    return urls or values["listen-client-urls"]


def initial_cluster(values: Values) -> dict[str, tuple[str, ...]]:
    """Peer URLs by member name, from --initial-cluster and the flags it must agree with. Raises FlagError."""
    name, own = values["name"], values["initial-advertise-peer-urls"]
    if not values["initial-cluster"]:
        return {name: own}
    members: dict[str, tuple[str, ...]] = {}
    for pair in filter(None, values["initial-cluster"].split(",")):
        member, equals, url = pair.strip().partition("=")
        if not equals or not member:
            raise FlagError(f"--initial-cluster: {pair!r} is not of the form name=https://host:port")
        address = str(_address("initial-cluster", url))
        if any(address in map(str.lower, urls) for urls in members.values()):
            raise FlagError(f"--initial-cluster: {url} stands there twice")
        members[member] = (*members.get(member, ()), url)
    if name not in members:
        raise FlagError(f"--initial-cluster: does not name this member, {name!r}; add {name}={own[0]} or set --name")
    if sorted(members[name]) != sorted(own):
        raise FlagError(
            f"--initial-cluster: gives {name} the address {','.join(members[name])}, but --initial-advertise-peer-urls "
            f"is {','.join(own)}; make them equal"
        )
    return members


def _file(values: Values, flag: str) -> Path:
    path = Path(values[flag])
    if not path.is_file():
        raise FlagError(f"--{flag}: there is no file {path}")
    return path


def _server_tls(values: Values, prefix: str, addresses: Sequence[Address]) -> ServerTls | None:
    wanted = tls_flags.handshakes(values)
    if not any(address.is_tls for address in addresses):
        return None
    if not values[f"{prefix}cert-file"] or not values[f"{prefix}key-file"]:
        raise FlagError(f"--{prefix}cert-file and --{prefix}key-file are needed to listen on https://")
    demands = values[f"{prefix}client-cert-auth"]
    if demands and not values[f"{prefix}trusted-ca-file"]:
        raise FlagError(f"--{prefix}client-cert-auth: needs --{prefix}trusted-ca-file to check certificates by")
    return ServerTls(
        certificate_file=_file(values, f"{prefix}cert-file"),
        key_file=_file(values, f"{prefix}key-file"),
        client_ca_file=_file(values, f"{prefix}trusted-ca-file") if demands else None,
        require_client_certificate=demands,
        least=wanted.least,
        most=wanted.most,
        ciphers=wanted.ciphers,
    )


def _signed_tokens(values: Values) -> SigningOptions | None:
    try:
        return parse_token_flag(values["auth-token"])
    except SigningError as problem:
        raise FlagError(f"--auth-token: {problem}") from None


def _keepalive(values: Values) -> Keepalive:
    """As in etcd, a zero leaves gRPC's own default in place."""
    interval, timeout = values["grpc-keepalive-interval"], values["grpc-keepalive-timeout"]
    if interval <= 0 or timeout <= 0:
        interval, timeout = 7200.0, 20.0
    return Keepalive(interval, timeout, min_ping_seconds=values["grpc-keepalive-min-time"] or 300.0)


def _allowed(values: Values, prefix: str) -> AllowedNames:
    common_name = values["peer-cert-allowed-cn"] if prefix else ""
    hosts = values[f"{prefix or 'client-'}cert-allowed-hostname"]
    if common_name and hosts:
        raise FlagError("--peer-cert-allowed-cn: excludes --peer-cert-allowed-hostname; give one of them")
    if (common_name or hosts) and not values[f"{prefix}client-cert-auth"]:
        raise FlagError(f"--{prefix or 'client-'}cert-allowed-…: needs --{prefix}client-cert-auth to see certificates")
    return AllowedNames(common_name, hosts)


def _peer_client_tls(values: Values) -> ClientTls | None:
    if not values["peer-trusted-ca-file"]:
        return None
    shown = "peer-client-" if values["peer-client-cert-file"] else "peer-"
    if bool(values["peer-client-cert-file"]) != bool(values["peer-client-key-file"]):
        raise FlagError("--peer-client-cert-file: goes with --peer-client-key-file; give both")
    has_pair = values[f"{shown}cert-file"] and values[f"{shown}key-file"]
    return ClientTls(
        ca_file=_file(values, "peer-trusted-ca-file"),
        certificate_file=_file(values, f"{shown}cert-file") if has_pair else None,
        key_file=_file(values, f"{shown}key-file") if has_pair else None,
    )


def _retention(values: Values) -> float:
    text = values["auto-compaction-retention"]
    try:
        if text.isdecimal():
            return float(int(text) * (3600 if values["auto-compaction-mode"] == "periodic" else 1))
        if values["auto-compaction-mode"] == "periodic":
            return parse_duration(text)
    except ValueError as problem:
        raise FlagError(f"--auto-compaction-retention: {problem}") from None
    raise FlagError(f"--auto-compaction-retention: {text!r} is not a number of revisions")

"""The kubelet's flags, with upstream's names and defaults, and the typed settings made from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from component_base.flags import FlagSet, Values
from kubelet.containers.amounts import exact, whole

RESOLV_CONF = "/etc/resolv.conf"
ENDPOINT = "unix:///run/containerd/containerd.sock"


@dataclass(frozen=True, slots=True)
class Settings:
    hostname: str
    node_ip: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[dict[str, str], ...] = ()
    register: bool = True
    unschedulable: bool = False
    kubeconfig: Path = Path("/var/lib/kubelet/kubeconfig")
    bootstrap_kubeconfig: Path | None = None
    address: str = "0.0.0.0"
    port: int = 10250
    healthz_address: str = "127.0.0.1"
    healthz_port: int = 10248
    runtime_endpoint: str = ENDPOINT
    image_endpoint: str = ""
    root: Path = Path("/var/lib/kubelet")
    cert_dir: Path = Path("/var/lib/kubelet/pki")
    tls_cert_file: Path | None = None
    tls_key_file: Path | None = None
    rotate_certificates: bool = True
    rotate_server_certificates: bool = False
    client_ca_file: Path | None = None
    anonymous_auth: bool = False
    takes_tokens: bool = True
    cluster_dns: tuple[str, ...] = ()
    cluster_domain: str = "cluster.local"
    cluster_cidr: str = ""
    cni_conf_dir: Path | None = None
    pod_logs: Path = Path("/var/log/pods")
    manifests: Path | None = None
    resolv_conf: Path = Path(RESOLV_CONF)
    max_pods: int = 110
    pod_pids_limit: int | None = None
    cgroup_root: str = "kubepods"
    cgroups_per_pod: bool = True
    node_status_seconds: float = 10.0
    node_report_seconds: float = 300.0
    lease_seconds: int = 40
    log_max_size: int = 10 << 20
    log_max_files: int = 5
    image_gc_high: int = 85
    image_gc_low: int = 80
    image_minimum_age: float = 120.0
    parallel_pulls: int = 1
    reserved: Mapping[str, str] = field(default_factory=dict)
    eviction_hard: Mapping[str, str] = field(default_factory=dict)
    pod_cidr: str = ""
    provider_id: str = ""


def flags() -> FlagSet:
    known = FlagSet("kubelet", "the node agent: runs the pods that are bound to this node")
    _identity(known)
    _serving(known)
    _runtime(known)
    _limits(known)
    return known


def _identity(known: FlagSet) -> None:
    known.string("kubeconfig", "", "how to reach the apiserver; written after --bootstrap-kubeconfig succeeded")
    known.string("bootstrap-kubeconfig", "", "credentials that may only ask for a client certificate")
    known.string("hostname-override", "", "the node's name (default: the host's name)")
    known.string("node-ip", "", "the node's address (default: the one that routes outwards)")
    known.mapping("node-labels", {}, "labels to register the node with")
    known.strings("register-with-taints", (), "key=value:effect taints to register the node with")
    known.boolean("register-node", True, "create the Node object if it is missing")
    known.boolean("register-schedulable", True, "register the node as schedulable")
    known.string("provider-id", "", "identifies the machine to a cloud provider")
    known.string("cert-dir", "/var/lib/kubelet/pki", "where certificates are kept that the kubelet obtained itself")
    known.boolean("rotate-certificates", True, "renew the client certificate before it ends")
    known.boolean("rotate-server-certificates", False, "ask the apiserver for the serving certificate, and renew it")
    known.duration("node-status-update-frequency", 10.0, "how often the node's status is computed")
    known.duration("node-status-report-frequency", 300.0, "how often an unchanged status is reported")
    known.integer("node-lease-duration-seconds", 40, "how long the node's Lease holds", 1)


def _serving(known: FlagSet) -> None:
    known.string("address", "0.0.0.0", "where the HTTPS API listens")
    known.port("port", 10250, "port of the HTTPS API")
    known.string("healthz-bind-address", "127.0.0.1", "where /healthz listens")
    known.port("healthz-port", 10248, "port of /healthz, 0 for none")
    known.string("tls-cert-file", "", "the HTTPS API's certificate (default: self-signed in --cert-dir)")
    known.string("tls-private-key-file", "", "the key to --tls-cert-file")
    known.string("client-ca-file", "", "authority of the client certificates to accept")
    known.boolean("anonymous-auth", False, "let requests without credentials reach authorization as system:anonymous")
    known.boolean("authentication-token-webhook", True, "ask the apiserver about bearer tokens")
    known.choice("authorization-mode", "Webhook", ("Webhook",), "who decides about requests: the apiserver")
    known.integer("v", 0, "verbosity of the log", 0)
    known.choice("logging-format", "text", ("text", "json"), "form of the log lines")


def _runtime(known: FlagSet) -> None:
    known.string("container-runtime-endpoint", ENDPOINT, "CRI socket of the runtime")
    known.string("image-service-endpoint", "", "CRI socket of the image service (default: the runtime's)")
    known.string("root-dir", "/var/lib/kubelet", "the kubelet's own files: volumes, plugins, pods")
    known.strings("cluster-dns", (), "DNS servers of the pods")
    known.string("cluster-domain", "cluster.local", "domain of the cluster's services")
    known.string("cluster-cidr", "", "addresses of all pods: traffic to them is forwarded")
    known.string("cni-conf-dir", "", "write the bridge network's configuration here once the podCIDR is known")
    known.string("pod-cidr", "", "podCIDR to use without waiting for the apiserver's")
    known.string("pod-log-dir", "/var/log/pods", "where the containers' logs go")
    known.string("pod-manifest-path", "", "folder of static pods")
    known.string("resolv-conf", RESOLV_CONF, "the resolver configuration pods with dnsPolicy Default get")
    known.boolean("fail-swap-on", True, "accepted as upstream's flag; swap is left to the host")
    known.boolean("fail-cgroupv1", False, "accepted as upstream's flag; both cgroup versions work")
    known.string("cgroup-driver", "cgroupfs", "accepted as upstream's flag; cgroups are managed through cgroupfs")
    known.string("cgroup-root", "", "parent of the kubepods cgroup")
    known.boolean("cgroups-per-qos", True, "give each pod a cgroup below that of its QoS class")
    known.boolean("serialize-image-pulls", True, "pull one image at a time")


def _limits(known: FlagSet) -> None:
    known.integer("max-pods", 110, "pods this node takes", 0)
    known.integer("pod-max-pids", -1, "process limit of a pod, -1 for none")
    known.string("container-log-max-size", "10Mi", "size at which a log file is rotated")
    known.integer("container-log-max-files", 5, "log files kept for each container", 2)
    known.integer("image-gc-high-threshold", 85, "disk use in per cent at which unused images are removed", 0, 100)
    known.integer("image-gc-low-threshold", 80, "disk use in per cent at which removing images ends", 0, 100)
    known.duration("minimum-image-ttl-duration", 120.0, "age an unused image must have to be removed")
    known.mapping("system-reserved", {}, "resources kept for the system, e.g. cpu=200m,memory=150M")
    known.mapping("kube-reserved", {}, "resources kept for the services of the cluster")
    known.string("eviction-hard", "memory.available<100Mi,nodefs.available<10%,imagefs.available<15%", "when to evict")


def from_flags(values: Values, hostname: str) -> Settings:
    """Raises ValueError with one sentence that names the flag."""
    if not values["kubeconfig"]:
        raise ValueError("--kubeconfig is required: the file that says how to reach the apiserver")
    if bool(values["tls-cert-file"]) != bool(values["tls-private-key-file"]):
        raise ValueError("--tls-cert-file and --tls-private-key-file belong together; give both or neither")
    root = Path(values["root-dir"])
    parent = values["cgroup-root"].strip("/")
    return Settings(
        hostname=(values["hostname-override"] or hostname).strip().lower(),
        node_ip=values["node-ip"],
        labels=values["node-labels"],
        taints=parse_taints(values["register-with-taints"]),
        register=values["register-node"],
        unschedulable=not values["register-schedulable"],
        kubeconfig=Path(values["kubeconfig"]),
        bootstrap_kubeconfig=_path(values, "bootstrap-kubeconfig"),
        address=values["address"],
        port=values["port"],
        healthz_address=values["healthz-bind-address"],
        healthz_port=values["healthz-port"],
        runtime_endpoint=values["container-runtime-endpoint"],
        image_endpoint=values["image-service-endpoint"],
        root=root,
        cert_dir=Path(values["cert-dir"]) if values.given("cert-dir") else root / "pki",
        tls_cert_file=_path(values, "tls-cert-file"),
        tls_key_file=_path(values, "tls-private-key-file"),
        rotate_certificates=values["rotate-certificates"],
        rotate_server_certificates=values["rotate-server-certificates"],
        client_ca_file=_path(values, "client-ca-file"),
        anonymous_auth=values["anonymous-auth"],
        takes_tokens=values["authentication-token-webhook"],
        cluster_dns=values["cluster-dns"],
        cluster_domain=values["cluster-domain"],
        cluster_cidr=values["cluster-cidr"],
        cni_conf_dir=_path(values, "cni-conf-dir"),
        pod_logs=Path(values["pod-log-dir"]),
        manifests=_path(values, "pod-manifest-path"),
        resolv_conf=Path(values["resolv-conf"]),
        max_pods=values["max-pods"],
        pod_pids_limit=values["pod-max-pids"] if values["pod-max-pids"] > 0 else None,
        cgroup_root=f"{parent}/kubepods" if parent else "kubepods",
        cgroups_per_pod=values["cgroups-per-qos"],
        node_status_seconds=values["node-status-update-frequency"],
        node_report_seconds=values["node-status-report-frequency"],
        lease_seconds=values["node-lease-duration-seconds"],
        log_max_size=_bytes(values["container-log-max-size"], "container-log-max-size"),
        log_max_files=values["container-log-max-files"],
        image_gc_high=values["image-gc-high-threshold"],
        image_gc_low=values["image-gc-low-threshold"],
        image_minimum_age=values["minimum-image-ttl-duration"],
        parallel_pulls=1 if values["serialize-image-pulls"] else 4,
        reserved=_sum(values["system-reserved"], values["kube-reserved"]),
        eviction_hard=parse_thresholds(values["eviction-hard"]),
        pod_cidr=values["pod-cidr"],
        provider_id=values["provider-id"],
    )


def _path(values: Values, name: str) -> Path | None:
    return Path(values[name]) if values[name] else None


def _bytes(text: str, name: str) -> int:
    try:
        return whole(text)
    except ValueError as error:
        raise ValueError(f"--{name}: {error}") from None


def _sum(*tables: Mapping[str, Any]) -> dict[str, str]:
    total: dict[str, Any] = {}
    for table in tables:
        for name, amount in table.items():
            try:
                total[name] = total.get(name, 0) + exact(amount)
            except ValueError as error:
                raise ValueError(f"--system-reserved, --kube-reserved: {name}: {error}") from None
    return {name: f"{int(amount * 1000)}m" for name, amount in total.items()}


def parse_taints(texts: Sequence[str]) -> tuple[dict[str, str], ...]:
    """`key=value:effect`, as kubectl taint takes them."""
    out = []
    for text in texts:
        pair, colon, effect = text.rpartition(":")
        key, _, value = pair.partition("=")
        if not colon or not key or effect not in ("NoSchedule", "PreferNoSchedule", "NoExecute"):
            raise ValueError(f"--register-with-taints: {text!r} is not of the form key=value:effect")
        taint = {"key": key, "effect": effect}
        if value:
            taint["value"] = value
        out.append(taint)
    return tuple(out)


def parse_thresholds(text: str) -> dict[str, str]:
    """`memory.available<100Mi,…`."""
    out = {}
    for part in filter(None, text.split(",")):
        signal, less, amount = part.partition("<")
        if not less:
            raise ValueError(f"--eviction-hard: {part!r} is not of the form signal<amount")
        out[signal.strip()] = amount.strip()
    return out

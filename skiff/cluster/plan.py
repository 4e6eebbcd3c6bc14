"""Which processes make a cluster, with which flags, in which order: a pure function of settings and layout.

The flags are upstream's wherever upstream has the flag, so that a reader who knows kubeadm's manifests recognises them.
A process is started when all it `needs` are ready; readiness is asked the way upstream's probes do.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path

from skiff.cluster.layout import Layout
from skiff.cluster.settings import Settings

CNI_FOLDERS = (Path("/usr/lib/cni"), Path("/opt/cni/bin"))


@dataclass(frozen=True, slots=True)
class Probe:
    """`url` answers 200, or `socket` accepts a connection."""

    url: str = ""
    socket: Path | None = None
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None


@dataclass(frozen=True, slots=True)
class Process:
    name: str
    argv: tuple[str, ...]
    probe: Probe
    needs: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    stop_seconds: float = 10.0


def processes(settings: Settings, layout: Layout) -> list[Process]:
    """In start order; stopping goes the other way round."""
    node = [containerd(layout), *([cri_shim(settings, layout)] if settings.container_runtime == "shim" else [])]
    agents = [kubelet(settings, layout), kube_proxy(settings, layout), cluster_dns(settings, layout)]
    if settings.role == "worker":
        return [*node, *agents]
    store = [] if settings.etcd_servers else [etcd(settings, layout)]
    control = [*store, apiserver(settings, layout), controller_manager(settings, layout), scheduler(settings, layout)]
    return [*control, *node, *agents]


def service(module: str, *flags: str) -> tuple[str, ...]:
    return (sys.executable, "-m", module, *flags)


def etcd(settings: Settings, layout: Layout) -> Process:
    pki, ports = layout.pki / "etcd", settings.ports
    client, peer = f"https://{settings.node_ip}:{ports.etcd_client}", f"https://{settings.node_ip}:{ports.etcd_peer}"
    local = f"https://127.0.0.1:{ports.etcd_client}"
    return Process(
        "etcd",
        service(
            "etcd_raft",
            f"--name={settings.node_name}",
            f"--data-dir={layout.etcd}",
            f"--listen-client-urls={local}"
            if settings.node_ip == "127.0.0.1"
            else f"--listen-client-urls={local},{client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster={settings.node_name}={peer}",
            f"--cert-file={pki / 'server.crt'}",
            f"--key-file={pki / 'server.key'}",
            f"--trusted-ca-file={pki / 'ca.crt'}",
            "--client-cert-auth",
            f"--peer-cert-file={pki / 'peer.crt'}",
            f"--peer-key-file={pki / 'peer.key'}",
            f"--peer-trusted-ca-file={pki / 'ca.crt'}",
            "--peer-client-cert-auth",
            "--listen-metrics-urls=http://127.0.0.1:2381",
        ),
        Probe(url="http://127.0.0.1:2381/health"),
    )


def apiserver(settings: Settings, layout: Layout) -> Process:
    pki, ports = layout.pki, settings.ports
    etcd_servers = settings.etcd_servers or (f"https://127.0.0.1:{ports.etcd_client}",)
    return Process(
        "apiserver",
        service(
            "apiserver",
            f"--advertise-address={settings.node_ip}",
            f"--secure-port={ports.apiserver}",
            f"--etcd-servers={','.join(etcd_servers)}",
            f"--etcd-cafile={pki / 'etcd' / 'ca.crt'}",
            f"--etcd-certfile={pki / 'apiserver-etcd-client.crt'}",
            f"--etcd-keyfile={pki / 'apiserver-etcd-client.key'}",
            f"--tls-cert-file={pki / 'apiserver.crt'}",
            f"--tls-private-key-file={pki / 'apiserver.key'}",
            f"--client-ca-file={pki / 'ca.crt'}",
            f"--service-cluster-ip-range={settings.service_cidr}",
            f"--service-account-issuer=https://kubernetes.default.svc.{settings.cluster_domain}",
            f"--service-account-key-file={pki / 'sa.pub'}",
            f"--service-account-signing-key-file={pki / 'sa.key'}",
            f"--kubelet-client-certificate={pki / 'apiserver-kubelet-client.crt'}",
            f"--kubelet-client-key={pki / 'apiserver-kubelet-client.key'}",
            f"--kubelet-certificate-authority={pki / 'ca.crt'}",
            "--kubelet-preferred-address-types=InternalIP,ExternalIP,Hostname",
            f"--requestheader-client-ca-file={pki / 'front-proxy-ca.crt'}",
            "--requestheader-allowed-names=front-proxy-client",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-username-headers=X-Remote-User",
            f"--proxy-client-cert-file={pki / 'front-proxy-client.crt'}",
            f"--proxy-client-key-file={pki / 'front-proxy-client.key'}",
            f"--log-dir={layout.logs}",
            "--authorization-mode=Node,RBAC",
            "--allow-privileged=true",
            "--enable-bootstrap-token-auth=true",
        ),
        Probe(url=f"https://127.0.0.1:{ports.apiserver}/readyz", ca=pki / "ca.crt"),
        needs=() if settings.etcd_servers else ("etcd",),
    )


def controller_manager(settings: Settings, layout: Layout) -> Process:
    pki = layout.pki
    kubeconfig = layout.kubeconfigs / "controller-manager.conf"
    return Process(
        "controller_manager",
        service(
            "controller_manager",
            f"--kubeconfig={kubeconfig}",
            f"--authentication-kubeconfig={kubeconfig}",
            f"--authorization-kubeconfig={kubeconfig}",
            f"--secure-port={settings.ports.controller_manager}",
            "--bind-address=127.0.0.1",
            *leadership(settings),
            f"--cluster-cidr={settings.pod_cidr}",
            f"--service-cluster-ip-range={settings.service_cidr}",
            f"--node-cidr-mask-size={settings.node_cidr_mask}",
            "--allocate-node-cidrs=true",
            "--use-service-account-credentials=true",
            "--controllers=*,bootstrap-signer-controller,token-cleaner-controller",
            f"--root-ca-file={pki / 'ca.crt'}",
            f"--service-account-private-key-file={pki / 'sa.key'}",
            f"--cluster-signing-cert-file={pki / 'ca.crt'}",
            f"--cluster-signing-key-file={pki / 'ca.key'}",
        ),
        Probe(url=f"https://127.0.0.1:{settings.ports.controller_manager}/healthz"),
        needs=("apiserver",),
    )


def leadership(settings: Settings) -> tuple[str, ...]:
    """One of each on a host, by our supervisor: a new life goes on at once. Renewals cost the store an fsync each."""
    return (f"--leader-elect-identity={settings.node_name}", "--leader-elect-retry-period=5s")


def scheduler(settings: Settings, layout: Layout) -> Process:
    kubeconfig = layout.kubeconfigs / "scheduler.conf"
    return Process(
        "scheduler",
        service(
            "scheduler",
            f"--kubeconfig={kubeconfig}",
            f"--authentication-kubeconfig={kubeconfig}",
            f"--authorization-kubeconfig={kubeconfig}",
            f"--secure-port={settings.ports.scheduler}",
            "--bind-address=127.0.0.1",
            *leadership(settings),
        ),
        Probe(url=f"https://127.0.0.1:{settings.ports.scheduler}/healthz"),
        needs=("apiserver",),
    )


def containerd(layout: Layout) -> Process:
    return Process(
        "containerd",
        ("containerd", "--config", str(layout.containerd_config)),
        Probe(socket=layout.containerd_socket),
    )


def cri_shim(settings: Settings, layout: Layout) -> Process:
    mirrors = ",".join(f"{registry}={url}" for registry, url in sorted(settings.registry_mirrors.items()))
    return Process(
        "cri_shim",
        service(
            "kubelet.cri_shim",
            f"--listen=unix://{layout.cri_socket}",
            f"--containerd=unix://{layout.containerd_socket}",
            f"--root={layout.shim}",
            f"--state={layout.run / 'cri-shim'}",
            f"--cni-conf-dir={layout.cni_configuration}",
            f"--cni-bin-dir={cni_folder()}",
            *([f"--registry-mirrors={mirrors}"] if mirrors else []),
        ),
        Probe(socket=layout.cri_socket),
        needs=("containerd",),
    )


def runtime_endpoint(settings: Settings, layout: Layout) -> str:
    return f"unix://{layout.cri_socket if settings.container_runtime == 'shim' else layout.containerd_socket}"


def kubelet(settings: Settings, layout: Layout) -> Process:
    runtime = "cri_shim" if settings.container_runtime == "shim" else "containerd"
    bootstrap = layout.kubeconfigs / "bootstrap-kubelet.conf"
    labels = ",".join(f"{key}={value}" for key, value in settings.node_labels.items())
    flags = [
        f"--kubeconfig={layout.kubeconfigs / 'kubelet.conf'}",
        f"--hostname-override={settings.node_name}",
        f"--node-ip={settings.node_ip}",
        f"--port={settings.ports.kubelet}",
        f"--container-runtime-endpoint={runtime_endpoint(settings, layout)}",
        f"--root-dir={layout.kubelet}",
        f"--cert-dir={layout.kubelet / 'pki'}",
        f"--client-ca-file={layout.pki / 'ca.crt'}",
        f"--cluster-dns={settings.dns_ip}",
        f"--cluster-domain={settings.cluster_domain}",
        f"--cluster-cidr={settings.pod_cidr}",
        f"--cni-conf-dir={layout.cni_configuration}",
        f"--pod-log-dir={layout.logs / 'pods'}",
        "--fail-swap-on=false",
    ]
    if settings.role == "worker":
        flags += [f"--bootstrap-kubeconfig={bootstrap}", "--rotate-server-certificates=true"]
    else:
        flags += [
            f"--tls-cert-file={layout.pki / 'kubelet-server.crt'}",
            f"--tls-private-key-file={layout.pki / 'kubelet-server.key'}",
        ]
    if labels:
        flags.append(f"--node-labels={labels}")
    return Process(
        "kubelet",
        service("kubelet", *flags),
        Probe(url="http://127.0.0.1:10248/healthz"),
        needs=(runtime, *(("apiserver",) if settings.role == "control-plane" else ())),
    )


def kube_proxy(settings: Settings, layout: Layout) -> Process:
    return Process(
        "kube_proxy",
        service(
            "kube_proxy",
            f"--kubeconfig={layout.kubeconfigs / 'kube-proxy.conf'}",
            f"--hostname-override={settings.node_name}",
            f"--cluster-cidr={settings.pod_cidr}",
            # A transaction carries only what changed: there is no need to collect changes for a second.
            "--nftables-min-sync-period=200ms",
            f"--metrics-bind-address=127.0.0.1:{settings.ports.proxy_metrics}",
            f"--healthz-bind-address=0.0.0.0:{settings.ports.proxy_health}",
        ),
        Probe(url=f"http://127.0.0.1:{settings.ports.proxy_health}/livez"),
        needs=("apiserver",) if settings.role == "control-plane" else (),
    )


def cluster_dns(settings: Settings, layout: Layout) -> Process:
    return Process(
        "cluster_dns",
        service(
            "cluster_dns",
            f"--kubeconfig={layout.kubeconfigs / 'cluster-dns.conf'}",
            f"--node-name={settings.node_name}",
            f"--bind-address={settings.node_ip}",
            f"--port={settings.ports.dns}",
            f"--cluster-domain={settings.cluster_domain}",
            f"--service-address={settings.dns_ip}",
            f"--metrics-bind-address={settings.node_ip}:{settings.ports.dns_metrics}",
        ),
        Probe(url=f"http://{settings.node_ip}:{settings.ports.dns_metrics}/ready"),
        needs=("apiserver",) if settings.role == "control-plane" else (),
    )


def cni_folder() -> Path:
    """Debian's folder or the one upstream's packages use."""
    return next((folder for folder in CNI_FOLDERS if (folder / "bridge").exists()), CNI_FOLDERS[0])

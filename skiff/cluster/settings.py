"""What a cluster on this host is: written once by `skiff up` or `skiff join`, read by everything after.

A later `skiff up` with other flags changes what can be changed and refuses what cannot, naming the flag.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from apimachinery.names import dns1123_subdomain

Role = Literal["control-plane", "worker"]


class SettingsError(Exception):
    """One sentence for the user, naming the flag or file."""


class Ports(msgspec.Struct, frozen=True, kw_only=True):
    etcd_client: int = 2379
    etcd_peer: int = 2380
    apiserver: int = 6443
    kubelet: int = 10250
    proxy_metrics: int = 10249
    proxy_health: int = 10256
    controller_manager: int = 10257
    scheduler: int = 10259
    dns: int = 10053
    dns_metrics: int = 9153


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    node_name: str
    node_ip: str
    role: Role = "control-plane"
    server: str = ""  # URL of the apiserver as clients of this host reach it
    service_cidr: str = "10.96.0.0/16"
    pod_cidr: str = "10.244.0.0/16"
    node_cidr_mask: int = 24
    cluster_domain: str = "cluster.local"
    ports: Ports = Ports()
    extra_names: tuple[str, ...] = ()  # further names and addresses in the apiserver's certificate
    etcd_servers: tuple[str, ...] = ()  # an outside store; empty: our own on this host
    container_runtime: Literal["shim", "containerd"] = "shim"
    node_labels: Mapping[str, str] = {}
    registry_mirrors: Mapping[str, str] = {}  # base URL asked in the place of a registry, by its host

    @property
    def dns_ip(self) -> str:
        """The tenth address of the Service range, as kubeadm and its users expect."""
        return str(ipaddress.ip_network(self.service_cidr)[10])

    @property
    def kubernetes_ip(self) -> str:
        """The first address of the Service range belongs to Service default/kubernetes."""
        return str(ipaddress.ip_network(self.service_cidr)[1])


#: What an existing cluster cannot change: identities and addresses are spread over certificates and objects.
FIXED = ("node_name", "role", "service_cidr", "pod_cidr", "node_cidr_mask", "cluster_domain", "container_runtime")


def validate(settings: Settings) -> Settings:
    """Raises SettingsError for what would only fail later and less clearly."""
    for flag, cidr in (("--service-cidr", settings.service_cidr), ("--pod-cidr", settings.pod_cidr)):
        try:
            network = ipaddress.ip_network(cidr)
        except ValueError as error:
            raise SettingsError(f"{flag}: {error}") from error
        if network.version != 4:
            raise SettingsError(f"{flag}: {cidr} is not an IPv4 range")
    services, pods = ipaddress.ip_network(settings.service_cidr), ipaddress.ip_network(settings.pod_cidr)
    if services.overlaps(pods):
        raise SettingsError(f"--service-cidr: {services} overlaps --pod-cidr {pods}")
    if services.prefixlen > 28:
        raise SettingsError(f"--service-cidr: {services} has too few addresses; use a /28 or larger")
    if not pods.prefixlen <= settings.node_cidr_mask <= 30:
        raise SettingsError(f"--pod-cidr: {pods} cannot be cut into a /{settings.node_cidr_mask} for each node")
    try:
        ipaddress.ip_address(settings.node_ip)
    except ValueError as error:
        raise SettingsError(f"--node-ip: {error}") from error
    _check_mirrors(settings)
    if wrong := dns1123_subdomain(settings.node_name):
        raise SettingsError(f"--node-name: {settings.node_name!r}: {wrong[0]}")
    return settings


def _check_mirrors(settings: Settings) -> None:
    for registry, url in settings.registry_mirrors.items():
        if not registry or "/" in registry or not url.startswith(("http://", "https://")):
            given = f"{registry}={url}".rstrip("=")
            raise SettingsError(f"--registry-mirror: {given!r} is not like docker.io=https://mirror.example:5000")
    if settings.registry_mirrors and settings.container_runtime != "shim":
        raise SettingsError("--registry-mirror: containerd's own plugin reads its hosts.toml instead; see its docs")


def merge(existing: Settings | None, wanted: Settings, given: frozenset[str]) -> Settings:
    """Settings to go on with: the stored ones, changed by the flags the user `given` this time."""
    if existing is None:
        return validate(wanted)
    changes = {}
    for name in given:
        old, new = getattr(existing, name), getattr(wanted, name)
        if name in FIXED and old != new:
            flag = "--" + name.replace("_", "-")
            raise SettingsError(f"{flag}: this cluster has {old}; `skiff down --purge` first to make one with {new}")
        changes[name] = new
    return validate(msgspec.structs.replace(existing, **changes))


def with_server(settings: Settings, server: str) -> Settings:
    """The same cluster with its apiserver at `server`."""
    return msgspec.structs.replace(settings, server=server)


def load(path: Path) -> Settings | None:
    """The stored settings, None where no cluster was made."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Settings)
    except FileNotFoundError:
        return None
    except msgspec.MsgspecError as error:
        raise SettingsError(f"{path} is not readable as cluster settings: {error}") from error


def save(path: Path, settings: Settings) -> None:
    """Atomically: a crash leaves the old settings or the new, never half of them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(settings), indent=2) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


@dataclass(frozen=True, slots=True)
class HostFacts:
    """What the host says of itself; see `host.py`."""

    hostname: str
    primary_ip: str | None
    is_root: bool
    missing_tools: tuple[str, ...]

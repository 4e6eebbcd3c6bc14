"""`skiff up`: from nothing to a cluster one can use."""

from __future__ import annotations

import asyncio
import base64
import os
import platform
import sys
from dataclasses import dataclass
from pathlib import Path

import click
import httpx

from apimachinery.errors import StatusError
from component_base.clock import Clock, SystemClock
from component_base.rpc import RpcError
from kubeclient.kubeconfig import KubeConfig, KubeConfigError
from kubeclient.rest import RestClient
from kubelet.cri_shim.pause_image import DEFAULT_PAUSE_IMAGE, pause_image
from kubelet.cri_shim.toolbox_image import NoBusyboxError, toolbox_image
from skiff.cluster import (
    certificates,
    first_objects,
    host,
    host_files,
    joining,
    launch,
    settings,
    status,
    user_kubeconfig,
)
from skiff.cluster.images import open_images
from skiff.cluster.layout import DEFAULT_STATE, Layout
from skiff.cluster.settings import Settings, SettingsError
from skiff.commands.output import Progress, stop

CONTEXT = "skiff"
START_SECONDS = 120.0
NODE_SECONDS = 60.0
SERVING_SECONDS = 30.0
MAX_DEATHS = 5


@dataclass(frozen=True, slots=True)
class Cluster:
    settings: Settings
    layout: Layout


@click.command(short_help="start (or make) the cluster on this host")
@click.option(
    "--state-dir",
    type=click.Path(path_type=Path),
    default=DEFAULT_STATE,
    show_default=True,
    help="Folder of the cluster.",
)
@click.option("--node-name", default=None, help="Name of this node; the host's name by default.")
@click.option("--node-ip", default=None, help="Address of this node; the one towards the outside by default.")
@click.option("--service-cidr", default=None, help="Range of Service addresses (10.96.0.0/16).")
@click.option("--pod-cidr", default=None, help="Range of pod addresses (10.244.0.0/16).")
@click.option("--cluster-domain", default=None, help="DNS domain of the cluster (cluster.local).")
@click.option("--apiserver-port", type=click.IntRange(1, 65535), default=None, help="Port of the apiserver (6443).")
@click.option(
    "--apiserver-name", "names", multiple=True, help="Further name or address for the apiserver's certificate."
)
@click.option("--etcd-servers", default=None, help="URLs of a store to use instead of our own, comma-separated.")
@click.option(
    "--container-runtime",
    type=click.Choice(["shim", "containerd"]),
    default=None,
    help="Who answers the kubelet: our CRI shim, or containerd's own CRI plugin.",
)
@click.option(
    "--registry-mirror",
    "mirrors",
    multiple=True,
    metavar="HOST=URL",
    help="Pull this node's images of registry HOST from URL instead; may be repeated.",
)
@click.option("--wait/--no-wait", default=True, show_default=True, help="Wait until the node is Ready.")
@click.option(
    "--kubeconfig/--no-kubeconfig", "write_context", default=True, show_default=True, help="Write the context `skiff`."
)
def up(
    state_dir: Path,
    node_name: str | None,
    node_ip: str | None,
    service_cidr: str | None,
    pod_cidr: str | None,
    cluster_domain: str | None,
    apiserver_port: int | None,
    names: tuple[str, ...],
    etcd_servers: str | None,
    container_runtime: str | None,
    mirrors: tuple[str, ...],
    wait: bool,
    write_context: bool,
) -> None:
    """Start the cluster of this host, making it first where there is none.

    Its services run as processes of their own, kept by a supervisor; the command ends when the cluster can be used.
    """
    clock = SystemClock()
    progress = Progress(clock)
    layout = Layout.of(state_dir)
    given: dict[str, object] = {
        "node_name": node_name,
        "node_ip": node_ip,
        "service_cidr": service_cidr,
        "pod_cidr": pod_cidr,
        "cluster_domain": cluster_domain,
        "extra_names": names or None,
        "etcd_servers": tuple(etcd_servers.split(",")) if etcd_servers else None,
        "container_runtime": container_runtime,
        "registry_mirrors": dict(mirror.partition("=")[::2] for mirror in mirrors) or None,
    }
    try:
        wanted = decide(layout, {k: v for k, v in given.items() if v is not None}, apiserver_port)
        asyncio.run(bring_up(Cluster(wanted, layout), clock, progress, wait))
        if wanted.role == "worker":
            click.echo(f"\nThis host is node {wanted.node_name} of {wanted.server}.")
            return
        if write_context:
            write_user_context(Cluster(wanted, layout), progress)
    except (SettingsError, user_kubeconfig.KubeconfigError) as error:
        stop(str(error))
    except KeyboardInterrupt:
        stop("interrupted; what has started goes on: `skiff status` shows it, `skiff down` stops it", 130)
    say_what_next(write_context, layout)


def decide(layout: Layout, given: dict[str, object], apiserver_port: int | None) -> Settings:
    """The settings to go on with. Raises SettingsError, before anything is touched."""
    facts = host.facts()
    if not facts.is_root:
        raise SettingsError("starting a cluster needs root, for containers and network; run `sudo skiff up`")
    if facts.missing_tools:
        missing = ", ".join(facts.missing_tools)
        raise SettingsError(f"missing on this host: {missing}; `make setup` installs them, `skiff doctor` says more")
    existing = settings.load(layout.settings)
    address = str(given.get("node_ip") or (existing.node_ip if existing else "") or facts.primary_ip or "")
    if not address:
        raise SettingsError("--node-ip: this host has no address but loopback; give it one or name it here")
    if not host.has_address(address):
        raise SettingsError(f"--node-ip: this host has no address {address}; `ip address` shows those that it has")
    ports = existing.ports if existing else settings.Ports()
    changed = set(given)
    if apiserver_port is not None:
        ports = settings.Ports(
            **{**{f: getattr(ports, f) for f in ports.__struct_fields__}, "apiserver": apiserver_port}
        )
        changed.add("ports")
    fields = {"node_name": facts.hostname, "node_ip": address, "ports": ports, **given}
    wanted = Settings(**fields)  # type: ignore[arg-type]
    merged = settings.merge(existing, wanted, frozenset(changed))
    server = f"https://{merged.node_ip}:{merged.ports.apiserver}"
    return settings.with_server(merged, server) if merged.role == "control-plane" else merged


async def bring_up(cluster: Cluster, clock: Clock, progress: Progress, wait: bool) -> None:
    layout, wanted = cluster.layout, cluster.settings
    running = launch.supervisor_pid(layout)
    host_files.prepare(wanted, layout)
    settings.save(layout.settings, wanted)
    written = certificates.ensure(wanted, layout, clock) if wanted.role == "control-plane" else []
    if written:
        progress.say(f"certificates and keys in {layout.pki}")
    if not running:
        problem = launch.taken_ports(wanted)
        if problem and not _ours_are_running(layout):
            raise SettingsError(problem)
        launch.start_supervisor(layout)
    if wanted.role != "control-plane":
        if running == 0 and await renew_agents(cluster, clock):
            progress.say(f"renewed certificates in {layout.kubeconfigs}")
        await follow_start(layout, clock, progress)
        await load_own_images(wanted, layout, progress)
        if wait:
            await wait_for_node(cluster, clock, progress)
            if not await joining.serves_verified(wanted, layout, clock, SERVING_SECONDS):
                progress.say("the kubelet waits for its serving certificate: kubectl logs and exec come later")
        (layout.kubeconfigs / joining.BOOTSTRAP).unlink(missing_ok=True)  # the node has an identity of its own now
        return
    apiserver_is_ready = asyncio.Event()
    # Several services wait for their roles: these are written while the others still start.
    writing = asyncio.ensure_future(write_first_objects(cluster, apiserver_is_ready, progress))
    try:
        await follow_start(layout, clock, progress, apiserver_is_ready)
        await writing
    finally:
        writing.cancel()
    await load_own_images(wanted, layout, progress)
    if wait:
        await wait_for_node(cluster, clock, progress)


def _ours_are_running(layout: Layout) -> bool:
    """A killed supervisor leaves its services behind; the next one adopts them."""
    earlier = status.read(layout.status)
    return earlier is not None and any(status.is_running(p.pid, p.argv) for p in earlier.processes)


async def follow_start(
    layout: Layout, clock: Clock, progress: Progress, apiserver_is_ready: asyncio.Event | None = None
) -> None:
    """A line for each service; a service that keeps dying ends the command with the end of its log."""
    deaths: dict[str, int] = {}
    try:
        async for process in launch.follow(layout, clock, START_SECONDS):
            if process.state == "ready":
                progress.say(f"{process.name} is ready")
                if process.name == "apiserver" and apiserver_is_ready is not None:
                    apiserver_is_ready.set()
            elif process.state == "backoff":
                deaths[process.name] = deaths.get(process.name, 0) + 1
                progress.say(f"{process.name} {process.last_exit}; it is started again")
                if deaths[process.name] >= MAX_DEATHS:
                    log = layout.log_of(process.name)
                    end = launch.last_lines(log)
                    raise SettingsError(f"{process.name} does not stay up; the end of {log}:\n{end}")
    except TimeoutError:
        raise SettingsError(
            f"not all services became ready within {START_SECONDS:.0f} s; `skiff status` shows which, "
            "`skiff logs SERVICE` why"
        ) from None


async def write_first_objects(cluster: Cluster, apiserver_is_ready: asyncio.Event, progress: Progress) -> None:
    layout, wanted = cluster.layout, cluster.settings
    await apiserver_is_ready.wait()
    client = RestClient(KubeConfig.load(layout.admin_kubeconfig), "skiff")
    try:
        created = await first_objects.apply(client, wanted, (layout.pki / "ca.crt").read_text(), wanted.server)
    except (StatusError, httpx.TransportError) as error:
        raise SettingsError(f"the first objects could not be written: {error}") from error
    finally:
        await client.close()
    if created:
        progress.say(f"{created} first objects: roles, Service kube-dns, cluster-info")


async def renew_agents(cluster: Cluster, clock: Clock) -> list[str]:
    """A worker whose control plane is away starts with what it has."""
    if not (cluster.layout.kubeconfigs / "kubelet.conf").exists():
        return []
    try:
        return await joining.renew_agents(cluster.settings, cluster.layout, clock)
    except (SettingsError, KubeConfigError):
        return []


async def wait_for_node(cluster: Cluster, clock: Clock, progress: Progress) -> None:
    own = "admin.conf" if cluster.settings.role == "control-plane" else "kubelet.conf"
    client = RestClient(KubeConfig.load(cluster.layout.kubeconfigs / own), "skiff")
    name = cluster.settings.node_name
    try:
        if said := await first_objects.wait_for_node(client, name, clock, NODE_SECONDS):
            raise SettingsError(f"node {name} is not Ready: {said}; see `skiff logs kubelet`")
        if cluster.settings.role == "control-plane":
            await first_objects.mark_control_plane(client, name)
    except (StatusError, httpx.TransportError) as error:
        raise SettingsError(f"node {name} could not be labelled: {error}") from error
    finally:
        await client.close()
    progress.say(f"node {name} is Ready")


async def load_own_images(wanted: Settings, layout: Layout, progress: Progress) -> None:
    """The image of samples and tests; a host without a static busybox goes without it.

    The shim makes its pause image itself; containerd's own CRI plugin would try to pull one.
    """
    try:
        async with open_images(layout) as store:
            known = await store.tags()
            if wanted.container_runtime == "containerd" and DEFAULT_PAUSE_IMAGE not in known:
                await store.loader.load_built(pause_image(platform.machine()), pinned=True)
                progress.say(f"image {DEFAULT_PAUSE_IMAGE}")
            image = toolbox_image()
            if image.name not in known:
                await store.loader.load_built(image)
                progress.say(f"image {image.name}")
    except NoBusyboxError as error:
        progress.say(f"without image skiff.local/toolbox: {error}")
    except RpcError as error:
        raise SettingsError(f"containerd does not take images: {error.message}") from error


def write_user_context(cluster: Cluster, progress: Progress) -> None:
    config = KubeConfig.load(cluster.layout.admin_kubeconfig)
    assert config.ca is not None
    assert config.client_certificate is not None
    assert config.client_key is not None
    parts = [base64.b64encode(part).decode() for part in (config.ca, config.client_certificate, config.client_key)]
    path = user_kubeconfig.path_of_user(os.environ)
    ours = user_kubeconfig.admin_context(CONTEXT, cluster.settings.server, *parts)
    user_kubeconfig.write(path, user_kubeconfig.add_context(user_kubeconfig.read(path), ours, CONTEXT))
    progress.say(f"context `{CONTEXT}` in {path}")


def say_what_next(with_context: bool, layout: Layout) -> None:
    prefix = "" if with_context else f"KUBECONFIG={layout.admin_kubeconfig} "
    click.echo("\nThe cluster is up. Try:")
    for command in ("kubectl get nodes,pods -A", "kubectl apply -f deploy/samples/hello.yaml", f"{sys.argv[0]} status"):
        click.echo(f"  {prefix if command.startswith('kubectl') else ''}{command}")

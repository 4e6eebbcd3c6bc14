"""`python -m kubelet.cri_shim`: CRI v1 on a unix socket, over a containerd whose own CRI plugin is off."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

from component_base import logs, tasks
from component_base.clock import SystemClock
from component_base.flags import FlagSet, Values, fail
from component_base.http2.channel import Http2Channel
from component_base.http2.host import Http2Host
from component_base.rng import system_rng
from component_base.rpc import RpcError, Service
from kubelet.cri_shim import lifecycle
from kubelet.cri_shim.cgroups import CgroupReader
from kubelet.cri_shim.cni import CniClient
from kubelet.cri_shim.containerd_client import Containerd, service
from kubelet.cri_shim.containers import Containers
from kubelet.cri_shim.content_store import ContentStore
from kubelet.cri_shim.core import Core
from kubelet.cri_shim.event_feed import EventFeed
from kubelet.cri_shim.image_catalog import ImageCatalog
from kubelet.cri_shim.image_load import ImageLoader
from kubelet.cri_shim.image_pull import ImagePuller
from kubelet.cri_shim.image_service import ImageService
from kubelet.cri_shim.leftovers import remove_leftovers
from kubelet.cri_shim.lifecycle import Lifecycle
from kubelet.cri_shim.pause_image import DEFAULT_PAUSE_IMAGE, GO_ARCHITECTURES
from kubelet.cri_shim.processes import Processes
from kubelet.cri_shim.runtime_service import RuntimeService
from kubelet.cri_shim.sandboxes import Sandboxes
from kubelet.cri_shim.settings import NAMESPACE, Settings, detect_traits
from kubelet.cri_shim.stats import Stats
from kubelet.cri_shim.store import Store
from kubelet.cri_shim.streaming.server import StreamingServer
from skiff_pb.cri import runtime_pb2 as cri

PROGRAM = "kubelet.cri_shim"
CONTAINERD_WAIT = 60.0
LEASES = "cri-shim"
logger = logging.getLogger("kubelet.cri_shim")


def parse_flags(arguments: list[str] | None = None) -> Values:
    flags = FlagSet(PROGRAM, "serves the Container Runtime Interface (CRI v1) over containerd")
    flags.string("listen", "unix:///run/skiff/cri.sock", "unix socket on which kubelets are served")
    flags.string("containerd", "unix:///run/skiff/containerd.sock", "containerd's gRPC socket")
    flags.string("containerd-namespace", NAMESPACE, "containerd namespace in which everything of ours lives")
    flags.string("snapshotter", "overlayfs", "containerd snapshotter for images and containers")
    flags.string("root", "/var/lib/skiff/cri-shim", "folder for files that outlive a reboot")
    flags.string("state", "/run/skiff/cri-shim", "folder for sockets, FIFOs and network namespaces")
    flags.string("cni-conf-dir", "/etc/cni/net.d", "folder of which the first CNI network list is used")
    flags.strings("cni-bin-dir", ["/opt/cni/bin", "/usr/lib/cni"], "folders with CNI plugins")
    flags.string("pod-infra-container-image", DEFAULT_PAUSE_IMAGE, "pause image; the default is built in")
    flags.boolean("systemd-cgroup", False, "let systemd make the cgroups; kubelets then need cgroupDriver systemd")
    flags.string("streaming-address", "127.0.0.1", "address of the server for exec, attach and port-forward")
    flags.port("streaming-port", 0, "port of that server; 0 takes a free one")
    flags.strings("insecure-registries", [], "registries spoken to over plain http (loopback always is)")
    flags.mapping("registry-mirrors", {}, "base URLs to ask instead of a registry, as docker.io=https://mirror.local")
    flags.integer("v", 0, "log verbosity, from 4 on debug", minimum=0)
    flags.choice("logging-format", "text", ("text", "json"), "format of log lines")
    return flags.parse(arguments)


@dataclass(frozen=True, slots=True)
class Parts:
    """One shim, put together but not started."""

    core: Core
    lifecycle: Lifecycle
    streaming: StreamingServer
    stats: Stats
    services: tuple[Service, ...]


def assemble(settings: Settings, containerd: Containerd, values: Values) -> Parts:
    traits = detect_traits(systemd_cgroup=values["systemd-cgroup"])
    clock, rng = SystemClock(), system_rng()
    content = ContentStore(containerd, rng)
    architecture = GO_ARCHITECTURES.get(traits.architecture, traits.architecture)
    core = Core(
        settings=settings,
        traits=traits,
        containerd=containerd,
        catalog=ImageCatalog(content, architecture),
        loader=ImageLoader(containerd, content, clock, rng, architecture),
        store=Store(containerd),
        cni=CniClient(settings.cni_bin_dirs),
        feed=EventFeed(),
        clock=clock,
        rng=rng,
    )
    cgroups = CgroupReader(traits)
    containers = Containers(core)
    following = Lifecycle(core, containers, cgroups)
    processes, stats = Processes(core), Stats(core, cgroups)
    streaming = StreamingServer(processes, clock)
    puller = ImagePuller(
        containerd, content, clock, rng, architecture, values["insecure-registries"], values["registry-mirrors"]
    )
    runtime = RuntimeService(core, Sandboxes(core), containers, following, processes, stats, streaming)
    services = (
        Service(service(cri.DESCRIPTOR, "RuntimeService"), runtime),
        Service(service(cri.DESCRIPTOR, "ImageService"), ImageService(core, content, puller, stats)),
    )
    return Parts(core, following, streaming, stats, services)


async def serve(values: Values, stop: asyncio.Event) -> int:
    await asyncio.to_thread(_prepare_socket, values["listen"])
    channel = Http2Channel(values["containerd"])
    containerd = Containerd(channel, values["containerd-namespace"], values["snapshotter"], LEASES)
    settings = Settings(
        root=values["root"],
        state=values["state"],
        cni_bin_dirs=values["cni-bin-dir"],
        cni_conf_dir=values["cni-conf-dir"],
        pause_image=values["pod-infra-container-image"],
    )
    parts = await asyncio.to_thread(assemble, settings, containerd, values)
    try:
        await lifecycle.wait_for_containerd(parts.core, CONTAINERD_WAIT)
    except RpcError as error:
        fail(PROGRAM, f"containerd at {values['containerd']} does not answer: {error.message}")
    await containerd.ensure_namespace()
    parts.stats.image_root = await containerd.snapshot_root(f"skiff-probe-{parts.core.new_id()[:12]}")
    await containerd.drop_leases(LEASES)
    store = parts.core.store
    await store.load()
    await asyncio.to_thread(remove_leftovers, settings, store.sandboxes.keys(), store.containers.keys())
    # Containers are taken over before the first call is answered: no kubelet sees a half-known node.
    following = tasks.spawn(parts.lifecycle.follow(), "follow containerd's events")
    await parts.lifecycle.connected.wait()
    base = await parts.streaming.start(values["streaming-address"], values["streaming-port"])
    host = Http2Host(parts.services)
    host.add_listener(values["listen"])
    await host.start()
    logger.info("serving CRI on %s, streams on %s", values["listen"], base)
    await stop.wait()
    parts.core.feed.close()
    await host.stop(1.0)
    await parts.streaming.stop()
    for container_id in store.containers:
        if (io := store.running(container_id).io) is not None:
            io.close()
    following.cancel()
    await channel.close()
    return 0


def _prepare_socket(listen: str) -> None:
    """Make the socket's folder and remove what an earlier life left there, but not what somebody serves now."""
    path = urlsplit(listen).path
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if os.path.exists(path):
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(path) == 0:
                fail(PROGRAM, f"--listen: another process serves {path} already; end it or choose another path")
        os.unlink(path)


def main() -> int:
    values = parse_flags()
    logs.setup(PROGRAM, values["v"], values["logging-format"])
    for name in ("listen", "containerd"):
        if not values[name].startswith("unix:///"):
            fail(PROGRAM, f"--{name}: {values[name]!r} is not a unix:/// address with an absolute path")
    if os.geteuid() != 0:
        fail(PROGRAM, "must run as root: it makes network namespaces and mounts")
    for folder in (values["root"], values["state"]):
        try:
            os.makedirs(folder, mode=0o711, exist_ok=True)
        except OSError as error:
            fail(PROGRAM, f"folder {folder} cannot be made: {error.strerror}")
    return tasks.run_service(lambda stop: serve(values, stop))


if __name__ == "__main__":
    raise SystemExit(main())

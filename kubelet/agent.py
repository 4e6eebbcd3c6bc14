"""Puts the kubelet's parts together: everything that runs pods, given an apiserver and a runtime.

Only here are the parts wired; each of them knows its ports alone. What serves HTTP and what speaks for the node itself
is added by `run`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from component_base.clock import Clock
from kubelet.api import Api
from kubelet.containers.cgroups import CgroupTree
from kubelet.containers.dns import ClusterDNS, Resolver, parse_resolv_conf
from kubelet.containers.facts import NodeFacts
from kubelet.cri.client import CriClient
from kubelet.events import Events
from kubelet.follow import follow
from kubelet.images.pull import ImagePuller
from kubelet.node.machine import Machine
from kubelet.objects import ObjectStore
from kubelet.pod import Pod, Probe, decode
from kubelet.prober.check import Outcome, Target, check
from kubelet.prober.workers import Prober
from kubelet.services import Services
from kubelet.settings import Settings
from kubelet.sync.admit import NodeOffer, Refusal, admit
from kubelet.sync.executor import Executor, NodeNetwork
from kubelet.sync.fleet import PodFleet
from kubelet.sync.launch import Launcher, LaunchPaths
from kubelet.sync.observed import Address
from kubelet.sync.pleg import Pleg
from kubelet.sync.stop import Stopper
from kubelet.sync.worker import NodeParts
from kubelet.volumes import mounts
from kubelet.volumes.setup import PodVolumes
from kubelet.volumes.tokens import TokenStore


@dataclass(slots=True)
class NodeState:
    """What is known of the node at the moment; the parts that learn it write it here, the others read."""

    ips: tuple[str, ...] = ()
    labels: dict[str, str] = field(default_factory=dict)
    allocatable: dict[str, str | int | float] = field(default_factory=dict)
    taints: list[dict[str, str]] = field(default_factory=list)
    network_complaint: str = ""
    runtime_complaint: str = ""
    runtime_name: str = "containerd"


class Agent:
    def __init__(
        self, settings: Settings, api: Api, runtime: CriClient, events: Events, clock: Clock, machine: Machine
    ) -> None:
        self.settings = settings
        self.api = api
        self.runtime = runtime
        self.events = events
        self.clock = clock
        self.machine = machine
        self.state = NodeState(ips=(settings.node_ip,) if settings.node_ip else ())
        self.fleet = PodFleet(lambda: self.parts)
        self.services = Services(api, clock)
        self.tokens = TokenStore(api, clock)
        self.objects = ObjectStore(api, clock, self.fleet.objects_changed)
        self.volumes = PodVolumes(settings.root, api, self.objects, self.tokens, self.facts, mounts)
        self.puller = ImagePuller(runtime, events, clock, parallel=settings.parallel_pulls)
        self.prober = Prober(self._probe, events, clock, self.fleet.changed)
        self.stopper = Stopper(runtime, events, clock)
        self.pleg = Pleg(runtime, clock, self.fleet.changed)
        self.cgroups = CgroupTree()
        self.executor = self._executor()
        self.parts = self._parts()

    async def _probe(self, probe: Probe, target: Target) -> Outcome:
        return await check(probe, target, self.runtime)

    def _executor(self) -> Executor:
        settings = self.settings
        launcher = Launcher(
            runtime=self.runtime,
            puller=self.puller,
            volumes=self.volumes,
            objects=self.objects,
            api=self.api,
            events=self.events,
            clock=self.clock,
            node=self.facts,
            services=self.services.current,
            paths=LaunchPaths(settings.root, settings.pod_logs),
            cluster_domain=settings.cluster_domain,
        )
        network = NodeNetwork(
            dns=lambda: ClusterDNS(settings.cluster_dns, settings.cluster_domain),
            host_resolver=_resolver_of(settings.resolv_conf),
            not_ready=lambda: self.state.network_complaint,
        )
        return Executor(
            runtime=self.runtime,
            launcher=launcher,
            stopper=self.stopper,
            api=self.api,
            events=self.events,
            clock=self.clock,
            network=network,
            pod_logs=str(settings.pod_logs),
            cgroup_root=settings.cgroup_root,
        )

    def _parts(self) -> NodeParts:
        return NodeParts(
            runtime=self.runtime,
            executor=self.executor,
            stopper=self.stopper,
            volumes=self.volumes,
            tokens=self.tokens,
            puller=self.puller,
            prober=self.prober,
            cgroups=self.cgroups,
            api=self.api,
            events=self.events,
            clock=self.clock,
            address=lambda: Address(self.state.ips, self.state.runtime_name),
            admit=self._admit,
            pod_logs=self.settings.pod_logs,
            cgroup_root=self.settings.cgroup_root,
            pids_limit=self.settings.pod_pids_limit,
            node_memory=self.machine.memory_bytes,
        )

    def facts(self) -> NodeFacts:
        return NodeFacts(
            name=self.settings.hostname,
            ips=self.state.ips,
            cpu_millis=self.machine.cpus * 1000,
            memory_bytes=self.machine.memory_bytes,
        )

    def _admit(self, pod: Pod) -> Refusal | None:
        offer = NodeOffer(
            self.settings.hostname,
            self.state.labels,
            self.state.allocatable or {"pods": self.settings.max_pods},
            self.state.taints,
        )
        return admit(pod, self.fleet.counted(), offer)

    async def follow_pods(self) -> None:
        """For ever: the API's pods that are bound to this node."""
        await self.services.synced.wait()
        await follow(
            self.api,
            self.clock,
            "/api/v1/pods",
            {"fieldSelector": f"spec.nodeName={self.settings.hostname}"},
            decode=decode,
            on_change=self.fleet.on_change,
            on_synced=self.fleet.on_synced,
            last_words=True,
        )


def _resolver_of(path: Path) -> Callable[[], Resolver]:
    def read() -> Resolver:
        try:
            return parse_resolv_conf(path.read_text())
        except OSError:
            return Resolver()

    return read

"""All controllers by upstream's names, and what each needs to be built."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from component_base.clock import Clock
from component_base.flags import Values, fail
from component_base.pki import CertificateAuthority
from component_base.rng import system_rng
from controller_manager.admission_policies.controller import PolicyStatusController
from controller_manager.bootstrap_tokens import OFF_BY_DEFAULT, BootstrapSigner, TokenCleaner
from controller_manager.certificates.approval import ApprovalController
from controller_manager.certificates.root_ca import RootCaPublisher
from controller_manager.certificates.signing import CleaningController, SigningController
from controller_manager.cronjob.controller import CronJobController
from controller_manager.daemonset.controller import DaemonSetController
from controller_manager.deployment.controller import DeploymentController
from controller_manager.disruption.controller import DisruptionController
from controller_manager.endpointslice.controller import EndpointSliceController
from controller_manager.endpointslice.endpoints import EndpointsController
from controller_manager.endpointslice.mirroring import EndpointSliceMirroringController
from controller_manager.garbage_collector.controller import GarbageCollector
from controller_manager.job.controller import JobController
from controller_manager.job.ttl import TtlAfterFinishedController
from controller_manager.namespace.controller import NamespaceController
from controller_manager.node.eviction import TaintEvictionController
from controller_manager.node.ipam import NodeIpamController
from controller_manager.node.lifecycle import NodeLifecycleController
from controller_manager.node.pod_gc import PodGcController
from controller_manager.protection import (
    AttributesClassProtectionController,
    ClaimProtectionController,
    VolumeProtectionController,
)
from controller_manager.replicaset.controller import REPLICATION_CONTROLLERS, ReplicaSetController
from controller_manager.resource_quota import ResourceQuotaController
from controller_manager.serviceaccount.accounts import ServiceAccountsController
from controller_manager.serviceaccount.tokens import TokensController, TokenSigner
from controller_manager.statefulset.controller import StatefulSetController
from controller_manager.volumes.controller import PersistentVolumeBinder
from controller_manager.volumes.ephemeral import EphemeralVolumeController
from kubeclient.accounts import Accounts
from kubeclient.events import EventRecorder
from kubeclient.executor import Executor
from kubeclient.informer import Informers
from kubeclient.rest import RestClient
from kubeclient.runner import Controller, ControllerRunner, Syncer

PROGRAM = "controller_manager"


@dataclass(frozen=True, slots=True)
class Parts:
    """What controllers are made of."""

    values: Values
    client: RestClient
    informers: Informers
    clock: Clock


Build = Callable[[Parts], Controller | Syncer | None]
"""None: this controller has nothing to do with these flags."""


@dataclass(frozen=True, slots=True)
class Entry:
    build: Build
    workers: int | str = 5
    """A number, or the name of the flag that holds it."""


def _ipam(parts: Parts) -> Controller | None:
    values = parts.values
    if not values["allocate-node-cidrs"]:
        return None
    if not values["cluster-cidr"]:
        fail(PROGRAM, "--cluster-cidr is required with --allocate-node-cidrs")
    try:
        return NodeIpamController(parts.informers, values["cluster-cidr"], values["node-cidr-mask-size"])
    except ValueError as error:
        fail(PROGRAM, f"--cluster-cidr: {error}")


def _lifecycle(parts: Parts) -> Controller:
    values = parts.values
    grace, startup = values["node-monitor-grace-period"], values["node-startup-grace-period"]
    return NodeLifecycleController(parts.informers, parts.clock, grace, startup)


def _root_ca(parts: Parts) -> Controller | None:
    path = parts.values["root-ca-file"]
    return RootCaPublisher(parts.informers, _read(path, "root-ca-file").decode()) if path else None


def _tokens(parts: Parts) -> Controller | None:
    path = parts.values["service-account-private-key-file"]
    if not path:
        return None
    try:
        signer = TokenSigner(_read(path, "service-account-private-key-file"))
    except ValueError as error:
        fail(PROGRAM, f"--service-account-private-key-file: {path}: {error}")
    ca = parts.values["root-ca-file"]
    return TokensController(parts.informers, signer, _read(ca, "root-ca-file") if ca else b"", system_rng())


def _signing(parts: Parts) -> Syncer | None:
    certificate, key = parts.values["cluster-signing-cert-file"], parts.values["cluster-signing-key-file"]
    if not certificate or not key:
        return None
    try:
        authority = CertificateAuthority.load(Path(certificate), Path(key))
    except (OSError, ValueError) as error:
        fail(PROGRAM, f"--cluster-signing-cert-file: {error}")
    return SigningController(parts.informers, parts.client, authority, parts.values["cluster-signing-duration"])


def _read(path: str, flag: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        fail(PROGRAM, f"--{flag}: {path}: {error.strerror}")


ENTRIES: dict[str, Entry] = {
    "serviceaccount-token-controller": Entry(_tokens),
    "serviceaccount-controller": Entry(lambda p: ServiceAccountsController(p.informers)),
    "root-ca-certificate-publisher-controller": Entry(_root_ca),
    "endpoints-controller": Entry(lambda p: EndpointsController(p.informers), "concurrent-endpoint-syncs"),
    "endpointslice-controller": Entry(lambda p: EndpointSliceController(p.informers), "concurrent-endpoint-syncs"),
    "endpointslice-mirroring-controller": Entry(lambda p: EndpointSliceMirroringController(p.informers)),
    "replicaset-controller": Entry(lambda p: ReplicaSetController(p.informers), "concurrent-replicaset-syncs"),
    "replicationcontroller-controller": Entry(lambda p: ReplicaSetController(p.informers, REPLICATION_CONTROLLERS)),
    "deployment-controller": Entry(lambda p: DeploymentController(p.informers), "concurrent-deployment-syncs"),
    "daemonset-controller": Entry(lambda p: DaemonSetController(p.informers), "concurrent-daemonset-syncs"),
    "statefulset-controller": Entry(lambda p: StatefulSetController(p.informers), "concurrent-statefulset-syncs"),
    "disruption-controller": Entry(lambda p: DisruptionController(p.informers)),
    "job-controller": Entry(lambda p: JobController(p.informers), "concurrent-job-syncs"),
    "cronjob-controller": Entry(lambda p: CronJobController(p.informers), "concurrent-cron-job-syncs"),
    "ttl-after-finished-controller": Entry(lambda p: TtlAfterFinishedController(p.informers)),
    "namespace-controller": Entry(lambda p: NamespaceController(p.informers, p.client), "concurrent-namespace-syncs"),
    "garbage-collector-controller": Entry(lambda p: GarbageCollector(p.client, p.clock), "concurrent-gc-syncs"),
    "node-ipam-controller": Entry(_ipam, 1),
    "node-lifecycle-controller": Entry(_lifecycle),
    "taint-eviction-controller": Entry(lambda p: TaintEvictionController(p.informers)),
    "pod-garbage-collector-controller": Entry(
        lambda p: PodGcController(p.informers, p.values["terminated-pod-gc-threshold"]), 1
    ),
    "persistentvolumeclaim-protection-controller": Entry(lambda p: ClaimProtectionController(p.informers)),
    "persistentvolume-binder-controller": Entry(lambda p: PersistentVolumeBinder(p.informers)),
    "ephemeral-volume-controller": Entry(lambda p: EphemeralVolumeController(p.informers)),
    "persistentvolume-protection-controller": Entry(lambda p: VolumeProtectionController(p.informers), 1),
    "volumeattributesclass-protection-controller": Entry(lambda p: AttributesClassProtectionController(p.informers), 1),
    "resourcequota-controller": Entry(lambda p: ResourceQuotaController(p.informers, p.client)),
    "certificatesigningrequest-approving-controller": Entry(lambda p: ApprovalController(p.informers, p.client)),
    "certificatesigningrequest-signing-controller": Entry(_signing),
    "certificatesigningrequest-cleaner-controller": Entry(lambda p: CleaningController(p.informers), 1),
    "validatingadmissionpolicy-status-controller": Entry(lambda p: PolicyStatusController(p.informers, p.client)),
    "bootstrap-signer-controller": Entry(lambda p: BootstrapSigner(p.informers, p.client), 1),
    "token-cleaner-controller": Entry(lambda p: TokenCleaner(p.informers), 1),
}


EVENT_SOURCES = {
    "replicationcontroller-controller": "replication-controller",
    "endpoints-controller": "endpoint-controller",
    "endpointslice-controller": "endpoint-slice-controller",
    "node-lifecycle-controller": "node-controller",
    "node-ipam-controller": "cidrAllocator",
    "persistentvolume-binder-controller": "persistentvolume-controller",
    "ephemeral-volume-controller": "ephemeral_volume",
    "disruption-controller": "controllermanager",
}
"""Whom upstream names in events, where it is not the controller's own name."""

ACCOUNTS = {
    "root-ca-certificate-publisher-controller": "root-ca-cert-publisher",
    "serviceaccount-controller": "service-account-controller",
    "endpoints-controller": "endpoint-controller",
    "endpointslice-mirroring-controller": "endpointslicemirroring-controller",
    "replicationcontroller-controller": "replication-controller",
    "daemonset-controller": "daemon-set-controller",
    "garbage-collector-controller": "generic-garbage-collector",
    "node-ipam-controller": "node-controller",
    "node-lifecycle-controller": "node-controller",
    "taint-eviction-controller": "node-controller",
    "pod-garbage-collector-controller": "pod-garbage-collector",
    "persistentvolumeclaim-protection-controller": "pvc-protection-controller",
    "persistentvolume-protection-controller": "pv-protection-controller",
    "persistentvolume-binder-controller": "persistent-volume-binder",
    "certificatesigningrequest-approving-controller": "certificate-controller",
    "certificatesigningrequest-signing-controller": "certificate-controller",
    "certificatesigningrequest-cleaner-controller": "certificate-controller",
    "bootstrap-signer-controller": "bootstrap-signer",
    "token-cleaner-controller": "token-cleaner",
}
"""The ServiceAccounts in kube-system to which upstream gives the roles, where their names are not the controllers'."""

#: Makes the tokens of accounts, so it cannot wait for one.
WITHOUT_ACCOUNT = "serviceaccount-token-controller"


def all_names() -> list[str]:
    return sorted(ENTRIES)


def chosen(wanted: tuple[str, ...]) -> list[str]:
    """Names to run, by --controllers; * leaves out what is off by default. Raises ValueError for an unknown name."""
    named = {name.removeprefix("-") for name in wanted} - {"*"}
    if unknown := named - ENTRIES.keys():
        raise ValueError(f"{sorted(unknown)[0]!r} is no controller; there are {', '.join(all_names())}")
    on = ENTRIES.keys() - OFF_BY_DEFAULT if "*" in wanted else set()
    return [name for name in ENTRIES if f"-{name}" not in wanted and (name in on or name in wanted)]


class Manager:
    """Builds the chosen controllers; `run` works for ever."""

    def __init__(self, values: Values, client: RestClient, clock: Clock, accounts: Accounts | None = None) -> None:
        """Without `accounts` all controllers write as `client`; reading is `client`'s in any case."""
        self._clock = clock
        self._informers = Informers(client, clock)
        self._recorders: list[EventRecorder] = []
        self._runners: list[ControllerRunner] = []
        self._collector: GarbageCollector | None = None
        try:
            names = chosen(values["controllers"])
        except ValueError as error:
            fail(PROGRAM, f"--controllers: {error}")
        for name in names:
            entry = ENTRIES[name]
            own = client
            if accounts is not None and name != WITHOUT_ACCOUNT:
                own = accounts.client(ACCOUNTS.get(name, name))
            controller: Any = entry.build(Parts(values, own, self._informers, clock))
            if controller is None:
                continue
            if isinstance(controller, GarbageCollector):
                self._collector = controller
            workers = entry.workers if isinstance(entry.workers, int) else int(values[entry.workers])
            recorder = EventRecorder(own, EVENT_SOURCES.get(name, name), "", clock)
            self._recorders.append(recorder)
            executor = Executor(own, self._informers, recorder, clock)
            self._runners.append(ControllerRunner(controller, executor, clock, workers))

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._informers.run())
            for recorder in self._recorders:
                group.create_task(recorder.run())
            await self._informers.synced()
            if self._collector is not None:
                group.create_task(self._collector.follow_kinds())
            for runner in self._runners:
                group.create_task(runner.run())

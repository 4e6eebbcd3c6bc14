"""The shell of a service that works through the apiserver: common flags, its health port, its client.

scheduler and controller_manager are made of this; upstream calls the same thing component-base.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

from component_base.clock import Clock
from component_base.flags import FlagSet, Values, fail
from component_base.pki import CertificateAuthority, Usage
from kubeclient.kubeconfig import KubeConfig, KubeConfigError
from kubeclient.leader import LeaderElector, Timing
from kubeclient.rest import RestClient
from serving.delegated import DelegatedAuth
from serving.health import Health, HealthApp
from serving.host import HttpServer, HttpsServer


def add_common_flags(found: FlagSet, port: int, leader_name: str) -> None:
    """Flags with upstream's names that scheduler and controller_manager share."""
    found.string("kubeconfig", "", "Path to the kubeconfig that says where the apiserver is and who this service is.")
    found.string(
        "authentication-kubeconfig", "", "kubeconfig for TokenReviews of who asks this port; default --kubeconfig."
    )
    found.string("authorization-kubeconfig", "", "kubeconfig for SubjectAccessReviews; default --kubeconfig.")
    found.string("bind-address", "0.0.0.0", "Address of the HTTPS port for health and metrics.")
    found.port("secure-port", port, "HTTPS port for health and metrics; 0 turns it off.")
    found.string("tls-cert-file", "", "Certificate of the HTTPS port; without it one is made for this run.")
    found.string("tls-private-key-file", "", "Key of --tls-cert-file.")
    found.string("client-ca-file", "", "Authority of client certificates on the HTTPS port.")
    found.boolean("leader-elect", True, "Wait for a Lease before working, so that several may be started.")
    found.duration("leader-elect-lease-duration", 15.0, "How long the others wait for a leader that has gone silent.")
    found.duration("leader-elect-renew-deadline", 10.0, "How long a leader tries to renew before it gives up.")
    found.duration("leader-elect-retry-period", 2.0, "Time between tries to take or renew the Lease.")
    found.string(
        "leader-elect-identity",
        "",
        "Who holds the Lease; by default host and process id. A name that outlives the process lets its next life go "
        "on at once instead of waiting for the Lease's end: only where a supervisor sees to it that there is one.",
    )
    found.string("leader-elect-resource-name", leader_name, "Name of the Lease.")
    found.string("leader-elect-resource-namespace", "kube-system", "Namespace of the Lease.")
    found.number("kube-api-qps", 50.0, "Accepted for compatibility; the apiserver's own limits count.")
    found.integer("kube-api-burst", 100, "Accepted for compatibility; the apiserver's own limits count.")
    add_log_flags(found)


def add_log_flags(found: FlagSet) -> None:
    found.integer("v", 0, "Verbosity of the log: 4 and more show debugging.")
    found.choice("logging-format", "text", ("text", "json"), "Shape of a log line.")


def load_client(program: str, values: Values, user_agent: str, flag: str = "kubeconfig") -> RestClient:
    """The client of --kubeconfig, or of the pod's account. Ends the process with a sentence that names the flag."""
    path = values[flag]
    try:
        config = KubeConfig.load(path) if path else KubeConfig.in_cluster()
        return RestClient(config, user_agent)
    except KubeConfigError as error:
        fail(program, f"--{flag}: {error}")


def self_signed(folder: Path, name: str) -> tuple[Path, Path]:
    """A certificate for this run; written to `folder`."""
    authority = CertificateAuthority.create(f"{name}-ca")
    pair = authority.issue(name, dns=(name, "localhost"), ips=("127.0.0.1",), usages=Usage.SERVER)
    certificate, key = folder / f"{name}.crt", folder / f"{name}.key"
    pair.write(certificate, key)
    return certificate, key


def health_server(
    values: Values, name: str, health: Health, client: RestClient, folder: Path, clock: Clock
) -> HttpServer:
    """The HTTPS port by the common flags. `folder` takes the certificate if one has to be made."""
    if values["tls-cert-file"]:
        certificate, key = Path(values["tls-cert-file"]), Path(values["tls-private-key-file"])
    else:
        certificate, key = self_signed(folder, name)
    app = HealthApp(health, DelegatedAuth(client, clock))
    authorities = (Path(values["client-ca-file"]),) if values["client-ca-file"] else ()
    return HttpsServer(app, values["bind-address"], values["secure-port"], certificate, key, authorities, clock=clock)


async def lead_or_work(
    values: Values,
    client: RestClient,
    clock: Clock,
    stop: asyncio.Event,
    work: Callable[[], Awaitable[None]],
) -> None:
    """Run `work` (after winning the Lease unless --leader-elect=false) until `stop`. Raises LeadershipLost."""
    elector = LeaderElector(
        client,
        values["leader-elect-resource-namespace"],
        values["leader-elect-resource-name"],
        values["leader-elect-identity"] or f"{os.uname().nodename}_{os.getpid()}",
        clock,
        Timing(
            values["leader-elect-lease-duration"],
            values["leader-elect-renew-deadline"],
            values["leader-elect-retry-period"],
        ),
    )
    running = asyncio.ensure_future(elector.run(work) if values["leader-elect"] else _plain(work))
    stopping = asyncio.ensure_future(stop.wait())
    try:
        done, _ = await asyncio.wait([running, stopping], return_when=asyncio.FIRST_COMPLETED)
        if running in done:
            running.result()
    finally:
        running.cancel()
        stopping.cancel()
        await asyncio.gather(running, stopping, return_exceptions=True)
        if values["leader-elect"]:
            await elector.release()


async def _plain(work: Callable[[], Awaitable[None]]) -> None:
    await work()

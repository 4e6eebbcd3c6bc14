"""`python -m kube_proxy`: upstream's kube-proxy in nftables mode, by flags and ports.

It also keeps the routes to the other nodes' pods.
"""

from __future__ import annotations

import asyncio
import os
import sys

from component_base import logs
from component_base.clock import SystemClock
from component_base.flags import FlagSet, Values, fail
from component_base.tasks import run_service, run_until
from kube_proxy.health import proxy_health, proxy_metrics
from kube_proxy.nft import Nft, NftError
from kube_proxy.routes import RouteTable
from kube_proxy.rules import transaction
from kube_proxy.rules.base import Network
from kube_proxy.service import ProxyService
from kubeclient.informer import Informers
from serving.component import add_log_flags, load_client
from serving.host import App, HttpServer

PROGRAM = "kube_proxy"


def flags() -> FlagSet:
    found = FlagSet(PROGRAM, "leads connections to Services on to their endpoints, with nftables")
    found.string("kubeconfig", "", "Path to the kubeconfig that says where the apiserver is and who this service is.")
    found.string("hostname-override", "", "Name of this node; the host's name by default.")
    found.string("cluster-cidr", "", "Range of pod addresses: traffic from outside of it is masqueraded.")
    found.choice("proxy-mode", "nftables", ("nftables",), "How Services are implemented.")
    found.boolean("masquerade-all", False, "Masquerade all traffic to Services.")
    found.strings("nodeport-addresses", (), "Addresses (CIDRs) that answer on node ports; all but loopback by default.")
    found.duration("nftables-min-sync-period", 1.0, "Least time between two changes of the rules.")
    found.boolean("configure-pod-routes", True, "Keep routes to the other nodes' pods.")
    found.string("pod-bridge", "cbr0", "Bridge of this node's pods.")
    found.string("metrics-bind-address", "127.0.0.1:10249", "Where metrics are served; empty for nowhere.")
    found.string("healthz-bind-address", "0.0.0.0:10256", "Where load balancers ask for health; empty for nowhere.")
    found.boolean("cleanup", False, "Remove the rules and routes of this program, and end.")
    add_log_flags(found)
    return found


async def start_port(flag: str, address: str, app: App) -> HttpServer | None:
    if not address:
        return None
    host, _, port = address.rpartition(":")
    if not port.isdigit():
        fail(PROGRAM, f"--{flag}: {address!r} is not ADDRESS:PORT")
    server = HttpServer(app, host.strip("[]") or "0.0.0.0", int(port))
    try:
        await server.start()
    except OSError as error:
        fail(PROGRAM, f"--{flag}: {error.strerror}")
    return server


async def clean_up(values: Values) -> int:
    try:
        await Nft().apply(transaction.remove(Network("")))
    except NftError as error:
        fail(PROGRAM, str(error))
    if values["configure-pod-routes"]:
        await asyncio.to_thread(RouteTable().reconcile, {})
    return 0


async def serve(values: Values, stop: asyncio.Event) -> int:
    if values["cleanup"]:
        return await clean_up(values)
    clock = SystemClock()
    client = load_client(PROGRAM, values, "kube-proxy")
    network = Network(
        values["hostname-override"] or os.uname().nodename.lower(),
        cluster_cidr=values["cluster-cidr"],
        pod_bridge=values["pod-bridge"],
        node_port_addresses=values["nodeport-addresses"],
        masquerade_all=values["masquerade-all"],
    )
    informers = Informers(client, clock)
    routes = RouteTable() if values["configure-pod-routes"] else None
    service = ProxyService(informers, Nft(), routes, network, clock, values["nftables-min-sync-period"])
    health = proxy_health(lambda: service.is_healthy, lambda: service.node_is_leaving)
    ports = [
        await start_port("metrics-bind-address", values["metrics-bind-address"], proxy_metrics()),
        await start_port("healthz-bind-address", values["healthz-bind-address"], health),
    ]
    print(f"{PROGRAM}: ready on {values['healthz-bind-address']}", file=sys.stderr, flush=True)
    try:
        await run_until(stop, informers.run(), _work(informers, service))
    finally:
        await service.health.stop()
        await asyncio.gather(*(port.stop(0) for port in ports if port is not None))
        await client.close()
    return 0


async def _work(informers: Informers, service: ProxyService) -> None:
    await informers.synced()
    await service.run()


def main() -> None:
    values = flags().parse()
    logs.setup(PROGRAM, values["v"], values["logging-format"])
    if os.geteuid() != 0:
        fail(PROGRAM, "must run as root: it changes nftables and routes")
    raise SystemExit(run_service(lambda stop: serve(values, stop)))


if __name__ == "__main__":
    main()

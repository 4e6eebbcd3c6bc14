"""`python -m cluster_dns`: the cluster's names over UDP and TCP, one server on each node behind Service kube-dns."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from cluster_dns.feed import feed
from cluster_dns.forward import Forwarder, read_resolvers
from cluster_dns.registration import Registration, slice_for
from cluster_dns.server import DnsServer
from cluster_dns.zone import Zone
from component_base import logs, metrics
from component_base.clock import SystemClock
from component_base.flags import FlagSet, Values, fail
from component_base.rng import system_rng
from component_base.tasks import run_service, run_until
from kubeclient.informer import Informers
from serving.component import add_log_flags, load_client
from serving.host import App, HttpServer

PROGRAM = "cluster_dns"


def flags() -> FlagSet:
    found = FlagSet(PROGRAM, "answers DNS for Services and pods, and asks the host's resolvers for the rest")
    found.string("kubeconfig", "", "Path to the kubeconfig that says where the apiserver is and who this service is.")
    found.string("node-name", "", "Name of this node; the host's name by default.")
    found.string("bind-address", "", "Address to answer on, reachable from pods.", required=True)
    found.port("port", 10053, "Port to answer on, UDP and TCP.")
    found.string("cluster-domain", "cluster.local", "Domain of the cluster.")
    found.string("service-address", "", "Address of Service kube-dns: never asked as a resolver.")
    found.string("resolv-conf", "/etc/resolv.conf", "Resolvers for names outside of the cluster.")
    found.string("metrics-bind-address", "", "ADDRESS:PORT of /metrics, /health and /ready.", required=True)
    found.boolean("register", True, "Announce this server behind Service kube-system/kube-dns.")
    add_log_flags(found)
    return found


def web(server: Callable[[], DnsServer | None], is_ready: Callable[[], bool]) -> App:
    """`/health` (the process lives), `/ready` (the zone is complete), `/metrics`."""
    answers = metrics.gauge("coredns_dns_responses_total", "Answers by response code.", ("rcode",))

    async def serve(scope: Any, receive: Any, send: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
        status, body, kind = 404, b"404 page not found\n", "text/plain"
        if scope["path"] == "/health":
            status, body = 200, b"OK"
        elif scope["path"] == "/ready":
            status, body = (200, b"OK") if is_ready() else (503, b"the watches are not complete yet")
        elif scope["path"] == "/metrics":
            if (running := server()) is not None:
                for code, count in running.counts.items():
                    answers.labels(code).set(count)
            status, body, kind = 200, metrics.exposition(), metrics.CONTENT_TYPE
        headers = [(b"content-type", kind.encode()), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return serve


async def serve(values: Values, stop: asyncio.Event) -> int:
    clock = SystemClock()
    client = load_client(PROGRAM, values, "skiff-cluster-dns")
    zone = Zone(values["cluster-domain"])
    informers = Informers(client, clock)
    feed(informers, zone)
    address, port = values["bind-address"], values["port"]
    own = (address, values["service-address"])
    resolvers = await asyncio.to_thread(read_resolvers, Path(values["resolv-conf"]), own)
    forwarder = Forwarder(resolvers, system_rng(), clock)
    metrics_host, _, metrics_port = values["metrics-bind-address"].rpartition(":")
    if not metrics_port.isdigit():
        fail(PROGRAM, f"--metrics-bind-address: {values['metrics-bind-address']!r} is not ADDRESS:PORT")
    node = values["node-name"] or os.uname().nodename.lower()
    registration = Registration(client, clock, slice_for(node, address, port, int(metrics_port), ready=True))
    running: list[DnsServer] = []
    ready = asyncio.Event()
    host = HttpServer(web(lambda: running[0] if running else None, ready.is_set), metrics_host, int(metrics_port))

    async def answer() -> None:
        await informers.synced()
        async with asyncio.TaskGroup() as group:
            server = DnsServer(zone, forwarder, group)
            try:
                transport, listener = await server.start(address, port)
            except OSError as error:
                fail(PROGRAM, f"--port: cannot answer on {address}:{port}: {error.strerror}")
            running.append(server)
            ready.set()
            print(f"{PROGRAM}: ready on {address}:{port}", file=sys.stderr, flush=True)
            try:
                if values["register"]:
                    await registration.announce()
                await asyncio.Event().wait()
            finally:
                transport.close()
                listener.close()

    try:
        await host.start()
    except OSError as error:
        fail(PROGRAM, f"--metrics-bind-address: {error.strerror}")
    try:
        await run_until(stop, informers.run(), answer())
    finally:
        if values["register"] and ready.is_set():
            await asyncio.wait_for(registration.withdraw(), 3.0)
        await host.stop(0)
        await client.close()
    return 0


def main() -> None:
    values = flags().parse()
    logs.setup(PROGRAM, values["v"], values["logging-format"])
    raise SystemExit(run_service(lambda stop: serve(values, stop)))


if __name__ == "__main__":
    main()

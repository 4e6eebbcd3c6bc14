"""`python -m apiserver`: joins the store, the API and its guards, and serves them until SIGTERM."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
from dataclasses import replace
from pathlib import Path

from apiserver import options, worker_metrics, workers
from apiserver.assembly import Assembly
from apiserver.authn.options import client_ca_files
from apiserver.workers import Worker
from component_base import logs, vitals
from component_base.clock import SystemClock
from component_base.flags import fail
from component_base.tasks import run_service, spawn
from serving.host import HttpsServer

log = logging.getLogger("apiserver")
#: How long clients with open watches get to leave.
STOP_SECONDS = 2.0
#: While everything in the store is read: what is made then stays, and looking for garbage in it takes long.
LOADING_THRESHOLD = 100_000


async def serve(chosen: options.Options, worker: Worker, stop: asyncio.Event) -> int:
    clock = SystemClock()
    try:
        assembly = Assembly(chosen, clock, worker)
    except (ValueError, OSError) as error:
        fail(options.PROGRAM, str(error))
    values = chosen.values
    server = HttpsServer(
        assembly.app,
        values["bind-address"],
        chosen.port,
        Path(values["tls-cert-file"]),
        Path(values["tls-private-key-file"]),
        [Path(file) for file in client_ca_files(values)],
        clock=clock,
        reuse_port=not worker.is_alone,
    )
    gc.collect()
    usual = gc.get_threshold()
    gc.set_threshold(LOADING_THRESHOLD)
    background = [*assembly.start(), spawn(vitals.watch_loop(clock), "watch the event loop")]
    vitals.watch_collector(clock)
    waiting = spawn(stop.wait(), "wait for the end")
    loading = spawn(assembly.loaded(), "wait for the store")
    await asyncio.wait([waiting, loading], return_when=asyncio.FIRST_COMPLETED)
    if not stop.is_set():
        try:
            await server.start()
        except OSError as error:
            fail(options.PROGRAM, str(error))
        others = await worker_metrics.answer_others(worker)
        spawn(assembly.bootstrap(server.port), "bootstrap")
        ready = spawn(assembly.ready.wait(), "wait until ready")
        await asyncio.wait([waiting, ready], return_when=asyncio.FIRST_COMPLETED)
        if not stop.is_set():
            gc.freeze()
            gc.set_threshold(*usual)
            which = "" if worker.is_alone else f" (worker {worker.index})"
            sys.stdout.write(f"apiserver: serving https://{chosen.address}:{server.port}{which}\n")
            sys.stdout.flush()
        await stop.wait()
        assembly.stopping()
        await clock.sleep(values["shutdown-delay-duration"])
        assembly.end_watches()
        await server.stop(STOP_SECONDS)
        if others is not None:
            others.close()
    for task in (*background, loading):
        task.cancel()
    await assembly.close()
    return 0


def main() -> int:
    chosen = options.parse()
    logs.setup("apiserver", chosen.values["v"], chosen.values["logging-format"])
    if chosen.values["workers"] == 1:
        return run_service(lambda stop: serve(chosen, Worker(), stop))
    return share(chosen)


def share(chosen: options.Options) -> int:
    try:
        holder = workers.reserve(chosen.values["bind-address"], chosen.port)
    except OSError as error:
        fail(options.PROGRAM, str(error))
    settled = replace(chosen, port=holder.getsockname()[1])

    def work(worker: Worker) -> int:
        return run_service(lambda stop: serve(settled, worker, stop))

    return workers.Supervisor(chosen.values["workers"], work, SystemClock()).run()


if __name__ == "__main__":
    sys.exit(main())

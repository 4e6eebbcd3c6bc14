"""`python -m scheduler`: upstream's kube-scheduler by flags, ports and Lease."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from component_base import logs
from component_base.clock import SystemClock
from component_base.flags import FlagSet, Values, fail
from component_base.rng import seeded, system_rng
from component_base.tasks import run_service
from kubeclient.events import EventRecorder
from kubeclient.informer import Informers
from kubeclient.leader import LeadershipLost
from scheduler.binding import ApiCluster
from scheduler.service import SchedulerService
from serving.component import add_common_flags, health_server, lead_or_work, load_client
from serving.health import Health

PROGRAM = "scheduler"


def flags() -> FlagSet:
    found = FlagSet(PROGRAM, "assigns pods to nodes")
    add_common_flags(found, 10259, "kube-scheduler")
    found.string("scheduler-name", "default-scheduler", "Pods with this spec.schedulerName are ours.")
    return found


async def serve(values: Values, stop: asyncio.Event, folder: Path) -> int:
    clock = SystemClock()
    client = load_client(PROGRAM, values, "kube-scheduler")
    reviewer = (
        load_client(PROGRAM, values, PROGRAM, "authentication-kubeconfig")
        if values["authentication-kubeconfig"]
        else client
    )
    health = Health()
    port = health_server(values, PROGRAM, health, reviewer, folder, clock)
    try:
        await port.start()
    except OSError as error:
        fail(PROGRAM, f"--secure-port: {error.strerror}")
    recorder = EventRecorder(client, values["scheduler-name"], "", clock)
    informers = Informers(client, clock)
    # Ties between nodes need no secrets: one draw of entropy seeds a fast generator.
    rng = seeded(system_rng().getrandbits(64))
    service = SchedulerService(informers, ApiCluster(client, recorder), clock, rng, values["scheduler-name"])

    async def work() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(informers.run())
            group.create_task(recorder.run())
            await informers.synced()
            group.create_task(service.run())

    print(f"{PROGRAM}: ready on port {values['secure-port']}", file=sys.stderr, flush=True)
    try:
        await lead_or_work(values, client, clock, stop, work)
    except LeadershipLost as error:
        print(f"{PROGRAM}: {error}; ending, so that nobody works twice", file=sys.stderr)
        return 1
    finally:
        await port.stop()
        await client.close()
    return 0


def main() -> None:
    values = flags().parse()
    logs.setup(PROGRAM, values["v"], values["logging-format"])
    with tempfile.TemporaryDirectory(prefix="skiff-scheduler-") as folder:
        raise SystemExit(run_service(lambda stop: serve(values, stop, Path(folder))))


if __name__ == "__main__":
    main()

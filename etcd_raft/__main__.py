"""`python -m etcd_raft`: one member of the store. The flags are etcd's; one line tells when it serves."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys

from component_base import flags, logs
from component_base.clock import SystemClock
from component_base.rng import system_rng
from component_base.tasks import run_service
from etcd_raft import settings as command_line
from etcd_raft.assembly import Assembly, StartError
from etcd_raft.node import StoppedError
from etcd_raft.ports import Refusal
from etcd_raft.serving import Served, serve
from etcd_raft.settings import PROGRAM, Settings

log = logging.getLogger("etcd_raft")


async def run(settings: Settings, stop: asyncio.Event) -> int:
    served = Served.create(settings, SystemClock())
    assembly = Assembly(settings, SystemClock(), system_rng(), served.machine)
    try:
        await assembly.open()
        async with asyncio.TaskGroup() as group:
            node = group.create_task(assembly.node.run(), name="node")
            await assembly.listen(*serve(served, assembly.node, group))
            group.create_task(_announce(assembly), name="announce")
            group.create_task(_until_stopped(assembly, stop, node), name="stop")
    except* StartError as problems:
        flags.fail(PROGRAM, str(problems.exceptions[0]))
    except* StoppedError as problems:
        flags.fail(PROGRAM, str(problems.exceptions[0]))
    except* _Stopped:
        log.info("stopped")
    finally:
        await assembly.stop()
    return 0


class _Stopped(Exception):
    """The signal to stop was obeyed: ends the other tasks of the group."""


async def _until_stopped(assembly: Assembly, stop: asyncio.Event, node: asyncio.Task[None]) -> None:
    await stop.wait()
    await assembly.node.hand_over()
    raise _Stopped


async def _announce(assembly: Assembly) -> None:
    """One line, once this member has applied all that was committed when it started."""
    node, settings = assembly.node, assembly.settings
    while True:
        try:
            await node.read_index()
            break
        except Refusal:
            log.info("waiting for a leader: %d members, this one is %x", len(node.members()), node.member_id)
    urls = ",".join(map(str, settings.listen_client))
    log.info("ready: member %x of cluster %x serves clients at %s", node.member_id, node.cluster_id, urls)


def main() -> None:
    settings = command_line.parse()
    logs.setup(PROGRAM, settings.verbosity, settings.log_format)
    # The state is large and lives long: walking it again and again in full collections would stop the loop.
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    sys.exit(run_service(lambda stop: run(settings, stop)))


if __name__ == "__main__":
    main()

"""`python -m etcd_raft`: one member of the store. The flags are etcd's; one line tells when it serves.

`python -m etcd_raft restore FILE` and `… status FILE` are about saved snapshots, see `etcd_raft.backup`.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import math
import sys

from component_base import flags, logs
from component_base.clock import Clock, SystemClock
from component_base.rng import Rng, system_rng
from component_base.tasks import run_service
from etcd_raft import settings as command_line
from etcd_raft.assembly import Assembly, StartError
from etcd_raft.auth.credentials import Tokens, TokenSource
from etcd_raft.auth.signed import SignedTokens, SigningError
from etcd_raft.compaction import Schedule, compact_for_ever
from etcd_raft.corruption import CorruptionWatch
from etcd_raft.logdisk import StoppedError
from etcd_raft.machine import CORRUPT, NOSPACE, StoreMachine
from etcd_raft.ports import Refusal
from etcd_raft.server import Limits, services
from etcd_raft.server.maintenance import API_VERSION
from etcd_raft.settings import PROGRAM, Settings
from etcd_raft.store_metrics import StoreCollector

log = logging.getLogger("etcd_raft")

ALARM_NAMES = {NOSPACE: "NOSPACE", CORRUPT: "CORRUPT"}


def _limits(settings: Settings) -> Limits:
    return Limits(
        quota_bytes=settings.quota_bytes,
        max_txn_ops=settings.max_txn_ops,
        max_request_bytes=settings.max_request_bytes,
        watch_progress_seconds=settings.progress_notify_seconds,
        min_lease_seconds=math.ceil(1.5 * settings.election_ticks * settings.heartbeat_seconds),
    )


def _schedule(settings: Settings) -> Schedule:
    if settings.compaction_mode == "revision":
        return Schedule(revisions=int(settings.compaction_retention))
    return Schedule(seconds=settings.compaction_retention)


def _tokens(settings: Settings, machine: StoreMachine, clock: Clock, rng: Rng) -> TokenSource:
    if settings.signed_tokens is None:
        return Tokens(machine.accounts, clock, rng, settings.token_seconds)
    try:
        return SignedTokens(settings.signed_tokens, clock)
    except (SigningError, OSError) as problem:
        raise StartError(f"--auth-token: {problem}") from None


async def run(settings: Settings, stop: asyncio.Event) -> int:
    clock, rng, machine = SystemClock(), system_rng(), StoreMachine()
    assembly = Assembly(settings, clock, rng, machine)
    try:
        tokens = _tokens(settings, machine, clock, rng)
        await assembly.open()
        limits = _limits(settings)
        hosted = services(assembly.node, machine, clock, rng, limits, assembly.questions, tokens)
        assembly.metrics.registry.register(StoreCollector(machine, limits))
        corruption = CorruptionWatch(
            assembly.node, machine, assembly.questions, clock, settings.corruption_check_seconds
        )
        async with asyncio.TaskGroup() as group:
            await assembly.listen(hosted, lambda: [ALARM_NAMES[kind] for _, kind in sorted(machine.alarms)])
            group.create_task(assembly.node.run(), name="node")
            group.create_task(_announce(assembly, corruption), name="announce")
            group.create_task(corruption.run(), name="comparing members")
            group.create_task(compact_for_ever(assembly.node, machine, clock, _schedule(settings)), name="compaction")
            group.create_task(_until_stopped(assembly, stop), name="stop")
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


async def _until_stopped(assembly: Assembly, stop: asyncio.Event) -> None:
    await stop.wait()
    await assembly.node.hand_over()
    await assembly.stop_serving()
    raise _Stopped


async def _announce(assembly: Assembly, corruption: CorruptionWatch) -> None:
    """One line, once this member has applied all that was committed when it started. Raises StoppedError."""
    node, settings = assembly.node, assembly.settings
    while True:
        try:
            await node.read_index()
            break
        except Refusal:
            if node.status().has_failed:
                return
            log.info("waiting for a leader: %d members, this one is %x", len(node.members()), node.member_id)
            await assembly.clock.sleep(settings.heartbeat_seconds)
    if settings.checks_at_start and (others := await corruption.differing()):
        names = ", ".join(f"{member.id:x} ({member.name})" for member in others)
        raise StoppedError(
            f"this member's data differ from those of {names} at the same revision; if most members agree with them, "
            "remove this one with `etcdctl member remove` and add it anew with an empty --data-dir"
        )
    urls = ",".join(map(str, settings.listen_client))
    log.info("ready: member %x of cluster %x serves clients at %s", node.member_id, node.cluster_id, urls)


def main() -> None:
    match sys.argv[1:]:
        case ["restore", *arguments]:
            from etcd_raft.backup import restore

            restore.main(arguments)
            return
        case ["status", *arguments]:
            from etcd_raft.backup import saved

            saved.main(arguments)
            return
    if sys.argv[1:] in (["--version"], ["-version"]):
        sys.stdout.write(f"etcd Version: {API_VERSION} (as served by {PROGRAM})\n")
        return
    settings = command_line.parse()
    logs.setup(PROGRAM, settings.verbosity, settings.log_format)
    # The state is large and lives long: walking it again and again in full collections would stop the loop.
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    sys.exit(run_service(lambda stop: run(settings, stop)))


if __name__ == "__main__":
    main()

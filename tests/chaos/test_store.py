"""The store's members as processes in network namespaces, under load, while everything happens to them.

Each test ends with the verdict of the same checkers that judge the simulation: nothing acknowledged is lost, the
history is strictly serializable, every watch kept its promises. `CHAOS_KILLS` sets how often the leader is killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from component_base.rng import seeded
from tests.chaos.lab import Lab, laboratory, run
from tests.integration.etcd_raft.load import Load, now
from tests.integration.etcd_raft.processes import MemberProcess
from tests.integration.etcd_raft.test_crashes import leader_of

KILLS = int(os.environ.get("CHAOS_KILLS") or 200)
RESUMES_WITHIN = 2.0
PATIENCE = 30.0
FLAGS = ("--snapshot-count=2000", "--snapshot-catchup-entries=200")

pytestmark = [
    pytest.mark.root,
    pytest.mark.timeout(0),
    pytest.mark.skipif(os.geteuid() != 0, reason="makes network namespaces"),
]


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with laboratory(tmp_path) as made:
        made.members = [made.member(number, flags=FLAGS) for number in (1, 2, 3)]
        yield made


async def started(lab: Lab) -> None:
    for member in lab.members:
        member.start(lab.cluster)
    for member in lab.members:
        await member.ready()


async def leader_but(members: list[MemberProcess], *excluded: MemberProcess) -> MemberProcess:
    return await leader_of([member for member in members if member not in excluded])


async def test_the_leader_killed_again_and_again_loses_nothing_and_writes_resume(lab: Lab) -> None:
    await started(lab)
    pauses: list[float] = []
    async with Load(lab.members, seeded(1)) as load:
        for _ in range(KILLS):
            await load.answered_since(now(), PATIENCE)
            victim = await leader_of(lab.members)
            moment = now()
            victim.kill()
            pauses.append(await load.answered_since(moment, PATIENCE))
            victim.start(lab.cluster)
            await victim.ready()
    chronicle = await load.judge(*lab.members)
    ordered = sorted(pauses)
    print(
        f"{KILLS} kills, {load.acknowledged} acknowledged writes, revision {chronicle.revision}; "
        f"writes resumed after {ordered[len(ordered) // 2]:.2f} s (median), {ordered[-1]:.2f} s (longest)"
    )
    assert ordered[-1] < RESUMES_WITHIN


async def test_partitions_of_every_kind(lab: Lab) -> None:
    """The leader cut off both ways, deaf, dumb; a follower likewise; a cable pulled; nobody reaching anybody."""
    await started(lab)
    async with Load(lab.members, seeded(2)) as load:
        for kind in ("both", "deaf", "dumb", "follower deaf", "follower dumb", "unplugged"):
            await load.answered_since(now(), PATIENCE)
            leader = await leader_of(lab.members)
            member = leader if "follower" not in kind else next(m for m in lab.members if m is not leader)
            node, others = lab.node(member), lab.others(member)
            if kind == "unplugged":
                node.unplug()
            if kind in ("both", "deaf", "follower deaf"):
                node.deaf_to(*others)
            if kind in ("both", "dumb", "follower dumb"):
                node.dumb_to(*others)
            await load.answered_since(now(), PATIENCE)
            await asyncio.sleep(4.0)
            lab.heal()
            for each in lab.members:
                await each.ready()
        for node in lab.nodes[:3]:
            node.deaf_to(*(other for other in lab.nodes if other is not node))
        await asyncio.sleep(5.0)
        lab.heal()
        await load.answered_since(now(), PATIENCE)
    await load.judge(*lab.members)


async def test_members_that_stand_still_and_a_cluster_that_starts_cold(lab: Lab) -> None:
    await started(lab)
    async with Load(lab.members, seeded(3)) as load:
        for _ in range(5):
            sleeper = await leader_of(lab.members)
            assert sleeper.process is not None
            sleeper.process.send_signal(signal.SIGSTOP)
            await asyncio.sleep(4.0)
            sleeper.process.send_signal(signal.SIGCONT)
            await load.answered_since(now(), PATIENCE)
        for _ in range(5):
            for member in lab.members:
                member.kill()
            for member in lab.members:
                member.start(lab.cluster)
            await load.answered_since(now(), PATIENCE)
    await load.judge(*lab.members)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=80m", "tmpfs", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


async def test_a_full_disk_and_a_failing_one_stop_their_member_only(lab: Lab, small_disk: Path) -> None:
    lab.members[0] = lab.member(1, small_disk, FLAGS)
    await started(lab)
    member = lab.members[0]
    ballast = small_disk / "ballast"
    async with Load(lab.members, seeded(4), writers=8, pause=0.0) as load:
        await load.answered_since(now(), PATIENCE)
        _fill(ballast)
        large = asyncio.ensure_future(load.write_much(lab.members[1]))
        assert member.process is not None
        assert await asyncio.to_thread(member.ended) == 1
        assert "No space left on device" in member.log
        await load.answered_since(now(), PATIENCE)
        large.cancel()
        await asyncio.wait([large])
        ballast.unlink(missing_ok=True)
        await asyncio.to_thread(run, "mount", "-o", "remount,size=300m", str(small_disk))
        member.start(lab.cluster)
        await member.ready()
        assert await asyncio.to_thread(member.stop) == 0
        member.environment = {"SKIFF_FAILPOINTS": "wal_before_sync=error"}
        member.start(lab.cluster)
        assert await asyncio.to_thread(member.ended) == 1
        assert "cannot write the log" in member.log
        await load.answered_since(now(), PATIENCE)
        member.environment = {}
        member.start(lab.cluster)
        await member.ready()
    await load.judge(*lab.members)


def _fill(file: Path) -> None:
    """Until nothing is left; the member may have taken the last of it already."""
    with contextlib.suppress(OSError), file.open("wb", buffering=0) as ballast:
        while ballast.write(bytes(1 << 20)):
            pass


async def test_a_wiped_member_is_refused_and_replaced_while_writes_go_on(lab: Lab) -> None:
    await started(lab)
    async with Load(lab.members, seeded(5)) as load:
        await load.answered_since(now(), PATIENCE)
        lost, asked = lab.members[2], lab.members[0]
        lost.kill()
        shutil.rmtree(lost.folder / lost.name)
        lost.start(lab.cluster)
        assert await asyncio.to_thread(lost.ended) == 1
        assert "belongs to a running cluster already" in lost.log
        listed = (await asyncio.to_thread(asked.etcdctl, "member", "list")).splitlines()
        gone = next(line.split(",")[0] for line in listed if lost.peer_url in line)
        await asyncio.to_thread(asked.etcdctl, "member", "remove", gone)
        new = lab.member(4, flags=FLAGS)
        await asyncio.to_thread(asked.etcdctl, "member", "add", new.name, f"--peer-urls={new.peer_url}")
        lab.members[2] = new
        load.members[:] = lab.members
        new.start(lab.cluster, state="existing")
        await new.ready()
        await load.answered_since(now(), PATIENCE)
    assert load.given_up == 0
    await load.judge(*lab.members)


async def test_a_rolling_restart_fails_no_operation(lab: Lab) -> None:
    await started(lab)
    async with Load(lab.members, seeded(6)) as load:
        for _ in range(5):
            for member in lab.members:
                assert await asyncio.to_thread(member.stop) == 0
                member.start(lab.cluster)
                await member.ready()
    assert load.given_up == 0
    chronicle = await load.judge(*lab.members)
    print(f"15 restarts, {load.acknowledged} acknowledged writes, revision {chronicle.revision}, none given up")

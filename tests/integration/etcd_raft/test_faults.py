"""Real members under a load whose history is checked: the short form of `tests/chaos`."""

from __future__ import annotations

import asyncio
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from component_base.rng import seeded
from tests.integration.etcd_raft.load import Load, now
from tests.integration.etcd_raft.processes import Credentials, MemberProcess
from tests.integration.etcd_raft.test_crashes import cluster_of, leader_of

pytestmark = pytest.mark.timeout(300)
#: A machine three times slower than ours, busy with other tests.
PATIENCE = 40.0


@pytest.fixture
def three(tmp_path: Path) -> Iterator[list[MemberProcess]]:
    credentials = Credentials(tmp_path)
    flags = ("--snapshot-count=500", "--snapshot-catchup-entries=50")
    members = [MemberProcess.make(name, tmp_path, credentials, *flags) for name in ("a", "b", "c")]
    for member in members:
        member.start(cluster_of(members))
    yield members
    for member in members:
        member.end()


async def everybody(members: list[MemberProcess]) -> None:
    for member in members:
        await member.ready()


async def test_kills_a_pause_and_a_cold_start_leave_a_right_history(three: list[MemberProcess]) -> None:
    await everybody(three)
    async with Load(three, seeded(1)) as load:
        await load.answered_since(now(), PATIENCE)
        victim = await leader_of(three)
        victim.kill()
        await load.answered_since(now(), PATIENCE)
        victim.start(cluster_of(three))
        await victim.ready()
        sleeper = await leader_of(three)
        assert sleeper.process is not None
        sleeper.process.send_signal(signal.SIGSTOP)
        await load.answered_since(now() + 0.5, PATIENCE)
        sleeper.process.send_signal(signal.SIGCONT)
        for member in three:
            member.kill()
        for member in three:
            member.start(cluster_of(three))
        await load.answered_since(now(), PATIENCE)
    chronicle = await load.judge(*three)
    assert chronicle.revision > 100
    assert any(operation.response is None for operation in load.operations)


async def test_a_rolling_restart_and_a_replaced_member_fail_no_operation(three: list[MemberProcess]) -> None:
    """Every member is stopped and started in turn, then one loses its disk for good; clients retry, none gives up."""
    await everybody(three)
    async with Load(three, seeded(2)) as load:
        for member in three:
            assert await asyncio.to_thread(member.stop) == 0
            member.start(cluster_of(three))
            await member.ready()
        lost = three[2]
        lost.kill()
        shutil.rmtree(lost.folder / lost.name)
        listed = three[0].etcdctl("member", "list").splitlines()
        gone = next(line.split(",")[0] for line in listed if lost.peer_url in line)
        three[0].etcdctl("member", "remove", gone)
        new = MemberProcess.make("d", lost.folder, lost.credentials, *lost.extra)
        three[0].etcdctl("member", "add", "d", f"--peer-urls={new.peer_url}")
        three[2] = new
        load.members[:] = three
        new.start(cluster_of(three), state="existing")
        await new.ready()
        await load.answered_since(now(), PATIENCE)
    assert load.given_up == 0
    await load.judge(*three)

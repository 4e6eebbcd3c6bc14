"""kill -9 in the middle of writing loses no acknowledged write: one member many times, three members by their leader.

`KILL_ROUNDS` sets how often; the default keeps the suite short.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from component_base.rng import seeded
from component_base.rpc import RpcError
from skiff_pb.etcd import rpc_pb2
from tests.integration.etcd_raft.processes import (
    KV,
    PATIENCE,
    Credentials,
    MemberProcess,
    Writers,
    contents,
    status,
    until,
)

ROUNDS = int(os.environ.get("KILL_ROUNDS") or 4)


@pytest.fixture
def one(tmp_path: Path) -> Iterator[MemberProcess]:
    member = MemberProcess.make("one", tmp_path, None, "--snapshot-count=400")
    yield member
    member.end()


@pytest.fixture
def three(tmp_path: Path) -> Iterator[list[MemberProcess]]:
    credentials = Credentials(tmp_path)
    flags = ("--snapshot-count=300", "--snapshot-catchup-entries=50")
    members = [MemberProcess.make(name, tmp_path, credentials, *flags) for name in ("a", "b", "c")]
    yield members
    for member in members:
        member.end()


def cluster_of(members: list[MemberProcess]) -> str:
    return ",".join(f"{m.name}={m.peer_url}" for m in members)


async def leader_of(members: list[MemberProcess]) -> MemberProcess:
    async with asyncio.timeout(PATIENCE):
        while True:
            for member in members:
                if member.process is not None and member.process.poll() is None:
                    found = await status(member)
                    if found.leader and found.leader == found.header.member_id:
                        return member
            await asyncio.sleep(0.1)


@pytest.mark.timeout(300)
async def test_a_lone_member_killed_again_and_again_keeps_what_it_acknowledged(one: MemberProcess) -> None:
    rng = seeded(1)
    writers = Writers(one)
    for _ in range(ROUNDS):
        one.start()
        await one.ready()
        found = await contents(one)
        assert {k: found.get(k) for k in writers.acknowledged} == writers.acknowledged
        stop = asyncio.Event()
        enough = len(writers.acknowledged) + 50
        writing = asyncio.ensure_future(writers.write(8, stop))
        await until(lambda enough=enough: len(writers.acknowledged) >= enough, "50 writes")  # type: ignore[misc]
        await asyncio.sleep(0.5 * rng.random())
        one.kill()
        stop.set()
        await writing
    one.start()
    await one.ready()
    found = await contents(one)
    assert {k: found.get(k) for k in writers.acknowledged} == writers.acknowledged


@pytest.mark.timeout(300)
@pytest.mark.parametrize("place", ["wal_before_sync", "wal_after_sync"])
async def test_a_crash_around_the_sync_is_survived(one: MemberProcess, place: str) -> None:
    one.start()
    await one.ready()
    one.etcdctl("put", "a", "1")
    assert one.stop() == 0
    one.environment = {"SKIFF_FAILPOINTS": f"{place}=crash"}
    one.start()
    assert one.ended() == 137
    one.environment = {}
    one.start()
    await one.ready()
    assert one.etcdctl("get", "a", "--print-value-only").strip() == "1"


@pytest.mark.timeout(300)
async def test_a_disk_that_fails_ends_the_member_with_a_sentence(one: MemberProcess) -> None:
    one.start()
    await one.ready()
    assert one.stop() == 0
    one.environment = {"SKIFF_FAILPOINTS": "wal_before_sync=error"}
    one.start()
    assert one.ended() == 1
    assert "cannot write the log" in one.log


@pytest.mark.timeout(300)
async def test_three_members_lose_their_leader_and_no_acknowledged_write(three: list[MemberProcess]) -> None:
    for member in three:
        member.start(cluster_of(three))
    for member in three:
        await member.ready()
    writers = Writers(*three)
    for _ in range(max(2, ROUNDS // 2)):
        stop = asyncio.Event()
        writing = asyncio.ensure_future(writers.write(6, stop))
        await until(lambda: len(writers.acknowledged) > 0, "a first write")
        await asyncio.sleep(0.5)
        victim = await leader_of(three)
        victim.kill()
        await leader_of(three)
        onward = len(writers.acknowledged) + 20  # More than was in flight.
        await until(lambda onward=onward: len(writers.acknowledged) >= onward, "writes without the old leader")  # type: ignore[misc]
        stop.set()
        await writing
        victim.start(cluster_of(three))
        await victim.ready()
    for member in three:
        found = await contents(member)
        assert {k: found.get(k) for k in writers.acknowledged} == writers.acknowledged


@pytest.mark.timeout(300)
async def test_a_member_that_was_away_long_catches_up_by_snapshot(three: list[MemberProcess]) -> None:
    for member in three:
        member.start(cluster_of(three))
    for member in three:
        await member.ready()
    lagging = next(m for m in three if m is not three[0])
    lagging.kill()
    writers = Writers(*(m for m in three if m is not lagging))
    await writers.write(20, asyncio.Event(), count=800)
    lagging.start(cluster_of(three))
    await lagging.ready()
    assert "received a snapshot" in lagging.log
    found = await contents(lagging)
    assert {k: found.get(k) for k in writers.acknowledged} == writers.acknowledged


@pytest.mark.timeout(300)
async def test_a_leader_that_stands_still_is_replaced_and_follows_when_it_wakes(three: list[MemberProcess]) -> None:
    """As a virtual machine that is paused: its connections stay, its clock jumps."""
    for member in three:
        member.start(cluster_of(three))
    for member in three:
        await member.ready()
    sleeper = await leader_of(three)
    others = [m for m in three if m is not sleeper]
    term = (await status(sleeper)).raftTerm
    assert sleeper.process is not None
    sleeper.process.send_signal(signal.SIGSTOP)
    try:
        writers = Writers(*others)
        await writers.write(4, asyncio.Event(), count=200)
    finally:
        sleeper.process.send_signal(signal.SIGCONT)
    await sleeper.ready()
    assert (await status(sleeper)).raftTerm > term
    found = await contents(sleeper)
    assert {k: found.get(k) for k in writers.acknowledged} == writers.acknowledged


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a file system")
@pytest.mark.timeout(300)
async def test_a_full_disk_ends_the_member_and_loses_nothing(small_disk: Path) -> None:
    member = MemberProcess.make("one", small_disk, None, "--snapshot-count=1000000")
    try:
        member.start()
        await member.ready()
        written = await written_until_refused(member)
        assert member.ended() == 1
        assert "No space left on device; free or mend the disk" in member.log
        enlarge(small_disk)
        member.start()
        await member.ready()
        assert set(await contents(member)) >= {b"k%d" % n for n in range(written)}
    finally:
        member.end()


async def written_until_refused(member: MemberProcess) -> int:
    channel, written = member.channel(), 0
    try:
        while True:
            put = rpc_pb2.PutRequest(key=b"k%d" % written, value=bytes(200_000))
            await channel.unary(KV, "Put", put, timeout=PATIENCE)
            written += 1
    except RpcError:
        return written
    finally:
        await channel.close()


def enlarge(disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=200m", str(disk)], check=True)


@pytest.mark.timeout(300)
async def test_the_last_of_three_goes_on_alone_when_told_to(three: list[MemberProcess]) -> None:
    for member in three:
        member.start(cluster_of(three))
    for member in three:
        await member.ready()
    writers = Writers(*three)
    await writers.write(8, asyncio.Event(), count=500)
    survivor = three[1]
    assert len(await contents(survivor)) >= 500  # A linearizable read: it has applied what the others acknowledged.
    for member in three:
        member.kill()
    survivor.extra = (*survivor.extra, "--force-new-cluster")
    survivor.start(cluster_of(three))
    await survivor.ready()
    found = await contents(survivor)
    assert {k: found.get(k) for k in writers.acknowledged} == writers.acknowledged
    assert len(survivor.etcdctl("member", "list").strip().splitlines()) == 1
    survivor.etcdctl("put", "alone", "1")
    survivor.kill()
    survivor.extra = survivor.extra[:-1]
    survivor.start(cluster_of(three))
    await survivor.ready()
    assert survivor.etcdctl("get", "alone", "--print-value-only").strip() == "1"

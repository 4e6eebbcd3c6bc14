"""What a member refuses to start with, each in one sentence that says what to do."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.etcd_raft.processes import MemberProcess, until

pytestmark = pytest.mark.timeout(300)


def refusal(member: MemberProcess, cluster: str = "", state: str = "new") -> str:
    """The one line it says."""
    (member.folder / f"{member.name}.log").write_text("")
    member.start(cluster, state)
    try:
        assert member.ended() in (1, 2), member.log
    finally:
        member.end()
    lines = member.log.strip().splitlines()
    assert len(lines) == 1, lines
    return lines[0]


async def a_life(member: MemberProcess, *puts: str) -> None:
    """Started, written to, killed."""
    member.start()
    await member.ready()
    for key in puts:
        member.etcdctl("put", key, "1")
    member.kill()


async def told(member: MemberProcess, words: str) -> None:
    await until(lambda: words in member.log, f"{member.name} says {words!r}")


def test_flags_that_do_not_fit_are_named(tmp_path: Path) -> None:
    assert "--no-such-flag: unknown flag" in refusal(MemberProcess.make("a", tmp_path, None, "--no-such-flag=1"))
    member = MemberProcess.make("a", tmp_path)
    assert "does not name this member, 'a'" in refusal(member, f"b={member.peer_url}")
    assert "gives a the address http://127.0.0.1:1" in refusal(member, "a=http://127.0.0.1:1")


def _flip_a_byte(folder: Path) -> None:
    segment = max((folder / "member" / "wal").iterdir())
    content = bytearray(segment.read_bytes())
    content[600] ^= 255
    segment.write_bytes(content)


def _lose_the_log(folder: Path) -> None:
    shutil.rmtree(folder / "member" / "wal")
    (folder / "member" / "snap" / "0000000000000002-000000000000000a.snap").write_bytes(b"old")


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (_flip_a_byte, "checksum mismatch in data that was durable"),
        (_lose_the_log, "holds snapshots but no write-ahead log"),
    ],
)
async def test_a_damaged_folder_is_refused(tmp_path: Path, damage: Callable[[Path], None], sentence: str) -> None:
    member = MemberProcess.make("a", tmp_path)
    await a_life(member, "one", "two", "three")
    damage(tmp_path / "a")
    said = refusal(member)
    assert sentence in said
    assert "restore a backup" in said


async def test_the_log_of_another_member_is_refused(tmp_path: Path) -> None:
    other, member = MemberProcess.make("other", tmp_path), MemberProcess.make("a", tmp_path)
    await a_life(other, "x")
    shutil.copytree(tmp_path / "other", tmp_path / "a")
    said = refusal(member)
    assert f"(other) at {other.peer_url}, not to a at {member.peer_url}" in said


async def test_founders_that_do_not_agree_are_told_of_both_clusters(tmp_path: Path) -> None:
    first = MemberProcess.make("a", tmp_path, None, "--initial-cluster-token=one")
    member = MemberProcess.make("b", tmp_path, None, "--initial-cluster-token=two")
    cluster = f"a={first.peer_url},b={member.peer_url}"
    first.start(cluster)
    try:
        await told(first, "waiting for a leader")
        said = refusal(member, cluster)
        assert f"the member at {first.peer_url} is of cluster " in said
        assert "the same --initial-cluster and --initial-cluster-token" in said
    finally:
        first.end()


async def test_members_of_two_clusters_do_not_mix(tmp_path: Path) -> None:
    """As after a backup that was restored on one machine only: both say why they wait, and serve nobody."""
    first = MemberProcess.make("a", tmp_path, None, "--initial-cluster-token=one")
    member = MemberProcess.make("b", tmp_path, None, "--initial-cluster-token=two")
    cluster = f"a={first.peer_url},b={member.peer_url}"
    try:
        for founder in (first, member):  # Neither meets the other until both folders exist.
            founder.start(cluster)
            await told(founder, "waiting for a leader")
            founder.kill()
        for founder in (first, member):
            founder.start(cluster)
        for founder in (first, member):
            await told(founder, "cluster ID mismatch: this member is of cluster")
            assert founder.health()["health"] != "true"
    finally:
        first.end()
        member.end()


async def test_a_member_that_was_not_added_is_told_the_command(tmp_path: Path) -> None:
    first, member = MemberProcess.make("a", tmp_path), MemberProcess.make("b", tmp_path)
    first.start()
    try:
        await first.ready()
        said = refusal(member, f"a={first.peer_url},b={member.peer_url}", state="existing")
        assert f"etcdctl member add b --peer-urls={member.peer_url}" in said
    finally:
        first.end()
    said = refusal(member, f"a={first.peer_url},b={member.peer_url}", state="existing")
    assert "one must run to be joined" in said

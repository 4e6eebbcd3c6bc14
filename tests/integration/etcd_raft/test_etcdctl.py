"""etcdctl 3.4 as the user has it, against one member and against a cluster that grows and shrinks."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.etcd_raft.processes import Credentials, MemberProcess, until

pytestmark = [
    pytest.mark.skipif(shutil.which("etcdctl") is None, reason="etcdctl is not installed; see make setup"),
    pytest.mark.timeout(300),
]


@pytest.fixture
async def one(tmp_path: Path) -> object:
    member = MemberProcess.make("one", tmp_path)
    member.start()
    await member.ready()
    yield member
    member.end()


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[list[MemberProcess]]:
    credentials = Credentials(tmp_path)
    members = [MemberProcess.make(name, tmp_path, credentials) for name in ("a", "b", "c")]
    yield members
    for member in members:
        member.end()


async def test_keys_and_transactions(one: MemberProcess) -> None:
    assert one.etcdctl("put", "a", "1").strip() == "OK"
    assert one.etcdctl("get", "a").split() == ["a", "1"]
    one.etcdctl("put", "ab", "2")
    assert one.etcdctl("get", "--prefix", "a", "--keys-only").split() == ["a", "ab"]
    assert one.etcdctl("del", "ab").strip() == "1"
    said = one.etcdctl("txn", stdin='value("a") = "1"\n\nput b yes\n\nput b no\n\n')
    assert said.startswith("SUCCESS")
    assert one.etcdctl("get", "b", "--print-value-only").strip() == "yes"


async def test_watch_sees_history_and_news(one: MemberProcess) -> None:
    one.etcdctl("put", "w", "old")
    watching = one.watch("w", "--rev=1")
    assert watching.stdout is not None
    try:
        assert [watching.stdout.readline().strip() for _ in range(3)] == ["PUT", "w", "old"]
        one.etcdctl("put", "w", "new")
        assert [watching.stdout.readline().strip() for _ in range(3)] == ["PUT", "w", "new"]
        one.etcdctl("del", "w")
        assert watching.stdout.readline().strip() == "DELETE"
    finally:
        watching.kill()
        watching.wait()


async def test_leases_end_and_take_their_keys(one: MemberProcess) -> None:
    lease = one.etcdctl("lease", "grant", "600").split()[1]
    one.etcdctl("put", "leased", "x", f"--lease={lease}")
    assert "leased" in one.etcdctl("lease", "timetolive", lease, "--keys")
    one.etcdctl("lease", "revoke", lease)
    assert one.etcdctl("get", "leased") == ""


async def test_metrics_carry_etcds_names(one: MemberProcess) -> None:
    one.etcdctl("put", "m", "1")
    text = await asyncio.to_thread(one.metrics)
    for line in (
        "etcd_server_has_leader 1.0",
        "etcd_server_is_leader 1.0",
        "etcd_debugging_mvcc_keys_total 1.0",
        "etcd_debugging_mvcc_current_revision 2.0",
        "etcd_server_leader_changes_seen_total 1.0",
        'etcd_server_version{server_version="3.6',
        'grpc_server_handled_total{grpc_code="OK",grpc_method="Put",grpc_service="etcdserverpb.KV"',
        'grpc_server_started_total{grpc_method="Watch",grpc_service="etcdserverpb.Watch",grpc_type="bidi_stream"} 0.0',
        "etcd_mvcc_put_total 1.0",
        'etcd_cluster_version{cluster_version="3.6"} 1.0',
    ):
        assert line in text
    for name in (
        "etcd_disk_wal_fsync_duration_seconds_bucket",
        "etcd_disk_backend_commit_duration_seconds_bucket",
        "etcd_network_client_grpc_received_bytes_total",
        "process_resident_memory_bytes",
    ):
        assert name in text


async def test_status_health_compaction_and_snapshot(one: MemberProcess, tmp_path: Path) -> None:
    status = json.loads(one.etcdctl("endpoint", "status", "-w", "json"))[0]["Status"]
    assert status["leader"] == status["header"]["member_id"]
    assert status["raftIndex"] == status["raftAppliedIndex"]
    assert "is healthy" in one.etcdctl("endpoint", "health", check=False)
    for n in range(5):
        one.etcdctl("put", "c", str(n))
    one.etcdctl("compact", "4")
    assert "required revision has been compacted" in one.etcdctl("get", "c", "--rev=2", check=False)
    one.etcdctl("snapshot", "save", str(tmp_path / "backup"))
    assert (tmp_path / "backup").stat().st_size > 0


async def test_a_cluster_grows_by_learners_and_shrinks(stage: list[MemberProcess]) -> None:
    a, b, c = stage
    a.start()
    await a.ready()
    a.etcdctl("put", "k", "v")
    added = a.etcdctl("member", "add", "b", "--learner", f"--peer-urls={b.peer_url}")
    b_id = added.split()[1]
    assert "can only promote a learner member which is in sync" in a.etcdctl("member", "promote", b_id, check=False)
    grown = f"a={a.peer_url},b={b.peer_url}"
    b.start(grown, state="existing")
    await until(lambda: f"{b_id}, started," in a.etcdctl("member", "list"), "b has joined")
    assert "rpc not supported for learner" in b.etcdctl("put", "k", "w", check=False)
    # It has started once its name is in the log; its copy of the log may be a moment behind.
    await until(lambda: "promoted" in a.etcdctl("member", "promote", b_id, check=False), "b is in sync")
    await b.ready()
    assert b.etcdctl("get", "k", "--print-value-only").strip() == "v"
    a.etcdctl("member", "add", "c", f"--peer-urls={c.peer_url}")
    c.start(f"{grown},c={c.peer_url}", state="existing")
    await c.ready()
    everybody = ",".join(m.client_url for m in stage)
    statuses = json.loads(a.etcdctl("endpoint", "status", "-w", "json", endpoints=everybody))
    assert len({s["Status"]["leader"] for s in statuses}) == 1
    assert len({s["Status"]["header"]["cluster_id"] for s in statuses}) == 1
    leader = next(m for m, s in zip(stage, statuses, strict=True) if s["Status"]["leader"] == _id(s))
    follower, target = next((m, s) for m, s in zip(stage, statuses, strict=True) if m is not leader)
    leader.etcdctl("move-leader", f"{_id(target):x}")
    follower.etcdctl("member", "remove", f"{_id(statuses[stage.index(leader)]):x}")
    assert leader.ended() == 1
    assert "has been removed from the cluster" in leader.log
    assert follower.etcdctl("put", "k", "after").strip() == "OK"
    leader.start(grown, state="existing")
    assert leader.ended() == 1


async def test_a_founder_without_its_data_does_not_found_again(stage: list[MemberProcess]) -> None:
    cluster = ",".join(f"{m.name}={m.peer_url}" for m in stage)
    for member in stage:
        member.start(cluster)
    for member in stage:
        await member.ready()
    stage[0].kill()
    shutil.rmtree(stage[0].folder / stage[0].name)
    stage[0].start(cluster)
    assert stage[0].ended() == 1
    assert "belongs to a running cluster already" in stage[0].log


async def test_a_key_that_does_not_fit_its_certificate_is_named(stage: list[MemberProcess]) -> None:
    member = stage[0]
    assert member.credentials is not None
    member.credentials.key.write_text("no key")
    member.start()
    assert member.ended() == 1
    assert "are no certificate and its key in PEM" in member.log
    assert len(member.log.strip().splitlines()) == 1


async def test_clients_need_a_certificate(stage: list[MemberProcess]) -> None:
    member = stage[0]
    member.start()
    await member.ready()
    member.etcdctl("put", "a", "b")
    assert "bad certificate" in (said := member.etcdctl("get", "a", check=False, certificate=False)) or "Error" in said


def _id(status: dict[str, dict[str, dict[str, int]]]) -> int:
    return status["Status"]["header"]["member_id"]


async def test_one_sentence_for_what_cannot_be(tmp_path: Path) -> None:
    member = MemberProcess.make("one", tmp_path)
    member.start()
    await member.ready()
    second = MemberProcess("two", tmp_path, member.client_port, *_others(member))
    second.start()
    assert second.ended() == 1
    assert "Address already in use" in second.log
    assert len(second.log.strip().splitlines()) == 1
    twin = MemberProcess.make("one", tmp_path)
    twin.start()
    assert twin.ended() == 1
    assert "another process uses --data-dir" in member.log
    member.end()


def _others(member: MemberProcess) -> tuple[int, int]:
    return member.peer_port, member.metrics_port


@pytest.mark.skipif(shutil.which("etcd") is None, reason="etcd is not installed")
async def test_etcds_own_folder_is_refused(tmp_path: Path) -> None:
    member = MemberProcess.make("one", tmp_path)
    member.start_upstream()
    await until(lambda: "is healthy" in member.etcdctl("endpoint", "health", check=False), "etcd is healthy")
    member.stop()
    member.start()
    assert member.ended() == 1
    assert "perhaps one of etcd itself" in member.log

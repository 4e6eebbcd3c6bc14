"""The services as a client meets them, over a connection, on a node without a log."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from component_base.clock import ManualClock
from component_base.http2.channel import Http2Channel
from component_base.http2.host import Http2Host
from component_base.rng import seeded
from component_base.rpc import Code, RpcError
from etcd_raft.backup.saved import Saved, SavedError
from etcd_raft.machine import StoreMachine
from etcd_raft.server import Limits, services
from skiff_pb.etcd import health_pb2, rpc_pb2
from tests.unit.etcd_raft.server.single_node import SingleNode

SERVICES = rpc_pb2.DESCRIPTOR.services_by_name


class Connected:
    def __init__(self, node: SingleNode, channel: Http2Channel, clock: ManualClock) -> None:
        self.node = node
        self.channel = channel
        self.clock = clock

    async def call(self, service: str, name: str, request: Any, **options: Any) -> Any:
        return await self.channel.unary(SERVICES[service], name, request, **options)

    async def put(self, key: bytes, value: bytes = b"", **fields: Any) -> Any:
        return await self.call("KV", "Put", rpc_pb2.PutRequest(key=key, value=value, **fields))

    def watch(self, queue: asyncio.Queue[rpc_pb2.WatchRequest]) -> AsyncGenerator[Any, None]:
        async def drain() -> AsyncIterator[rpc_pb2.WatchRequest]:
            while True:
                yield await queue.get()

        return self.channel.stream(SERVICES["Watch"], "Watch", drain())


@pytest.fixture
async def store() -> AsyncIterator[Connected]:
    machine, clock = StoreMachine(), ManualClock()
    node = SingleNode(machine)
    limits = Limits(quota_bytes=20_000, max_txn_ops=4, max_request_bytes=10_000, watch_progress_seconds=5)
    host = Http2Host(services(node, machine, clock, seeded(1), limits))
    port = host.add_listener("127.0.0.1:0")
    await host.start()
    channel = Http2Channel(f"127.0.0.1:{port}")
    yield Connected(node, channel, clock)
    await channel.close()
    await host.stop(0)


def create(**fields: Any) -> rpc_pb2.WatchRequest:
    return rpc_pb2.WatchRequest(create_request=rpc_pb2.WatchCreateRequest(**fields))


def put_op(key: bytes) -> rpc_pb2.RequestOp:
    return rpc_pb2.RequestOp(request_put=rpc_pb2.PutRequest(key=key))


def delete_op(key: bytes, range_end: bytes = b"") -> rpc_pb2.RequestOp:
    return rpc_pb2.RequestOp(request_delete_range=rpc_pb2.DeleteRangeRequest(key=key, range_end=range_end))


def nested(success: list[rpc_pb2.RequestOp], failure: list[rpc_pb2.RequestOp]) -> rpc_pb2.RequestOp:
    return rpc_pb2.RequestOp(request_txn=rpc_pb2.TxnRequest(success=success, failure=failure))


async def test_every_response_says_where_it_comes_from(store: Connected) -> None:
    header = (await store.put(b"k")).header
    assert (header.cluster_id, header.member_id, header.revision, header.raft_term) == (0xC1, 0xA1, 2, 2)
    header = (await store.call("KV", "Range", rpc_pb2.RangeRequest(key=b"none"))).header
    assert header.revision == 2


async def test_only_linearizable_reads_ask_the_leader(store: Connected) -> None:
    await store.call("KV", "Range", rpc_pb2.RangeRequest(key=b"k", serializable=True))
    assert store.node.reads == 0
    await store.call("KV", "Range", rpc_pb2.RangeRequest(key=b"k"))
    await store.call("KV", "Txn", rpc_pb2.TxnRequest())
    assert store.node.reads == 1


@pytest.mark.parametrize(
    ("service", "name", "request_", "code", "text"),
    [
        ("KV", "Put", rpc_pb2.PutRequest(), Code.INVALID_ARGUMENT, "key is not provided"),
        ("KV", "Range", rpc_pb2.RangeRequest(), Code.INVALID_ARGUMENT, "key is not provided"),
        ("KV", "DeleteRange", rpc_pb2.DeleteRangeRequest(), Code.INVALID_ARGUMENT, "key is not provided"),
        (
            "KV",
            "Put",
            rpc_pb2.PutRequest(key=b"k", value=b"v", ignore_value=True),
            Code.INVALID_ARGUMENT,
            "value is provided",
        ),
        (
            "KV",
            "Put",
            rpc_pb2.PutRequest(key=b"k", lease=1, ignore_lease=True),
            Code.INVALID_ARGUMENT,
            "lease is provided",
        ),
        ("KV", "Put", rpc_pb2.PutRequest(key=b"k", lease=1), Code.NOT_FOUND, "requested lease not found"),
        ("KV", "Put", rpc_pb2.PutRequest(key=b"k", value=bytes(10_001)), Code.INVALID_ARGUMENT, "request is too large"),
        ("KV", "Range", rpc_pb2.RangeRequest(key=b"k", sort_order=9), Code.INVALID_ARGUMENT, "invalid sort option"),  # type: ignore[arg-type]
        (
            "KV",
            "Range",
            rpc_pb2.RangeRequest(key=b"k", revision=9),
            Code.OUT_OF_RANGE,
            "mvcc: required revision is a future revision",
        ),
        (
            "KV",
            "Compact",
            rpc_pb2.CompactionRequest(revision=9),
            Code.OUT_OF_RANGE,
            "mvcc: required revision is a future revision",
        ),
        (
            "Maintenance",
            "Downgrade",
            rpc_pb2.DowngradeRequest(action="VALIDATE", version="three"),
            Code.INVALID_ARGUMENT,
            "wrong downgrade target version format",
        ),
        (
            "Maintenance",
            "Downgrade",
            rpc_pb2.DowngradeRequest(action="VALIDATE", version="3.4"),
            Code.INVALID_ARGUMENT,
            "invalid downgrade target version",
        ),
        (
            "Maintenance",
            "Downgrade",
            rpc_pb2.DowngradeRequest(action="CANCEL"),
            Code.FAILED_PRECONDITION,
            "no inflight downgrade job",
        ),
        (
            "Maintenance",
            "MoveLeader",
            rpc_pb2.MoveLeaderRequest(targetID=5),
            Code.FAILED_PRECONDITION,
            "bad leader transferee",
        ),
        (
            "Cluster",
            "MemberAdd",
            rpc_pb2.MemberAddRequest(peerURLs=["no"]),
            Code.INVALID_ARGUMENT,
            "given member URLs are invalid",
        ),
    ],
)
async def test_refusals(store: Connected, service: str, name: str, request_: Any, code: Code, text: str) -> None:
    with pytest.raises(RpcError) as caught:
        await store.call(service, name, request_)
    assert (caught.value.code, caught.value.message) == (code, "etcdserver: " + text)


@pytest.mark.parametrize(
    ("operations", "text"),
    [
        ([put_op(b"a"), put_op(b"a")], "duplicate key given in txn request"),
        ([put_op(b"b"), delete_op(b"a", b"c")], "duplicate key given in txn request"),
        ([delete_op(b"b"), nested([put_op(b"b")], [])], "duplicate key given in txn request"),
        ([put_op(b"b"), nested([], [put_op(b"b")])], "duplicate key given in txn request"),
        ([put_op(b"b"), nested([delete_op(b"b")], [])], "duplicate key given in txn request"),
        ([put_op(b"%d" % n) for n in range(5)], "too many operations in txn request"),
        ([nested([put_op(b"%d" % n) for n in range(4)], [])], "too many operations in txn request"),
        ([put_op(b"")], "key is not provided"),
    ],
)
async def test_transactions_that_contradict_themselves(
    store: Connected, operations: list[rpc_pb2.RequestOp], text: str
) -> None:
    with pytest.raises(RpcError) as caught:
        await store.call("KV", "Txn", rpc_pb2.TxnRequest(success=operations))
    assert (caught.value.code, caught.value.message) == (Code.INVALID_ARGUMENT, "etcdserver: " + text)


async def test_branches_that_exclude_each_other_may_write_the_same_key(store: Connected) -> None:
    operations = [nested([put_op(b"k")], [put_op(b"k")]), delete_op(b"x"), delete_op(b"x")]
    await store.call("KV", "Txn", rpc_pb2.TxnRequest(success=operations))


async def test_a_full_store_takes_deletions_until_it_is_disarmed(store: Connected) -> None:
    for number in range(3):
        await store.put(b"k%d" % number, bytes(5000))
    with pytest.raises(RpcError) as caught:
        await store.put(b"k3", bytes(5000))
    assert (caught.value.code, caught.value.message) == (
        Code.RESOURCE_EXHAUSTED,
        "etcdserver: mvcc: database space exceeded",
    )
    with pytest.raises(RpcError, match="space exceeded"):
        await store.put(b"small")
    with pytest.raises(RpcError, match="space exceeded"):
        await store.call("KV", "Txn", rpc_pb2.TxnRequest(failure=[put_op(b"small")]))
    status = await store.call("Maintenance", "Status", rpc_pb2.StatusRequest())
    assert status.errors == [f"memberID:{0xA1} alarm:NOSPACE"]
    await store.call("KV", "DeleteRange", rpc_pb2.DeleteRangeRequest(key=b"k", range_end=b"l"))
    compaction = rpc_pb2.CompactionRequest(revision=store.node.store.space.revision, physical=True)
    await store.call("KV", "Compact", compaction)
    disarm = rpc_pb2.AlarmRequest(action=rpc_pb2.AlarmRequest.DEACTIVATE, memberID=0xA1, alarm=rpc_pb2.NOSPACE)
    assert len((await store.call("Maintenance", "Alarm", disarm)).alarms) == 1
    await store.put(b"small")


async def test_watches_of_one_stream(store: Connected) -> None:
    asked: asyncio.Queue[rpc_pb2.WatchRequest] = asyncio.Queue()
    answers = store.watch(asked)
    asked.put_nowait(create(key=b"a"))
    asked.put_nowait(create(key=b"b", watch_id=7))
    asked.put_nowait(create(key=b"b", watch_id=7))
    asked.put_nowait(create(key=b"z", range_end=b"a"))
    asked.put_nowait(create(start_revision=-1))
    created = [await anext(answers) for _ in range(5)]
    assert [(answer.watch_id, answer.created, answer.canceled) for answer in created] == [
        (0, True, False),
        (7, True, False),
        (-1, True, True),
        (-1, True, True),
        (-1, True, True),
    ]
    await store.put(b"b", b"1")
    event = await anext(answers)
    assert (event.watch_id, event.events[0].kv.value, event.header.revision) == (7, b"1", 2)
    asked.put_nowait(rpc_pb2.WatchRequest(cancel_request=rpc_pb2.WatchCancelRequest(watch_id=7)))
    assert (await anext(answers)).canceled
    asked.put_nowait(rpc_pb2.WatchRequest(progress_request=rpc_pb2.WatchProgressRequest()))
    notice = await anext(answers)
    assert (notice.watch_id, notice.header.revision, len(notice.events)) == (-1, 2, 0)
    await answers.aclose()


async def test_quiet_watches_are_told_of_progress(store: Connected) -> None:
    asked: asyncio.Queue[rpc_pb2.WatchRequest] = asyncio.Queue()
    answers = store.watch(asked)
    asked.put_nowait(create(key=b"a", progress_notify=True))
    asked.put_nowait(create(key=b"b", progress_notify=True))
    asked.put_nowait(create(key=b"c"))
    for _ in range(3):
        await anext(answers)
    await store.put(b"a")
    assert (await anext(answers)).watch_id == 0
    store.clock.advance(5)
    notice = await anext(answers)
    assert (notice.watch_id, notice.header.revision) == (1, 2)
    await answers.aclose()


async def test_a_watch_overtaken_by_compaction_is_cancelled(store: Connected) -> None:
    for _ in range(4):
        await store.put(b"a")
    await store.call("KV", "Compact", rpc_pb2.CompactionRequest(revision=4))
    asked: asyncio.Queue[rpc_pb2.WatchRequest] = asyncio.Queue()
    answers = store.watch(asked)
    asked.put_nowait(create(key=b"a", start_revision=2))
    assert (await anext(answers)).created
    cancelled = await anext(answers)
    assert (cancelled.canceled, cancelled.compact_revision) == (True, 4)
    await answers.aclose()


async def test_events_larger_than_a_message_are_sent_in_fragments(store: Connected) -> None:
    machine = store.node.store
    for number in range(70):
        machine.space.commit([machine.space.put(b"k%d" % number, bytes(9_000), 0, number + 2)[0]])
    asked: asyncio.Queue[rpc_pb2.WatchRequest] = asyncio.Queue()
    answers = store.watch(asked)
    asked.put_nowait(create(key=b"k", range_end=b"l", start_revision=2, fragment=True))
    assert (await anext(answers)).created
    first, second = await anext(answers), await anext(answers)
    assert (first.fragment, second.fragment) == (True, False)
    assert [event.kv.mod_revision for part in (first, second) for event in part.events] == list(range(2, 72))
    await answers.aclose()


async def test_a_saved_snapshot_can_be_read_and_carries_its_own_checksum(store: Connected, tmp_path: Path) -> None:
    for number in range(20):
        await store.put(b"k%d" % number, b"v" * number)
    await store.call("KV", "Compact", rpc_pb2.CompactionRequest(revision=9))
    parts = store.channel.stream(SERVICES["Maintenance"], "Snapshot", rpc_pb2.SnapshotRequest())
    saved = b"".join([part.blob async for part in parts])
    assert len(saved) % 512 == hashlib.sha256().digest_size
    assert hashlib.sha256(saved[:-32]).digest() == saved[-32:]
    file = tmp_path / "saved"
    file.write_bytes(saved)
    found = Saved.read(file)
    assert (found.revision, found.keys) == (21, 20)
    status = await store.call("Maintenance", "HashKV", rpc_pb2.HashKVRequest())
    assert found.hash == status.hash
    file.write_bytes(saved[:100] + b"x" + saved[101:])
    with pytest.raises(SavedError, match="damaged"):
        Saved.read(file)
    file.write_bytes(saved[:512])
    with pytest.raises(SavedError, match="incomplete"):
        Saved.read(file)


async def test_members_hash_alike(store: Connected) -> None:
    await store.put(b"k", b"v")
    other = StoreMachine()
    other.restore(store.node.store.snapshot())
    before = await store.call("Maintenance", "HashKV", rpc_pb2.HashKVRequest(revision=2))
    await store.put(b"k", b"w")
    after = await store.call("Maintenance", "HashKV", rpc_pb2.HashKVRequest(revision=2))
    assert (before.hash, before.hash_revision) == (after.hash, 2)
    latest = await store.call("Maintenance", "HashKV", rpc_pb2.HashKVRequest())
    assert latest.hash != before.hash


async def test_who_insists_on_a_leader_is_told_that_there_is_none(store: Connected) -> None:
    store.node.leader_id = 0
    with pytest.raises(RpcError) as caught:
        await store.call("KV", "Range", rpc_pb2.RangeRequest(key=b"k"), metadata={"hasleader": "true"})
    assert (caught.value.code, caught.value.message) == (Code.UNAVAILABLE, "etcdserver: no leader")
    health = health_pb2.DESCRIPTOR.services_by_name["Health"]
    answer = await store.channel.unary(health, "Check", health_pb2.HealthCheckRequest())
    assert answer.status == health_pb2.HealthCheckResponse.NOT_SERVING


async def test_a_learner_serves_only_its_own_reads(store: Connected) -> None:
    store.node.is_learner = True
    await store.call("KV", "Range", rpc_pb2.RangeRequest(key=b"k", serializable=True))
    with pytest.raises(RpcError) as caught:
        await store.put(b"k")
    assert (caught.value.code, caught.value.message) == (
        Code.FAILED_PRECONDITION,
        "etcdserver: rpc not supported for learner",
    )

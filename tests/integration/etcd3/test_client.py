"""The etcd client against upstream's etcd (Debian's 3.4) and against our store: the same is expected of both."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from component_base.rpc import Code, RpcError
from kubeclient.etcd3 import (
    DeleteResult,
    EtcdClient,
    PutResult,
    RangeResult,
    compare,
    delete_op,
    mod_revision_is,
    prefix_end,
    put_op,
    range_op,
)
from kubeclient.etcd3_watch import Event
from tests.integration.etcd3.etcd_process import OURS, UPSTREAM, EtcdProcess
from tests.integration.ports import free_port

pytestmark = pytest.mark.skipif(not Path("/usr/bin/etcd").exists(), reason="needs Debian's etcd-server")


@pytest.fixture(scope="module", params=[UPSTREAM, OURS], ids=["upstream", "ours"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdProcess]:
    process = EtcdProcess(tmp_path_factory.mktemp("etcd"), request.param)
    process.start()
    yield process
    process.stop()


@pytest.fixture
async def client(server: EtcdProcess) -> AsyncIterator[EtcdClient]:
    made = EtcdClient([server.endpoint])
    await serving(made)
    await made.delete(b"\0", b"\0")
    yield made
    await made.close()


async def serving(client: EtcdClient) -> None:
    while True:
        try:
            await client.get(b"a")
            return
        except RpcError:
            await asyncio.sleep(0.05)


async def test_a_range_is_read_in_pages_at_one_revision(client: EtcdClient) -> None:
    for number in range(7):
        await client.put(b"/p/%d" % number, b"v%d" % number)
    first = await client.range(b"/p/", prefix_end(b"/p/"), limit=3)
    await client.put(b"/p/3", b"changed")
    rest = await client.range(first.kvs[-1].key + b"\0", prefix_end(b"/p/"), revision=first.revision)
    assert (first.count, first.more, len(first.kvs)) == (7, True, 3)
    assert [kv.value for kv in rest.kvs] == [b"v3", b"v4", b"v5", b"v6"]
    assert not rest.more
    assert (await client.range(b"/p/", prefix_end(b"/p/"), count_only=True)).count == 7


async def test_a_transaction_creates_once(client: EtcdClient) -> None:
    async def create(value: bytes) -> Any:
        return await client.txn([mod_revision_is(b"k", 0)], [put_op(b"k", value)], [range_op(b"k")])

    made, refused = await create(b"1"), await create(b"2")
    assert made.succeeded
    assert isinstance(made.responses[0], PutResult)
    assert not refused.succeeded
    assert isinstance(refused.responses[0], RangeResult)
    assert refused.responses[0].kvs[0].value == b"1"
    assert refused.responses[0].kvs[0].mod_revision == made.revision == refused.responses[0].revision


@pytest.mark.parametrize(
    ("target", "operator", "value", "holds"),
    [
        ("version", "=", 2, True),
        ("version", ">", 2, False),
        ("create_revision", "!=", 0, True),
        ("mod_revision", "<", 1, False),
        ("value", "=", b"second", True),
        ("lease", "=", 0, True),
    ],
)
async def test_comparisons(client: EtcdClient, target: str, operator: str, value: Any, holds: bool) -> None:
    await client.put(b"k", b"first")
    await client.put(b"k", b"second")
    result = await client.txn([compare(b"k", target, operator, value)], [delete_op(b"k", prev_kv=True)])
    assert result.succeeded is holds
    if holds:
        deleted = result.responses[0]
        assert isinstance(deleted, DeleteResult)
        assert (deleted.deleted, deleted.prev_kvs[0].value) == (1, b"second")


async def test_a_watch_starts_in_the_past_and_goes_on(client: EtcdClient) -> None:
    first = await client.put(b"/w/a", b"1")
    async with aclosing(client.watch(b"/w/", prefix_end(b"/w/"), first.revision, prev_kv=True)) as responses:
        await client.put(b"/w/a", b"2")
        last = await client.delete(b"/w/a")
        events: list[Event] = []
        while len(events) < 3:
            events += (await anext(responses)).events
    assert [(e.type, e.kv.value, e.prev_kv and e.prev_kv.value) for e in events] == [
        ("PUT", b"1", None),
        ("PUT", b"2", b"1"),
        ("DELETE", b"", b"2"),
    ]
    assert events[-1].kv.mod_revision == last.revision


async def test_progress_is_noticed_without_events(client: EtcdClient) -> None:
    async with aclosing(client.watch(b"/quiet", progress_notify=True)) as responses:
        written = await client.put(b"/elsewhere", b"1")
        while (response := await anext(responses)).revision < written.revision:
            pass
    assert response.events == []


async def test_a_watch_of_compacted_history_is_refused(client: EtcdClient) -> None:
    first = await client.put(b"/c", b"1")
    last = await client.put(b"/c", b"2")
    await client.compact(last.revision)
    with pytest.raises(RpcError) as caught:
        await anext(client.watch(b"/c", start_revision=first.revision))
    assert (caught.value.code, caught.value.message) == (
        Code.OUT_OF_RANGE,
        "etcdserver: mvcc: required revision has been compacted",
    )
    with pytest.raises(RpcError, match="compacted"):
        await client.range(b"/c", revision=first.revision)


async def test_many_watches_share_a_stream_and_events_larger_than_a_message_are_joined(client: EtcdClient) -> None:
    start = await client.revision() + 1  # Without it a watch that is made later than a put does not see it.
    watches = [client.watch(b"/m/%d" % number, start_revision=start) for number in range(20)]
    waiting = [asyncio.ensure_future(anext(watch)) for watch in watches]
    for number in range(20):
        await client.put(b"/m/%d" % number, b"v")
    seen = await asyncio.gather(*waiting)
    assert [response.events[0].kv.key for response in seen] == [b"/m/%d" % number for number in range(20)]
    blob = bytes(700_000)
    written = await client.txn([], [put_op(b"/big/%d" % number, blob[:300_000]) for number in range(4)])
    joined = await anext(client.watch(b"/big/", prefix_end(b"/big/"), written.revision))
    assert len(joined.events) == 4


async def test_a_swap_writes_only_over_what_it_expects(client: EtcdClient) -> None:
    made = await client.swap(b"/s", b"1", 0)
    assert made.done
    assert await client.revision() == made.revision
    assert not (again := await client.swap(b"/s", b"2", 0)).done
    assert again.current is not None
    assert (again.current.value, again.current.mod_revision) == (b"1", made.revision)
    changed = await client.swap(b"/s", b"2", made.revision)
    assert changed.revision == made.revision + 1
    assert (await client.swap(b"/s", None, made.revision)).current is not None
    gone = await client.swap(b"/s", None, changed.revision)
    assert gone.revision == changed.revision + 1
    assert (await client.swap(b"/s", b"3", changed.revision)).current is None


async def test_a_lease_ends_its_keys(client: EtcdClient) -> None:
    lease = await client.lease_grant(60)
    await client.put(b"/l", b"1", lease=lease.id)
    assert (await client.lease_keepalive(lease.id)) == 60
    assert 0 < await client.lease_ttl(lease.id) <= 60
    await client.lease_revoke(lease.id)
    assert await client.get(b"/l") is None
    assert await client.lease_keepalive(lease.id) == 0
    assert await client.lease_ttl(lease.id) == -1


async def test_status_names_the_member(client: EtcdClient) -> None:
    status = await client.status()
    assert status.leader == status.member_id
    assert status.version.startswith("3.")


async def test_an_endpoint_that_is_down_is_passed_over(server: EtcdProcess, client: EtcdClient) -> None:
    other = EtcdClient([f"http://127.0.0.1:{free_port()}", server.endpoint])
    await other.put(b"/f", b"1")
    found = await other.get(b"/f")
    assert found is not None
    assert found.value == b"1"
    await other.close()


async def test_a_watch_goes_on_after_the_member_was_restarted(server: EtcdProcess, client: EtcdClient) -> None:
    watch = client.watch(b"/r", start_revision=await client.revision() + 1)
    first = asyncio.ensure_future(anext(watch))
    await client.put(b"/r", b"1")
    assert (await first).events[0].kv.value == b"1"
    server.stop()
    server.start()
    await serving(client)
    await client.put(b"/r", b"2")
    assert (await asyncio.wait_for(anext(watch), 60)).events[0].kv.value == b"2"

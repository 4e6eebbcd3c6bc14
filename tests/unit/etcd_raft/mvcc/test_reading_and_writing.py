"""Revisions, ranges, writes and compaction of the key space."""

from __future__ import annotations

from typing import Any

import pytest

from etcd_raft.ports import Refusal
from skiff_pb.etcd import rpc_pb2
from tests.unit.etcd_raft.mvcc.store_client import StoreClient

OUT_OF_RANGE = 11


@pytest.fixture
def client() -> StoreClient:
    return StoreClient()


def keys(response: rpc_pb2.RangeResponse) -> list[bytes]:
    return [kv.key for kv in response.kvs]


def test_each_write_is_a_revision_and_a_key_counts_its_own(client: StoreClient) -> None:
    client.put(b"a", b"1")
    client.put(b"b", b"1")
    client.put(b"a", b"2")
    kv = client.range(b"a").kvs[0]
    assert (kv.create_revision, kv.mod_revision, kv.version, kv.value) == (2, 4, 2, b"2")
    assert client.revision == 4


def test_a_deletion_ends_a_generation(client: StoreClient) -> None:
    client.put(b"a", b"1")
    assert client.delete(b"a", prev_kv=True).prev_kvs[0].value == b"1"
    assert client.delete(b"a").deleted == 0
    assert client.revision == 3
    client.put(b"a", b"2")
    kv = client.range(b"a").kvs[0]
    assert (kv.create_revision, kv.version) == (4, 1)


def test_the_past_stays_readable_until_it_is_compacted(client: StoreClient) -> None:
    client.put(b"a", b"1")
    client.put(b"a", b"2")
    client.delete(b"a")
    client.put(b"b", b"3")
    assert [client.get(b"a", revision) for revision in (1, 2, 3, 4, 5)] == [None, b"1", b"2", None, None]
    assert [keys(client.range(b"\0", b"\0", revision=r)) for r in (2, 4, 5)] == [[b"a"], [], [b"b"]]
    client.compact(3)
    assert client.get(b"a", 3) == b"2"
    with pytest.raises(Refusal) as caught:
        client.get(b"a", 2)
    assert (caught.value.code, caught.value.message) == (
        OUT_OF_RANGE,
        "etcdserver: mvcc: required revision has been compacted",
    )
    with pytest.raises(Refusal, match="etcdserver: mvcc: required revision is a future revision"):
        client.get(b"a", 6)


def test_compaction_is_refused_backwards_and_ahead(client: StoreClient) -> None:
    client.put(b"a")
    client.put(b"a")
    client.compact(2)
    with pytest.raises(Refusal, match="has been compacted"):
        client.compact(2)
    with pytest.raises(Refusal, match="is a future revision"):
        client.compact(4)


def test_compaction_frees_what_nobody_can_read(client: StoreClient) -> None:
    for number in range(20):
        client.put(b"k", b"%d" % number)
        client.put(b"gone%d" % number, b"x")
        client.delete(b"gone%d" % number)
    before = client.store.space.size
    client.compact(client.revision)
    space = client.store.space
    while space.must_prune:
        space.prune(3)
    assert space.past == {}
    assert len(space.log) == 1
    assert space.size < before / 20
    assert client.get(b"k") == b"19"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, [b"a", b"b", b"c", b"d"]),
        ({"limit": 2}, [b"a", b"b"]),
        ({"sort_order": rpc_pb2.RangeRequest.DESCEND, "limit": 3}, [b"d", b"c", b"b"]),
        ({"sort_target": rpc_pb2.RangeRequest.MOD}, [b"b", b"c", b"d", b"a"]),
        ({"sort_target": rpc_pb2.RangeRequest.VALUE, "limit": 1}, [b"d"]),
        (
            {"sort_target": rpc_pb2.RangeRequest.VERSION, "sort_order": rpc_pb2.RangeRequest.DESCEND, "limit": 1},
            [b"a"],
        ),
        ({"min_mod_revision": 4, "max_mod_revision": 5}, [b"c", b"d"]),
        ({"min_create_revision": 3, "limit": 2}, [b"b", b"c"]),
        ({"max_create_revision": 2}, [b"a"]),
        ({"count_only": True}, []),
    ],
)
def test_ranges_select_sort_and_limit(client: StoreClient, fields: dict[str, Any], expected: list[bytes]) -> None:
    for key, value in ((b"a", b"5"), (b"b", b"4"), (b"c", b"3"), (b"d", b"2"), (b"a", b"6")):
        client.put(key, value)
    response = client.range(b"a", b"z", **fields)
    assert keys(response) == expected
    assert response.count == 4
    if "limit" in fields:
        assert response.more


def test_keys_only_leaves_out_the_values(client: StoreClient) -> None:
    client.put(b"a", b"long")
    assert (client.range(b"a", b"b", keys_only=True).kvs[0].value, client.get(b"a")) == (b"", b"long")


def test_a_page_of_the_past_does_not_see_what_came_later(client: StoreClient) -> None:
    for number in range(6):
        client.put(b"%d" % number)
    first = client.range(b"0", b"\0", limit=3)
    revision = client.revision
    client.delete(b"4")
    client.put(b"35")
    client.put(b"5", b"new")
    rest = client.range(first.kvs[-1].key + b"\0", b"\0", revision=revision)
    assert (keys(rest), rest.count, rest.kvs[2].value) == ([b"3", b"4", b"5"], 3, b"")


def test_put_can_keep_the_value_or_the_lease(client: StoreClient) -> None:
    client.put(b"a", b"1")
    client.put(b"a", ignore_value=True)
    assert client.get(b"a") == b"1"
    assert client.range(b"a").kvs[0].version == 2
    assert client.put(b"a", b"2", ignore_lease=True, prev_kv=True).prev_kv.value == b"1"
    with pytest.raises(Refusal, match="etcdserver: key not found"):
        client.put(b"absent", ignore_value=True)
    with pytest.raises(Refusal, match="etcdserver: requested lease not found"):
        client.put(b"a", b"1", lease=7)
    assert client.revision == 4


def test_a_range_end_of_one_zero_byte_means_everything_from_the_key_on(client: StoreClient) -> None:
    for key in (b"a", b"b", b"\xff\xff"):
        client.put(key)
    assert keys(client.range(b"b", b"\0")) == [b"b", b"\xff\xff"]
    assert client.delete(b"b", b"\0").deleted == 2

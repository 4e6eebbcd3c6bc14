"""Transactions: comparisons on the state before, operations on the state as it becomes, all in one revision."""

from __future__ import annotations

from typing import Any

import pytest

from etcd_raft.ports import Refusal
from skiff_pb.etcd import rpc_pb2
from tests.unit.etcd_raft.mvcc.store_client import StoreClient

Compare = rpc_pb2.Compare


@pytest.fixture
def client() -> StoreClient:
    made = StoreClient()
    made.put(b"a", b"1")
    made.put(b"b", b"2")
    return made


def put(key: bytes, value: bytes = b"", **fields: Any) -> rpc_pb2.RequestOp:
    return rpc_pb2.RequestOp(request_put=rpc_pb2.PutRequest(key=key, value=value, **fields))


def get(key: bytes, range_end: bytes = b"", **fields: Any) -> rpc_pb2.RequestOp:
    return rpc_pb2.RequestOp(request_range=rpc_pb2.RangeRequest(key=key, range_end=range_end, **fields))


def delete(key: bytes, range_end: bytes = b"") -> rpc_pb2.RequestOp:
    return rpc_pb2.RequestOp(request_delete_range=rpc_pb2.DeleteRangeRequest(key=key, range_end=range_end))


def nested(**fields: Any) -> rpc_pb2.RequestOp:
    return rpc_pb2.RequestOp(request_txn=rpc_pb2.TxnRequest(**fields))


@pytest.mark.parametrize(
    ("comparison", "holds"),
    [
        (Compare(key=b"a", target=Compare.VALUE, value=b"1"), True),
        (Compare(key=b"a", target=Compare.VALUE, value=b"0", result=Compare.GREATER), True),
        (Compare(key=b"none", target=Compare.VALUE, value=b""), False),
        (Compare(key=b"none", target=Compare.VERSION, version=0), True),
        (Compare(key=b"none", target=Compare.MOD, mod_revision=0), True),
        (Compare(key=b"a", target=Compare.CREATE, create_revision=3, result=Compare.LESS), True),
        (Compare(key=b"a", target=Compare.MOD, mod_revision=2, result=Compare.NOT_EQUAL), False),
        (Compare(key=b"a", target=Compare.LEASE, lease=0), True),
        (Compare(key=b"a", range_end=b"c", target=Compare.VERSION, version=1), True),
        (Compare(key=b"a", range_end=b"c", target=Compare.VALUE, value=b"1"), False),
        (Compare(key=b"x", range_end=b"z", target=Compare.CREATE, create_revision=0), True),
        (Compare(key=b"x", range_end=b"z", target=Compare.VALUE, value=b"", result=Compare.NOT_EQUAL), False),
    ],
)
def test_comparisons(client: StoreClient, comparison: rpc_pb2.Compare, holds: bool) -> None:
    assert client.txn(compare=[comparison]).succeeded is holds
    assert client.revision == 3


def test_all_operations_share_a_revision_and_see_each_other(client: StoreClient) -> None:
    response = client.txn(success=[put(b"c", b"3"), delete(b"a"), get(b"\0", b"\0"), get(b"a", revision=3)])
    everything, past = (response.responses[n].response_range for n in (2, 3))
    assert [(kv.key, kv.mod_revision) for kv in everything.kvs] == [(b"b", 3), (b"c", 4)]
    assert [kv.value for kv in past.kvs] == [b"1"]
    assert client.revision == 4
    assert {op.response_put.header.revision for op in response.responses[:1]} == {4}


def test_inner_comparisons_see_the_state_before_the_outer_transaction(client: StoreClient) -> None:
    inner = nested(compare=[Compare(key=b"n", target=Compare.VERSION, version=0)], success=[put(b"i")])
    response = client.txn(success=[put(b"n"), inner, delete(b"b")])
    assert response.responses[1].response_txn.succeeded
    assert client.get(b"i") == b""
    assert client.revision == 4


def test_a_refused_operation_changes_nothing(client: StoreClient) -> None:
    with pytest.raises(Refusal, match="requested lease not found"):
        client.txn(success=[put(b"c"), nested(success=[put(b"d", lease=9)])])
    with pytest.raises(Refusal, match="future revision"):
        client.txn(success=[put(b"c"), get(b"a", revision=4)])
    assert client.get(b"c") is None
    assert client.revision == 3


def test_reading_a_compacted_revision_refuses_the_whole_transaction_on_every_member(client: StoreClient) -> None:
    """etcd issue 18667: members applied it differently, depending on how far each had compacted."""
    client.compact(3)
    with pytest.raises(Refusal, match="has been compacted"):
        client.txn(success=[put(b"c"), get(b"a", revision=2)])
    assert client.revision == 3

"""What is encoded by hand is what protobuf makes of the same message, byte for byte: hashes are taken of it."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from etcd_raft.mvcc.wire import decode_kv, encode_kv, number
from skiff_pb.etcd import kv_pb2, rpc_pb2

#: Also the ends of what one, two and three bytes of a varint hold.
COUNTS = st.sampled_from([1, 127, 128, 16383, 16384, 2**21 - 1, 2**21, 2**63 - 1]) | st.integers(1, 2**63 - 1)
VALUES = st.binary(max_size=300) | st.sampled_from([127, 128, 16383, 16384, 2**21]).map(bytes)


@settings(deadline=None)
@given(st.binary(min_size=1, max_size=200), VALUES, COUNTS, COUNTS, COUNTS, st.integers(-(2**63), 2**63 - 1))
def test_a_key_with_its_value(key: bytes, value: bytes, create: int, mod: int, version: int, lease: int) -> None:
    message = kv_pb2.KeyValue(
        key=key, value=value, create_revision=create, mod_revision=mod, version=version, lease=lease
    )
    field = encode_kv(key, value, create, mod, version, lease)
    assert field == rpc_pb2.RangeResponse(kvs=[message]).SerializeToString()
    assert decode_kv(field) == message


@settings(deadline=None)
@given(COUNTS | st.integers(-(2**63), 0))
def test_numbers(value: int) -> None:
    assert number(b"\x18", value) == rpc_pb2.ResponseHeader(revision=value).SerializeToString()

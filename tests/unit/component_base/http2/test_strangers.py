"""Bytes from strangers: whatever arrives, the connection answers by the protocol or ends; it never raises."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import hypothesis.strategies as st
import pytest
from hpack import Decoder, Encoder
from hypothesis import HealthCheck, example, given, settings

from component_base.http2 import headers as hpack
from component_base.http2.connection import PREFACE, Keepalive, frame
from component_base.http2.headers import HeaderDecoder, HeaderError
from component_base.http2.host import Http2Host, _ServerConnection
from component_base.rpc import CallContext, Service
from skiff_pb.etcd import rpc_pb2


class Wire:
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        self.written = bytearray()
        self.is_closed = False

    def get_extra_info(self, name: str) -> Any:
        return ("127.0.0.1", 1) if name == "peername" else None

    def set_write_buffer_limits(self, high: int) -> None: ...

    def is_closing(self) -> bool:
        return self.is_closed

    def write(self, data: bytes) -> None:
        self.written += data

    def close(self) -> None:
        self.is_closed = True

    abort = close


class Handler:
    async def put(self, request: rpc_pb2.PutRequest, context: CallContext) -> bytes:
        await asyncio.sleep(0)
        return request.value

    async def lease_keep_alive(
        self, requests: AsyncIterator[rpc_pb2.LeaseKeepAliveRequest], context: CallContext
    ) -> AsyncIterator[bytes]:
        async for request in requests:
            yield request.SerializeToString()


SERVICES = [Service(rpc_pb2.DESCRIPTOR.services_by_name[name], Handler()) for name in ("KV", "Lease")]


def begin(path: str, *more: tuple[str, str]) -> bytes:
    return hpack.encode(((":path", path), ("content-type", "application/grpc"), *more))


CALLS = st.sampled_from(
    [
        begin("/etcdserverpb.KV/Put"),
        begin("/etcdserverpb.KV/Put", ("grpc-timeout", "1n")),
        begin("/etcdserverpb.KV/Put", ("grpc-timeout", "x")),
        begin("/etcdserverpb.Lease/LeaseKeepAlive"),
        begin("/none"),
    ]
)
MESSAGES = st.sampled_from(
    [b"\0\0\0\0\0", b"\0\0\0\0\1\xff", b"\0\0\0\0\2\x08\1", b"\1\0\0\0\0", b"\0\xff\xff\xff\xff"]
)
FRAMES = st.builds(
    frame,
    st.integers(0, 12),
    st.sampled_from([0, 1, 4, 5, 8, 9, 12, 13, 32, 36, 44, 45, 255]),
    st.sampled_from([0, 1, 1, 3, 5, 2, 2**31 - 1]),
    st.one_of(st.binary(max_size=12), st.binary(max_size=200), CALLS, MESSAGES),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(parts=st.lists(st.one_of(FRAMES, st.binary(max_size=40)), max_size=8), cut=st.integers(1, 50))
@example(parts=[frame(1, 4, 1, begin("/etcdserverpb.KV/Put")), frame(0, 1, 1, b"\0\0\0\0\0")], cut=50)
@example(parts=[frame(1, 12, 1)], cut=50)
@example(parts=[frame(0, 8, 1)], cut=50)
@example(parts=[frame(1, 4, 1, hpack.encode((("content-type", "application/grpc"),))), frame(8, 0, 0, b"")], cut=3)
def test_nothing_that_arrives_makes_a_connection_raise(parts: list[bytes], cut: int) -> None:
    async def feed() -> None:
        wire = Wire()
        connection = _ServerConnection(Http2Host(SERVICES))
        connection.connection_made(wire)  # type: ignore[arg-type]
        stream = PREFACE + b"".join(parts)
        for start in range(0, len(stream), cut):
            if wire.is_closed:
                break
            connection.data_received(stream[start : start + cut])
            await asyncio.sleep(0)
        connection.connection_lost(None)

    asyncio.run(feed())


def test_a_peer_that_resets_call_after_call_is_left() -> None:
    async def feed() -> None:
        wire = Wire()
        connection = _ServerConnection(Http2Host([]))
        connection.connection_made(wire)  # type: ignore[arg-type]
        connection.data_received(PREFACE)
        for number in range(1, 6001, 2):
            connection.data_received(frame(3, 0, number, bytes(4)))
        assert wire.is_closed
        connection.connection_lost(None)

    asyncio.run(feed())


@pytest.mark.parametrize(
    ("seconds_apart", "has_call", "allowed"),
    [(4.9, True, 3), (5.0, True, 20), (5.0, False, 3), (7200.0, False, 20)],
)
def test_a_client_that_asks_too_often_is_told_to_calm_down(seconds_apart: float, has_call: bool, allowed: int) -> None:
    """As a server of Go's does with etcd's --grpc-keepalive-min-time=5s; without calls, two hours count."""

    async def feed() -> None:
        wire, clock = Wire(), [1000.0]
        connection = _ServerConnection(Http2Host(SERVICES, keepalive=Keepalive(min_ping_seconds=5.0)))
        connection._loop.time = lambda: clock[0]  # type: ignore[method-assign]
        connection.connection_made(wire)  # type: ignore[arg-type]
        connection.data_received(PREFACE)
        if has_call:
            connection.data_received(frame(1, 4, 7, begin("/etcdserverpb.Lease/LeaseKeepAlive")))
        for count in range(1, 21):
            connection.data_received(frame(6, 0, 0, b"are-you?"))
            is_over = count > allowed
            assert wire.is_closed == is_over
            if is_over:
                goaway = (7 if has_call else 0).to_bytes(4, "big") + (11).to_bytes(4, "big") + b"too_many_pings"
                assert bytes(wire.written).endswith(frame(7, 0, 0, goaway))
                break
            clock[0] += seconds_apart
        connection.connection_lost(None)
        await asyncio.sleep(0)

    asyncio.run(feed())


def test_answers_between_pings_wipe_out_the_strikes() -> None:
    async def feed() -> None:
        wire = Wire()
        connection = _ServerConnection(Http2Host([], keepalive=Keepalive(min_ping_seconds=5.0)))
        connection.connection_made(wire)  # type: ignore[arg-type]
        connection.data_received(PREFACE)
        for number in range(1, 41, 2):
            connection.data_received(frame(1, 5, number, begin("/none/None")))
            connection.data_received(frame(6, 0, 0, b"are-you?") * 3)
        assert not wire.is_closed
        connection.data_received(frame(6, 0, 0, b"are-you?"))
        assert wire.written.endswith(b"too_many_pings")
        connection.connection_lost(None)

    asyncio.run(feed())


NAMES = st.sampled_from(["a", "grpc-timeout", ":path", "x-long-name", "te"])
BLOCKS = st.lists(st.tuples(NAMES, st.text(st.characters(max_codepoint=255), max_size=60)), max_size=6)


@settings(deadline=None)
@given(blocks=st.lists(BLOCKS, max_size=8), huffman=st.booleans())
def test_blocks_of_another_encoder_are_read(blocks: list[list[tuple[str, str]]], huffman: bool) -> None:
    encoder, decoder = Encoder(), HeaderDecoder()
    for block in blocks:
        raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in block]
        for _ in range(2):
            assert decoder.decode(encoder.encode(raw, huffman=huffman)) == tuple(block)


@given(block=BLOCKS)
def test_another_decoder_reads_our_blocks(block: list[tuple[str, str]]) -> None:
    found = Decoder().decode(hpack.encode(tuple(block)), raw=True)
    assert [(name.decode("latin-1"), value.decode("latin-1")) for name, value in found] == block


@given(block=st.binary(max_size=60))
def test_a_malformed_block_is_a_header_error(block: bytes) -> None:
    try:
        HeaderDecoder().decode(block)
    except HeaderError:
        return


def test_headers_that_grow_without_end_are_refused() -> None:
    block = Encoder().encode([(b"b", b"y" * 3900)], huffman=False) + b"\xbe" * 20_000
    with pytest.raises(HeaderError, match="too large"):
        HeaderDecoder().decode(block)

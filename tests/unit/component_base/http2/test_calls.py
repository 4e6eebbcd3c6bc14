"""Calls of every kind between our HTTP/2 ends and grpcio's: each host with each channel."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
import uvloop

from component_base import pki
from component_base.grpc_channel import GrpcChannel
from component_base.grpc_host import GrpcHost
from component_base.http2.channel import Http2Channel
from component_base.http2.host import Http2Host
from component_base.rpc import CallContext, ClientTls, Code, RpcError, ServerTls, Service
from skiff_pb.etcd import rpc_pb2
from skiff_pb.raft import peer_pb2

KV = rpc_pb2.DESCRIPTOR.services_by_name["KV"]
LEASE = rpc_pb2.DESCRIPTOR.services_by_name["Lease"]
PEER = peer_pb2.DESCRIPTOR.services_by_name["Peer"]
MAINTENANCE = rpc_pb2.DESCRIPTOR.services_by_name["Maintenance"]


class Handler:
    """Answers by what the key says."""

    def __init__(self) -> None:
        self.hangs = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.certificate: bytes | None = None
        self.received = 0

    async def install_snapshot(
        self, requests: AsyncIterator[peer_pb2.SnapshotPart], context: CallContext
    ) -> peer_pb2.SnapshotReceipt:
        async for part in requests:
            self.received += len(part.chunk)
        return peer_pb2.SnapshotReceipt()

    async def put(self, request: rpc_pb2.PutRequest, context: CallContext) -> Any:
        self.certificate = context.peer_certificate
        if request.key == b"refuse":
            raise RpcError(Code.NOT_FOUND, "not höre: 100%")
        if request.key == b"break":
            raise ValueError("a secret")
        if request.key == b"hang":
            self.hangs.set()
            try:
                await asyncio.Event().wait()
            finally:
                self.cancelled.set()
        if request.key == b"metadata":
            return rpc_pb2.PutResponse(prev_kv={"value": context.metadata["hasleader"].encode()})
        return rpc_pb2.PutResponse(prev_kv={"value": request.value}).SerializeToString()

    async def lease_keep_alive(
        self, requests: AsyncIterator[rpc_pb2.LeaseKeepAliveRequest], context: CallContext
    ) -> AsyncIterator[rpc_pb2.LeaseKeepAliveResponse]:
        try:
            async for request in requests:
                if request.ID == 13:
                    raise RpcError(Code.OUT_OF_RANGE, "thirteen")
                yield rpc_pb2.LeaseKeepAliveResponse(ID=request.ID)
        finally:
            self.cancelled.set()

    async def snapshot(
        self, request: rpc_pb2.SnapshotRequest, context: CallContext
    ) -> AsyncIterator[rpc_pb2.SnapshotResponse]:
        for _ in range(20):
            yield rpc_pb2.SnapshotResponse(blob=bytes(300_000))


class Ends:
    def __init__(self, channel: Any, handler: Handler) -> None:
        self.channel = channel
        self.handler = handler

    async def put(self, key: bytes, value: bytes = b"", **options: Any) -> bytes:
        request = rpc_pb2.PutRequest(key=key, value=value)
        return bytes((await self.channel.unary(KV, "Put", request, **options)).prev_kv.value)

    def keep_alive(self, *ids: int, then: Awaitable[Any] | None = None) -> Any:
        async def requests() -> AsyncIterator[rpc_pb2.LeaseKeepAliveRequest]:
            for lease_id in ids:
                yield rpc_pb2.LeaseKeepAliveRequest(ID=lease_id)
            if then is not None:
                await then

        return self.channel.stream(LEASE, "LeaseKeepAlive", requests())


def hosted(host_type: type, handler: Handler) -> Any:
    return host_type(
        [Service(KV, handler), Service(LEASE, handler), Service(MAINTENANCE, handler), Service(PEER, handler)]
    )


@asynccontextmanager
async def meeting(host_type: type, channel_type: type) -> AsyncIterator[Ends]:
    handler = Handler()
    host = hosted(host_type, handler)
    port = host.add_listener("127.0.0.1:0")
    await host.start()
    channel = channel_type(f"127.0.0.1:{port}")
    yield Ends(channel, handler)
    await channel.close()
    await host.stop(0)


@pytest.fixture(params=[(Http2Host, Http2Channel), (GrpcHost, Http2Channel), (Http2Host, GrpcChannel)])
async def ends(request: pytest.FixtureRequest) -> AsyncIterator[Ends]:
    async with meeting(*request.param) as both:
        yield both


async def test_a_call_is_answered(ends: Ends) -> None:
    assert await ends.put(b"k", b"value") == b"value"
    assert await ends.put(b"metadata", metadata={"hasleader": "true"}) == b"true"


async def test_many_calls_share_the_connection(ends: Ends) -> None:
    answers = await asyncio.gather(*(ends.put(b"k", b"%d" % number) for number in range(300)))
    assert answers == [b"%d" % number for number in range(300)]


async def test_messages_larger_than_all_windows(ends: Ends) -> None:
    for size in (16_379, 65_536, 9_000_000):
        value = bytes([size % 251]) * size
        assert await ends.put(b"k", value) == value


async def test_refusals_keep_their_code_and_text(ends: Ends) -> None:
    with pytest.raises(RpcError) as caught:
        await ends.put(b"refuse")
    assert (caught.value.code, caught.value.message) == (Code.NOT_FOUND, "not höre: 100%")
    with pytest.raises(RpcError) as caught:
        await ends.put(b"break")
    assert caught.value.code is Code.INTERNAL
    assert "secret" not in caught.value.message
    with pytest.raises(RpcError) as caught:
        await ends.channel.unary(KV, "Range", rpc_pb2.RangeRequest())
    assert caught.value.code is Code.UNIMPLEMENTED


async def test_a_deadline_ends_both_sides(ends: Ends) -> None:
    while not ends.handler.hangs.is_set():  # On a busy machine a deadline may pass before the call has arrived.
        with pytest.raises(RpcError) as caught:
            await ends.put(b"hang", timeout=0.05)
        assert caught.value.code is Code.DEADLINE_EXCEEDED
    await asyncio.wait_for(ends.handler.cancelled.wait(), 30)
    assert await ends.put(b"k", b"still") == b"still"


async def test_a_caller_that_leaves_cancels_the_handler(ends: Ends) -> None:
    call = asyncio.ensure_future(ends.put(b"hang"))
    await ends.handler.hangs.wait()
    call.cancel()
    await asyncio.wait_for(ends.handler.cancelled.wait(), 30)


async def test_streams_in_both_directions(ends: Ends) -> None:
    assert [answer.ID async for answer in ends.keep_alive(1, 2, 3)] == [1, 2, 3]
    answers = ends.keep_alive(1, 13, 2)
    assert (await anext(answers)).ID == 1
    with pytest.raises(RpcError) as caught:
        await anext(answers)
    assert (caught.value.code, caught.value.message) == (Code.OUT_OF_RANGE, "thirteen")


async def test_a_stream_of_requests_with_one_response(ends: Ends) -> None:
    async def parts() -> AsyncIterator[peer_pb2.SnapshotPart]:
        for _ in range(30):
            yield peer_pb2.SnapshotPart(chunk=bytes(300_000))

    receipt = await ends.channel.unary(PEER, "InstallSnapshot", parts(), timeout=30)
    assert receipt == peer_pb2.SnapshotReceipt()
    assert ends.handler.received == 9_000_000


async def test_closing_a_stream_cancels_the_handler(ends: Ends) -> None:
    async with aclosing(ends.keep_alive(1, then=asyncio.Event().wait())) as answers:
        assert (await anext(answers)).ID == 1
    await asyncio.wait_for(ends.handler.cancelled.wait(), 30)


async def test_a_stream_larger_than_the_window_waits_for_its_reader(ends: Ends) -> None:
    total = 0
    async for part in ends.channel.stream(MAINTENANCE, "Snapshot", rpc_pb2.SnapshotRequest()):
        total += len(part.blob)
        await asyncio.sleep(0.001)
    assert total == 6_000_000


@pytest.mark.parametrize(
    "story",
    [
        test_a_call_is_answered,
        test_many_calls_share_the_connection,
        test_messages_larger_than_all_windows,
        test_refusals_keep_their_code_and_text,
        test_a_deadline_ends_both_sides,
        test_a_caller_that_leaves_cancels_the_handler,
        test_streams_in_both_directions,
        test_a_stream_of_requests_with_one_response,
        test_closing_a_stream_cancels_the_handler,
        test_a_stream_larger_than_the_window_waits_for_its_reader,
    ],
    ids=lambda story: story.__name__.removeprefix("test_"),
)
def test_all_this_over_uvloop(story: Callable[[Ends], Awaitable[None]]) -> None:
    """Services run on uvloop, whose transports differ in what they buffer and when they call."""

    async def tell() -> None:
        async with meeting(Http2Host, Http2Channel) as both:
            await story(both)

    uvloop.run(tell())


@pytest.mark.parametrize("channel_type", [Http2Channel, GrpcChannel])
async def test_certificates_on_both_sides(tmp_path: Path, channel_type: type) -> None:
    authority = pki.CertificateAuthority.create("ca")
    server = authority.issue("server", usages=pki.Usage.SERVER, ips=["127.0.0.1"])
    client = authority.issue("client", usages=pki.Usage.CLIENT)
    files = {}
    for name, content in {
        "ca": authority.certificate_pem,
        "server.crt": server.certificate,
        "server.key": server.key,
        "client.crt": client.certificate,
        "client.key": client.key,
    }.items():
        files[name] = tmp_path / name
        files[name].write_bytes(content)
    handler = Handler()
    host = hosted(Http2Host, handler)
    port = host.add_listener(
        "127.0.0.1:0", ServerTls(files["server.crt"], files["server.key"], files["ca"], require_client_certificate=True)
    )
    await host.start()
    channel = channel_type(f"127.0.0.1:{port}", ClientTls(files["ca"], files["client.crt"], files["client.key"]))
    ends = Ends(channel, handler)
    assert await ends.put(b"k", b"value" * 100_000) == b"value" * 100_000
    assert handler.certificate
    await channel.close()
    stranger = Http2Channel(f"127.0.0.1:{port}", ClientTls(files["ca"]))
    with pytest.raises(RpcError):
        await Ends(stranger, handler).put(b"k")
    await stranger.close()
    host.admits = lambda certificate: certificate is None
    unwanted = channel_type(f"127.0.0.1:{port}", ClientTls(files["ca"], files["client.crt"], files["client.key"]))
    with pytest.raises(RpcError):
        await Ends(unwanted, handler).put(b"k", timeout=30.0)
    await unwanted.close()
    await host.stop(0)


async def test_a_connection_is_made_again_after_the_host_was_restarted(tmp_path: Path) -> None:
    address = f"unix://{tmp_path / 'socket'}"
    channel = Http2Channel(address)
    ends = Ends(channel, Handler())
    with pytest.raises(RpcError, match="failed to connect to all addresses"):
        await ends.put(b"k")
    for _ in range(2):
        host = hosted(Http2Host, ends.handler)
        host.add_listener(address)
        await host.start()
        await asyncio.sleep(0.11)
        assert await ends.put(b"k", b"v") == b"v"
        await host.stop(0)
        await asyncio.sleep(0.01)
    await channel.close()


async def test_stopping_lets_calls_finish_and_breaks_off_what_takes_longer() -> None:
    handler = Handler()
    host = hosted(Http2Host, handler)
    port = host.add_listener("127.0.0.1:0")
    await host.start()
    channel = Http2Channel(f"127.0.0.1:{port}")
    hanging = asyncio.ensure_future(Ends(channel, handler).put(b"hang"))
    await handler.hangs.wait()
    await host.stop(0.05)
    with pytest.raises(RpcError) as caught:
        await hanging
    assert caught.value.code in (Code.CANCELLED, Code.UNAVAILABLE)
    assert handler.cancelled.is_set()
    await channel.close()


async def test_http1_on_the_same_port() -> None:
    async def answer(head: bytes) -> tuple[int, str, bytes]:
        return 200, "text/plain", head.split(b" ")[1]

    host = Http2Host([], http1=answer)
    port = host.add_listener("127.0.0.1:0")
    await host.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
    reply = await reader.read()
    writer.close()
    assert reply.startswith(b"HTTP/1.1 200 OK\r\n")
    assert reply.endswith(b"\r\n\r\n/health")
    await host.stop(0)


@pytest.mark.parametrize(
    "garbage",
    [
        b"\0\0\1\1\5\0\0\0\1\xff",
        b"\xff\xff\xff\0\0\0\0\0\1",
        b"\0\0\1\1\4\0\0\0\2\x82",
        b"\0\0\0\x09\4\0\0\0\1",
        b"\0\0\4\x08\0\0\0\0\0\x7f\xff\xff\xff",
    ],
)
async def test_a_peer_that_breaks_the_protocol_is_told_and_left(garbage: bytes) -> None:
    host = hosted(Http2Host, Handler())
    port = host.add_listener("127.0.0.1:0")
    await host.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0" + garbage)
    reply = await asyncio.wait_for(reader.read(), 30)
    assert b"\x07\0\0\0\0\0" in reply
    writer.close()
    await host.stop(0)


async def grpcio_put(port: int, key: bytes, value: bytes, compression: grpc.Compression) -> bytes:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", compression=compression) as channel:
        put = channel.unary_unary(
            "/etcdserverpb.KV/Put",
            request_serializer=rpc_pb2.PutRequest.SerializeToString,
            response_deserializer=rpc_pb2.PutResponse.FromString,
        )
        return bytes((await put(rpc_pb2.PutRequest(key=key, value=value))).prev_kv.value)


async def test_compressed_requests_are_understood_and_bounded() -> None:
    host = Http2Host([Service(KV, Handler())], max_message_bytes=500_000)
    port = host.add_listener("127.0.0.1:0")
    await host.start()
    assert await grpcio_put(port, b"k", b"v" * 100_000, grpc.Compression.Gzip) == b"v" * 100_000
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await grpcio_put(port, b"k", b"v" * 10_000_000, grpc.Compression.Gzip)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "received message larger than max" in str(caught.value.details())
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await grpcio_put(port, b"k", b"v" * 10_000, grpc.Compression.Deflate)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    await host.stop(0)


async def test_calls_are_counted() -> None:
    handler = Handler()
    host = hosted(Http2Host, handler)
    port = host.add_listener("127.0.0.1:0")
    await host.start()
    channel = Http2Channel(f"127.0.0.1:{port}")
    ends = Ends(channel, handler)
    await ends.put(b"k")
    with pytest.raises(RpcError):
        await ends.put(b"refuse")
    hanging = asyncio.ensure_future(ends.put(b"hang"))
    await handler.hangs.wait()
    hanging.cancel()
    await handler.cancelled.wait()
    assert [r.ID async for r in ends.keep_alive(1, 2)] == [1, 2]
    put, renew = host.methods["/etcdserverpb.KV/Put"], host.methods["/etcdserverpb.Lease/LeaseKeepAlive"]
    assert (put.started, put.received, put.sent) == (3, 3, 1)
    assert put.handled == {Code.OK: 1, Code.NOT_FOUND: 1, Code.CANCELLED: 1}
    assert (renew.started, renew.received, renew.sent, renew.handled) == (1, 2, 2, {Code.OK: 1})
    await channel.close()
    await host.stop(0)
    received, sent = host.traffic()
    assert received > 100
    assert sent > 100


async def test_a_new_certificate_is_used_without_a_restart(tmp_path: Path) -> None:
    old, new = pki.CertificateAuthority.create("old"), pki.CertificateAuthority.create("new")
    certificate, key = tmp_path / "server.crt", tmp_path / "server.key"
    for name, authority in (("old", old), ("new", new)):
        (tmp_path / name).write_bytes(authority.certificate_pem)
    old.issue("server", usages=pki.Usage.SERVER, ips=["127.0.0.1"]).write(certificate, key)
    handler = Handler()
    host = hosted(Http2Host, handler)
    port = host.add_listener("127.0.0.1:0", ServerTls(certificate, key))
    await host.start()
    first = Http2Channel(f"127.0.0.1:{port}", ClientTls(tmp_path / "old"))
    assert await Ends(first, handler).put(b"k", b"1") == b"1"
    pair = new.issue("server", usages=pki.Usage.SERVER, ips=["127.0.0.1"])
    certificate.write_bytes(pair.certificate)  # Half of it: the old pair stays in use.
    second = Http2Channel(f"127.0.0.1:{port}", ClientTls(tmp_path / "old"))
    assert await Ends(second, handler).put(b"k", b"2") == b"2"
    key.write_bytes(pair.key)
    third = Http2Channel(f"127.0.0.1:{port}", ClientTls(tmp_path / "new"))
    assert await Ends(third, handler).put(b"k", b"3") == b"3"
    assert await Ends(first, handler).put(b"k", b"4") == b"4", "connections that exist go on"
    for channel in (first, second, third):
        await channel.close()
    await host.stop(0)

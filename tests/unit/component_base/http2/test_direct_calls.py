"""Calls that their handler answers without a task, beside those that it leaves to the ordinary method."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from component_base.http2.channel import Http2Channel
from component_base.http2.host import Http2Host
from component_base.rpc import CallContext, Code, DirectCall, RpcError, Service
from skiff_pb.etcd import rpc_pb2

KV = rpc_pb2.DESCRIPTOR.services_by_name["KV"]


class Handler:
    """Takes over what does not ask for a task; the test answers what `hold`s."""

    def __init__(self) -> None:
        self.held: list[DirectCall] = []
        self.holds = asyncio.Event()

    async def put(self, request: rpc_pb2.PutRequest, context: CallContext) -> bytes:
        return rpc_pb2.PutResponse(prev_kv={"value": b"by a task"}).SerializeToString()

    def begin_put(self, request: rpc_pb2.PutRequest, message: bytes, call: DirectCall) -> bool:
        assert rpc_pb2.PutRequest.FromString(message) == request
        if request.key == b"task":
            return False
        if request.key == b"refuse":
            raise RpcError(Code.NOT_FOUND, "not here")
        if request.key == b"break":
            raise ValueError("a secret")
        if request.key == b"hold":
            self.held.append(call)
            self.holds.set()
        elif request.key == b"refuse later":
            asyncio.get_running_loop().call_soon(call.refuse, RpcError(Code.ABORTED, "not now"))
        else:
            asyncio.get_running_loop().call_soon(call.answer, answer(request.value))
        return True


def answer(value: bytes) -> bytes:
    return rpc_pb2.PutResponse(prev_kv={"value": value}).SerializeToString()


class Ends:
    def __init__(self, handler: Handler, host: Http2Host, channel: Http2Channel) -> None:
        self.handler = handler
        self.host = host
        self.channel = channel

    async def put(self, key: bytes, value: bytes = b"", timeout: float | None = None) -> bytes:
        request = rpc_pb2.PutRequest(key=key, value=value)
        return bytes((await self.channel.unary(KV, "Put", request, timeout)).prev_kv.value)

    async def refusal(self, key: bytes) -> tuple[Code, str]:
        with pytest.raises(RpcError) as caught:
            await self.put(key)
        return caught.value.code, caught.value.message


@pytest.fixture
async def ends() -> AsyncIterator[Ends]:
    handler = Handler()
    host = Http2Host([Service(KV, handler)])
    port = host.add_listener("127.0.0.1:0")
    await host.start()
    channel = Http2Channel(f"127.0.0.1:{port}")
    yield Ends(handler, host, channel)
    await channel.close()
    await host.stop(0)


async def test_a_handler_answers_itself_or_leaves_the_call_to_a_task(ends: Ends) -> None:
    assert await ends.put(b"k", b"value") == b"value"
    assert await ends.put(b"k", bytes(200_000)) == bytes(200_000), "also what is larger than all windows"
    assert await ends.put(b"task") == b"by a task"


async def test_refusals_at_once_and_later(ends: Ends) -> None:
    assert await ends.refusal(b"refuse") == (Code.NOT_FOUND, "not here")
    assert await ends.refusal(b"refuse later") == (Code.ABORTED, "not now")
    code, text = await ends.refusal(b"break")
    assert code is Code.INTERNAL
    assert "secret" not in text


async def test_a_refusal_at_once_is_not_followed_by_a_reset(ends: Ends) -> None:
    """A server that resets often is left by its clients; the end of our requests comes in a frame of its own."""
    await ends.refusal(b"refuse")
    await ends.put(b"k")
    connection = ends.channel._connection
    assert connection is not None
    assert connection._resets == 0


async def test_an_answer_to_who_has_left_goes_nowhere(ends: Ends) -> None:
    asking = asyncio.ensure_future(ends.put(b"hold"))
    await ends.handler.holds.wait()
    [call] = ends.handler.held
    assert not call.cancelled()
    asking.cancel()
    assert await ends.put(b"k", b"behind the reset") == b"behind the reset"
    assert call.cancelled()
    call.answer(answer(b"late"))
    call.refuse(RpcError(Code.ABORTED, "late"))
    assert await ends.put(b"k", b"still") == b"still"


async def test_a_deadline_passes_and_the_answer_comes_too_late(ends: Ends) -> None:
    while not ends.handler.held:  # On a busy machine a deadline may pass before the call has arrived.
        with pytest.raises(RpcError) as caught:
            await ends.put(b"hold", timeout=0.05)
        assert caught.value.code is Code.DEADLINE_EXCEEDED
    for call in ends.handler.held:
        call.answer(answer(b"late"))
    assert await ends.put(b"k", b"still") == b"still"


async def test_stopping_waits_for_the_answer(ends: Ends) -> None:
    asking = asyncio.ensure_future(ends.put(b"hold"))
    await ends.handler.holds.wait()
    stopping = asyncio.ensure_future(ends.host.stop(60))
    for _ in range(10):
        await asyncio.sleep(0)
    assert ends.host.is_stopping
    assert not stopping.done()
    ends.handler.held[0].answer(answer(b"in time"))
    assert await asyncio.wait_for(asking, 30) == b"in time"
    await asyncio.wait_for(stopping, 30)


async def test_stopping_breaks_off_what_takes_longer(ends: Ends) -> None:
    asking = asyncio.ensure_future(ends.put(b"hold"))
    await ends.handler.holds.wait()
    await ends.host.stop(0)
    with pytest.raises(RpcError) as caught:
        await asking
    assert caught.value.code in (Code.CANCELLED, Code.UNAVAILABLE)

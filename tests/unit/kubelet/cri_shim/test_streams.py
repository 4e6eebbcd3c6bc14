"""The stream protocols without sockets: SPDY frames, sessions, channels, and what broken peers send."""

from __future__ import annotations

import asyncio
import json
import struct
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from component_base.clock import ManualClock
from kubelet.cri_shim.event_feed import BACKLOG, EventFeed
from kubelet.cri_shim.groups import task_group
from kubelet.cri_shim.streaming.channels import (
    CommandChannels,
    Wanted,
    put_resize,
    resize_of,
    spdy_channels,
    status_bytes,
)
from kubelet.cri_shim.streaming.server import TOKEN_LIFETIME, StreamingServer, Ticket
from kubelet.cri_shim.streaming.spdy import (
    DICTIONARY,
    MAX_HEADER_BLOCK,
    SpdyConnection,
    SpdyError,
    StreamData,
    StreamOpened,
    StreamReset,
)
from kubelet.cri_shim.streaming.spdy_session import SpdySession
from skiff_pb.cri import runtime_pb2 as cri


def test_the_dictionary_is_the_standards() -> None:
    # The adler32 of SPDY/3's dictionary, as every implementation of it computes.
    assert zlib.adler32(DICTIONARY) == 0xE3C6A7C2
    assert len(DICTIONARY) == 1423


def pair() -> tuple[SpdyConnection, SpdyConnection]:
    return SpdyConnection(server=False), SpdyConnection(server=True)


def test_streams_carry_headers_and_data() -> None:
    client, server = pair()
    stream = client.open_stream({"StreamType": "stdin"})
    client.send(stream, b"abc", fin=True)
    opened, data = server.receive(client.take_output())
    assert opened == StreamOpened(stream, {"streamtype": "stdin"}, False)
    assert data == StreamData(stream, b"abc", True)
    server.reset(stream, 1)
    assert client.receive(server.take_output()) == [StreamReset(stream, 1)]


def test_bytes_may_come_one_at_a_time() -> None:
    client, server = pair()
    client.send(client.open_stream({"a": "b"}), b"x" * 100)
    events = [event for byte in client.take_output() for event in server.receive(bytes([byte]))]
    assert [type(event) for event in events] == [StreamOpened, StreamData]


def test_pings_are_answered_and_ids_checked() -> None:
    client, server = pair()
    client.ping(1)
    assert server.receive(client.take_output()) == []
    assert server.take_output() == struct.pack(">HHII", 0x8003, 6, 4, 1)
    odd = SpdyConnection(server=True)
    odd.open_stream({})
    assert server.receive(odd.take_output()) == []
    assert struct.unpack_from(">HH", server.take_output()) == (0x8003, 3)


def test_header_bombs_and_giant_frames_end_the_connection() -> None:
    client, server = pair()
    client.open_stream({"x": "y" * (MAX_HEADER_BLOCK + 1)})
    with pytest.raises(SpdyError, match="limit"):
        server.receive(client.take_output())
    with pytest.raises(SpdyError, match="limit"):
        SpdyConnection(server=True).receive(struct.pack(">II", 1, 0xFFFFFF))


@given(st.binary(max_size=200), st.integers(1, 12), st.integers(0, 255))
@settings(max_examples=300, deadline=None)
def test_no_bytes_break_the_machine(body: bytes, kind: int, flags: int) -> None:
    server = SpdyConnection(server=True)
    frame = struct.pack(">HHI", 0x8003, kind, flags << 24 | len(body)) + body
    try:
        server.receive(frame + body)
    except SpdyError:
        return
    server.take_output()


class QueuePipe:
    """One end of an in-memory connection."""

    def __init__(self, incoming: asyncio.Queue[bytes], outgoing: asyncio.Queue[bytes]) -> None:
        self._incoming, self._outgoing = incoming, outgoing

    async def receive(self) -> bytes:
        return await self._incoming.get()

    async def send(self, data: bytes) -> None:
        await self._outgoing.put(data)

    async def close(self) -> None:
        await self._outgoing.put(b"")


def sessions() -> tuple[SpdySession, SpdySession]:
    there: asyncio.Queue[bytes] = asyncio.Queue()
    back: asyncio.Queue[bytes] = asyncio.Queue()
    return SpdySession(QueuePipe(back, there), server=False), SpdySession(QueuePipe(there, back))


async def test_a_commands_channels_over_spdy() -> None:
    client, server = sessions()
    async with asyncio.TaskGroup() as group:
        reading = [group.create_task(each.run()) for each in (client, server)]
        streams = {kind: await client.open({"streamType": kind}) for kind in ("error", "stdin", "stdout", "resize")}
        channels = await spdy_channels(server, Wanted(True, True, False, True), "v4.channel.k8s.io")
        await streams["stdin"].write(b"typed")
        await streams["stdin"].finish()
        assert channels.stdin is not None
        assert [await channels.stdin(), await channels.stdin()] == [b"typed", b""]
        resizing = group.create_task(_run(channels))
        await streams["resize"].write(b'{"Width":80,"Hei')
        await streams["resize"].write(b'ght":24}{"Width":90,"Height":25}')
        assert [await channels.resizes.get(), await channels.resizes.get()] == [(80, 24), (90, 25)]
        assert channels.stdout is not None
        await channels.stdout(b"shown")
        await channels.finish(b"done")
        assert await streams["stdout"].read() == b"shown"
        assert await streams["stdout"].read() == b""
        assert await streams["error"].read() == b"done"
        for task in (*reading, resizing):
            task.cancel()


async def _run(channels: CommandChannels) -> None:
    for task in channels.tasks:
        await task


async def test_a_peer_that_leaves_ends_every_stream() -> None:
    client, server = sessions()
    async with asyncio.TaskGroup() as group:
        group.create_task(server.run())
        reading = group.create_task(client.run())
        await client.open({"streamtype": "error"})
        stream = await server.accept()
        assert stream is not None
        await client.close()
        assert await stream.read() == b""
        assert await server.accept() is None
        reading.cancel()


def test_how_a_command_ended_for_each_version() -> None:
    assert json.loads(status_bytes(0, None, "v4.channel.k8s.io"))["status"] == "Success"
    failed = json.loads(status_bytes(3, None, "v5.channel.k8s.io"))
    assert failed["message"] == "command terminated with non-zero exit code: exit status 3"
    assert failed["details"]["causes"][0] == {"reason": "ExitCode", "message": "3"}
    assert status_bytes(0, None, "v3.channel.k8s.io") == b""
    assert status_bytes(3, None, "channel.k8s.io").endswith(b"exit status 3")
    broken = json.loads(status_bytes(0, "broken", "v4.channel.k8s.io"))
    assert (broken["reason"], broken["code"]) == ("InternalError", 500)
    assert broken["message"] == "Internal error occurred: broken"


def test_sizes_are_checked_and_the_newest_kept() -> None:
    assert resize_of({"Width": 80, "Height": 24}) == (80, 24)
    bad: list[dict[str, object]] = [
        {},
        {"Width": 0, "Height": 1},
        {"Width": "80", "Height": 24},
        {"Width": 70000, "Height": 24},
    ]
    assert [resize_of(message) for message in bad] == [None] * 4
    queue: asyncio.Queue[tuple[int, int]] = asyncio.Queue(2)
    for width in (1, 2, 3):
        put_resize(queue, (width, 1))
    assert [queue.get_nowait(), queue.get_nowait()] == [(2, 1), (3, 1)]


class NoBackend:
    async def exec(self, ticket: Ticket, channels: CommandChannels) -> int:
        raise AssertionError

    async def attach(self, ticket: Ticket, channels: CommandChannels) -> int:
        raise AssertionError

    async def connect(self, sandbox_id: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        raise AssertionError


async def ask(url: str, headers: str = "") -> bytes:
    host, _, path = url.removeprefix("http://").partition("/")
    reader, writer = await asyncio.open_connection(*host.split(":"))
    writer.write(f"GET /{path} HTTP/1.1\r\nHost: x\r\n{headers}\r\n".encode())
    answer = await reader.read()
    writer.close()
    return answer


async def test_tokens_are_for_one_use_one_kind_and_one_minute() -> None:
    clock = ManualClock()
    server = StreamingServer(NoBackend(), clock)
    base = await server.start("127.0.0.1", 0)
    wanted = Wanted(False, True, False, False)
    assert b" 404 " in await ask(f"{base}/exec/guess")
    url = server.issue("exec", "c", wanted, ["true"])
    assert b" 404 " in await ask(url.replace("/exec/", "/attach/"))
    url = server.issue("exec", "c", wanted, ["true"])
    assert b" 400 " in await ask(url)
    assert b" 404 " in await ask(url)
    url = server.issue("exec", "c", wanted, ["true"])
    clock.advance(TOKEN_LIFETIME)
    assert b" 404 " in await ask(url)
    url = server.issue("exec", "c", wanted, ["true"])
    unknown = "Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: v99\r\n"
    assert b" 403 " in await ask(url, unknown)
    await server.stop()


class Brief(NoBackend):
    async def exec(self, ticket: Ticket, channels: CommandChannels) -> int:
        assert channels.stdout is not None
        await channels.stdout(b"x" * 100_000)
        return 3


async def test_a_client_that_is_still_sending_learns_how_its_command_ended() -> None:
    server = StreamingServer(Brief(), ManualClock())
    await server.start("127.0.0.1", 0)
    url = server.issue("exec", "c", Wanted(True, True, False, False), ["head", "-c", "1"])
    host, _, path = url.removeprefix("http://").partition("/")
    reader, writer = await asyncio.open_connection(*host.split(":"))
    upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    upgrade += "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: v4.channel.k8s.io\r\n"
    writer.write(f"GET /{path} HTTP/1.1\r\nHost: x\r\n{upgrade}\r\n".encode())
    typed = b"\x82\xff" + (100_001).to_bytes(8, "big") + bytes(4) + b"\0" + b"y" * 100_000
    for _ in range(50):
        writer.write(typed)
        await writer.drain()
    answer = b""
    while not answer.endswith(b"\x88\x02\x03\xe8"):
        answer += (piece := await reader.read(65536))
        assert piece
    assert b"exit status 3" in answer
    writer.close()
    await server.stop()


async def test_slow_listeners_of_events_are_cut_off() -> None:
    feed = EventFeed()
    seen: list[str] = []

    async def listen() -> None:
        async for event in feed.subscribe():
            seen.append(event.container_id)

    async with asyncio.TaskGroup() as group:
        group.create_task(listen())
        await asyncio.sleep(0)
        for number in range(BACKLOG + 1):
            feed.publish(cri.ContainerEventResponse(container_id=str(number)))
        assert not feed.wanted
    assert len(seen) == BACKLOG - 1


async def test_a_groups_failure_is_raised_as_itself() -> None:
    async def fail() -> None:
        raise ValueError("the one")

    async def run() -> None:
        async with task_group() as group:
            group.create_task(fail())
            await asyncio.sleep(1)

    with pytest.raises(ValueError, match="the one"):
        await run()

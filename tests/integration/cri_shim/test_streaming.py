"""Exec, attach and port-forward through their URLs, by SPDY and by WebSocket."""

from __future__ import annotations

import asyncio
import base64
import json
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from websockets.asyncio.client import ClientConnection, connect
from websockets.client import ClientProtocol
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Frame
from websockets.protocol import State
from websockets.uri import parse_uri

from component_base.rpc import RpcError
from kubelet.cri_shim.streaming.pipes import ConnectionPipe
from kubelet.cri_shim.streaming.spdy_session import SpdySession, SpdyStream
from skiff_pb.cri import runtime_pb2 as cri
from tests.integration.cri_shim.node import Node, until

pytestmark = [pytest.mark.root, pytest.mark.asyncio(loop_scope="session")]

V4, V5 = "v4.channel.k8s.io", "v5.channel.k8s.io"
TUNNEL = "SPDY/3.1+portforward.k8s.io"
Target = tuple[Node, str, str, cri.PodSandboxConfig]


@asynccontextmanager
async def spdy(url: str, version: str = V4) -> AsyncIterator[SpdySession]:
    target = urlsplit(url)
    reader, writer = await asyncio.open_connection(target.hostname, target.port)
    writer.write(
        f"POST {target.path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"
        f"X-Stream-Protocol-Version: {version}\r\n\r\n".encode()
    )
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101"), head
    session = SpdySession(ConnectionPipe(reader, writer), server=False)
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(session.run())
        yield session
        reading.cancel()
    writer.close()


async def everything(stream: SpdyStream) -> bytes:
    data = b""
    while chunk := await stream.read():
        data += chunk
    return data


@pytest_asyncio.fixture(loop_scope="session")
async def target(node: Node) -> AsyncIterator[Target]:
    pod = node.pod_config()
    sandbox = await node.sandbox(pod)
    config = node.container_config(["sh", "-c", "httpd -p 127.0.0.1:8080 -h /www; while read l; do echo got $l; done"])
    config.stdin = True
    container = await node.run(sandbox, pod, config)
    page = "http://127.0.0.1:8080/"
    await until(lambda: node.exec(container, "wget", "-qO-", page), lambda answer: answer.exit_code == 0)
    yield node, sandbox, container, pod
    await node.remove(sandbox)


async def exec_url(node: Node, container: str, command: Sequence[str], *, tty: bool = False) -> str:
    request = cri.ExecRequest(container_id=container, cmd=command, stdin=True, stdout=True, stderr=not tty, tty=tty)
    return str((await node.runtime("Exec", request)).url)


async def attach_url(node: Node, container: str) -> str:
    request = cri.AttachRequest(container_id=container, stdin=True, stdout=True, stderr=True)
    return str((await node.runtime("Attach", request)).url)


async def test_exec_over_spdy(target: Target) -> None:
    node, _, container, _ = target
    url = await exec_url(node, container, ["sh", "-c", "cat; echo err >&2; exit 6"])
    async with spdy(url) as session:
        streams = {kind: await session.open({"streamtype": kind}) for kind in ("error", "stdin", "stdout", "stderr")}
        await streams["stdin"].write(b"x" * 300_000)
        await streams["stdin"].finish()
        assert await everything(streams["stdout"]) == b"x" * 300_000
        assert await everything(streams["stderr"]) == b"err\n"
        status = json.loads(await everything(streams["error"]))
    assert status["status"] == "Failure"
    assert status["reason"] == "NonZeroExitCode"
    assert status["details"]["causes"] == [{"reason": "ExitCode", "message": "6"}]


async def test_a_command_that_cannot_start_says_why(target: Target) -> None:
    node, _, container, _ = target
    async with spdy(await exec_url(node, container, ["/no/such"])) as session:
        streams = {kind: await session.open({"streamtype": kind}) for kind in ("error", "stdin", "stdout", "stderr")}
        status = json.loads(await everything(streams["error"]))
    start = "Internal error occurred: error executing command in container: failed to exec in container: "
    assert status["message"].startswith(start)
    assert "no such file or directory" in status["message"]
    assert (status["reason"], status["code"]) == ("InternalError", 500)


async def channel_messages(connection: ClientConnection) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    try:
        async for message in connection:
            assert isinstance(message, bytes)
            found[message[0]] = found.get(message[0], b"") + message[1:]
    except ConnectionClosed:
        pass
    return found


async def test_exec_over_websocket(target: Target) -> None:
    node, _, container, _ = target
    url = (await exec_url(node, container, ["sh", "-c", "read l; echo $l; echo err >&2"])).replace("http", "ws", 1)
    async with connect(url, subprotocols=[V4], proxy=None) as connection:  # type: ignore[list-item]
        await connection.send(b"\x00typed\n")
        found = await channel_messages(connection)
    assert (found[1], found[2]) == (b"typed\n", b"err\n")
    assert json.loads(found[3])["status"] == "Success"


async def test_websocket_version_five_ends_standard_input(shim: Node) -> None:
    pod = shim.pod_config()
    sandbox = await shim.sandbox(pod)
    container = await shim.run(sandbox, pod, shim.container_config(["sleep", "1000"]))
    url = (await exec_url(shim, container, ["cat"])).replace("http", "ws", 1)
    async with connect(url, subprotocols=[V5, V4], proxy=None) as connection:  # type: ignore[list-item]
        assert connection.subprotocol == V5
        await connection.send(b"\x00all of it")
        await connection.send(b"\xff\x00")
        found = await channel_messages(connection)
    assert found[1] == b"all of it"
    await shim.remove(sandbox)


async def test_a_terminal_is_resized_and_hung_up(target: Target) -> None:
    node, _, container, _ = target
    url = await exec_url(node, container, ["sh"], tty=True)
    async with spdy(url) as session:
        streams = {kind: await session.open({"streamtype": kind}) for kind in ("error", "stdin", "stdout", "resize")}
        await streams["resize"].write(b'{"Width":99,"Height":44}')
        # The size goes its own way; the quotes keep the wanted one out of the terminal's echo of what is typed.
        await streams["stdin"].write(b"until stty size | grep '44 9''9'; do sleep 0.1; done; echo my$((40+2))mark\n")
        seen = b""
        while b"my42mark" not in seen:
            seen += await streams["stdout"].read()
        assert b"44 99" in seen
    if not node.own_plugin:
        await until(lambda: node.exec(container, "ps"), lambda answer: answer.stdout.count(b"sh\n") <= 1)


async def test_attach_reads_and_writes_the_first_process(target: Target) -> None:
    node, _, container, pod = target
    async with spdy(await attach_url(node, container)) as session:
        streams = {kind: await session.open({"streamtype": kind}) for kind in ("error", "stdin", "stdout", "stderr")}
        assert b"got hello\n" in await said_back(streams, b"hello\n")
    await until(lambda: node.log(pod), lambda text: "got hello" in text)
    # The container's own input stays open for the next one.
    async with spdy(await attach_url(node, container)) as session:
        streams = {kind: await session.open({"streamtype": kind}) for kind in ("error", "stdin", "stdout", "stderr")}
        assert b"got again\n" in await said_back(streams, b"again\n")


async def said_back(streams: dict[str, SpdyStream], line: bytes) -> bytes:
    """Output from before the runtime listens reaches nobody, and nothing tells when it does: the line is repeated."""
    reading = asyncio.ensure_future(streams["stdout"].read())
    while not reading.done():
        await streams["stdin"].write(line)
        await asyncio.wait([reading], timeout=1.0)
    return await reading


async def forward(session: SpdySession, request: int, port: int) -> tuple[SpdyStream, SpdyStream]:
    headers = {"port": str(port), "requestid": str(request)}
    error = await session.open({"streamtype": "error", **headers})
    await error.finish()
    return error, await session.open({"streamtype": "data", **headers})


async def forward_url(node: Node, sandbox: str) -> str:
    request = cri.PortForwardRequest(pod_sandbox_id=sandbox, port=[8080])
    return str((await node.runtime("PortForward", request)).url)


async def test_ports_are_forwarded_into_the_pod(target: Target) -> None:
    node, sandbox, _, _ = target
    async with spdy(await forward_url(node, sandbox), "portforward.k8s.io") as session:
        for request in range(3):
            _, data = await forward(session, request, 8080)
            await data.write(b"GET / HTTP/1.0\r\n\r\n")
            assert (await everything(data)).endswith(b"toolbox\n")
        error, data = await forward(session, 9, 9)
        assert b"refused" in await everything(error)


async def test_ports_are_forwarded_through_a_websocket_tunnel(shim: Node) -> None:
    pod = shim.pod_config()
    sandbox = await shim.sandbox(pod)
    container = await shim.run(sandbox, pod, shim.container_config(["web", "8080"]))
    page = "http://127.0.0.1:8080/"
    await until(lambda: shim.exec(container, "wget", "-qO-", page), lambda answer: answer.exit_code == 0)
    async with tunnel(await forward_url(shim, sandbox)) as pipe, asyncio.TaskGroup() as group:
        session = SpdySession(pipe, server=False)
        reading = group.create_task(session.run())
        _, data = await forward(session, 1, 8080)
        await data.write(b"GET / HTTP/1.0\r\n\r\n")
        assert (await everything(data)).endswith(b"toolbox\n")
        reading.cancel()
    await shim.remove(sandbox)


class MessagePipe:
    """A client's end whose subprotocol has a slash, which the client library refuses to ask for."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._protocol = ClientProtocol(parse_uri("ws://x/"), state=State.OPEN)

    async def receive(self) -> bytes:
        while data := await self._reader.read(65536):
            self._protocol.receive_data(data)
            found = [event.data for event in self._protocol.events_received() if isinstance(event, Frame)]
            if found:
                return b"".join(found)
        return b""

    async def send(self, data: bytes) -> None:
        self._protocol.send_binary(data)
        self._writer.write(b"".join(self._protocol.data_to_send()))
        await self._writer.drain()

    async def close(self) -> None:
        self._writer.close()


@asynccontextmanager
async def tunnel(url: str) -> AsyncIterator[MessagePipe]:
    target = urlsplit(url)
    reader, writer = await asyncio.open_connection(target.hostname, target.port)
    writer.write(
        f"GET {target.path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        f"Sec-WebSocket-Protocol: {TUNNEL}\r\n\r\n".encode()
    )
    head = await reader.readuntil(b"\r\n\r\n")
    assert TUNNEL.encode() in head
    yield MessagePipe(reader, writer)
    writer.close()


async def test_ports_are_forwarded_over_websocket_channels(target: Target) -> None:
    node, sandbox, _, _ = target
    url = (await forward_url(node, sandbox)).replace("http", "ws", 1)
    async with connect(url, subprotocols=[V4], proxy=None) as connection:  # type: ignore[list-item]
        opened = {await connection.recv(), await connection.recv()}
        assert opened == {bytes([channel]) + struct.pack("<H", 8080) for channel in (0, 1)}
        await connection.send(b"\x00GET / HTTP/1.0\r\n\r\n")
        seen = b""
        while not seen.endswith(b"toolbox\n"):
            message = await connection.recv()
            assert isinstance(message, bytes)
            seen += message[1:]


async def test_base64_channels_for_clients_without_binary_messages(target: Target) -> None:
    node, _, container, _ = target
    url = (await exec_url(node, container, ["sh", "-c", "read l; echo $l"])).replace("http", "ws", 1)
    async with connect(url, subprotocols=["base64.channel.k8s.io"], proxy=None) as connection:  # type: ignore[list-item]
        await connection.send("0" + base64.b64encode(b"typed\n").decode())
        messages = []
        try:
            async for message in connection:
                messages.append(message)
        except ConnectionClosed:
            pass
    shown = b"".join(base64.b64decode(message[1:]) for message in messages if str(message).startswith("1"))
    assert shown == b"typed\n"


async def test_a_url_serves_once(target: Target) -> None:
    node, _, container, _ = target
    url = (await exec_url(node, container, ["true"])).replace("http", "ws", 1)
    async with connect(url, subprotocols=[V4], proxy=None) as connection:  # type: ignore[list-item]
        await channel_messages(connection)
    with pytest.raises(InvalidStatus, match="404"):
        await connect(url, subprotocols=[V4], proxy=None)  # type: ignore[list-item]


async def test_impossible_streams_are_refused(target: Target) -> None:
    node, _, container, _ = target
    with pytest.raises(RpcError, match="tty and stderr cannot both be true"):
        await node.runtime("Exec", cri.ExecRequest(container_id=container, cmd=["sh"], tty=True, stderr=True))
    with pytest.raises(RpcError, match="one of stdin, stdout, and stderr must be set"):
        await node.runtime("Attach", cri.AttachRequest(container_id=container))

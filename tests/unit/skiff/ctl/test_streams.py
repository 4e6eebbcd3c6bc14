"""exec's frames and exit codes; a whole talk against a WebSocket server of the test's own."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.typing import Subprotocol

from kubeclient.kubeconfig import KubeConfig
from skiff.ctl import channels
from skiff.ctl.commands.cp import remote
from skiff.ctl.connection import Flags
from skiff.ctl.failures import Failure
from skiff.ctl.session import Session
from skiff.ctl.streams import Wish, talk


def test_frames() -> None:
    assert channels.frame(channels.STDIN, b"x") == b"\0x"
    assert channels.parse(b"\1out") == (channels.STDOUT, b"out")
    assert channels.parse("\2text") == (channels.STDERR, b"text")
    assert channels.resize(80, 24) == b'\4{"Width": 80, "Height": 24}'
    assert channels.end_of_input() == b"\xff\0"
    with pytest.raises(ValueError):
        channels.parse(b"")


def test_exit_codes() -> None:
    ended = {
        "status": "Failure",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": "7"}]},
    }
    assert channels.exit_code({"status": "Success"}) == (0, "")
    assert channels.exit_code(ended) == (7, "command terminated with exit code 7")
    assert channels.exit_code({"status": "Failure", "message": "no such file"}) == (1, "no such file")


def test_the_query_keeps_the_order_of_the_words() -> None:
    assert Wish(stdin=True, stderr=False, tty=True).query("c", ["sh", "-c", "a b&c"]) == (
        "command=sh&command=-c&command=a+b%26c&container=c&stdin=true&stdout=true&tty=true"
    )


async def echo(socket: ServerConnection) -> None:
    """Repeats standard input until it ends, then exits with 3."""
    async for message in socket:
        assert isinstance(message, bytes)
        if message == channels.end_of_input():
            break
        await socket.send(channels.frame(channels.STDOUT, message[1:].upper()))
    details = {"causes": [{"reason": "ExitCode", "message": "3"}]}
    status = {"status": "Failure", "reason": "NonZeroExitCode", "details": details}
    await socket.send(channels.frame(channels.ERROR, json.dumps(status).encode()))


def session_for(port: int, tmp_path: Path) -> Session:
    session = Session(Flags(kubeconfig=str(tmp_path / "none"), server=f"http://127.0.0.1:{port}", token="secret"))
    session._config = KubeConfig(f"http://127.0.0.1:{port}", token="secret")
    return session


async def test_input_goes_out_and_the_code_comes_back(tmp_path: Path) -> None:
    async with serve(echo, "127.0.0.1", 0, subprotocols=[Subprotocol("v5.channel.k8s.io")]) as server:
        session = session_for(next(iter(server.sockets)).getsockname()[1], tmp_path)
        out = io.BytesIO()
        answer = await talk(session, "/exec?command=x", Wish(stdin=True), out, io.BytesIO(b"hello"))
        await session.close()
    assert answer == (3, "command terminated with exit code 3")
    assert out.getvalue() == b"HELLO"


async def test_a_server_that_is_not_there_is_said_in_one_sentence(tmp_path: Path) -> None:
    session = session_for(1, tmp_path)
    with pytest.raises(Failure, match="unable to upgrade connection"):
        await talk(session, "/exec", Wish())
    await session.close()


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("pod:/tmp/x", ("", "pod", "/tmp/x")),
        ("ns/pod:x", ("ns", "pod", "x")),
        ("./a:b", None),
        ("/a:b", None),
        ("file", None),
    ],
)
def test_places_of_cp(word: str, meant: tuple[str, str, str] | None) -> None:
    assert remote(word) == meant

"""Clients that stall, send garbage or never read: the others go on being answered, and memory stays bounded.

`make hostile N=…` opens more connections (default 1000), and prints how long the others waited meanwhile.
"""

from __future__ import annotations

import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from tests.integration.cluster_parts import ApiServer, start_apiserver, start_store

COUNT = int(os.environ.get("HOSTILE_N") or 10)
#: A megabyte for each: a client that stops reading holds one piece of its own and what TLS had encrypted already.
MAX_GROWTH_MB = 150 + COUNT
HEAD = b"GET /api/v1/namespaces HTTP/1.1\r\nHost: localhost\r\n"
MAPS = "/api/v1/namespaces/default/configmaps"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    folder = tmp_path_factory.mktemp("hostile")
    with start_store(folder) as store, start_apiserver(folder, store.url) as running:
        yield running


class Attack:
    """Connections that stay open until the end of it."""

    def __init__(self, server: ApiServer, stack: ExitStack) -> None:
        self.server = server
        self._port = int(server.url.rpartition(":")[2])
        self._tls = server.tls()
        self._nameless = ssl.create_default_context(cafile=str(server.certificates.folder / "ca.crt"))
        self._stack = stack

    def plain(self) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self._port), 30.0)
        self._stack.callback(connection.close)
        return connection

    def tls(self, small: bool = False, nameless: bool = False) -> ssl.SSLSocket:
        raw = self.plain()
        if small:  # what the kernel holds for a client that does not read
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        wrapped = (self._nameless if nameless else self._tls).wrap_socket(raw, server_hostname="localhost")
        self._stack.callback(wrapped.close)
        return wrapped


def idle(attack: Attack) -> None:
    attack.tls()


def stalled_handshake(attack: Attack) -> None:
    attack.plain().sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")


def no_tls(attack: Attack) -> None:
    connection = attack.plain()
    connection.sendall(HEAD + b"\r\n")
    with suppress(ConnectionResetError):
        assert not connection.recv(1000).startswith(b"HTTP/1.1 2")


def slow_head(attack: Attack) -> None:
    attack.tls().sendall(HEAD)


def slow_body(attack: Attack) -> None:
    head = (
        f"POST {MAPS} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 3000000\r\n\r\n"
    )
    attack.tls().sendall(head.encode() + b'{"metadata":')


def half_closed(attack: Attack) -> None:
    connection = attack.tls()
    connection.sendall(HEAD + b"\r\n")
    connection.shutdown(socket.SHUT_WR)


def unread_list(attack: Attack) -> None:
    attack.tls(small=True).sendall(f"GET {MAPS} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())


def unread_watch(attack: Attack) -> None:
    attack.tls(small=True).sendall(f"GET {MAPS}?watch=1 HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())


def garbage(attack: Attack) -> None:
    connection = attack.tls()
    connection.sendall(bytes(range(256)) * 4)
    assert connection.recv(1000).startswith(b"HTTP/1.1 400 ")


def wrong_token(attack: Attack) -> None:
    connection = attack.tls(nameless=True)
    for number in range(5):
        connection.sendall(HEAD + f"Authorization: Bearer {'x' * 900}.y.{number}\r\n\r\n".encode())
        assert connection.recv(8000).startswith(b"HTTP/1.1 401 ")


def deep_yaml(attack: Attack) -> None:
    data = b"[" * 100_000
    head = (
        f"POST {MAPS} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/yaml\r\nContent-Length: {len(data)}\r\n"
    )
    connection = attack.tls()
    connection.sendall(head.encode() + b"\r\n" + data)
    assert connection.recv(8000).startswith(b"HTTP/1.1 400 ")


ATTACKS: list[Callable[[Attack], None]] = [
    idle, stalled_handshake, no_tls, slow_head, slow_body, half_closed, unread_list, unread_watch, garbage, wrong_token,
    deep_yaml,
]  # fmt: skip


def memory_mb(server: ApiServer) -> int:
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return next(int(line.split()[1]) // 1024 for line in status.splitlines() if line.startswith("VmRSS"))


class Bystander:
    """Somebody with work to do: a write and a read, again and again."""

    def __init__(self, server: ApiServer) -> None:
        self._http = server.http()
        self.waits: list[float] = []
        self.refused: list[str] = []
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        merging = {"content-type": "application/merge-patch+json"}
        try:
            while not self._done.wait(0.01):
                begun = time.monotonic()
                data = {"n": str(len(self.waits)), "big": "x" * 100_000}
                wrote = self._http.patch(f"{MAPS}/busy", json={"data": data}, headers=merging)
                read = self._http.get(f"{MAPS}/busy")
                self.waits.append(time.monotonic() - begun)
                if wrote.status_code != 200 or read.json()["data"]["n"] != data["n"]:
                    self.refused.append(f"{wrote.text[:300]} {read.text[:300]}")
        except Exception as error:  # noqa: BLE001 - the test says it
            self.refused.append(repr(error))

    @contextmanager
    def working(self) -> Iterator[None]:
        assert self._http.post(MAPS, json={"metadata": {"name": "busy"}}).status_code in (201, 409)
        self._thread.start()
        try:
            yield
        finally:
            self._done.set()
            self._thread.join()
            self._http.close()


@pytest.mark.timeout(60 + COUNT)
@pytest.mark.parametrize("attack", ATTACKS)
def test_the_others_are_answered(server: ApiServer, attack: Callable[[Attack], None]) -> None:
    before = memory_mb(server)
    bystander = Bystander(server)
    with ExitStack() as stack, bystander.working():
        attacking = Attack(server, stack)
        for _ in range(COUNT):
            attack(attacking)
        answered = len(bystander.waits)
        while len(bystander.waits) < answered + 5 and not bystander.refused:  # also with all of them there
            time.sleep(0.01)
        grown = memory_mb(server) - before
    waits = sorted(bystander.waits)
    median, worst = waits[len(waits) // 2], waits[-1]
    print(f"{attack.__name__}: {COUNT} clients; {len(waits)} times others waited {median * 1000:.0f} ms, "
          f"at most {worst * 1000:.0f} ms; memory +{grown} MB")  # fmt: skip
    assert not bystander.refused, bystander.refused[:3]
    assert grown < MAX_GROWTH_MB
    with server.http() as http:
        assert http.get("/readyz").text == "ok"
    assert "Traceback" not in server.text()


def test_what_is_too_much_for_one_request(server: ApiServer) -> None:
    with server.http() as http:
        big = http.post(MAPS, content=b"x" * (3 * 1024 * 1024 + 1), headers={"content-type": "application/json"})
        assert (big.status_code, big.json()["message"]) == (413, "Request entity too large: limit is 3145728")
        dripping = http.post(MAPS, content=iter([b"x" * 1024 * 1024] * 4), headers={"content-type": "application/json"})
        assert dripping.status_code == 413
        assert http.get("/api/v1/" + "x" * 60_000).status_code == 404
        assert http.get("/version", headers={"x-long": "x" * 500_000}).status_code == 200
        assert http.get("/version", headers={"x-long": "x" * 1_100_000}).status_code == 431


def test_numbers_that_are_none(server: ApiServer) -> None:
    path = "/apis/apps/v1/namespaces/default/deployments"
    json_type = {"content-type": "application/json"}
    with server.http() as http:
        for number in ("1e999", str(2**70), "NaN", "-Infinity", "1.5", "9" * 100_000, "-0.0", "01", "0x10", "1_000"):
            body = f'{{"metadata":{{"name":"d"}},"spec":{{"replicas":{number}}}}}'
            answer = http.post(path, content=body, headers=json_type)
            assert (answer.status_code, answer.json()["reason"]) == (400, "BadRequest"), number

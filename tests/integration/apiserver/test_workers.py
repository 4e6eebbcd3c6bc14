"""Several workers on one port, and several apiservers behind one Service."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.integration.apiserver.test_verbs import config_map
from tests.integration.cluster_parts import ApiServer, Store, start_apiserver, start_store

PATH = "/api/v1/namespaces/default/configmaps"
ENDPOINTS = "/api/v1/namespaces/default/endpoints/kubernetes"
SLICE = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with start_store(tmp_path_factory.mktemp("store")) as running:
        yield running


def eventually(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def children(server: ApiServer) -> list[int]:
    pid = server.process.pid
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def workers_of(server: ApiServer, count: int) -> dict[str, httpx.Client]:
    """A connection to each worker. Which of them answered is seen by whose count of requests has grown."""
    found: dict[str, httpx.Client] = {}
    for _ in range(200):
        client = server.http()
        before = asked(client)
        for _ in range(5):
            assert client.get(PATH, params={"limit": "1"}).status_code == 200
        after = asked(client)
        mine = max(after, key=lambda worker: after[worker] - before.get(worker, 0.0))
        if mine in found:
            client.close()
        else:
            found[mine] = client
        if len(found) == count:
            return found
    raise AssertionError(f"only workers {list(found)} answer")


def asked(client: httpx.Client) -> dict[str, float]:
    """Lists of ConfigMaps by worker."""
    lines = client.get("/metrics").text.splitlines()
    counts = [line for line in lines if line.startswith("apiserver_request_total{") and 'verb="LIST"' in line]
    return {
        line.partition('worker="')[2].partition('"')[0]: float(line.rpartition(" ")[2])
        for line in counts
        if 'resource="configmaps"' in line
    }


def written_by(server: ApiServer, prefix: str, stop: threading.Event, done: list[str]) -> None:
    """Creates until told to stop; what was answered is in `done`. A connection may break, an answer may not lie."""
    client = server.http()
    number = 0
    while not stop.is_set():
        number += 1
        name = f"{prefix}-{number}"
        while not stop.is_set():
            try:
                answer = client.post(PATH, json=config_map(name))
            except httpx.TransportError:
                client.close()
                client = server.http()
                continue
            assert answer.status_code in (201, 409), answer.text
            done.append(name)
            break
    client.close()


class Watching:
    """Follows a collection as a client-go reflector does: a broken stream goes on where it ended, or after a list."""

    def __init__(self, server: ApiServer) -> None:
        self._server = server
        self._revision = ""
        self.seen: set[str] = set()
        self.stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self.stop.is_set():
            try:
                with self._server.http() as client:
                    self._follow(client)
            except httpx.TransportError:
                continue

    def _follow(self, client: httpx.Client) -> None:
        if not self._revision:
            found = client.get(PATH).json()
            self.seen |= {item["metadata"]["name"] for item in found["items"]}
            self._revision = found["metadata"]["resourceVersion"]
        query = {"watch": "true", "resourceVersion": self._revision, "timeoutSeconds": "2"}
        with client.stream("GET", PATH, params=query) as answer:
            if answer.status_code == 410:  # this worker has started since
                self._revision = ""
                return
            for line in answer.iter_lines():
                event = json.loads(line)
                self._revision = event["object"]["metadata"]["resourceVersion"]
                self.seen.add(event["object"]["metadata"]["name"])

    def end(self) -> None:
        self.stop.set()
        self._thread.join()


def test_a_worker_that_is_killed_costs_nothing(tmp_path: Path, store: Store) -> None:
    with start_apiserver(tmp_path, store.url, "--workers=2") as server:
        eventually(lambda: server.text().count("serving https://") == 2)
        watching = [Watching(server) for _ in range(4)]
        stop = threading.Event()
        done: list[list[str]] = [[] for _ in range(4)]
        writers = [threading.Thread(target=written_by, args=(server, f"w{n}", stop, done[n])) for n in range(4)]
        for writer in writers:
            writer.start()
        eventually(lambda: min(map(len, done)) > 5)
        for pid in children(server):
            os.kill(pid, signal.SIGKILL)
            reached = [len(one) + 5 for one in done]
            eventually(lambda reached=reached: all(len(o) > r for o, r in zip(done, reached, strict=True)))  # type: ignore[misc]
            eventually(lambda: len(children(server)) == 2)
        stop.set()
        for writer in writers:
            writer.join()
        wanted = {name for one in done for name in one}
        with server.http() as client:
            listed = {item["metadata"]["name"] for item in client.get(PATH).json()["items"]}
        assert wanted <= listed
        for one in watching:
            eventually(lambda one=one: wanted <= one.seen)  # type: ignore[misc]
            one.end()
        assert server.stop() == 0


def test_workers_agree_and_are_counted_apart(tmp_path: Path, store: Store) -> None:
    with start_apiserver(tmp_path, store.url, "--workers=2") as server:
        eventually(lambda: server.text().count("serving https://") == 2)
        first, second = workers_of(server, 2).values()
        for number in range(20):
            path = f"{PATH}/agree-{number}"
            assert first.post(PATH, json=config_map(f"agree-{number}")).status_code == 201
            assert second.get(path).status_code == 200
            assert second.delete(path).status_code == 200
            assert first.get(path).status_code == 404
        pids = children(server)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(40) == 0
        assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_what_cannot_work_ends_all_workers(tmp_path: Path, store: Store) -> None:
    with pytest.raises(AssertionError, match=r"no-such-file"):
        start_apiserver(tmp_path, store.url, "--workers=2", f"--token-auth-file={tmp_path / 'no-such-file'}")


def addresses(client: httpx.Client) -> set[str]:
    listed = {one["ip"] for one in client.get(ENDPOINTS).json()["subsets"][0]["addresses"]}
    sliced = {one["addresses"][0] for one in client.get(SLICE).json()["endpoints"]}
    return listed if listed == sliced else set()


def test_apiservers_come_and_go_in_the_endpoints(tmp_path: Path, store: Store) -> None:
    with ExitStack() as stack:
        one = stack.enter_context(start_apiserver(tmp_path / "a", store.url, "--advertise-address=192.0.2.1"))
        client = stack.enter_context(one.http())
        eventually(lambda: addresses(client) == {"192.0.2.1"})

        def other(number: int) -> ApiServer:
            flag = f"--advertise-address=192.0.2.{number}"
            return start_apiserver(tmp_path / str(number), store.url, flag, certificates=one.certificates)

        two, three = stack.enter_context(other(2)), stack.enter_context(other(3))
        eventually(lambda: addresses(client) == {"192.0.2.1", "192.0.2.2", "192.0.2.3"})
        assert two.stop() == 0
        eventually(lambda: addresses(client) == {"192.0.2.1", "192.0.2.3"})
        three.kill()
        eventually(lambda: addresses(client) == {"192.0.2.1"})
